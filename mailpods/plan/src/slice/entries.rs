//! Entries by key. A change costs what changed: neither the others nor their digests are looked at again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::packed::Packed;
use super::{Entry, Keyed};

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

/// Entries of one part.
pub(super) type Map = BTreeMap<Arc<str>, Arc<Entry>>;

#[derive(Debug, Default)]
struct Part {
    form: Form,
    digest: [u8; 32],
}

#[derive(Debug)]
enum Form {
    Open(Map),
    Packed(Packed),
}

impl Default for Form {
    fn default() -> Self {
        Self::Open(Map::new())
    }
}

impl Part {
    fn map(&self) -> Cow<'_, Map> {
        match &self.form {
            Form::Open(map) => Cow::Borrowed(map),
            Form::Packed(packed) => Cow::Owned(packed.map()),
        }
    }

    /// The same in another form.
    fn formed(&self, form: Form) -> Arc<Self> {
        let digest = self.digest;
        Arc::new(Self { form, digest })
    }
}

impl Entries {
    /// The etag: equal entries have equal ones. Hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Keys and entries, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Keyed> {
        let parts = self.parts.iter();
        let mut all: Vec<_> = parts.flat_map(|part| part.map().into_owned()).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all.into_iter()
    }

    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.parts.get(part_of(key))?.map().get(key).cloned()
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
        put: impl IntoIterator<Item = Keyed>,
    ) -> Self {
        let mut change = Change::of(self);
        delete.into_iter().for_each(|key| change.delete(key));
        put.into_iter()
            .for_each(|(key, entry)| change.put(key, entry));
        change.finish()
    }

    /// The same without texts: enough to find out what changes, in a third of the memory. They cannot be sent. What is packed
    /// stays as it is.
    #[must_use]
    pub fn bare(&self) -> Self {
        self.each(|part| {
            let Form::Open(map) = &part.form else {
                return part.clone();
            };
            let entries = map.iter().map(|(key, entry)| {
                let known = entry.is_bare().then(|| entry.clone());
                (key.clone(), known.unwrap_or_else(|| Arc::new(entry.bare())))
            });
            part.formed(Form::Open(entries.collect()))
        })
    }

    /// The same in little memory, for one who keeps them and looks at what changes alone: a look at one opens its part.
    #[must_use]
    pub fn packed(&self) -> Self {
        self.each(|part| match &part.form {
            Form::Open(map) if !map.is_empty() => part.formed(Form::Packed(Packed::of(map))),
            Form::Open(_) | Form::Packed(_) => part.clone(),
        })
    }

    fn each(&self, form: impl Fn(&Arc<Part>) -> Arc<Part>) -> Self {
        Self {
            parts: self.parts.iter().map(form).collect(),
            ..self.clone()
        }
    }

    /// Keys and entries that `new` has otherwise than these, and keys that it has not, each sorted.
    pub(super) fn difference(&self, new: &Self) -> (Vec<Keyed>, Vec<Arc<str>>) {
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        let both = self.parts.iter().zip(new.parts.iter());
        for (old, new) in both.filter(|(old, new)| old.digest != new.digest) {
            let (old, new) = (old.map(), new.map());
            let gone = old.keys().filter(|key| !new.contains_key(*key));
            delete.extend(gone.cloned());
            let differs = |key: &str, entry: &Entry| {
                let known = old.get(key);
                known.is_none_or(|known| known.digest() != entry.digest())
            };
            let differing = new.iter().filter(|(key, entry)| differs(key, entry));
            put.extend(differing.map(|(key, entry)| (key.clone(), entry.clone())));
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

/// Entries on their way to others.
pub(super) struct Change<'a> {
    entries: &'a Entries,
    /// Parts that are looked at.
    open: BTreeMap<usize, Map>,
    count: usize,
}

impl<'a> Change<'a> {
    pub(super) const fn of(entries: &'a Entries) -> Self {
        Self {
            entries,
            open: BTreeMap::new(),
            count: entries.count,
        }
    }

    pub(super) fn delete(&mut self, key: &str) {
        let known = self.part(key).remove(key);
        self.count -= usize::from(known.is_some());
    }

    pub(super) fn put(&mut self, key: Arc<str>, entry: Arc<Entry>) {
        match self.part(&key).entry(key) {
            Place::Occupied(known) if known.get().digest() == entry.digest() => {}
            Place::Occupied(mut known) => drop(known.insert(entry)),
            Place::Vacant(place) => {
                place.insert(entry);
                self.count += 1;
            }
        }
    }

    fn part(&mut self, key: &str) -> &mut Map {
        let index = part_of(key);
        self.open.entry(index).or_insert_with(|| {
            let part = self.entries.parts.get(index);
            part.map(|part| part.map().into_owned()).unwrap_or_default()
        })
    }

    pub(super) fn finish(self) -> Entries {
        let mut parts = self.entries.parts.to_vec();
        for (index, map) in self.open {
            let digest = digest(&map);
            if let Some(part) = parts.get_mut(index).filter(|part| part.digest != digest) {
                let form = Form::Open(map);
                *part = Arc::new(Part { form, digest });
            }
        }
        Entries::of(parts, self.count)
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::of(vec![Arc::default(); PARTS], 0)
    }
}

impl<K: Into<Arc<str>>> FromIterator<(K, Arc<Entry>)> for Entries {
    fn from_iter<I: IntoIterator<Item = (K, Arc<Entry>)>>(entries: I) -> Self {
        let shared = |(key, entry): (K, Arc<Entry>)| (key.into(), entry);
        Self::default().changed([], entries.into_iter().map(shared))
    }
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
        let mut all: Map = before.iter().collect();
        all.remove("mailbox/3");
        all.insert("mailbox/7".into(), entry("0"));
        all.insert("mailbox/new".into(), entry("1"));
        let anew: Entries = all.into_iter().collect();
        assert_eq!(after.digest(), anew.digest());
        assert_eq!((after.len(), after.iter().len()), (600, 600));
        assert!(after.iter().is_sorted_by_key(|(key, _)| key));
        let (put, delete) = before.difference(&after);
        let put: Vec<_> = put.iter().map(|(key, _)| &**key).collect();
        assert_eq!(put, ["mailbox/7", "mailbox/new"]);
        assert_eq!(delete, ["mailbox/3".into()]);
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
        assert_eq!(delete, ["mailbox/1".into()]);
        let put = [(Arc::from("mailbox/2"), entry("x"))];
        let packed = bare.packed().changed(["mailbox/1"], put);
        assert_eq!(packed.digest(), after.digest());
        assert_eq!(packed.bare().packed().difference(&before).0.len(), 2);
    }

    #[test]
    fn packed_entries_are_the_same() {
        let before = many(2_000);
        let packed = before.packed();
        assert_eq!((packed.digest(), packed.len()), (before.digest(), 2_000));
        let texts = |entries: &Entries| -> Vec<_> {
            let text = |(key, entry): (Arc<str>, Arc<Entry>)| (key, entry.json().to_owned());
            entries.iter().map(text).collect()
        };
        assert_eq!(texts(&packed), texts(&before));
        let put = || [(Arc::from("mailbox/2"), entry("x"))];
        let (one, other) = (
            before.changed(["mailbox/1"], put()),
            packed.changed(["mailbox/1"], put()),
        );
        assert_eq!((other.digest(), other.len()), (one.digest(), 1_999));
        assert_eq!(texts(&other.packed()), texts(&one));
        let (put, delete) = packed.difference(&other);
        assert_eq!((put.len(), put[0].1.json()), (1, "x"));
        assert_eq!(delete, ["mailbox/1".into()]);
        assert!(
            packed
                .get("mailbox/5")
                .is_some_and(|entry| entry.json() == "5")
        );
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
