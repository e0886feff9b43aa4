//! Actions as deliveries and messages.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_message::edit::delivered_to;
use mailpods_message::header::header_len;
use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_policy::outbound::tls::Wish;
use mailpods_sieve::{Action, FileInto, Outcome, Reply, RunError, Version};
use mailpods_store::mail::Flags;
use mailpods_store::queue::{
    BodyType, Delivery, Destination, Envelope, Filing, LeasedUnit, NewMessage, NewRecipient,
    Notify, Origin, QueuedRecipient,
};
use mailpods_store::sieve::{self, flags_of, seen_key, special_use};
use mailpods_store::tokens::{Take, Taken};
use mailpods_store::{NewBody, StoreError};

use super::{After, Filtered, Incoming, Kind, told};
use crate::context::{Context, destination, destination_of};
use crate::fate::Trouble;

/// Two processes that answer the same sender at the same time see each other within this time.
const TURN: Duration = Duration::from_secs(60);

/// A script could not be run at all: the message is kept.
pub(super) fn kept_after(error: RunError) -> Outcome {
    let keep = FileInto {
        mailbox: "INBOX".to_owned(),
        flags: Vec::new(),
        create: false,
        special_use: None,
        version: 0,
    };
    Outcome {
        actions: vec![Action::Keep(keep)],
        versions: vec![Version::Original],
        error: Some(error),
        trace: Vec::new(),
    }
}

/// One message on its way through its actions.
struct Actor<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    unit: &'a LeasedUnit,
    incoming: &'a Incoming,
    original: &'a Bytes,
    versions: Vec<Bytes>,
    out: Filtered,
    redirected: bool,
}

/// Carries the actions out, as far as that is possible before the settlement.
pub(super) async fn act(
    ctx: &Context,
    plan: &Plan,
    unit: &LeasedUnit,
    incoming: &Incoming,
    original: &Bytes,
    outcome: Outcome,
) -> Result<Filtered, StoreError> {
    let octets = |version: &Version| match version {
        Version::Original => original.clone(),
        edited => edited.octets(original).into(),
    };
    let mut actor = Actor {
        ctx,
        plan,
        unit,
        incoming,
        original,
        versions: outcome.versions.iter().map(octets).collect(),
        out: Filtered {
            deliveries: Vec::new(),
            enqueue: Vec::new(),
            kind: Kind::Delivered,
            after: After::default(),
        },
        redirected: false,
    };
    for action in outcome.actions {
        actor.action(action).await?;
    }
    if let Some(error) = outcome.error {
        actor.failed(&error).await?;
    }
    Ok(actor.finish())
}

