//! Certificates that TLSA records name (RFC 7672 §3).

use std::sync::Arc;

use mailpods_policy::outbound::tls::tlsa::{Tlsa, Usage};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::client::TlsClient;
use super::{TlsConfigError, der, provider, server_name};

/// Certificates of a chain that are looked at.
const MAX_CHAIN: usize = 10;

impl TlsClient {
    /// Takes certificates that one of `records` names: the server's own whatever stands in it (RFC 7672 §3.1.1), or one above it, where
    /// the server's own must be valid for one of `names` (§3.1.2, §3.2.2). For one connection.
    ///
    /// # Errors
    /// As [`TlsClient::opportunistic`].
    pub fn dane(records: Vec<Tlsa>, names: &[&str]) -> Result<Self, TlsConfigError> {
        let names = names.iter().filter_map(|name| server_name(name)).collect();
        Self::judging(Arc::new(Named { records, names }))
    }
}

#[derive(Debug)]
struct Named {
    records: Vec<Tlsa>,
    names: Vec<ServerName<'static>>,
}

impl Named {
    fn of_usage(&self, usage: Usage) -> impl Iterator<Item = &Tlsa> {
        let wanted = move |record: &&Tlsa| record.usage() == Some(usage);
        self.records.iter().filter(wanted)
    }

    fn names(&self, usage: Usage, certificate: &[u8]) -> bool {
        let key = der::public_key(certificate).unwrap_or_default();
        self.of_usage(usage)
            .any(|record| record.matches(certificate, key))
    }

    /// The authorities that the records name: from the chain, or out of a record that holds a whole certificate.
    fn authorities(&self, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let sent = chain.iter().take(MAX_CHAIN);
        for certificate in sent.filter(|one| self.names(Usage::TrustAnchor, one)) {
            // One that cannot be read is as if it were not there.
            let _ = roots.add(certificate.clone().into_owned());
        }
        let whole = |record: &&Tlsa| record.selector == 0 && record.matching == 0;
        for record in self.of_usage(Usage::TrustAnchor).filter(whole) {
            let _ = roots.add(CertificateDer::from(record.data.clone()));
        }
        roots
    }
}

fn unmatched() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.names(Usage::EndEntity, end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let roots = self.authorities(intermediates);
        if roots.is_empty() {
            return Err(unmatched());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = verifier.build().map_err(|_| unmatched())?;
        let mut last = unmatched();
        for name in &self.names {
            match verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
                Ok(verified) => return Ok(verified),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
