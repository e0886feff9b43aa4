//! What the back ends share: how values are stored, and arithmetic that no database is needed for.

pub(crate) mod acl;
pub(crate) mod annotation;
pub(crate) mod body;
pub(crate) mod body_cache;
pub(crate) mod budget;
pub(crate) mod due;
pub(crate) mod flag_table;
pub(crate) mod flags;
pub(crate) mod frame;
#[cfg(test)]
mod frame_tests;
pub(crate) mod keywords;
pub(crate) mod locks;
pub(crate) mod mailbox;
pub(crate) mod mailbox_cache;
pub(crate) mod metrics;
pub(crate) mod migration;
pub(crate) mod names;
pub(crate) mod queue;
pub(crate) mod scripts;
pub(crate) mod seal;
pub(crate) mod totals;
pub(crate) mod trace;
pub(crate) mod uidls;
pub(crate) mod watch;
pub(crate) mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;

/// Locks; a panic elsewhere does not stop those who come after.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same error once more, for each of those that shared a commit.
pub(crate) fn repeat(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// The time by the system's clock.
pub(crate) fn unix_millis() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What every call finds after the store was closed.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
