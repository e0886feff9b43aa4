//! The server's side: identities from PEM, self-signed ones, and swapping them while running.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsConfigError, der, provider, server_name};

const DAY: Duration = Duration::from_secs(86_400);

/// The oldest TLS version that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2 (RFC 8997 §3 retires what is older for mail).
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl MinimumVersion {
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static TLS12: [&SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        static TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        match self {
            MinimumVersion::Tls12 => &TLS12,
            MinimumVersion::Tls13 => &TLS13,
        }
    }
}

/// A certificate chain and its key as PEM text.
#[derive(Clone)]
pub struct Pem {
    /// The chain, the server's own certificate first.
    pub chain: String,
    /// The private key.
    pub key: String,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is a secret and stays out of every log.
        f.debug_struct("Pem")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

/// Makes a self-signed certificate (P-256) for `names`, host names or addresses, valid from a day before `now` for `days`.
///
/// # Errors
/// A name that no certificate can carry.
pub fn self_signed(names: &[String], now: SystemTime, days: u32) -> Result<Pem, TlsConfigError> {
    let mut params = rcgen::CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(
        rcgen::DnType::CommonName,
        names.first().map_or("localhost", String::as_str),
    );
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let today = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs();
    let today = u32::try_from(today).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + DAY * today.saturating_sub(1);
    params.not_after = epoch + DAY * today.saturating_add(days);
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Pem {
        chain: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate with its key, ready to serve.
pub struct ServerIdentity {
    config: Arc<ServerConfig>,
    own: CertificateDer<'static>,
    end_point: Option<Vec<u8>>,
    not_after: Option<SystemTime>,
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// Reads a PEM chain (the server's own certificate first) and its key.
    ///
    /// # Errors
    /// Malformed PEM, a missing part, or a key that does not belong to the certificate.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        minimum: MinimumVersion,
    ) -> Result<Self, TlsConfigError> {
        let chain = certificates(chain)?;
        let own = chain.first().ok_or(TlsConfigError::NoCertificate)?.clone();
        let end_point = der::end_point(&own);
        let not_after =
            der::not_after(&own).map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls_pki_types::pem::Error::NoItemsFound => TlsConfigError::NoKey,
            other => TlsConfigError::Pem(other),
        })?;
        let config = server_config(chain, key, minimum).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch,
            other => TlsConfigError::Unusable(other),
        })?;
        Ok(Self {
            config: Arc::new(config),
            own,
            end_point,
            not_after,
        })
    }

    /// Whether the server's own certificate is for a host name.
    pub fn is_for(&self, name: &str) -> bool {
        let certificate = ParsedCertificate::try_from(&self.own).ok();
        certificate
            .zip(server_name(name))
            .is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
    }

    /// When the server's own certificate expires.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(super) fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    minimum: MinimumVersion,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(minimum.versions())?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // Tickets keep the session at the client, so that an idle server holds none.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(config)
}

pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(TlsConfigError::Pem)
}

/// The identity of all listeners that share it; a swap holds for the next handshake and drops no session.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<ArcSwap<ServerIdentity>>);

impl TlsServer {
    /// Serves with `identity`.
    pub fn new(identity: ServerIdentity) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(identity)))
    }

    /// Replaces the identity on every listener that holds a clone.
    pub fn swap(&self, identity: ServerIdentity) {
        self.0.store(Arc::new(identity));
    }

    /// The identity now.
    pub fn current(&self) -> Arc<ServerIdentity> {
        self.0.load_full()
    }
}
