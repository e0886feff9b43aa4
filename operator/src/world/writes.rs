//! Statuses that we wrote: the watch tells of them too, and then nobody has to look.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::core::object::HasStatus;
use serde::Serialize;
use tokio::time::Instant;

use super::objects::Change;
use super::snapshot::Kind;
use super::{Read, World};
use crate::kube::Key;

/// A write that was not told of for so long never is: it changed nothing, or the object was gone.
const AGE: Duration = Duration::from_secs(600);

/// Hashes of statuses that are on their way to the API server and back.
#[derive(Debug, Default)]
pub struct Writes {
    hasher: RandomState,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    writes: HashMap<(Kind, Key), (u64, Instant)>,
    /// When old ones were last let go of.
    swept: Instant,
}

impl Default for UnderWay {
    fn default() -> Self {
        Self {
            writes: HashMap::new(),
            swept: Instant::now(),
        }
    }
}

impl UnderWay {
    fn add(&mut self, object: (Kind, Key), hash: u64) {
        let now = Instant::now();
        self.writes.insert(object, (hash, now));
        if now.duration_since(self.swept) >= AGE {
            self.writes
                .retain(|_, (_, since)| now.duration_since(*since) < AGE);
            self.swept = now;
        }
    }
}

impl Writes {
    /// Notes a status that is about to be written. It must be noted before the watch can tell of it.
    pub fn begin(&self, kind: Kind, key: Key, status: &impl Serialize) {
        if let Some(hash) = self.hash(status) {
            self.lock().add((kind, key), hash);
        }
    }

    /// Forgets a status that the API server did not take, or that is not wanted any more.
    pub fn forget(&self, kind: Kind, key: &Key) {
        self.lock().writes.remove(&(kind, key.clone()));
    }

    /// Whether a status is the one that was written last. It is forgotten with that: whoever writes the same later is looked at.
    pub(super) fn is_own(&self, kind: Kind, key: &Key, status: &impl Serialize) -> bool {
        let object = (kind, key.clone());
        let hash = self.hash(status);
        let mut under_way = self.lock();
        let known = under_way.writes.get(&object).map(|(known, _)| *known);
        let own = hash.is_some() && known == hash;
        if own {
            under_way.writes.remove(&object);
        }
        own
    }

    /// `None` when it cannot be encoded: then it counts as somebody else's.
    fn hash(&self, status: &impl Serialize) -> Option<u64> {
        let json = serde_json::to_string(status).ok()?;
        Some(self.hasher.hash_one(json))
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        // Each change is a single insert or remove.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Whether the status of an object is as it was known, or as we wrote it. A new object is looked at when it is compiled.
    pub(super) fn is_as_written<K>(&self, kind: Kind, change: &Change<Read<K>>) -> bool
    where
        K: HasStatus,
        K::Status: Serialize,
    {
        let (before, after) = match (&change.before, &change.after) {
            (Some(Ok(before)), Some(Ok(after))) => (before, after),
            // It can be read again, which its status does not say yet.
            (Some(Err(_)), Some(Ok(_))) => return false,
            _ => return true,
        };
        let json = |object: &K| serde_json::to_string(&object.status()).ok();
        json(before) == json(after) || self.writes.is_own(kind, &change.key, &after.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_that_never_come_back_are_let_go_of() {
        let writes = Writes::default();
        let key = |name: &str| Key::new("mail", name);
        writes.begin(Kind::Mailbox, key("a"), &1);
        tokio::time::advance(AGE / 2).await;
        writes.begin(Kind::Mailbox, key("b"), &1);
        tokio::time::advance(AGE / 2).await;
        writes.begin(Kind::Mailbox, key("c"), &1);
        assert_eq!(writes.lock().writes.len(), 2);
        assert!(writes.is_own(Kind::Mailbox, &key("b"), &1));
        assert!(!writes.is_own(Kind::Mailbox, &key("a"), &1));
    }
}
