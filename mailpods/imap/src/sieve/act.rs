//! What scripts want of messages that are in a mailbox already (RFC 6785 §3).

use bytes::Bytes;
use mailpods_message::Meta;
use mailpods_sieve::{Action, FileInto, Outcome, Version};
use mailpods_store::mail::{Entry, FlagOp, Flags, NewMail, SystemFlags};
use mailpods_store::sieve::{flags_of, seen_key, special_use};
use mailpods_store::{MailboxId, NewBody, Quota, StoreError, quota};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Runner, difference};
use crate::append::now;

/// One message on its way through its actions.
struct Actor<'a> {
    runner: &'a Runner,
    entry: &'a Entry,
    versions: Vec<Bytes>,
    /// The message stays.
    keep: Option<FileInto>,
    /// It went into another mailbox.
    moved: bool,
}

/// Carries the actions out.
pub(super) async fn act(
    runner: &Runner,
    entry: &Entry,
    message: &Bytes,
    outcome: Outcome,
) -> Result<(), StoreError> {
    // RFC 6785 §3.11: nobody waits for an answer. And whoever has a password would send by a script past all that holds for submission:
    // allowances, suspension, the filter.
    let impossible = |action: &Action| {
        matches!(
            action,
            Action::Reject { .. }
                | Action::Vacation(_)
                | Action::Redirect { .. }
                | Action::Notify(_)
        )
    };
    if outcome.actions.iter().any(impossible) {
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
        keep: None,
        moved: false,
    };
    let keeps = |action: &Action| matches!(action, Action::Keep(_));
    let stays = outcome.actions.iter().any(keeps);
    for action in outcome.actions {
        actor.action(action, stays).await?;
    }
    actor.finish().await
}

impl Actor<'_> {
    async fn action(&mut self, action: Action, stays: bool) -> Result<(), StoreError> {
        match action {
            Action::Keep(keep) => self.keep = Some(keep),
            Action::FileInto(file) => self.file_into(file, stays).await?,
            Action::Remember {
                identity, seconds, ..
            } => {
                let until = now().saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
                let key = seen_key(&self.runner.owner, &identity);
                let tokens = &self.runner.deps().tokens;
                tokens.ban(&key, until.saturating_mul(1000)).await?;
            }
            // Refused before.
            Action::Discard
            | Action::Reject { .. }
            | Action::Vacation(_)
            | Action::Redirect { .. }
            | Action::Notify(_) => {}
        }
        Ok(())
    }

    /// RFC 6785 §3.3: into the mailbox where it is already, it is a keep.
    async fn file_into(&mut self, file: FileInto, stays: bool) -> Result<(), StoreError> {
        let target = self.target(&file).await?;
        if target == self.runner.mailbox {
            self.keep.get_or_insert(file);
            return Ok(());
        }
        // A message that goes elsewhere, once and as it is, takes no more room than before.
        let moves = !stays && file.version == 0 && !std::mem::replace(&mut self.moved, true);
        let quota = match moves {
            true => Quota::default(),
            false => self.quota().await?,
        };
        let mail = &self.runner.deps().store;
        let flags = flags_of(&file.flags);
        if file.version > 0 {
            let new = self.new_mail(file.version, flags);
            return mail.append(target, vec![new], quota).await.map(drop);
        }
        let (from, uid) = (self.runner.mailbox, self.entry.uid);
        let copied = mail.copy(from, vec![uid], target, quota).await?;
        if difference(&self.entry.flags, &flags).is_empty() {
            return Ok(());
        }
        let uids = copied.pairs.iter().map(|pair| pair.1).collect();
        let stored = mail.store_flags(target, uids, FlagOp::Replace, flags, None);
        stored.await.map(drop)
    }

    async fn target(&self, file: &FileInto) -> Result<MailboxId, StoreError> {
        let runner = self.runner;
        let mail = &runner.deps().store;
        let account = mail.account(&runner.owner).await?;
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
        let (runner, uid) = (self.runner, self.entry.uid);
        let keep = self
            .keep
            .as_ref()
            .map(|keep| (keep.version, flags_of(&keep.flags)));
        let replaced = match &keep {
            Some((version, flags)) if *version > 0 => {
                Some((self.new_mail(*version, flags.clone()), self.quota().await?))
            }
            _ => None,
        };
        let (mail, mailbox) = (&runner.deps().store, runner.mailbox);
        match (keep, replaced) {
            // RFC 6785 §3.7: a stored message does not change, another one takes its place.
            (_, Some((new, quota))) => mail
                .replace(mailbox, uid, mailbox, new, quota)
                .await
                .map(drop),
            (Some((_, flags)), None) if difference(&self.entry.flags, &flags).is_empty() => Ok(()),
            (Some((_, flags)), None) => {
                let stored = mail.store_flags(mailbox, vec![uid], FlagOp::Replace, flags, None);
                stored.await.map(drop)
            }
            // RFC 6785 §3.1: neither kept by the script nor by itself.
            (None, None) => {
                let deleted = Flags {
                    system: SystemFlags::DELETED,
                    keywords: Vec::new(),
                };
                mail.store_flags(mailbox, vec![uid], FlagOp::Add, deleted, None)
                    .await?;
                mail.expunge(mailbox, Some(vec![uid])).await.map(drop)
            }
        }
    }
}

/// Fresh random octets.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut octets = [0; N];
    let filled = SystemRandom::new().fill(&mut octets);
    filled.map_err(|_| StoreError::Unavailable("the system has no random octets".to_owned()))?;
    Ok(octets)
}
