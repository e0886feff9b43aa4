//! Recipients that do not exist or have complained: the former are remembered after a hard bounce, and not tried again for a while.

use mailpods_plan::Suppression;
use mailpods_policy::Reason;
use mailpods_policy::outbound::classify::{Blame, Bounce, Class};
use mailpods_smtp_proto::Reply;
use mailpods_store::suppression::{Suppressed, Why, suppress, suppressed};

use super::attempt::Attempt;
use crate::fate::{Fate, Trouble};

impl Attempt<'_> {
    /// The settings, where they count for the message: one that a person of ours sent.
    fn suppression(&self) -> Option<&Suppression> {
        let sender = &self.unit.message.envelope.sender;
        let settings = self.plan.outbound.suppression.as_ref()?;
        let domain = mailpods_api::MailboxAddress::parse(sender).ok()?;
        self.plan.is_local(domain.domain()).then_some(settings)
    }

    /// Gives recipients up that are known not to exist. An operator who retries a message wants it tried.
    pub(super) async fn drop_suppressed(&mut self) {
        if self.suppression().is_none() || self.unit.urgent {
            return;
        }
        let (secrets, now) = (self.ctx.store.secrets.as_ref(), self.ctx.now());
        let sender = &self.unit.message.envelope.sender;
        for (at, recipient) in self.unit.recipients.iter().enumerate() {
            match suppressed(secrets, sender, &recipient.address, now).await {
                Ok(None) => {}
                Ok(Some(found)) => {
                    let text = format!("not tried, because {}", found.text());
                    let (subject, detail) = found.status();
                    let status = format!("5.{subject}.{detail}");
                    let trouble = Trouble::new(Reason::SuppressedRecipient, &status, text);
                    if let Some(slot) = self.fates.get_mut(at) {
                        *slot = Some(Fate::Failed(trouble));
                    }
                }
                Err(error) => {
                    tracing::warn!(id = %self.unit.message.id, %error, "failed to look a recipient up among the suppressed");
                }
            }
        }
    }

    /// Remembers a recipient of which its server says for good that there is no such mailbox.
    pub(super) async fn remember_unknown(&self, at: usize, class: Class, reply: &Reply) {
        let (Some(settings), Some(recipient)) = (self.suppression(), self.unit.recipients.get(at))
        else {
            return;
        };
        let unknown = class.blame == Blame::Recipient && class.bounce == Bounce::Unknown;
        if !unknown || reply.code() < 500 {
            return;
        }
        let now = self.ctx.now();
        let length = i64::try_from(settings.hard_bounces.as_millis()).unwrap_or(i64::MAX);
        let entry = Suppressed {
            since: now,
            until: now.saturating_add(length),
            why: Why::HardBounce,
            reply: reply.to_string(),
        };
        let sender = &self.unit.message.envelope.sender;
        let secrets = self.ctx.store.secrets.as_ref();
        if let Err(error) = suppress(secrets, sender, &recipient.address, entry).await {
            tracing::warn!(id = %self.unit.message.id, %error, "failed to remember a recipient that does not exist");
        }
    }
}
