//! How a body is stored: chunks of 64 KiB, each a zstd frame with its checksum, so that a part is read without the rest.
//!
//! ```text
//! version:u8 = 1   chunk size, log2:u8   size:u64   count:u32   count * compressed length:u32   chunks      (little endian)
//! ```

use std::cell::RefCell;
use std::io::{Cursor, Seek, SeekFrom};
use std::ops::Range;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::error::{Result, StoreError};

const VERSION: u8 = 1;
const CHUNK_BITS: u8 = 16;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Octets in front of the lengths.
pub(crate) const FIXED: usize = 14;
const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The stored form of `octets`.
pub(crate) fn encode(octets: &[u8]) -> Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(new_compressor().map_err(unavailable)?),
        };
        encode_with(compressor, octets).map_err(unavailable)
    })
}

fn unavailable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("failed to compress: {error}"))
}

fn new_compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

fn encode_with(compressor: &mut Compressor<'static>, octets: &[u8]) -> std::io::Result<Vec<u8>> {
    let count = octets.len().div_ceil(CHUNK);
    let mut out = Vec::with_capacity(FIXED + 4 * count + compress_bound(octets.len().min(CHUNK)));
    out.extend([VERSION, CHUNK_BITS]);
    out.extend((octets.len() as u64).to_le_bytes());
    out.extend(
        u32::try_from(count)
            .map_err(std::io::Error::other)?
            .to_le_bytes(),
    );
    out.resize(FIXED + 4 * count, 0);
    for (chunk, at) in octets.chunks(CHUNK).zip((FIXED..).step_by(4)) {
        out.reserve(compress_bound(chunk.len()));
        let mut tail = Cursor::new(out);
        tail.seek(SeekFrom::End(0))?;
        let length = compressor.compress_to_buffer(chunk, &mut tail)?;
        out = tail.into_inner();
        let length = u32::try_from(length).map_err(std::io::Error::other)?;
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    Ok(out)
}

/// The head of a stored body: where its chunks lie.
pub(crate) struct Index {
    size: u64,
    chunk_bits: u8,
    lengths: Vec<u32>,
}

/// Octets of the head, told by its first [`FIXED`] octets.
pub(crate) fn head_len(fixed: &[u8], size: u64) -> Result<usize> {
    let count = fixed
        .get(10..14)
        .and_then(|field| field.try_into().ok())
        .map(u32::from_le_bytes)
        .ok_or_else(damaged)?;
    // No more chunks than the size in the row allows, whatever stands here.
    if u64::from(count) != size.div_ceil(CHUNK as u64) {
        return Err(damaged());
    }
    Ok(FIXED + 4 * count as usize)
}

impl Index {
    /// Reads the head of a body whose row tells its size.
    pub(crate) fn parse(head: &[u8], size: u64) -> Result<Self> {
        let length = head_len(head, size)?;
        let [VERSION, chunk_bits @ CHUNK_BITS] = *head.first_chunk::<2>().ok_or_else(damaged)?
        else {
            return Err(damaged());
        };
        let recorded = head
            .get(2..10)
            .and_then(|field| field.try_into().ok())
            .map(u64::from_le_bytes);
        if recorded != Some(size) {
            return Err(damaged());
        }
        let (fields, _) = head
            .get(FIXED..length)
            .ok_or_else(damaged)?
            .as_chunks::<4>();
        Ok(Self {
            size,
            chunk_bits,
            lengths: fields.iter().copied().map(u32::from_le_bytes).collect(),
        })
    }

    /// The chunks with octets of `range`, and where they lie in the stored form.
    pub(crate) fn chunks(&self, range: &Range<u64>) -> (Range<usize>, Range<u64>) {
        let end = range.end.min(self.size);
        let first = usize::try_from(range.start.min(end) >> self.chunk_bits).unwrap_or(usize::MAX);
        let last = usize::try_from(end.div_ceil(1 << self.chunk_bits))
            .unwrap_or(usize::MAX)
            .max(first);
        let chunks = first.min(self.lengths.len())..last.min(self.lengths.len());
        let octets = |lengths: &[u32]| lengths.iter().map(|length| u64::from(*length)).sum::<u64>();
        let head = (FIXED + 4 * self.lengths.len()) as u64;
        let start = head + octets(&self.lengths[..chunks.start]);
        let stored = start..start + octets(&self.lengths[chunks.clone()]);
        (chunks, stored)
    }

    /// Decompresses `stored`, the octets of `chunks`, and cuts `range` out.
    pub(crate) fn decode(
        &self,
        chunks: Range<usize>,
        stored: &[u8],
        range: &Range<u64>,
    ) -> Result<Vec<u8>> {
        let base = (chunks.start as u64) << self.chunk_bits;
        let end = ((chunks.end as u64) << self.chunk_bits).min(self.size);
        let mut out =
            Vec::with_capacity(usize::try_from(end.saturating_sub(base)).map_err(|_| damaged())?);
        let mut rest = stored;
        for number in chunks {
            let (chunk, after) = rest
                .split_at_checked(self.lengths[number] as usize)
                .ok_or_else(damaged)?;
            self.decode_chunk(number, chunk, &mut out)?;
            rest = after;
        }
        let cut = |at: u64| {
            usize::try_from(at.min(end).saturating_sub(base))
                .unwrap_or(usize::MAX)
                .min(out.len())
        };
        let (from, to) = (cut(range.start), cut(range.end));
        out.truncate(to);
        out.drain(..from.min(to));
        Ok(out)
    }

    fn decode_chunk(&self, number: usize, chunk: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let before = (number as u64) << self.chunk_bits;
        let expected = usize::try_from((self.size - before).min(1 << self.chunk_bits))
            .map_err(|_| damaged())?;
        let mut tail = Cursor::new(std::mem::take(out));
        tail.seek(SeekFrom::End(0)).map_err(unavailable)?;
        let length = DECOMPRESSOR.with_borrow_mut(|slot| {
            let decompressor = match slot {
                Some(decompressor) => decompressor,
                None => slot.insert(Decompressor::new().map_err(unavailable)?),
            };
            decompressor
                .decompress_to_buffer(chunk, &mut tail)
                .map_err(|_| damaged())
        })?;
        // There is room for all chunks and no more: a frame that holds more than its own fails here at the latest.
        if length != expected {
            return Err(damaged());
        }
        *out = tail.into_inner();
        Ok(())
    }
}

/// A part of the body of its stored form.
pub(crate) fn decode_range(stored: &[u8], size: u64, range: &Range<u64>) -> Result<Vec<u8>> {
    let index = Index::parse(stored, size)?;
    let (chunks, place) = index.chunks(range);
    let place = usize::try_from(place.start).map_err(|_| damaged())?
        ..usize::try_from(place.end).map_err(|_| damaged())?;
    index.decode(chunks, stored.get(place).ok_or_else(damaged)?, range)
}

fn damaged() -> StoreError {
    StoreError::Corrupt("a stored body does not decode".to_owned())
}
