//! Entries by key. A change costs what changed: neither the others nor their digests are looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Entry;

/// Parts that entries are kept in, by the first octet of what their keys hash to. A change copies the parts that it is in.
const PARTS: usize = 256;

/// Entries by key, with the digest of all.
#[derive(Debug, Clone)]
pub struct Entries {
    /// Shared between the sets that have them.
    parts: Arc<[Arc<Part>]>,
    count: usize,
    digest: String,
}

#[derive(Debug, Clone, Default)]
struct Part {
    map: BTreeMap<Arc<str>, Arc<Entry>>,
    digest: [u8; 32],
}

impl Entries {
    /// The etag: equal entries have equal ones. Hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Keys and entries, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Arc<Entry>)> {
        let parts = self.parts.iter().flat_map(|part| &part.map);
        let mut all: Vec<_> = parts.map(|(key, entry)| (&**key, entry)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter()
    }

    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.parts.get(part_of(key))?.map.get(key)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// These without some keys, then with others.
    #[must_use]
    pub fn changed<'a>(
        &self,
        delete: impl IntoIterator<Item = &'a str>,
        put: impl IntoIterator<Item = (Arc<str>, Arc<Entry>)>,
    ) -> Self {
        let mut parts = self.parts.to_vec();
        let mut touched = BTreeSet::new();
        let mut count = self.count;
        for key in delete {
            let index = part_of(key);
            let Some(part) = parts
                .get_mut(index)
                .filter(|part| part.map.contains_key(key))
            else {
                continue;
            };
            Arc::make_mut(part).map.remove(key);
            touched.insert(index);
            count -= 1;
        }
        for (key, entry) in put {
            let index = part_of(&key);
            let Some(part) = parts.get_mut(index) else {
                continue;
            };
            let known = part.map.get(&key);
            if known.is_some_and(|known| known.digest() == entry.digest()) {
                continue;
            }
            count += usize::from(known.is_none());
            Arc::make_mut(part).map.insert(key, entry);
            touched.insert(index);
        }
        for index in touched {
            if let Some(part) = parts.get_mut(index) {
                let part = Arc::make_mut(part);
                part.digest = digest(&part.map);
            }
        }
        Self::of(parts, count)
    }

    /// The same without texts: enough to find out what changes, a third of the memory. They cannot be sent.
    #[must_use]
    pub fn bare(&self) -> Self {
        let parts = self.parts.iter();
        Self {
            parts: parts.map(bare).collect(),
            ..self.clone()
        }
    }

    /// Keys and entries that `new` has otherwise than these, and keys that it has not, each sorted.
    pub(super) fn difference(&self, new: &Self) -> (Vec<(String, Arc<Entry>)>, Vec<String>) {
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        let both = self.parts.iter().zip(new.parts.iter());
        for (old, new) in both.filter(|(old, new)| old.digest != new.digest) {
            let gone = old.map.keys().filter(|key| !new.map.contains_key(*key));
            delete.extend(gone.map(|key| key.to_string()));
            let differs = |key: &str, entry: &Entry| {
                let known = old.map.get(key);
                known.is_none_or(|known| known.digest() != entry.digest())
            };
            let differing = new.map.iter().filter(|(key, entry)| differs(key, entry));
            put.extend(differing.map(|(key, entry)| (key.to_string(), entry.clone())));
        }
        put.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        delete.sort_unstable();
        (put, delete)
    }

    fn of(parts: Vec<Arc<Part>>, count: usize) -> Self {
        let mut hash = Sha256::new();
        for part in &parts {
            hash.update(part.digest);
        }
        let octets: [u8; 32] = hash.finalize().into();
        Self {
            parts: parts.into(),
            count,
            digest: octets.iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::of(vec![Arc::default(); PARTS], 0)
    }
}

impl FromIterator<(String, Arc<Entry>)> for Entries {
    fn from_iter<I: IntoIterator<Item = (String, Arc<Entry>)>>(entries: I) -> Self {
        let shared = |(key, entry): (String, Arc<Entry>)| (Arc::from(key), entry);
        Self::default().changed([], entries.into_iter().map(shared))
    }
}

fn bare(part: &Arc<Part>) -> Arc<Part> {
    if part.map.values().all(|entry| entry.is_bare()) {
        return part.clone();
    }
    let entries = part.map.iter().map(|(key, entry)| {
        let known = entry.is_bare().then(|| entry.clone());
        (key.clone(), known.unwrap_or_else(|| Arc::new(entry.bare())))
    });
    Arc::new(Part {
        map: entries.collect(),
        digest: part.digest,
    })
}

/// Operator and pods must agree on this, as on the digests.
fn part_of(key: &str) -> usize {
    let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let [first, ..] = hash;
    usize::from(first)
}

/// A part without entries has a digest of zeros.
fn digest(map: &BTreeMap<Arc<str>, Arc<Entry>>) -> [u8; 32] {
    if map.is_empty() {
        return [0; 32];
    }
    let mut hash = Sha256::new();
    for (key, entry) in map {
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key.as_bytes());
        hash.update(entry.digest());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn entry(json: &str) -> Arc<Entry> {
        Arc::new(Entry::new(Zeroizing::new(json.to_owned())))
    }

    fn many(count: usize) -> Entries {
        (0..count)
            .map(|index| (format!("mailbox/{index}"), entry(&index.to_string())))
            .collect()
    }

    #[test]
    fn a_change_leads_to_what_would_be_built_anew() {
        let before = many(600);
        let put = [("mailbox/7", "0"), ("mailbox/new", "1"), ("mailbox/9", "9")];
        let put = put.map(|(key, json)| (Arc::from(key), entry(json)));
        let after = before.changed(["mailbox/3", "mailbox/none"], put);
        let mut all: BTreeMap<String, Arc<Entry>> = before
            .iter()
            .map(|(key, entry)| (key.to_owned(), entry.clone()))
            .collect();
        all.remove("mailbox/3");
        all.insert("mailbox/7".to_owned(), entry("0"));
        all.insert("mailbox/new".to_owned(), entry("1"));
        let anew: Entries = all.into_iter().collect();
        assert_eq!(after.digest(), anew.digest());
        assert_eq!((after.len(), after.iter().len()), (600, 600));
        assert!(after.iter().is_sorted_by_key(|(key, _)| key));
        let (put, delete) = before.difference(&after);
        let put: Vec<_> = put.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(put, ["mailbox/7", "mailbox/new"]);
        assert_eq!(delete, ["mailbox/3"]);
    }

    #[test]
    fn bare_entries_tell_changes_as_well() {
        let before = many(20);
        let bare = before.bare();
        assert_eq!((bare.digest(), bare.len()), (before.digest(), 20));
        assert!(bare.iter().all(|(_, entry)| entry.json().is_empty()));
        let after = bare.changed(["mailbox/1"], [(Arc::from("mailbox/2"), entry("x"))]);
        let (put, delete) = bare.difference(&after);
        assert_eq!((put.len(), put[0].1.json()), (1, "x"));
        assert_eq!(delete, ["mailbox/1"]);
    }

    #[test]
    fn what_is_undone_has_the_digest_of_before() {
        let before = many(20);
        let more = before.changed([], [(Arc::from("x"), entry("1"))]);
        assert_ne!(more.digest(), before.digest());
        assert_eq!(more.changed(["x"], []).digest(), before.digest());
        assert!(Entries::default().is_empty());
    }
}
