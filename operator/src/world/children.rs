//! Objects that the operator made, by who brought them about.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;

use super::objects::{Change, Objects};
use super::snapshot::Kind;
use crate::kube::Key;
use crate::kube::apply::Live;
use crate::names;

/// Objects of one kind that the operator made. Those of one owner are found without a look at the others.
#[derive(Debug, Default)]
pub struct Children {
    objects: Objects<Live>,
    owners: Mutex<Owners>,
}

/// Keys by the hash of their owner; two owners with one hash are told apart when they are read.
#[derive(Debug, Default)]
struct Owners {
    hasher: RandomState,
    keys: HashMap<u64, Vec<Key>>,
}

impl Children {
    /// Takes in what a watch tells; the objects that may have changed.
    pub fn take(&self, event: Event<(Key, Live)>) -> Vec<Change<Live>> {
        let changes = self.objects.take(event);
        let mut owners = self.lock();
        for change in &changes {
            let owner = |live: &Option<Live>| {
                let live = live.as_ref()?;
                Some((live.owner.clone()?, live.namespace(&change.key).to_owned()))
            };
            let (before, after) = (owner(&change.before), owner(&change.after));
            if before == after {
                continue;
            }
            if let Some((owner, namespace)) = before {
                owners.remove(&owner, &namespace, &change.key);
            }
            if let Some((owner, namespace)) = after {
                owners.add(&owner, &namespace, &change.key);
            }
        }
        changes
    }

    /// Whether a whole listing was taken in.
    pub fn is_synced(&self) -> bool {
        self.objects.is_synced()
    }

    /// All of them.
    pub fn all(&self) -> Vec<(Key, Live)> {
        self.objects
            .pick(|key, live| Some(((**key).clone(), live.clone())))
    }

    /// What an object brought about.
    pub fn of(&self, kind: Kind, owner: &Key) -> Vec<(Key, Live)> {
        let mark = (kind.as_str().to_owned(), names::label(&owner.name));
        let keys = self.lock().of(&mark, &owner.namespace);
        let found = keys.into_iter();
        found
            .filter_map(|key| Some((self.objects.get(&key)?, key)))
            .filter(|(live, _)| live.owner.as_ref() == Some(&mark))
            .map(|(live, key)| (key, live))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Owners> {
        // What is missing or too much in it shows when objects are read.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Owner = (String, String);

impl Owners {
    fn hash(&self, owner: &Owner, namespace: &str) -> u64 {
        self.hasher.hash_one((owner, namespace))
    }

    fn add(&mut self, owner: &Owner, namespace: &str, key: &Key) {
        let hash = self.hash(owner, namespace);
        let keys = self.keys.entry(hash).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }

    fn remove(&mut self, owner: &Owner, namespace: &str, key: &Key) {
        let hash = self.hash(owner, namespace);
        if let Some(keys) = self.keys.get_mut(&hash) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.keys.remove(&hash);
            }
        }
    }

    fn of(&self, owner: &Owner, namespace: &str) -> Vec<Key> {
        let hash = self.hash(owner, namespace);
        self.keys.get(&hash).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(owner: &str) -> Live {
        Live {
            version: "1".to_owned(),
            owner: Some(("MailDomain".to_owned(), owner.to_owned())),
            ..Live::default()
        }
    }

    #[test]
    fn objects_are_found_by_owner_and_namespace() {
        let children = Children::default();
        let told = [
            ("ns", "a", "x"),
            ("ns", "b", "x"),
            ("ns", "c", "y"),
            ("other", "a", "x"),
        ];
        for (namespace, name, owner) in told {
            children.take(Event::Apply((Key::new(namespace, name), live(owner))));
        }
        let names = |owner: &str| -> Vec<String> {
            let found = children.of(Kind::MailDomain, &Key::new("ns", owner));
            found.into_iter().map(|(key, _)| key.to_string()).collect()
        };
        assert_eq!(names("x"), ["ns/a", "ns/b"]);
        assert!(
            children
                .of(Kind::MailCluster, &Key::new("ns", "x"))
                .is_empty()
        );
        children.take(Event::Apply((Key::new("ns", "a"), live("y"))));
        children.take(Event::Delete((Key::new("ns", "b"), live("x"))));
        assert_eq!(names("x"), Vec::<String>::new());
        // One that is in no namespace says whose it is.
        let anywhere = Live {
            owner_namespace: Some("ns".to_owned()),
            ..live("x")
        };
        children.take(Event::Apply((Key::new("", "z"), anywhere)));
        assert_eq!(names("x"), ["/z"]);
        assert_eq!(names("y"), ["ns/c", "ns/a"]);
    }
}
