//! What scripts want of messages that are in a mailbox already (RFC 6785 §3).

use bytes::Bytes;
use mailpods_api::{MailboxAddress, QueueId};
use mailpods_message::Meta;
use mailpods_plan::{Plan, Route};
use mailpods_sieve::{Action, FileInto, Outcome, Version};
use mailpods_store::mail::{Entry, FlagOp, Flags, NewMail, SystemFlags};
use mailpods_store::queue::{
    BodyType, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
};
use mailpods_store::sieve::{flags_of, seen_key, special_use};
use mailpods_store::{MailboxId, NewBody, Quota, StoreError, quota};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Runner, difference};
use crate::append::now;

/// One message on its way through its actions.
struct Actor<'a> {
    runner: &'a Runner,
    entry: &'a Entry,
    /// As it was stored, without the fields of this copy.
    body: &'a Bytes,
    versions: Vec<Bytes>,
    /// The message stays.
    keep: Option<FileInto>,
    enqueue: Vec<NewMessage>,
}

/// Carries the actions out. `message` is the whole one, and what of it is shared with others.
pub(super) async fn act(
    runner: &Runner,
    entry: &Entry,
    (message, body): (&Bytes, &Bytes),
    outcome: Outcome,
) -> Result<(), StoreError> {
    // RFC 6785 §3.11: nobody waits for an answer.
    let impossible =
        |action: &Action| matches!(action, Action::Reject { .. } | Action::Vacation(_));
    if outcome.actions.iter().any(impossible) {
        tracing::info!(account = %runner.owner, uid = entry.uid, "a script rejects or answers a message that was not delivered; it stays as it is");
        return Ok(());
    }
    let octets = |version: &Version| match version {
        Version::Original => message.clone(),
        edited => edited.octets(message).into(),
    };
    let mut actor = Actor {
        runner,
        entry,
        body,
        versions: outcome.versions.iter().map(octets).collect(),
        keep: None,
        enqueue: Vec::new(),
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
            Action::Redirect { address, version } => self.redirect(&address, version)?,
            Action::Notify(notification) => {
                for to in notification.to {
                    let octets = notification.message.clone().into();
                    self.send(&to, String::new(), octets, Origin::Notification)?;
                }
            }
            Action::Remember {
                identity, seconds, ..
            } => {
                let until = now().saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
                let key = seen_key(&self.runner.owner, &identity);
                let tokens = &self.runner.deps().tokens;
                tokens.ban(&key, until.saturating_mul(1000)).await?;
            }
            // Refused before.
            Action::Discard | Action::Reject { .. } | Action::Vacation(_) => {}
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
        // A message that goes elsewhere takes no more room than before.
        let quota = match stays {
            true => self.quota().await?,
            false => Quota::default(),
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

    /// Without the fields that were put in front of this copy, and with the owner as its sender: answers are his.
    fn redirect(&mut self, address: &str, version: usize) -> Result<(), StoreError> {
        let Ok(target) = MailboxAddress::parse(address) else {
            return Err(StoreError::Invalid(format!("{address} is no address")));
        };
        let octets = match self.versions.get(version).filter(|_| version > 0) {
            Some(edited) => edited.clone(),
            None => self.body.clone(),
        };
        let owner = self.runner.owner.to_string();
        let origin = Origin::Forward(format!("uid {}", self.entry.uid));
        self.send(&target.written(), owner, octets, origin)
    }

    fn send(
        &mut self,
        to: &str,
        sender: String,
        octets: Bytes,
        origin: Origin,
    ) -> Result<(), StoreError> {
        let destination = destination(&self.runner.plan, to)
            .ok_or_else(|| StoreError::Invalid(format!("{to} is no address")))?;
        let body_type = match octets.is_ascii() {
            true => BodyType::SevenBit,
            false => BodyType::EightBit,
        };
        let created = now() * 1000;
        let random = u64::from_le_bytes(random()?);
        self.enqueue.push(NewMessage {
            id: QueueId::from_parts(created.max(0).unsigned_abs(), random),
            envelope: Envelope {
                smtputf8: !to.is_ascii() || !sender.is_ascii(),
                sender,
                ret: None,
                envid: None,
                tls: Default::default(),
                body_type,
            },
            body: NewBody::Octets {
                meta: Some(Meta::compute(&octets).encode()),
                slices: vec![octets],
            },
            origin,
            junk: false,
            created,
            recipients: vec![NewRecipient {
                destination,
                address: to.to_owned(),
                orcpt: None,
                notify: Notify::default(),
            }],
        });
        Ok(())
    }

    /// What goes out, and then what becomes of the message itself.
    async fn finish(self) -> Result<(), StoreError> {
        let (runner, uid) = (self.runner, self.entry.uid);
        let deps = runner.deps();
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
        if !self.enqueue.is_empty() {
            deps.queue.enqueue(self.enqueue).await?;
        }
        let (mail, mailbox) = (&deps.store, runner.mailbox);
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

fn destination(plan: &Plan, address: &str) -> Option<Destination> {
    let address = MailboxAddress::parse(address).ok()?;
    Some(match plan.route(address.domain()) {
        Route::Local => Destination::local(),
        _ => Destination(address.domain().as_str().into()),
    })
}

/// Fresh random octets.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut octets = [0; N];
    let filled = SystemRandom::new().fill(&mut octets);
    filled.map_err(|_| StoreError::Unavailable("the system has no random octets".to_owned()))?;
    Ok(octets)
}
