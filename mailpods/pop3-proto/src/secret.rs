//! What no log may show.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A password; `Debug` does not show it, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub(crate) fn new(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.to_vec()))
    }

    /// The octets that the client sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// A SASL response; `Debug` does not show it, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct SaslResponse(Zeroizing<Vec<u8>>);

impl SaslResponse {
    /// Takes base64 off; `None` when it is none.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        STANDARD.decode(text).ok().map(Zeroizing::new).map(Self)
    }

    pub(crate) fn empty() -> Self {
        Self(Zeroizing::default())
    }

    /// The octets after base64 was taken off.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SaslResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaslResponse({} octets)", self.0.len())
    }
}
