//! TLS on both sides, with rustls on ring: server identities that are swapped while running, and clients that verify or
//! accept any certificate.

mod client;
mod dane;
mod der;
mod names;
mod server;

use std::io;
use std::time::Duration;

use rustls::{CertificateError, CipherSuite, CommonState, ConnectionCommon, ProtocolVersion};
use rustls_pki_types::ServerName;

pub use client::{Checker, TlsClient, Verdict};
pub use names::covers;
pub use server::{MinimumVersion, Pem, ServerIdentity, TlsServer, self_signed};

/// Why a connection could not be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The two sides do not agree, or the peer does not speak TLS.
    #[error("failed to complete the TLS handshake")]
    Handshake(#[source] rustls::Error),
    /// The server's certificate is not valid for its name.
    #[error("failed to verify the server's certificate")]
    Certificate(#[source] rustls::Error),
    /// The connection broke.
    #[error("failed to exchange TLS records")]
    Io(#[source] io::Error),
    /// The handshake took too long.
    #[error("failed to complete the TLS handshake within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The connection is encrypted already, or closed.
    #[error("failed to start TLS: the connection is not a plain one")]
    NotPlain,
}

impl TlsError {
    pub(crate) fn from_io(error: io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .cloned();
        match inner {
            Some(
                cause @ (rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented),
            ) => TlsError::Certificate(cause),
            Some(cause) => TlsError::Handshake(cause),
            None => TlsError::Io(error),
        }
    }

    /// What is wrong with the server's certificate; `None`: something else is wrong.
    #[must_use]
    pub fn certificate_fault(&self) -> Option<CertificateFault> {
        let TlsError::Certificate(error) = self else {
            return None;
        };
        Some(CertificateFault::of(error))
    }

    /// A stable name for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            TlsError::Handshake(_) => "tls_handshake",
            TlsError::Certificate(_) => "tls_certificate",
            TlsError::Io(_) => "tls_io",
            TlsError::Timeout(_) => "tls_timeout",
            TlsError::NotPlain => "tls_state",
        }
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// It is for another name.
    Name,
    /// It has expired, or is not valid yet.
    Expired,
    /// No authority that is trusted gave it.
    Untrusted,
    /// No TLSA record names it.
    Unmatched,
    /// Anything else.
    Other,
}

impl CertificateFault {
    fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else {
            return Self::Other;
        };
        match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::Name
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::UnknownIssuer => Self::Untrusted,
            CertificateError::ApplicationVerificationFailure => Self::Unmatched,
            _ => Self::Other,
        }
    }
}

/// Why a server or client configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The PEM text is malformed.
    #[error("failed to read PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// There is no `CERTIFICATE` section.
    #[error(
        "failed to find a certificate (expected a PEM section `CERTIFICATE`, the server's own first)"
    )]
    NoCertificate,
    /// There is no private key section.
    #[error(
        "failed to find a private key (expected a PEM section `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`)"
    )]
    NoKey,
    /// Each is fine, together they are not.
    #[error(
        "the private key does not belong to the certificate (the server's own comes first in the chain)"
    )]
    KeyMismatch,
    /// rustls does not take the certificate and key: the key's kind is not supported.
    #[error("failed to use the certificate and key")]
    Unusable(#[source] rustls::Error),
    /// A self-signed certificate could not be made.
    #[error("failed to make a self-signed certificate")]
    Generate(#[from] rcgen::Error),
}

/// What TLS negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite by its IANA name.
    pub cipher: &'static str,
    /// The server name that the client asked for; only known on the server's side.
    pub sni: Option<String>,
    /// The channel binding `tls-exporter` (RFC 9266). Only with TLS 1.3: with 1.2 it would need the extended master
    /// secret, which cannot be seen from here.
    pub exporter: Option<[u8; 32]>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4); `None` when the certificate's signature has no single
    /// hash (Ed25519).
    pub server_end_point: Option<Vec<u8>>,
}

pub(crate) fn server_info(
    connection: &rustls::ServerConnection,
    identity: &ServerIdentity,
) -> TlsInfo {
    let sni = connection.server_name().map(str::to_owned);
    info(
        connection,
        exporter(connection),
        sni,
        identity.end_point().map(<[u8]>::to_vec),
    )
}

pub(crate) fn client_info(connection: &rustls::ClientConnection) -> TlsInfo {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    info(
        connection,
        exporter(connection),
        None,
        certificate.and_then(|der| der::end_point(der)),
    )
}

fn info(
    state: &CommonState,
    exporter: Option<[u8; 32]>,
    sni: Option<String>,
    server_end_point: Option<Vec<u8>>,
) -> TlsInfo {
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    let cipher = state
        .negotiated_cipher_suite()
        .map_or("unknown", |suite| cipher_name(suite.suite()));
    TlsInfo {
        version,
        cipher,
        sni,
        exporter,
        server_end_point,
    }
}

/// RFC 9266 §2: label `EXPORTER-Channel-Binding`, an empty context, 32 octets.
fn exporter<Data>(connection: &ConnectionCommon<Data>) -> Option<[u8; 32]> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
        .ok()
}

/// The IANA name: rustls writes `TLS13_` where IANA has `TLS_`.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// The name as a ClientHello carries it: A-labels, no dot at the end (RFC 6066 §3).
pub(crate) fn server_name(name: &str) -> Option<ServerName<'static>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = idna::domain_to_ascii(name).ok()?;
    ServerName::try_from(ascii).ok()
}

fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<std::sync::Arc<rustls::crypto::CryptoProvider>> =
        std::sync::LazyLock::new(|| std::sync::Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}
