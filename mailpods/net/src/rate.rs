//! In-memory rates per key, with a table that never outgrows its bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many in so long, with bursts up to the whole count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many are allowed in each window. Zero allows none.
    pub count: u32,
    /// The window's length.
    pub per: Duration,
}

impl Limit {
    /// `count` in each `per`.
    pub fn new(count: u32, per: Duration) -> Self {
        Self { count, per }
    }
}

/// The limit is reached; one more is allowed after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit is reached; allowed again in {} s", .retry_after.as_secs())]
pub struct Limited {
    /// How long until one more is allowed.
    pub retry_after: Duration,
}

/// Counts events per key against a [`Limit`] (leaky bucket: one instant per key).
///
/// The table holds at most `capacity` keys in two generations: when the young one is full it becomes the old one and what
/// was old is forgotten. A flood of new keys can therefore make a quiet key's past be forgotten early, never use more memory.
#[derive(Debug)]
pub struct RateLimiter<K> {
    half: usize,
    table: Mutex<Generations<K>>,
}

#[derive(Debug)]
struct Generations<K> {
    // The instant at which the key's bucket is empty again.
    young: HashMap<K, Instant>,
    old: HashMap<K, Instant>,
}

impl<K: Hash + Eq> RateLimiter<K> {
    /// A limiter for at most `capacity` keys (at least two).
    pub fn new(capacity: usize) -> Self {
        let table = Mutex::new(Generations {
            young: HashMap::new(),
            old: HashMap::new(),
        });
        Self {
            half: (capacity / 2).max(1),
            table,
        }
    }

    /// Counts one event of `key` at `now`.
    ///
    /// # Errors
    /// [`Limited`] when the limit is reached; the event is then not counted.
    pub fn check(&self, key: K, limit: Limit, now: Instant) -> Result<(), Limited> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let empty_at = table.take(&key).unwrap_or(now).max(now);
        let (next, result) = admit(empty_at, limit, now);
        if next > now {
            table.put(key, next, self.half);
        }
        result
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.young.len() + table.old.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The bucket's new empty instant, and whether the event is allowed.
fn admit(empty_at: Instant, limit: Limit, now: Instant) -> (Instant, Result<(), Limited>) {
    if limit.count == 0 {
        return (
            empty_at,
            Err(Limited {
                retry_after: limit.per,
            }),
        );
    }
    let next = empty_at + limit.per / limit.count;
    let full_at = now + limit.per;
    if next > full_at {
        return (
            empty_at,
            Err(Limited {
                retry_after: next - full_at,
            }),
        );
    }
    (next, Ok(()))
}

impl<K: Hash + Eq> Generations<K> {
    fn take(&mut self, key: &K) -> Option<Instant> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    fn put(&mut self, key: K, empty_at: Instant, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, empty_at);
    }
}
