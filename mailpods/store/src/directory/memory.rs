//! A bounded map whose entries expire.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::types::UnixMillis;

/// Entries of one memory. A mark and its time take less than 100 octets.
const CAPACITY: usize = 10_000;

pub(super) struct Memory<V> {
    entries: HashMap<[u8; 32], (UnixMillis, V)>,
}

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<V> Memory<V> {
    pub fn get(&self, mark: &[u8; 32], now: UnixMillis) -> Option<&V> {
        self.entries
            .get(mark)
            .filter(|(expires, _)| *expires > now)
            .map(|(_, value)| value)
    }

    pub fn contains(&self, mark: &[u8; 32], now: UnixMillis) -> bool {
        self.get(mark, now).is_some()
    }

    pub fn insert(&mut self, mark: [u8; 32], value: V, now: UnixMillis, life: Duration) {
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(&mark) {
            self.entries.retain(|_, (expires, _)| *expires > now);
        }
        if self.entries.len() >= CAPACITY {
            // Forgetting costs a hash or a count, never a right answer.
            self.entries.clear();
        }
        self.entries.insert(mark, (later(now, life), value));
    }
}

pub(super) fn later(now: UnixMillis, life: Duration) -> UnixMillis {
    now.saturating_add(UnixMillis::try_from(life.as_millis()).unwrap_or(UnixMillis::MAX))
}

/// The map of a mutex, also after a panic elsewhere: each change is a single step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
