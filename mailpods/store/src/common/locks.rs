//! What names of locks may be.

use std::time::Duration;

use crate::error::{Result, StoreError};
use crate::locks::MAX_LOCK_NAME;

/// Refuses names that no lock may have.
pub(crate) fn check(names: &[&str]) -> Result<()> {
    if names.iter().any(|name| name.len() > MAX_LOCK_NAME) {
        let text = format!("names of a lock and its holder have at most {MAX_LOCK_NAME} octets");
        return Err(StoreError::Invalid(text));
    }
    Ok(())
}

/// A time to hold in milliseconds.
pub(crate) fn millis(hold: Duration) -> i64 {
    i64::try_from(hold.as_millis()).unwrap_or(i64::MAX)
}
