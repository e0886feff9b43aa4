//! Bodies on their way into the store.

use bytes::{Bytes, BytesMut};
use mailpods_message::Meta;

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

/// The encoded facts: those given, or computed where they are asked for.
pub(crate) fn meta_of(octets: &[u8], given: Option<Vec<u8>>, compute: bool) -> Option<Bytes> {
    let meta = given.or_else(|| compute.then(|| Meta::compute(octets).encode()));
    meta.map(Bytes::from)
}
