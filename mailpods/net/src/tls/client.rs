//! The client's side.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::server::certificates;
use super::{MinimumVersion, TlsConfigError, TlsError, provider};

/// How outgoing connections are encrypted. Clones share the session cache.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Accepts any certificate: opportunistic TLS between mail servers protects against listeners, not against somebody in
    /// the middle (RFC 7435), who could as well take STARTTLS out of the reply.
    ///
    /// # Errors
    /// [`TlsConfigError::Unusable`] when the crypto provider lacks the protocol versions; not with ring.
    pub fn opportunistic() -> Result<Self, TlsConfigError> {
        Self::judging(Arc::new(AnyCertificate { judge: None }))
    }

    /// Lets `verifier` judge the certificate.
    pub(super) fn judging(verifier: Arc<dyn ServerCertVerifier>) -> Result<Self, TlsConfigError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(MinimumVersion::Tls12.versions())
            .map_err(TlsConfigError::Unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Verifies the certificate and its name against Mozilla's roots and those in `extra_roots` (PEM, may be empty).
    ///
    /// # Errors
    /// Malformed PEM, or a certificate that cannot be a root.
    pub fn verified(extra_roots: &[u8]) -> Result<Self, TlsConfigError> {
        Self::trusting(public_roots(extra_roots)?, MinimumVersion::Tls12)
    }

    /// Verifies the certificate and its name against the roots in `roots` (PEM) and no others, by TLS 1.3: for our own
    /// processes.
    ///
    /// # Errors
    /// Malformed PEM, no certificate in it, or one that cannot be a root.
    pub fn of_authority(roots: &[u8]) -> Result<Self, TlsConfigError> {
        let mut store = RootCertStore::empty();
        for root in certificates(roots)? {
            store.add(root).map_err(TlsConfigError::Unusable)?;
        }
        if store.is_empty() {
            return Err(TlsConfigError::NoCertificate);
        }
        Self::trusting(store, MinimumVersion::Tls13)
    }

    fn trusting(roots: RootCertStore, minimum: MinimumVersion) -> Result<Self, TlsConfigError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(minimum.versions())
            .map_err(TlsConfigError::Unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

/// Mozilla's roots and those in `extra` (PEM, may be empty).
fn public_roots(extra: &[u8]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in certificates(extra)? {
        roots.add(root).map_err(TlsConfigError::Unusable)?;
    }
    Ok(roots)
}

/// Makes clients that take any certificate, and tell whether it would have verified.
#[derive(Clone, Debug)]
pub struct Checker(Arc<WebPkiServerVerifier>);

impl Checker {
    /// A checker with the roots of [`TlsClient::verified`].
    ///
    /// # Errors
    /// Malformed PEM, or a certificate that cannot be a root.
    pub fn new(extra_roots: &[u8]) -> Result<Self, TlsConfigError> {
        let roots = Arc::new(public_roots(extra_roots)?);
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider());
        let verifier = builder
            .build()
            .map_err(|error| TlsConfigError::Unusable(rustls::Error::General(error.to_string())))?;
        Ok(Self(verifier))
    }

    /// A client for one connection, and where it leaves its verdict.
    ///
    /// # Errors
    /// As [`TlsClient::opportunistic`].
    pub fn client(&self) -> Result<(TlsClient, Verdict), TlsConfigError> {
        let verdict = Verdict::default();
        let judge = Some((self.0.clone(), verdict.clone()));
        let client = TlsClient::judging(Arc::new(AnyCertificate { judge }))?;
        Ok((client, verdict))
    }
}

/// Whether the certificate of one connection would have verified.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<Mutex<Option<rustls::Error>>>);

impl Verdict {
    /// Why it would not; `None`: it would, or there was none yet.
    #[must_use]
    pub fn objection(&self) -> Option<TlsError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().map(TlsError::Certificate)
    }

    fn leave(&self, error: Option<rustls::Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// Takes every certificate and signature, so that old and odd servers still get encryption instead of plain text.
#[derive(Debug)]
struct AnyCertificate {
    /// Who is asked all the same, and where the answer goes.
    judge: Option<(Arc<WebPkiServerVerifier>, Verdict)>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some((judge, verdict)) = &self.judge {
            let judged = judge.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            verdict.leave(judged.err());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = provider()
            .signature_verification_algorithms
            .supported_schemes();
        // Last, for servers that can do nothing better in TLS 1.2.
        schemes.extend([
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes
    }
}
