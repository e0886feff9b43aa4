//! What changes between two sets of entries, and its encoding.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{Entries, Entry, Keyed};

/// Version of the encoding. It changes when a pod must not read on: keys and fields may be added without.
pub const VERSION: u32 = 1;
/// Octets of a key.
pub const MAX_KEY_OCTETS: usize = 512;
/// Octets of a value.
pub const MAX_VALUE_OCTETS: usize = 256 * 1024;

/// A step from one set of entries to another.
#[derive(Debug, Clone)]
pub struct Update {
    /// Version of the encoding.
    pub version: u32,
    /// Digest of the entries that it changes; `None`: it replaces everything.
    pub base: Option<String>,
    /// Digest of the entries that come out.
    pub etag: String,
    /// New and changed entries.
    pub put: Vec<Keyed>,
    /// Keys that are gone.
    pub delete: Vec<Arc<str>>,
}

/// Why octets are no update that can be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON of the right form.
    #[error("failed to read a plan update")]
    Json(#[from] serde_json::Error),
    /// Written by a newer operator.
    #[error("plan update has version {found}; this release reads {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A key or value is longer than any that is written.
    #[error(
        "plan update has a key of {key} octets with a value of {value}; at most {MAX_KEY_OCTETS} and {MAX_VALUE_OCTETS} are read"
    )]
    TooLong {
        /// Octets of the key.
        key: usize,
        /// Octets of the value.
        value: usize,
    },
}

/// What leads from `old` to `new`.
#[must_use]
pub fn diff(old: &Entries, new: &Entries) -> Update {
    let (put, delete) = old.difference(new);
    Update {
        version: VERSION,
        base: Some(old.digest().to_owned()),
        etag: new.digest().to_owned(),
        put,
        delete,
    }
}

/// All of `entries`, for a pod that has nothing.
#[must_use]
pub fn full(entries: &Entries) -> Update {
    Update {
        version: VERSION,
        base: None,
        etag: entries.digest().to_owned(),
        put: entries.iter().collect(),
        delete: Vec::new(),
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Cow<'a, str>>,
    etag: Cow<'a, str>,
    #[serde(borrow)]
    put: BTreeMap<Cow<'a, str>, &'a RawValue>,
    #[serde(default)]
    delete: Vec<Cow<'a, str>>,
}

/// Room for what stands around keys and values.
const FRAME: usize = 256;
/// Quotes, colon and comma.
const AROUND: usize = 8;

impl Update {
    /// JSON, which may hold secrets.
    ///
    /// # Errors
    /// When an entry is no JSON.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let wire = Wire {
            version: self.version,
            base: self.base.as_deref().map(Cow::Borrowed),
            etag: Cow::Borrowed(&self.etag),
            put: self
                .put
                .iter()
                .map(|(key, entry)| Ok((Cow::Borrowed(&**key), raw(entry.json())?)))
                .collect::<Result<_, serde_json::Error>>()?,
            delete: self
                .delete
                .iter()
                .map(|key| Cow::Borrowed(&**key))
                .collect(),
        };
        // A buffer that grows would leave copies of secrets behind.
        let mut out = Zeroizing::new(Vec::with_capacity(self.octets()));
        serde_json::to_writer(&mut *out, &wire)?;
        Ok(out)
    }

    /// Reads what [`Update::encode`] of this or another release wrote.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let Versioned { version } = serde_json::from_slice(octets)?;
        if version != VERSION {
            return Err(DecodeError::Version { found: version });
        }
        let wire: Wire<'_> = serde_json::from_slice(octets)?;
        Ok(Self {
            version: wire.version,
            base: wire.base.map(Cow::into_owned),
            etag: wire.etag.into_owned(),
            put: wire
                .put
                .into_iter()
                .map(|(key, value)| entry(&key, value.get()))
                .collect::<Result<_, _>>()?,
            delete: wire.delete.into_iter().map(Arc::from).collect(),
        })
    }

    /// Octets that the encoding takes, or a little more.
    fn octets(&self) -> usize {
        let put = |(key, entry): &Keyed| key.len() + entry.json().len() + AROUND;
        let deleted = |key: &Arc<str>| key.len() + AROUND;
        FRAME
            + self.put.iter().map(put).sum::<usize>()
            + self.delete.iter().map(deleted).sum::<usize>()
    }
}

fn raw(json: &str) -> Result<&RawValue, serde_json::Error> {
    serde_json::from_str(json)
}

fn entry(key: &str, json: &str) -> Result<Keyed, DecodeError> {
    if key.len() > MAX_KEY_OCTETS || json.len() > MAX_VALUE_OCTETS {
        return Err(DecodeError::TooLong {
            key: key.len(),
            value: json.len(),
        });
    }
    let entry = Entry::new(Zeroizing::new(json.to_owned()));
    Ok((key.into(), Arc::new(entry)))
}
