//! A small bounded map of values that expire.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Holds at most two generations of `capacity` entries: when the young one is full it becomes the old one, and what was not
/// asked for since is gone. Constant time, no list to maintain.
pub(crate) struct Cache<K, V> {
    capacity: usize,
    generations: Mutex<Generations<K, V>>,
}

type Entries<K, V> = HashMap<K, (V, Instant)>;

struct Generations<K, V> {
    young: Entries<K, V>,
    old: Entries<K, V>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }

    /// The value for `key` while it lives.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Instant) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut all = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((value, expires)) = all.young.get(key) {
            return (*expires > now).then(|| value.clone());
        }
        let (key, (value, expires)) = all.old.remove_entry(key)?;
        if expires <= now {
            return None;
        }
        let found = value.clone();
        self.insert_locked(&mut all, key, (value, expires));
        Some(found)
    }

    /// Keeps `value` until `expires`.
    pub(crate) fn insert(&self, key: K, value: V, expires: Instant) {
        let mut all = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.insert_locked(&mut all, key, (value, expires));
    }

    fn insert_locked(&self, all: &mut Generations<K, V>, key: K, entry: (V, Instant)) {
        if all.young.len() >= self.capacity {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Cache;

    #[test]
    fn an_entry_is_there_until_it_expires() {
        let (cache, now) = (Cache::<Box<str>, u8>::new(4), Instant::now());
        cache.insert("a".into(), 1, now + Duration::from_secs(1));
        assert_eq!(cache.get("a", now), Some(1));
        assert_eq!(cache.get("a", now + Duration::from_secs(1)), None);
    }

    #[test]
    fn it_never_holds_more_than_two_generations_and_keeps_what_is_asked_for() {
        let (cache, now) = (Cache::<u32, u32>::new(8), Instant::now());
        let later = now + Duration::from_secs(60);
        for n in 0..1000 {
            cache.insert(n, n, later);
            assert_eq!(cache.get(&0, now), Some(0), "after {n}");
            let all = cache.generations.lock().unwrap();
            assert!(all.young.len() + all.old.len() <= 16);
        }
        assert_eq!(cache.get(&500, now), None);
    }
}