impl Actor<'_> {
    async fn action(&mut self, action: Action) -> Result<(), StoreError> {
        match action {
            Action::Keep(keep) => self.keep(&keep),
            Action::FileInto(file) => self.file_into(file).await?,
            Action::Redirect { address, version } => self.redirect(&address, version),
            Action::Discard => self.note(Reason::Delivered, "dropped by a script".to_owned()),
            Action::Reject { reason, .. } => self.reject(reason),
            Action::Vacation(reply) => self.vacation(reply).await?,
            Action::Notify(notification) => {
                for to in notification.to {
                    self.send(&to, notification.message.clone());
                }
            }
            Action::Remember {
                identity, seconds, ..
            } => {
                let until = self.ctx.now().saturating_add(millis(seconds));
                let key = seen_key(&self.incoming.mailbox.address, &identity);
                self.out.after.remember.push((key, until));
            }
        }
        Ok(())
    }

    fn note(&mut self, reason: Reason, text: String) {
        self.out.after.notes.push((reason, text));
    }

    fn keep(&mut self, keep: &FileInto) {
        let mailbox = self.incoming.delivery.mailbox.clone();
        self.file(mailbox, &keep.flags, keep.version);
    }

    /// A mailbox that no store can have is an error; the message is kept.
    async fn file_into(&mut self, file: FileInto) -> Result<(), StoreError> {
        let account = self
            .ctx
            .store
            .mail
            .account(&self.incoming.mailbox.address)
            .await?;
        let there = match self.ctx.store.mail.mailbox(account, &file.mailbox).await {
            Ok(there) => there.is_some(),
            Err(StoreError::NotFound(_)) => false,
            Err(StoreError::Invalid(why)) => {
                self.note(Reason::SieveFailed, format!("kept instead of filed: {why}"));
                self.keep(&file);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let special_use = file.special_use.as_deref().and_then(special_use);
        if !there && file.create && special_use.is_some() {
            // RFC 8579 §4: without the attribute it is filed all the same.
            let made = self
                .ctx
                .store
                .mail
                .create_mailbox(account, &file.mailbox, special_use)
                .await;
            if let Err(error) = made {
                tracing::warn!(mailbox = file.mailbox, %error, "failed to make a mailbox with its special use");
            }
        }
        self.note(Reason::Delivered, format!("filed into {}", file.mailbox));
        self.file(file.mailbox, &file.flags, file.version);
        Ok(())
    }

    /// As it came the message shares its body; a changed one takes a turn through the queue with a body of its own.
    fn file(&mut self, mailbox: String, flags: &[String], version: usize) {
        let flags = flags_of(flags);
        match self.versions.get(version).filter(|_| version > 0) {
            None => self.out.deliveries.push(Delivery {
                mailbox,
                flags,
                ..self.incoming.delivery.clone()
            }),
            Some(octets) => {
                let message = self.filed(octets.clone(), mailbox, flags);
                self.out.enqueue.push(message);
            }
        }
    }

    fn filed(&self, octets: Bytes, mailbox: String, flags: Flags) -> NewMessage {
        let recipient = NewRecipient {
            destination: Destination::local(),
            address: self.incoming.mailbox.address.to_string(),
            ..self.onwards()
        };
        let body = NewBody::Octets {
            slices: vec![octets],
            meta: None,
        };
        NewMessage {
            origin: Origin::Filed(Filing {
                id: self.unit.message.id.to_string(),
                mailbox,
                system: flags.system.0,
                keywords: flags.keywords,
                recipient: self.incoming.recipient.clone(),
            }),
            ..self.ctx.derived(self.unit, body, vec![recipient])
        }
    }

    /// The recipient that leads here, for a copy that goes on: success is told from here (RFC 3461 §5.2.7.3).
    fn onwards(&self) -> NewRecipient {
        let recipient: Option<&QueuedRecipient> = self.unit.recipients.get(self.incoming.position);
        let original = recipient.and_then(|recipient| recipient.orcpt.clone());
        NewRecipient {
            destination: Destination::local(),
            address: String::new(),
            orcpt: original.or_else(|| Some(format!("rfc822;{}", self.incoming.recipient))),
            notify: Notify {
                success: false,
                ..recipient
                    .map(|recipient| recipient.notify)
                    .unwrap_or_default()
            },
        }
    }

    /// RFC 5228 §4.2: a message that was here before is not sent on again.
    fn redirect(&mut self, address: &str, version: usize) {
        let owner = &self.incoming.mailbox.address;
        let Ok(target) = MailboxAddress::parse(address) else {
            self.note(
                Reason::SieveFailed,
                format!("kept instead of redirected: {address} is no address"),
            );
            return self.kept_instead();
        };
        let seen = delivered_to(self.original).contains(owner.to_string().as_bytes());
        if seen || target.canonical() == *owner {
            self.note(
                Reason::MailLoop,
                format!("kept instead of redirected to {address}: it was here before"),
            );
            return self.kept_instead();
        }
        if self.unit.message.junk && !self.plan.is_local(target.domain()) {
            self.note(
                Reason::SpamNotForwarded,
                format!("kept instead of redirected to {address}: it was judged to be junk"),
            );
            return self.kept_instead();
        }
        let recipient = NewRecipient {
            destination: destination(self.plan, target.domain()),
            address: target.written(),
            ..self.onwards()
        };
        let octets = self.versions.get(version).unwrap_or(self.original);
        let body = super::super::forwarded(octets, &owner.to_string());
        let message = self.ctx.derived(self.unit, body, vec![recipient]);
        self.out.enqueue.push(message);
        self.redirected = true;
    }

    fn kept_instead(&mut self) {
        let mailbox = &self.incoming.delivery.mailbox;
        if !self
            .out
            .deliveries
            .iter()
            .any(|delivery| delivery.mailbox == *mailbox)
        {
            self.out.deliveries.push(self.incoming.delivery.clone());
        }
    }

    /// RFC 5429 §2.2: the mail is accepted already, so its sender gets a delivery status notification. Nobody can be told of a
    /// message from the null sender.
    fn reject(&mut self, reason: String) {
        if self.unit.message.envelope.sender.is_empty() {
            self.note(
                Reason::Delivered,
                "kept instead of rejected: the sender is null".to_owned(),
            );
            return self.kept_instead();
        }
        let text = if reason.trim().is_empty() {
            "refused by the recipient".to_owned()
        } else {
            reason
        };
        self.out.kind = Kind::Rejected(Trouble::new(Reason::RejectedByOwner, "5.7.1", text));
    }

    /// RFC 5230 §4.2: one answer to a sender in a period, whichever process it is that delivers.
    async fn vacation(&mut self, reply: Reply) -> Result<(), StoreError> {
        let now = self.ctx.now();
        let account = &self.incoming.mailbox.address;
        let identity = format!("{}\n{}", reply.to.to_ascii_lowercase(), reply.identity);
        let key = sieve::key("vacation", account, &identity);
        if self.ctx.store.tokens.banned(&key, now).await?.is_some() {
            self.note(
                Reason::Delivered,
                format!("{} was answered before", reply.to),
            );
            return Ok(());
        }
        let turn = Take {
            key: key.clone(),
            amount: 1,
            limit: 1,
            window: TURN,
        };
        if self.ctx.store.tokens.take(vec![turn], now).await? != Taken::Granted {
            return Ok(());
        }
        self.ctx
            .store
            .tokens
            .ban(&key, now.saturating_add(millis(reply.seconds)))
            .await?;
        self.out.after.taken.push(key);
        self.send(&reply.to, reply.message);
        Ok(())
    }

    /// Queues a message that the script made, from the null sender (RFC 5230 §5.1, RFC 5436 §2.7.2).
    fn send(&mut self, to: &str, octets: Vec<u8>) {
        let Some(destination) = destination_of(self.plan, to) else {
            return self.note(
                Reason::SieveFailed,
                format!("nothing was sent to {to}: it is no address"),
            );
        };
        let message = made(self.ctx, destination, to, octets);
        self.note(
            Reason::NotificationSent,
            format!("sent to {to} as {}", message.id),
        );
        self.out.enqueue.push(message);
    }

    /// The owner is told once of each error.
    async fn failed(&mut self, error: &RunError) -> Result<(), StoreError> {
        self.note(Reason::SieveFailed, error.to_string());
        if matches!(self.unit.message.origin, Origin::Notification) {
            return Ok(());
        }
        let (account, now) = (&self.incoming.mailbox.address, self.ctx.now());
        let source = self.own_source();
        let key = sieve::key("error", account, &format!("{error}\n{source}"));
        if self.ctx.store.tokens.banned(&key, now).await?.is_some() {
            return Ok(());
        }
        self.ctx
            .store
            .tokens
            .ban(&key, now.saturating_add(told::REMEMBERED))
            .await?;
        self.out.after.taken.push(key);
        let octets = told::message(self.ctx, self.plan, account, error, self.original);
        let message = made(self.ctx, Destination::local(), &account.to_string(), octets);
        self.out.enqueue.push(message);
        Ok(())
    }

    /// The text of the owner's script.
    fn own_source(&self) -> Cow<'_, str> {
        let personal = self.incoming.personal.as_ref();
        let of_resource = || self.incoming.mailbox.sieve.as_ref();
        match personal.and_then(|personal| personal.active_source()) {
            Some(source) => String::from_utf8_lossy(source),
            None => of_resource().map_or("", |script| script.source()).into(),
        }
    }

    fn finish(mut self) -> Filtered {
        let filed = |message: &NewMessage| matches!(message.origin, Origin::Filed(_));
        let here = !self.out.deliveries.is_empty() || self.out.enqueue.iter().any(filed);
        if self.redirected && !here && matches!(self.out.kind, Kind::Delivered) {
            self.out.kind = Kind::Redirected;
        }
        self.out
    }
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// A message of this server's own making.
fn made(ctx: &Context, destination: Destination, to: &str, octets: Vec<u8>) -> NewMessage {
    let header = octets.get(..header_len(&octets)).unwrap_or_default();
    let smtputf8 = !header.is_ascii() || !to.is_ascii();
    let body_type = if octets.is_ascii() {
        BodyType::SevenBit
    } else {
        BodyType::EightBit
    };
    NewMessage {
        id: ctx.queue_id(),
        body: NewBody::Octets {
            slices: vec![octets.into()],
            meta: None,
        },
        envelope: Envelope {
            sender: String::new(),
            ret: None,
            envid: None,
            smtputf8,
            tls: Wish::Usual,
            body_type,
        },
        origin: Origin::Notification,
        junk: false,
        created: ctx.now(),
        recipients: vec![NewRecipient {
            destination,
            address: to.to_owned(),
            orcpt: None,
            // RFC 3461 §4.1: a notification asks for none itself.
            notify: Notify {
                given: true,
                ..Notify::default()
            },
        }],
    }
}
