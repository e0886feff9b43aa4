//! Locks that hold for all processes of a store and end by themselves, such as that of a POP3 maildrop.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;

/// Most octets of a name or holder.
pub const MAX_LOCK_NAME: usize = 512;

/// The concern of locks. A process that dies, or the store with it, loses its locks after the time that it held them for.
#[async_trait]
pub trait LockStore: Send + Sync {
    /// Takes a lock for `hold` from now on, or holds it so much longer when `holder` has it. False: somebody else has it.
    async fn lock(&self, name: &str, holder: &str, hold: Duration) -> Result<bool>;
    /// Holds those of `names` that `holder` has for `hold` from now on, and returns them: what is not among them is lost.
    async fn hold_locks(
        &self,
        names: Vec<String>,
        holder: &str,
        hold: Duration,
    ) -> Result<Vec<String>>;
    /// Gives a lock back, when `holder` has it.
    async fn unlock(&self, name: &str, holder: &str) -> Result<()>;
}
