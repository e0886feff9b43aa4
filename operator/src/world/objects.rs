//! Objects of one kind as a watch tells of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;

use crate::kube::Key;

/// What one watch has told. Cheap to read; each change is told once.
#[derive(Debug)]
pub struct Objects<V> {
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    live: BTreeMap<Key, V>,
    /// Objects of a new listing, until it is complete.
    listing: Option<BTreeMap<Key, V>>,
    synced: bool,
}

impl<V> Default for Objects<V> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                live: BTreeMap::new(),
                listing: None,
                synced: false,
            }),
        }
    }
}

impl<V: Clone> Objects<V> {
    /// Takes in what a watch tells; the keys whose objects may have changed.
    pub fn take(&self, event: Event<(Key, V)>) -> Vec<Key> {
        let mut inner = self.lock();
        match event {
            Event::Apply((key, value)) => {
                inner.live.insert(key.clone(), value);
                vec![key]
            }
            Event::Delete((key, _)) => {
                inner.live.remove(&key);
                vec![key]
            }
            Event::Init => {
                inner.listing = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply((key, value)) => {
                inner
                    .listing
                    .get_or_insert_with(BTreeMap::new)
                    .insert(key, value);
                Vec::new()
            }
            Event::InitDone => {
                let listed = inner.listing.take().unwrap_or_default();
                let gone = inner.live.keys().filter(|key| !listed.contains_key(*key));
                let mut changed: Vec<Key> = gone.cloned().collect();
                changed.extend(listed.keys().cloned());
                inner.live = listed;
                inner.synced = true;
                changed
            }
        }
    }

    /// Whether a whole listing was taken in.
    pub fn is_synced(&self) -> bool {
        self.lock().synced
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<V> {
        self.lock().live.get(key).cloned()
    }

    /// All of them.
    pub fn values(&self) -> Vec<V> {
        self.lock().live.values().cloned().collect()
    }

    /// All of them, by key.
    pub fn all(&self) -> BTreeMap<Key, V> {
        self.lock().live.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        // Each change is whole before the lock is given back.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_listing_replaces_the_old_one_when_it_is_complete() {
        let objects = Objects::default();
        let key = |name: &str| Key::new("ns", name);
        objects.take(Event::Init);
        objects.take(Event::InitApply((key("a"), 1)));
        objects.take(Event::InitApply((key("b"), 1)));
        assert!(!objects.is_synced() && objects.values().is_empty());
        objects.take(Event::InitDone);
        assert!(objects.is_synced());
        assert_eq!(objects.take(Event::Apply((key("c"), 1))), [key("c")]);
        objects.take(Event::Init);
        objects.take(Event::InitApply((key("b"), 2)));
        assert_eq!(objects.values(), [1, 1, 1]);
        assert_eq!(
            objects.take(Event::InitDone),
            [key("a"), key("c"), key("b")]
        );
        assert_eq!(objects.values(), [2]);
        objects.take(Event::Delete((key("b"), 2)));
        assert_eq!(objects.get(&key("b")), None);
    }
}
