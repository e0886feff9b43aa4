//! fuzz
/// x
pub fn fuzz_message(_b: &[u8]) {}
