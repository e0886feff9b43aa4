//! Counting in windows of time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::types::UnixMillis;

/// Longest key of a counter, in octets.
const MAX_KEY: usize = 512;

/// Counts of one key for one length of window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counter {
    /// Length of the window in milliseconds.
    pub(crate) window: i64,
    /// Number of the window since 1970.
    pub(crate) index: i64,
    pub(crate) current: u64,
    pub(crate) previous: u64,
}

impl Counter {
    pub(crate) const fn new(window: i64, now: UnixMillis) -> Self {
        Self {
            window,
            index: now.div_euclid(window),
            current: 0,
            previous: 0,
        }
    }

    /// Moves on to the window of `now`. A clock that went back a little stays in the window it was in.
    pub(crate) fn advance(&mut self, now: UnixMillis) {
        match now.div_euclid(self.window) - self.index {
            -1 | 0 => {}
            1 => (self.previous, self.current, self.index) = (self.current, 0, self.index + 1),
            _ => *self = Self::new(self.window, now),
        }
    }

    /// The count now: this window's, and the part of the one before that still lies within a window's length.
    pub(crate) fn weighted(&self, now: UnixMillis) -> u64 {
        let elapsed = (now - self.index * self.window).clamp(0, self.window);
        self.current
            .saturating_add(share(self.previous, self.window - elapsed, self.window))
    }

    /// How long until `amount` fits under `limit`.
    pub(crate) fn wait(&self, amount: u64, limit: u64, now: UnixMillis) -> i64 {
        let elapsed = (now - self.index * self.window).clamp(0, self.window);
        let left = self.window - elapsed;
        let room = limit.saturating_sub(amount);
        if self.current <= room {
            // Waits until enough of the window before has passed.
            return left - fraction(self.window, room - self.current, self.previous).min(left) + 1;
        }
        // Not in this window: then it will be the one before.
        left + self.window - fraction(self.window, room, self.current) + 1
    }

    pub(crate) const fn expires(&self) -> UnixMillis {
        (self.index + 2).saturating_mul(self.window)
    }
}

/// `count * part / whole`, rounded up.
fn share(count: u64, part: i64, whole: i64) -> u64 {
    let product = u128::from(count) * u128::from(part.unsigned_abs());
    u64::try_from(product.div_ceil(u128::from(whole.unsigned_abs().max(1)))).unwrap_or(u64::MAX)
}

/// `length * part / whole`, rounded down; the whole length when there is no whole.
fn fraction(length: i64, part: u64, whole: u64) -> i64 {
    let product = u128::from(length.unsigned_abs()) * u128::from(part);
    product
        .checked_div(u128::from(whole))
        .map_or(length, |value| {
            i64::try_from(value).unwrap_or(i64::MAX).min(length)
        })
}

pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.len() > MAX_KEY {
        return Err(StoreError::Invalid(format!(
            "a token key has at most {MAX_KEY} octets"
        )));
    }
    Ok(())
}

pub(crate) fn window_millis(window: Duration) -> Result<i64> {
    i64::try_from(window.as_millis())
        .ok()
        .filter(|window| *window > 0)
        .ok_or_else(|| StoreError::Invalid("a window needs a length".to_owned()))
}
