//! The encodings that stored hashes use.
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::general_purpose};
use zeroize::Zeroizing;

use super::{PasswordError, Scheme};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// The suffix of a `{SCHEME.ENC}` prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Base64,
    Hex,
    Unspecified,
}

impl Encoding {
    pub fn parse(suffix: &str) -> Option<Self> {
        match suffix.to_ascii_uppercase().as_str() {
            "B64" | "BASE64" => Some(Self::Base64),
            "HEX" => Some(Self::Hex),
            _ => None,
        }
    }

    /// Digests: base64 unless the prefix, or the length in hexadecimal, says otherwise (as Dovecot guesses).
    pub fn decode_digest(
        self,
        scheme: Scheme,
        text: &str,
        hex_length: usize,
    ) -> Result<Vec<u8>, PasswordError> {
        let looks_hex = text.len() == hex_length && text.bytes().all(|b| b.is_ascii_hexdigit());
        match self {
            Self::Hex => hex(text),
            Self::Unspecified if looks_hex => hex(text),
            Self::Base64 | Self::Unspecified => base64(text),
        }
        .ok_or_else(|| PasswordError::malformed(scheme, "not base64 or hexadecimal"))
    }

    /// A password in clear: as it stands unless the prefix says otherwise.
    pub fn decode_secret(
        self,
        scheme: Scheme,
        text: &str,
    ) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
        match self {
            Self::Unspecified => Some(text.as_bytes().to_vec()),
            Self::Base64 => base64(text),
            Self::Hex => hex(text),
        }
        .map(Zeroizing::new)
        .ok_or_else(|| {
            PasswordError::malformed(scheme, "not in the encoding that its suffix names")
        })
    }
}

/// Standard base64, with or without padding.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Standard base64 without padding, as PHC strings have it.
pub(super) fn base64_encode(octets: &[u8]) -> String {
    general_purpose::STANDARD_NO_PAD.encode(octets)
}

/// passlib's "adapted base64": `.` for `+`, no padding.
pub(super) fn adapted_base64(text: &str) -> Option<Vec<u8>> {
    base64(&text.replace('.', "+"))
}

/// Hexadecimal in either case.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A decimal number of digits alone (`parse` would take a sign).
pub(super) fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}
