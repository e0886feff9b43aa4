//! What scripts want of messages that are in a mailbox already (RFC 6785 §3).

use bytes::Bytes;
use mailpods_message::Meta;
use mailpods_sieve::{Action, FileInto, Outcome, Version};
use mailpods_store::mail::{Entry, FlagOp, Flags, NewMail, SystemFlags};
use mailpods_store::sieve::{flags_of, seen_key, special_use};
use mailpods_store::{MailboxId, NewBody, Quota, StoreError, quota};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Runner, without};
use crate::append::now;

/// One message on its way through its actions.
struct Actor<'a> {
    runner: &'a Runner,
    entry: &'a Entry,
    versions: Vec<Bytes>,
    /// The message stays, with these flags.
    kept: Option<Flags>,
}

/// Carries the actions out.
pub(super) async fn act(
    runner: &Runner,
    entry: &Entry,
    message: &Bytes,
    outcome: Outcome,
) -> Result<(), StoreError> {
    // The interpreter refuses it where there is no envelope: what is sent here would have passed neither the filter nor the look at who it
    // is from, as all that is submitted does.
    let sends = |action: &Action| matches!(action, Action::Redirect { .. } | Action::Notify(_));
    if outcome.actions.iter().any(sends) {
        tracing::info!(account = %runner.owner, uid = entry.uid, "a script sends mail about a message that was not delivered; the message stays as it is");
        return Ok(());
    }
    let octets = |version: &Version| match version {
        Version::Original => message.clone(),
        edited => edited.octets(message).into(),
    };
    let mut actor = Actor {
        runner,
        entry,
        versions: outcome.versions.iter().map(octets).collect(),
        // RFC 5228 §2.10.6
        kept: outcome.error.is_some().then(|| entry.flags.clone()),
    };
    for action in outcome.actions {
        actor.action(action).await?;
    }
    actor.finish().await
}

impl Actor<'_> {
    async fn action(&mut self, action: Action) -> Result<(), StoreError> {
        match action {
            // RFC 6785 §3.1: changes of the message are for other actions; a stored message does not change.
            Action::Keep(keep) => self.kept = Some(flags_of(&keep.flags)),
            Action::FileInto(file) => self.file_into(file).await?,
            Action::Remember {
                identity, seconds, ..
            } => {
                let until = now().saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
                let key = seen_key(&self.runner.owner, &identity);
                let tokens = &self.runner.deps().tokens;
                tokens.ban(&key, until.saturating_mul(1000)).await?;
            }
            // The first only says that there is no keep; the others have been refused.
            Action::Discard
            | Action::Reject { .. }
            | Action::Vacation(_)
            | Action::Redirect { .. }
            | Action::Notify(_) => {}
        }
        Ok(())
    }

    /// RFC 6785 §3.3: another message, also where it is in that mailbox already.
    async fn file_into(&self, file: FileInto) -> Result<(), StoreError> {
        let (target, quota) = (self.target(&file).await?, self.quota().await?);
        let mail = &self.runner.deps().store;
        let flags = flags_of(&file.flags);
        if file.version > 0 {
            let new = self.new_mail(file.version, flags);
            return mail.append(target, vec![new], quota).await.map(drop);
        }
        let (from, uid) = (self.runner.mailbox, self.entry.uid);
        let copied = mail.copy(from, vec![uid], target, quota).await?;
        let uids = copied.pairs.iter().map(|pair| pair.1).collect();
        self.change_flags(target, uids, &flags).await
    }

    async fn target(&self, file: &FileInto) -> Result<MailboxId, StoreError> {
        let (account, mail) = (self.runner.account, &self.runner.deps().store);
        if let Some(found) = mail.mailbox(account, &file.mailbox).await? {
            return Ok(found.id);
        }
        let special_use = file.special_use.as_deref().and_then(special_use);
        mail.create_mailbox(account, &file.mailbox, special_use)
            .await
    }

    async fn quota(&self) -> Result<Quota, StoreError> {
        let runner = self.runner;
        match runner.plan.mailbox(&runner.owner) {
            Some(mailbox) => {
                quota::of_owner(runner.deps().upkeep.as_ref(), &runner.plan, mailbox).await
            }
            None => Ok(Quota::default()),
        }
    }

    fn new_mail(&self, version: usize, flags: Flags) -> NewMail {
        let octets = self.versions.get(version).cloned().unwrap_or_default();
        NewMail {
            body: NewBody::Octets {
                meta: Some(Meta::compute(&octets).encode()),
                slices: vec![octets],
            },
            prefix: Bytes::new(),
            flags,
            received: self.entry.received,
        }
    }

    /// What becomes of the message itself.
    async fn finish(self) -> Result<(), StoreError> {
        let (mailbox, uids) = (self.runner.mailbox, vec![self.entry.uid]);
        let kept = self.kept.clone().unwrap_or_else(|| Flags {
            // RFC 6785 §2.2.4: neither kept by the script nor by itself. Who reads the mailbox expunges it.
            system: self.entry.flags.system.union(SystemFlags::DELETED),
            keywords: self.entry.flags.keywords.clone(),
        });
        self.change_flags(mailbox, uids, &kept).await
    }

    /// Makes the flags of the message those that are `wanted`; what somebody else changes meanwhile stays.
    async fn change_flags(
        &self,
        mailbox: MailboxId,
        uids: Vec<u32>,
        wanted: &Flags,
    ) -> Result<(), StoreError> {
        let before = &self.entry.flags;
        let mail = &self.runner.deps().store;
        for (op, flags) in [
            (FlagOp::Add, without(wanted, before)),
            (FlagOp::Remove, without(before, wanted)),
        ] {
            if flags != Flags::default() {
                let changed = mail.store_flags(mailbox, uids.clone(), op, flags, None);
                changed.await?;
            }
        }
        Ok(())
    }
}

/// Fresh random octets.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut octets = [0; N];
    let filled = SystemRandom::new().fill(&mut octets);
    filled.map_err(|_| StoreError::Unavailable("the system has no random octets".to_owned()))?;
    Ok(octets)
}
