//! SASLprep, RFC 4013, with a fallback.
//!
//! Clients differ in whether they prepare strings, and passwords were hashed without it, so a string that SASLprep prohibits
//! is taken as it came rather than refused: it can only match the same octets.
use std::borrow::Cow;

use zeroize::Zeroizing;

/// The user name prepared for comparison. `None`: empty, holds NUL, or is not UTF-8.
pub fn prepare_name(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    if text.is_empty() || text.contains('\0') {
        return None;
    }
    let prepared = stringprep::saslprep(text).unwrap_or(Cow::Borrowed(text));
    (!prepared.is_empty()).then(|| prepared.into_owned())
}

/// The password as SCRAM takes it (RFC 5802 §2.2 `Normalize`); as it came when SASLprep has no answer for it.
pub fn prepare_password(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password)
        .ok()
        .and_then(|text| stringprep::saslprep(text).ok());
    Zeroizing::new(match prepared {
        Some(text) => text.as_bytes().to_vec(),
        None => password.to_vec(),
    })
}
