//! Counters that limits and bans are made of, counted for the whole cluster.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::types::UnixMillis;

/// Some of an allowance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// What is counted, for example `messages/hour/alice@example.test`.
    pub key: String,
    /// How much.
    pub amount: u64,
    /// Most in a window.
    pub limit: u64,
    /// Length of the window. Two adjacent windows are weighted, so that a burst at their border does not count half.
    pub window: Duration,
}

/// Answer to a list of [`Take`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All were taken.
    Granted,
    /// None was taken.
    Denied {
        /// Position of the one that did not fit.
        index: usize,
        /// When it may fit.
        retry_after: Duration,
    },
}

/// Bans told at once.
pub const MAX_BANS: usize = 10_000;

/// A key that is banned.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ban {
    /// The key.
    pub key: String,
    /// When the ban ends.
    pub until: UnixMillis,
}

/// The tokens and reputation concern.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Takes all or nothing.
    async fn take(&self, takes: Vec<Take>, now: UnixMillis) -> Result<Taken>;
    /// Gives back what [`take`](Self::take) granted in the same window: it was not used.
    async fn give_back(&self, takes: Vec<Take>, now: UnixMillis) -> Result<()>;
    /// Counts so many events and returns how many there were in the window, these included.
    async fn add(&self, key: &str, amount: u64, window: Duration, now: UnixMillis) -> Result<u64>;
    /// Counts an event and returns how many there were in the window, this one included.
    async fn count(&self, key: &str, window: Duration, now: UnixMillis) -> Result<u64> {
        self.add(key, 1, window, now).await
    }
    /// Forgets a key: its counts and its ban.
    async fn forget(&self, key: &str) -> Result<()>;
    /// Bans a key until a time.
    async fn ban(&self, key: &str, until: UnixMillis) -> Result<()>;
    /// All that is banned at `now`, by key; the first [`MAX_BANS`].
    async fn bans(&self, now: UnixMillis) -> Result<Vec<Ban>>;
    /// Until when a key is banned, if it is.
    async fn banned(&self, key: &str, now: UnixMillis) -> Result<Option<UnixMillis>>;
}
