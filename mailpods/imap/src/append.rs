//! APPEND (RFC 9051 §6.3.12).

use std::time::{SystemTime, UNIX_EPOCH};

use mailpods_imap_proto::{Append, Code};
use mailpods_message::Meta;
use mailpods_store::mail::{MailboxInfo, NewMail};
use mailpods_store::{NewBody, Quota};

use crate::failure::{Done, Failure, Reply};
use crate::flags;
use crate::heavy;
use crate::session::Session;

impl Session {
    pub(crate) async fn append(&mut self, append: Append) -> Done {
        if append.message.is_empty() {
            return Err(Failure::no(
                Code::Cannot,
                "a message has at least one octet",
            ));
        }
        // RFC 3516 §4.4: NUL needs a literal8
        if !append.binary && append.message.contains(&0) {
            return Err(Failure::Bad(
                "a message with NUL must be sent as a literal8",
            ));
        }
        let target = self.target(append.mailbox.as_str()).await?;
        self.tell_normalized(&append.mailbox).await?;
        let quota = self.quota();
        let message = append.message.clone();
        let large = message.len() as u64 > heavy::INLINE;
        let meta = heavy::run(large, move || Meta::compute(&message).encode()).await?;
        let mail = NewMail {
            body: NewBody::Octets {
                meta: Some(meta),
                slices: vec![append.message],
            },
            prefix: bytes::Bytes::new(),
            flags: flags::to_store(&append.flags),
            received: append.date.map_or_else(now, |date| date.unix),
        };
        let (validity, uids) = self.mail().append(target.id, vec![mail], quota).await?;
        self.look_if_selected(&target);
        let uid = uids.first().copied().unwrap_or_default();
        Ok(Reply::with(Code::AppendUid { validity, uid }, "appended"))
    }

    /// The mailbox that a message shall go to.
    pub(crate) async fn target(&self, name: &str) -> Result<MailboxInfo, Failure> {
        let found = self.mail().mailbox(self.account()?, name).await?;
        // RFC 9051 §6.3.12: the client may create it and try again
        found.ok_or(Failure::no(Code::TryCreate, "there is no such mailbox"))
    }

    /// The quota of the account by the current plan.
    pub(crate) fn quota(&self) -> Quota {
        let mailbox = self.mailbox_of_plan();
        mailbox.map_or_else(Quota::default, |mailbox| Quota {
            octets: mailbox.quota_octets,
            messages: mailbox.quota_messages,
        })
    }

    pub(crate) fn look_if_selected(&mut self, target: &MailboxInfo) {
        if let Some(view) = self.view.as_mut().filter(|view| view.id == target.id) {
            view.look_closely();
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
