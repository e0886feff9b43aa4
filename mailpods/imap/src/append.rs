//! APPEND (RFC 9051 §6.3.12), of several messages too (RFC 3502), and REPLACE (RFC 8508).

use std::time::{SystemTime, UNIX_EPOCH};

use mailpods_api::Rights;
use mailpods_imap_proto::sequence::compress;
use mailpods_imap_proto::{Append, AppendContent, AppendMessage, Code, ReplaceCommand, Status};
use mailpods_store::mail::{FlagOp, Flags, MailboxInfo, NewMail, SystemFlags};
use mailpods_store::{NewBody, Quota, StoreError, Uid, quota};

use crate::failure::{Done, Failure, Reply, ReplyCode};
use crate::flags;
use crate::session::Session;
use crate::sharing::{Place, no_permission};
use crate::sieve::Cause;

impl Session {
    pub(crate) async fn append(&mut self, append: Append) -> Done {
        let mut messages = append.messages.iter();
        messages.try_for_each(|message| self.check(message))?;
        let target = self.target(append.mailbox.as_str()).await?;
        self.tell_normalized(&append.mailbox).await?;
        let quota = self.quota_of(&target).await?;
        let mut mails = Vec::with_capacity(append.messages.len());
        let mut seen = Vec::with_capacity(append.messages.len());
        for message in append.messages {
            let mut mail = self.new_mail(message).await?;
            seen.push(self.take_own_seen(&target, &mut mail)?);
            mails.push(mail);
        }
        // RFC 3502 §6.3.11: all or none
        let (validity, uids) = self.mail().append(target.info.id, mails, quota).await?;
        let seen = uids.iter().zip(seen).filter(|(_, seen)| *seen);
        let seen = seen.map(|(uid, _)| *uid).collect();
        self.keep_own_seen(&target, seen).await;
        self.came_in(Cause::Append, &target, &uids).await;
        self.look_if_selected(&target.info);
        let code = ReplyCode::AppendUid {
            validity,
            uids: compress(uids),
        };
        Ok(Reply {
            code,
            text: "appended",
        })
    }

    /// RFC 8508 §3
    pub(crate) async fn replace(&mut self, command: ReplaceCommand) -> Done {
        self.check(&command.message)?;
        let view = self.writable()?;
        // RFC 8508 §5: what STORE \Deleted and EXPUNGE need
        self.may(Rights::DELETE_MESSAGES.union(Rights::EXPUNGE))?;
        let from = view.id;
        let uids = view.uids_at(&view.positions(&command.number, command.uid)?);
        let Some(old) = uids.first().copied() else {
            return Err(Failure::no(Code::NonExistent, "there is no such message"));
        };
        let target = self.target(command.mailbox.as_str()).await?;
        self.tell_normalized(&command.mailbox).await?;
        let mut mail = self.new_mail(command.message).await?;
        let seen = self.take_own_seen(&target, &mut mail)?;
        let (store, quota) = (self.mail(), self.quota_of(&target).await?);
        let replaced = store.replace(from, old, target.info.id, mail, quota).await;
        let (validity, uid) = replaced.map_err(|error| match error {
            StoreError::NotFound("message") => {
                Failure::no(Code::ExpungeIssued, "the message is gone")
            }
            other => other.into(),
        })?;
        let seen = seen.then_some(uid).into_iter().collect();
        self.keep_own_seen(&target, seen).await;
        self.came_in(Cause::Append, &target, &[uid]).await;
        let code = Code::AppendUid {
            validity,
            uids: &[(uid, uid)],
        };
        // RFC 8508 §3.3: before the EXPUNGE
        self.writer()
            .status(None, Status::Ok, Some(&code), "the new message");
        self.expunged(&[old])?;
        self.view_mut()?.look_closely();
        Ok(self.removed(true, "replaced"))
    }

