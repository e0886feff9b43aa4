//! Values that are kept in large numbers and seldom looked at, as small as they can be kept.

use std::sync::Arc;

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as compressed JSON, shared by its clones. Equal values have equal forms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    /// Packs a value; `None` when it cannot be written as JSON, which is a mistake in this program.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Option<Self> {
        let json = serde_json::to_vec(value).ok()?;
        let octets = compress_prepend_size(&json);
        Some(Self(octets.as_slice().into()))
    }

    /// The value; `None` when there is none, or one of another type, which is a mistake in this program.
    #[must_use]
    pub fn unpacked<T: DeserializeOwned>(&self) -> Option<T> {
        let json = decompress_size_prepended(&self.0).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_take_less() {
        let value: Vec<String> = (0..100)
            .map(|count| format!("record {}", count % 3))
            .collect();
        let packed = Packed::of(&value).unwrap();
        assert!(packed.0.len() < 200);
        assert_eq!(packed.unpacked::<Vec<String>>(), Some(value.clone()));
        assert_eq!(Packed::of(&value), Some(packed.clone()));
        assert_eq!(packed.unpacked::<u8>(), None);
    }
}
