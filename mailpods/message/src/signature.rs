//! Which texts cannot be in a message, from a small signature of it.
//!
//! A signature is a Bloom filter with one hash over all sequences of three octets of the message's text ([`text`]). A text of three octets
//! or more can only be there when all its sequences are. What is told is never that a text is there, so who asks looks at what is left.

#[cfg(test)]
mod tests;

use crate::{Structure, text};

/// Octets of the largest signature, which a message of much text gets; a power of two.
const LARGEST: usize = 64 << 10;
/// Octets of the smallest one.
const SMALLEST: usize = 32;
/// A signature is halved while no more than one bit of this many would be set: sequences of other texts are in the result by chance of
/// one in four at most, mostly one in six.
const SPARSE: u32 = 4;
/// Sequences of one text that are asked for: by six of them alone one message of ten thousand is taken for nothing.
pub const MAX_PROBES: usize = 8;

/// The signature of a message: of its header's fields, and of all that BODY searches.
#[must_use]
pub fn signature(message: &[u8], structure: &Structure) -> Vec<u8> {
    let mut bits = vec![0u8; LARGEST];
    let header = structure
        .root()
        .map_or(&[][..], |root| root.header.of(message));
    let texts = text::header_texts(header).chain(text::body_texts(message, structure, 0));
    texts.for_each(|text| add(&mut bits, text.as_bytes()));
    fold(bits)
}

fn add(bits: &mut [u8], text: &[u8]) {
    for sequence in text.windows(3) {
        let hash = hash(sequence);
        if let Some(octet) = bits.get_mut(hash as usize / 8) {
            *octet |= 1 << (hash % 8);
        }
    }
}

/// Numbers below the bits of [`LARGEST`]. In a shorter signature the lower bits of a hash count.
fn hash(sequence: &[u8]) -> u32 {
    let number = sequence
        .iter()
        .fold(0u32, |number, octet| number << 8 | u32::from(*octet));
    // Multiplication spreads to the higher bits, of which the lower are taken.
    number.wrapping_mul(0x9E37_79B1) >> (32 - LARGEST.ilog2() - 3)
}

fn fold(mut bits: Vec<u8>) -> Vec<u8> {
    let mut set: u32 = bits.iter().map(|octet| octet.count_ones()).sum();
    while bits.len() > SMALLEST && set * SPARSE <= bits.len() as u32 * 4 {
        let upper = bits.split_off(bits.len() / 2);
        for (octet, other) in bits.iter_mut().zip(upper) {
            *octet |= other;
        }
        set = bits.iter().map(|octet| octet.count_ones()).sum();
    }
    bits
}

/// What to ask signatures for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes(Vec<u32>);

impl Probes {
    /// For a text in lower case; `None` when it is too short to be told anything of.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let count = text.len().checked_sub(2).filter(|count| *count > 0)?;
        // Neighbours share two octets: those far from each other say more.
        let step = count.div_ceil(MAX_PROBES);
        let sequences = text.as_bytes().windows(3).step_by(step);
        Some(Self(sequences.map(hash).collect()))
    }

    /// Bits that are all set in the signature of a message with the text, at most [`MAX_PROBES`]; each is taken modulo the signature's
    /// bits, of which the least of an octet is its first.
    #[must_use]
    pub fn bits(&self) -> &[u32] {
        &self.0
    }

    /// Whether the text may be in a message. An empty signature tells nothing.
    #[must_use]
    pub fn may_be_in(&self, signature: &[u8]) -> bool {
        let last = signature.len().wrapping_mul(8).wrapping_sub(1);
        self.0.iter().all(|bit| {
            let bit = *bit as usize & last;
            signature
                .get(bit / 8)
                .is_none_or(|octet| octet >> (bit % 8) & 1 == 1)
        })
    }
}
