//! Hashes of the message body, one for each canonicalization that a signature asks for.

use mail_auth::common::crypto::{HashContext, HashImpl, Sha256};
use mail_auth::common::headers::{Writable, Writer};
use mail_auth::dkim::Canonicalization;

/// SHA-256 of the body in its canonical forms.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyHashes {
    simple: Option<BodyHash>,
    relaxed: Option<BodyHash>,
}

/// A hash with the length of what was hashed.
#[derive(Debug, Clone)]
pub(crate) struct BodyHash {
    pub(crate) octets: u64,
    pub(crate) sha256: Vec<u8>,
}

impl BodyHashes {
    /// Hashes `body` in each of `forms`, each once.
    pub(crate) fn compute(body: &[u8], forms: impl IntoIterator<Item = Canonicalization>) -> Self {
        let mut hashes = Self::default();
        for form in forms {
            let slot = match form {
                Canonicalization::Simple => &mut hashes.simple,
                Canonicalization::Relaxed => &mut hashes.relaxed,
            };
            slot.get_or_insert_with(|| hash(body, form));
        }
        hashes
    }

    pub(crate) fn get(&self, form: Canonicalization) -> Option<&BodyHash> {
        match form {
            Canonicalization::Simple => self.simple.as_ref(),
            Canonicalization::Relaxed => self.relaxed.as_ref(),
        }
    }
}

fn hash(body: &[u8], form: Canonicalization) -> BodyHash {
    let mut counting = Counting {
        inner: Sha256::hasher(),
        octets: 0,
    };
    form.canonical_body(body, 0).write(&mut counting);
    BodyHash {
        octets: counting.octets,
        sha256: counting.inner.complete().as_ref().to_vec(),
    }
}

struct Counting<W> {
    inner: W,
    octets: u64,
}

impl<W: Writer> Writer for Counting<W> {
    fn write(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.inner.write(octets);
    }
}
