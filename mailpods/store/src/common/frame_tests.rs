//! Frames: what is encoded decodes, in whole and in parts; damage is told.

use proptest::prelude::*;

use super::frame::{decode_range, encode};
use crate::StoreError;

/// Octets around the borders of chunks, some of them compressible.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![0_usize..300, 65_530_usize..65_545, 131_060_usize..131_090];
    (length, any::<u8>(), any::<bool>()).prop_map(|(length, seed, plain)| {
        let mut state = u32::from(seed) + 1;
        let next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if plain { b'a' } else { state.to_be_bytes()[0] }
        };
        std::iter::repeat_with(next).take(length).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_range_comes_back(octets in bodies(), start in 0_usize..140_000, length in 0_usize..140_000) {
        let stored = encode(&octets).expect("encoded");
        let size = octets.len() as u64;
        prop_assert_eq!(&decode_range(&stored, size, &(0..size)).expect("whole"), &octets);
        let (from, to) = (start.min(octets.len()), (start + length).min(octets.len()));
        let range = start as u64..(start + length) as u64;
        prop_assert_eq!(&decode_range(&stored, size, &range).expect("a part"), &octets[from..to]);
    }

    #[test]
    fn damage_is_told(octets in bodies(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut stored = encode(&octets).expect("encoded");
        let at = at.index(stored.len());
        stored[at] ^= flip;
        let size = octets.len() as u64;
        match decode_range(&stored, size, &(0..size)) {
            Ok(found) => prop_assert_eq!(found, octets),
            Err(error) => prop_assert!(matches!(error, StoreError::Corrupt(_))),
        }
    }

    #[test]
    fn any_octets_are_read_without_panic(stored in prop::collection::vec(any::<u8>(), 0..200), size in any::<u64>(), start in any::<u64>()) {
        let _ = decode_range(&stored, size, &(start..u64::MAX));
    }

    #[test]
    fn a_cut_frame_is_told(octets in bodies(), at in any::<prop::sample::Index>()) {
        prop_assume!(!octets.is_empty());
        let stored = encode(&octets).expect("encoded");
        let size = octets.len() as u64;
        let cut = &stored[..at.index(stored.len())];
        prop_assert!(decode_range(cut, size, &(0..size)).is_err());
    }
}

#[test]
fn a_frame_that_holds_more_than_its_row_says_is_refused() {
    let stored = encode(&[b'a'; 60_000]).expect("encoded");
    let mut small = stored.clone();
    small[2..10].copy_from_slice(&10_u64.to_le_bytes());
    assert!(matches!(
        decode_range(&small, 10, &(0..10)),
        Err(StoreError::Corrupt(_))
    ));
    assert!(matches!(
        decode_range(&stored, 10, &(0..10)),
        Err(StoreError::Corrupt(_))
    ));
}
