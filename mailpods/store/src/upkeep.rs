//! What is done for all accounts beside their mail: owners are told how full their mailboxes are, old messages go, and what a domain
//! holds is added up.

use std::time::Duration;

use async_trait::async_trait;
use mailpods_api::DomainName;

use crate::error::Result;
use crate::mail::AccountInfo;
use crate::types::{AccountId, MailboxId, Uid, UnixSeconds, Usage};

/// An account, and what its owner was told of how full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The account.
    pub account: AccountInfo,
    /// The percentage of the last warning; 0: none since it was below all of them.
    pub told: u8,
}

/// The concern of upkeep. Every change is durable on return.
#[async_trait]
pub trait UpkeepStore: Send + Sync {
    /// Accounts whose address is above `after` (empty: from the first on), by address, at most `limit`.
    async fn accounts_after(&self, after: &str, limit: usize) -> Result<Vec<Holding>>;
    /// Notes what the owner of an account was told last; passed over when the account is gone.
    async fn set_told(&self, account: AccountId, percent: u8) -> Result<()>;
    /// What all accounts of a domain hold, as it was at most `max_age` ago.
    async fn domain_usage(&self, domain: &DomainName, max_age: Duration) -> Result<Usage>;
    /// Of the first `limit` messages of a mailbox those that came into it before a time (RFC 8514), ascending. Of messages from before
    /// that was kept it is not known: they count from their INTERNALDATE, or from when it was first kept if that is later.
    async fn saved_before(
        &self,
        mailbox: MailboxId,
        before: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Uid>>;
    /// Removes them, in one transaction; returns what went.
    async fn expunge_saved_before(
        &self,
        mailbox: MailboxId,
        before: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Uid>>;
}
