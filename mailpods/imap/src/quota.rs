//! What an account may hold, and what EXPUNGE would free (RFC 9208).

use std::collections::HashMap;

use mailpods_api::Rights;
use mailpods_imap_proto::{Code, MailboxName, StatusItem};
use mailpods_plan::QuotaRules;
use mailpods_store::MailboxId;
use mailpods_store::mail::MailboxInfo;

use crate::failure::{Done, Failure, Reply};
use crate::session::Session;
use crate::sharing::is_shared;

/// The one quota root: the account.
const QUOTA_ROOT: &str = "user";

impl Session {
    /// RFC 9208 §4.1.1
    pub(crate) async fn get_quota(&mut self, root: &str) -> Done {
        if root != QUOTA_ROOT || self.limits().is_none() {
            return Err(Failure::no(
                Code::NonExistent,
                "there is no such quota root",
            ));
        }
        self.tell_quota().await?;
        Ok(Reply::ok("done"))
    }

    /// RFC 9208 §4.1.2
    pub(crate) async fn get_quota_root(&mut self, mailbox: &MailboxName) -> Done {
        let name = mailbox.as_str();
        if is_shared(name) && self.allowed(mailbox, Rights::LOOKUP).await?.owner.is_some() {
            // What its owner may hold, and holds, is not for others.
            self.writer().quota_root(name, None);
            return Ok(Reply::ok("done"));
        }
        let limited = self.limits().is_some();
        self.writer()
            .quota_root(name, limited.then_some(QUOTA_ROOT));
        if limited {
            self.tell_quota().await?;
        }
        Ok(Reply::ok("done"))
    }

    /// What EXPUNGE would free, by mailbox.
    pub(crate) async fn deleted_octets(
        &self,
        some: Vec<MailboxId>,
    ) -> Result<HashMap<MailboxId, u64>, Failure> {
        if some.is_empty() {
            return Ok(HashMap::new());
        }
        let octets = self.mail().deleted_octets(some).await?;
        Ok(octets.into_iter().collect())
    }

    /// The limits of the account by the current plan, if it has any. Those of its domain are not told: what others hold is nobody's business.
    fn limits(&self) -> Option<QuotaRules> {
        let mailbox = self.mailbox_of_plan()?;
        let rules = self.shared.deps.plan.current().quota(&mailbox);
        (rules.octets.is_some() || rules.messages.is_some()).then_some(rules)
    }

    async fn tell_quota(&mut self) -> Result<(), Failure> {
        let rules = self.limits().unwrap_or_default();
        let usage = self.mail().usage(self.account()?).await?;
        let resource = |name, used: u64, limit: Option<u64>| limit.map(|limit| (name, used, limit));
        // RFC 9208 §5.1: STORAGE counts units of 1024 octets
        let octets = rules.octets.map(|octets| octets / 1024);
        let resources = [
            resource("STORAGE", usage.octets.div_ceil(1024), octets),
            // RFC 9208 §5.2
            resource("MESSAGE", usage.messages, rules.messages),
        ];
        let resources: Vec<_> = resources.into_iter().flatten().collect();
        self.writer().quota(QUOTA_ROOT, &resources);
        Ok(())
    }
}

/// The mailboxes where it is asked for, and not 0, what EXPUNGE would free (RFC 9208 §4.1.4).
pub(crate) fn with_deleted<'m>(
    items: &[StatusItem],
    mailboxes: impl Iterator<Item = &'m MailboxInfo>,
) -> Vec<MailboxId> {
    let asked = items.contains(&StatusItem::DeletedStorage);
    let some = mailboxes.filter(|info| asked && info.deleted > 0);
    some.map(|info| info.id).collect()
}