    /// The mailbox that a message shall go to.
    pub(crate) async fn target(&self, name: &str) -> Result<Place, Failure> {
        match self.place(name).await? {
            Some(place) if place.rights.contains(Rights::INSERT) => Ok(place),
            Some(place) if place.rights.contains(Rights::LOOKUP) => Err(no_permission()),
            // RFC 9051 §6.3.12: the client may create it and try again
            _ => Err(Failure::no(Code::TryCreate, "there is no such mailbox")),
        }
    }

    /// Leaves a new message the flags that the client may set in a mailbox of another (RFC 4314 §4); whether it has seen it.
    fn take_own_seen(&self, target: &Place, mail: &mut NewMail) -> Result<bool, Failure> {
        let Some(reader) = self.reader(target)? else {
            return Ok(false);
        };
        mail.flags = reader.allowed(std::mem::take(&mut mail.flags));
        let seen = mail.flags.system.contains(SystemFlags::SEEN);
        mail.flags.system = mail.flags.system.without(SystemFlags::SEEN);
        Ok(seen)
    }

    /// The messages are there: whoever heard of a failure would put them in again.
    async fn keep_own_seen(&self, target: &Place, uids: Vec<Uid>) {
        let Some(reader) = self.reader(target).ok().flatten() else {
            return;
        };
        if uids.is_empty() {
            return;
        }
        let flag = Flags {
            system: SystemFlags::SEEN,
            keywords: Vec::new(),
        };
        let (store, id) = (self.mail(), target.info.id);
        let kept = store.store_flags_as(id, uids, (FlagOp::Add, flag), None, Some(reader));
        if let Err(error) = kept.await {
            tracing::warn!(mailbox = target.info.name, %error, "failed to keep what a reader has seen of what it put in");
        }
    }

    fn check(&self, message: &AppendMessage) -> Result<(), Failure> {
        let AppendContent::Octets {
            octets,
            binary,
            utf8,
        } = &message.content
        else {
            return Ok(());
        };
        check_octets(octets, *binary)?;
        if *utf8 && !self.utf8_accept {
            // RFC 6855 §4
            return Err(Failure::Bad("UTF8 needs ENABLE UTF8=ACCEPT"));
        }
        Ok(())
    }

    async fn new_mail(&mut self, message: AppendMessage) -> Result<NewMail, Failure> {
        let octets = match message.content {
            AppendContent::Octets { octets, .. } => octets,
            AppendContent::Catenate(parts) => {
                let octets = Box::pin(self.catenate(&parts)).await?;
                // What a part has may be binary, so it may have NUL.
                check_octets(&octets, true)?;
                octets
            }
        };
        // The store computes the facts, with the signature that it makes of them.
        Ok(NewMail {
            body: NewBody::Octets {
                meta: None,
                slices: vec![octets],
            },
            prefix: bytes::Bytes::new(),
            flags: flags::to_store(&message.flags),
            received: message.date.map_or_else(now, |date| date.unix),
        })
    }

    /// The quota of the account by the current plan.
    pub(crate) async fn quota(&self) -> Result<Quota, Failure> {
        let Some(mailbox) = self.mailbox_of_plan() else {
            return Ok(Quota::default());
        };
        let deps = &self.shared.deps;
        Ok(quota::of_owner(deps.upkeep.as_ref(), &deps.plan.current(), &mailbox).await?)
    }

    pub(crate) fn look_if_selected(&mut self, target: &MailboxInfo) {
        if let Some(view) = self.view.as_mut().filter(|view| view.id == target.id) {
            view.look_closely();
        }
    }
}

fn check_octets(octets: &[u8], binary: bool) -> Result<(), Failure> {
    if octets.is_empty() {
        return Err(Failure::no(
            Code::Cannot,
            "a message has at least one octet",
        ));
    }
    // RFC 3516 §4.4: NUL needs a literal8
    if !binary && octets.contains(&0) {
        return Err(Failure::Bad(
            "a message with NUL must be sent as a literal8",
        ));
    }
    Ok(())
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
