//! Objects of one kind as a watch tells of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;

use crate::kube::Key;

/// What a watch tells of.
pub trait Told: Clone {
    /// Whether nothing of it that anybody asks for differs.
    fn is_same(&self, other: &Self) -> bool;
}

/// What a watch told of one object. Each value is `None` when the object was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<V> {
    /// Which.
    pub key: Arc<Key>,
    /// As it was known.
    pub before: Option<V>,
    /// As it is now.
    pub after: Option<V>,
}

/// What one watch has told. Cheap to read; each change is told once.
#[derive(Debug)]
pub struct Objects<V> {
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    /// Keys are shared with what is compiled.
    live: BTreeMap<Arc<Key>, V>,
    /// Objects of a new listing, until it is complete.
    listing: Option<BTreeMap<Arc<Key>, V>>,
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

impl<V: Told> Objects<V> {
    /// Takes in what a watch tells; the objects that may have changed.
    pub fn take(&self, event: Event<(Key, V)>) -> Vec<Change<V>> {
        let mut inner = self.lock();
        match event {
            Event::Apply((key, value)) => vec![inner.put(key, value)],
            Event::Delete((key, _)) => vec![Change {
                before: inner.live.remove(&key),
                after: None,
                key: key.into(),
            }],
            Event::Init => {
                inner.listing = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply((key, value)) => {
                inner.list(key, value);
                Vec::new()
            }
            Event::InitDone => inner.listed(),
        }
    }
}

impl<V: Clone> Objects<V> {
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

    /// What is picked of all of them, by key. The pick is made under the lock and must be quick.
    pub fn pick<T, C: FromIterator<T>>(&self, pick: impl Fn(&Arc<Key>, &V) -> Option<T>) -> C {
        let inner = self.lock();
        let live = inner.live.iter();
        live.filter_map(|(key, value)| pick(key, value)).collect()
    }
}

impl<V> Objects<V> {
    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        // Each change is whole before the lock is given back.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Told> Inner<V> {
    fn put(&mut self, key: Key, value: V) -> Change<V> {
        let key = self.shared(key);
        let after = Some(value.clone());
        Change {
            before: self.live.insert(key.clone(), value),
            after,
            key,
        }
    }

    /// The key that is held already, when there is one.
    fn shared(&self, key: Key) -> Arc<Key> {
        let known = self.live.get_key_value(&key);
        known.map_or_else(|| Arc::new(key), |(known, _)| known.clone())
    }

    /// What is as it was known stays the same value, so that a new listing takes no memory for it.
    fn list(&mut self, key: Key, value: V) {
        let known = self.live.get(&key).filter(|known| known.is_same(&value));
        let value = known.cloned().unwrap_or(value);
        let key = self.shared(key);
        self.listing
            .get_or_insert_with(BTreeMap::new)
            .insert(key, value);
    }

    fn listed(&mut self) -> Vec<Change<V>> {
        let listed = self.listing.take().unwrap_or_default();
        let mut before = std::mem::take(&mut self.live);
        let mut changes = Vec::new();
        for (key, value) in &listed {
            let known = before.remove(key);
            if !known.as_ref().is_some_and(|known| known.is_same(value)) {
                changes.push(Change {
                    key: key.clone(),
                    before: known,
                    after: Some(value.clone()),
                });
            }
        }
        changes.extend(before.into_iter().map(|(key, value)| Change {
            key,
            before: Some(value),
            after: None,
        }));
        self.live = listed;
        self.synced = true;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Told for i32 {
        fn is_same(&self, other: &Self) -> bool {
            self == other
        }
    }

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    fn change(name: &str, before: Option<i32>, after: Option<i32>) -> Change<i32> {
        Change {
            key: key(name).into(),
            before,
            after,
        }
    }

    #[test]
    fn a_new_listing_replaces_the_old_one_when_it_is_complete() {
        let objects = Objects::default();
        objects.take(Event::Init);
        objects.take(Event::InitApply((key("a"), 1)));
        objects.take(Event::InitApply((key("b"), 1)));
        assert!(!objects.is_synced() && objects.values().is_empty());
        objects.take(Event::InitDone);
        assert!(objects.is_synced());
        let told = objects.take(Event::Apply((key("c"), 1)));
        assert_eq!(told, [change("c", None, Some(1))]);
        objects.take(Event::Init);
        objects.take(Event::InitApply((key("b"), 2)));
        assert_eq!(objects.values(), [1, 1, 1]);
        let told = objects.take(Event::InitDone);
        let gone = [change("a", Some(1), None), change("c", Some(1), None)];
        assert_eq!(told, [&[change("b", Some(1), Some(2))], &gone[..]].concat());
        assert_eq!(objects.values(), [2]);
        objects.take(Event::Delete((key("b"), 2)));
        assert_eq!(objects.get(&key("b")), None);
    }

    #[test]
    fn a_listing_of_what_is_known_changes_nothing() {
        let objects = Objects::default();
        objects.take(Event::Apply((key("a"), 1)));
        objects.take(Event::Init);
        objects.take(Event::InitApply((key("a"), 1)));
        assert_eq!(objects.take(Event::InitDone), []);
        assert_eq!(objects.values(), [1]);
    }
}
