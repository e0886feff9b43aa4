//! Values that are kept in large numbers and seldom looked at, as small as they can be kept.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Octets of a value, unpacked: more than an object of the API server has.
const MAX: usize = 4 * 1024 * 1024;
/// Quick, and small enough: what is packed repeats itself.
const LEVEL: i32 = 1;

/// A value as compressed JSON. Equal values have equal forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Box<[u8]>);

impl Packed {
    /// Packs a value; `None` when it cannot be written as JSON, which is a mistake in this program.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Option<Self> {
        let json = serde_json::to_vec(value).ok()?;
        let octets = zstd::bulk::compress(&json, LEVEL).ok()?;
        Some(Self(octets.into()))
    }

    /// The value; `None` when it is of another type, which is a mistake in this program.
    #[must_use]
    pub fn unpacked<T: DeserializeOwned>(&self) -> Option<T> {
        let json = zstd::bulk::decompress(&self.0, MAX).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_take_less() {
        let value: Vec<String> = (0..100).map(|count| format!("record {}", count % 3)).collect();
        let packed = Packed::of(&value).unwrap();
        assert!(packed.0.len() < 200);
        assert_eq!(packed.unpacked::<Vec<String>>(), Some(value.clone()));
        assert_eq!(Packed::of(&value), Some(packed.clone()));
        assert_eq!(packed.unpacked::<u8>(), None);
    }
}
