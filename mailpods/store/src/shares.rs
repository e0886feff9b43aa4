//! Limits that several processes keep together, such as the connections that a provider takes at once.
//!
//! A process leases a share for some seconds and uses it as it likes meanwhile, so that no connection costs a transaction. What is
//! not asked for again falls back to the others.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;

/// Most limits asked for in one call.
pub const MAX_ASKS: usize = 1_000;

/// What a process asks of a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Names the limit, for example `google`.
    pub key: String,
    /// It could use so much now.
    pub wanted: u32,
    /// It uses so much now, which others cannot have whatever its share is.
    pub used: u32,
    /// The limit is never above.
    pub ceiling: u32,
    /// The limit, where there is none yet.
    pub first: f64,
    /// What it has learned since it last asked: the limit is multiplied by this.
    pub factor: f64,
    /// It asks again with the factor of before, as no answer came: [`Share::until`] of the last answer that did. Where the store did what it
    /// was asked the factor is not counted twice.
    pub again: Option<i64>,
}

/// Answer to an [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// So much may be used until the lease ends.
    pub granted: u32,
    /// The limit for all together, which is rounded down; 1 at least.
    pub level: f64,
    /// The end of the lease by the store's clock, milliseconds since 1970; another one for each answer.
    pub until: i64,
}

/// The concern of shared limits.
#[async_trait]
pub trait ShareStore: Send + Sync {
    /// Leases shares, in the order of `asks`; each replaces what the worker had of that key, for `hold` from now on. Each key stands
    /// once in `asks`.
    async fn share(&self, worker: &str, asks: Vec<Ask>, hold: Duration) -> Result<Vec<Share>>;
    /// Gives all shares of a worker back.
    async fn give_back(&self, worker: &str) -> Result<()>;
}
