//! Entries of a part as one compressed text.

use std::sync::Arc;

use lz4_flex::block;
use zeroize::Zeroizing;

use super::Entry;
use super::entries::Map;

/// Octets of a length.
const LENGTH: usize = size_of::<u32>();

/// Entries, compressed. They may hold secrets, so they are wiped when dropped and never printed; LZ4 keeps no copy of what it
/// reads elsewhere.
pub(super) struct Packed {
    octets: Zeroizing<Vec<u8>>,
    /// Octets of the text.
    text: usize,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} octets)", self.octets.len())
    }
}

impl Packed {
    pub(super) fn of(map: &Map) -> Self {
        let octets = |(key, entry): (&Arc<str>, &Arc<Entry>)| {
            let digest = if entry.is_bare() {
                entry.digest().len()
            } else {
                0
            };
            2 * LENGTH + key.len() + entry.json().len() + digest
        };
        // A buffer that grows would leave copies of secrets behind.
        let text = map.iter().map(octets).sum();
        let mut open = Zeroizing::new(Vec::with_capacity(text));
        for (key, entry) in map {
            write(&mut open, key);
            write(&mut open, entry.json());
            if entry.is_bare() {
                open.extend_from_slice(entry.digest());
            }
        }
        let mut room = Zeroizing::new(vec![0; block::get_maximum_output_size(text)]);
        // There is room for what cannot be compressed at all, so that this cannot fail.
        let used = block::compress_into(&open, &mut room).unwrap_or_default();
        let octets = room.get(..used).unwrap_or_default().to_vec();
        Self {
            octets: Zeroizing::new(octets),
            text,
        }
    }

    /// The entries. What cannot be read is not there: whoever looks at the digest of what comes of it notices.
    pub(super) fn map(&self) -> Map {
        let mut open = Zeroizing::new(vec![0; self.text]);
        let Ok(_) = block::decompress_into(&self.octets, &mut open) else {
            return Map::new();
        };
        let mut rest: &[u8] = &open;
        std::iter::from_fn(|| {
            let key = Arc::from(text(&mut rest)?);
            Some((key, Arc::new(entry(&mut rest)?)))
        })
        .collect()
    }
}

fn entry(rest: &mut &[u8]) -> Option<Entry> {
    let json = Zeroizing::new(text(rest)?.to_owned());
    if !json.is_empty() {
        return Some(Entry::new(json));
    }
    let (digest, after) = rest.split_first_chunk()?;
    *rest = after;
    let digest = *digest;
    Some(Entry { json, digest })
}

/// Keys and values are far shorter than 4 GiB, see [`MAX_VALUE_OCTETS`](super::MAX_VALUE_OCTETS).
fn write(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn text<'t>(rest: &mut &'t [u8]) -> Option<&'t str> {
    let (length, after) = rest.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, after) = after.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}
