//! Connections that are open from each address and to each provider.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of this process that are open, those that are kept idle for seconds too, by what they have in common.
#[derive(Debug)]
pub struct Open<K>(Arc<Mutex<HashMap<K, usize>>>);

/// Connections that are open from each address.
pub type Uses = Open<IpAddr>;

impl<K> Default for Open<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Open<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone> Open<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    #[must_use]
    pub fn of(&self, key: &K) -> usize {
        self.lock().get(key).copied().unwrap_or(0)
    }

    /// Counts one more until the value is dropped.
    pub(crate) fn begin(&self, key: K) -> Use<K> {
        *self.lock().entry(key.clone()).or_default() += 1;
        Use(self.clone(), key)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Use<K: Eq + Hash + Clone>(Open<K>, K);

impl<K: Eq + Hash + Clone> Drop for Use<K> {
    fn drop(&mut self) {
        let mut uses = self.0.lock();
        if let Some(count) = uses.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                uses.remove(&self.1);
            }
        }
    }
}
