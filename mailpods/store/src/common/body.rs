//! Bodies on their way into the store.

use bytes::{Bytes, BytesMut};
use mailpods_message::Meta;
use mailpods_message::signature::signature;

use crate::types::NewBody;

/// Bodies up to this many octets are compressed by the calling task itself; larger ones on a blocking thread.
pub(crate) const INLINE: u64 = 64 << 10;

/// Octets that a body brings with it.
pub(crate) fn new_octets(body: &NewBody) -> u64 {
    match body {
        NewBody::Octets { slices, .. } => slices.iter().map(|slice| slice.len() as u64).sum(),
        NewBody::Stored(_) => 0,
    }
}

/// Copies even a single slice: it may be a small part of a large buffer.
pub(crate) fn join(slices: &[Bytes]) -> Bytes {
    let mut joined = BytesMut::with_capacity(slices.iter().map(Bytes::len).sum());
    slices
        .iter()
        .for_each(|slice| joined.extend_from_slice(slice));
    joined.freeze()
}

/// Which facts of a body are kept beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Those that IMAP asks for: computed where they are not given.
    pub(crate) meta: bool,
    /// Its signature, for searches.
    pub(crate) signature: bool,
}

/// Facts of a body, encoded.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) meta: Option<Bytes>,
    pub(crate) signature: Option<Vec<u8>>,
}

impl Facts {
    pub(crate) fn of(octets: &[u8], given: Option<Vec<u8>>, wanted: Wanted) -> Self {
        if !wanted.meta {
            return Self {
                meta: given.map(Bytes::from),
                signature: None,
            };
        }
        let known = given.as_deref().filter(|_| wanted.signature);
        let known = known.and_then(|meta| Meta::decode(meta).ok());
        let computed =
            (given.is_none() || wanted.signature && known.is_none()).then(|| Meta::compute(octets));
        let structure = known.as_ref().or(computed.as_ref());
        let signature = structure
            .filter(|_| wanted.signature)
            .map(|meta| signature(octets, &meta.structure));
        let meta = given.or_else(|| computed.as_ref().map(Meta::encode));
        Self {
            meta: meta.map(Bytes::from),
            signature,
        }
    }
}

/// The signature of a body from its octets and its encoded facts.
pub(crate) fn sign(octets: &[u8], meta: &[u8]) -> Vec<u8> {
    let meta = Meta::decode(meta).unwrap_or_else(|_| Meta::compute(octets));
    signature(octets, &meta.structure)
}
