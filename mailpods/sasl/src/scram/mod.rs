//! What both sides of SCRAM-SHA-256 share (RFC 5802, RFC 7677).
mod keys;
pub(crate) mod message;

use std::fmt;

pub use keys::{DEFAULT_ITERATIONS, MIN_ITERATIONS, ScramKeys};
pub(crate) use keys::{Salted, hmac, sha256, xor};
pub use message::MessageError;

/// A kind of channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingType {
    /// RFC 9266: `EXPORTER-Channel-Binding`, for TLS 1.3 and for 1.2 with extended master secret.
    TlsExporter,
    /// RFC 5929 §4: hash of the server's certificate.
    TlsServerEndPoint,
}

impl BindingType {
    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::TlsExporter, Self::TlsServerEndPoint]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl fmt::Display for BindingType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The binding data of a TLS connection; empty for one that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// 32 octets exported with the label `EXPORTER-Channel-Binding` and no context (RFC 9266 §2).
    pub tls_exporter: Option<Vec<u8>>,
    /// Hash of the server's certificate, with its signature's hash function, SHA-256 at least (RFC 5929 §4.1).
    pub tls_server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// Whether there is any, so that the -PLUS mechanism can be offered.
    pub fn is_available(&self) -> bool {
        self.tls_exporter.is_some() || self.tls_server_end_point.is_some()
    }

    /// The data of one kind.
    pub fn get(&self, kind: BindingType) -> Option<&[u8]> {
        match kind {
            BindingType::TlsExporter => self.tls_exporter.as_deref(),
            BindingType::TlsServerEndPoint => self.tls_server_end_point.as_deref(),
        }
    }
}
