//! Certificates for talk between our own pods: an authority that signs once and is forgotten.

pub mod renewal;
pub mod secret;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::kube::error::Error;

/// A server certificate with the authority that vouches for it; all PEM.
pub struct Made {
    /// Certificate of the authority. Its key is gone: nobody can make another.
    pub authority: String,
    /// Certificate of the server.
    pub certificate: String,
    /// Key of the server.
    pub key: Zeroizing<String>,
}

/// Clocks of pods may be behind so much.
const BEHIND: Duration = Duration::from_secs(3_600);

/// Makes a certificate for these host names that ends at `end`.
///
/// # Errors
/// When randomness fails, or a name is none.
pub fn make(
    authority: &str,
    hosts: &[String],
    (now, end): (Timestamp, Timestamp),
) -> Result<Made, Error> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let date = |time: Timestamp| epoch + Duration::from_secs(time.as_second().unsigned_abs());
    let failed = |error: rcgen::Error| Error::Make("a certificate", error.to_string());
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date(now) - BEHIND, date(end));
    let signer = KeyPair::generate().map_err(failed)?;
    let authority = params.self_signed(&signer).map_err(failed)?.pem();
    let issuer = Issuer::new(params, signer);
    let mut server = CertificateParams::new(hosts.to_vec()).map_err(failed)?;
    if let Some(host) = hosts.first() {
        server.distinguished_name.push(
            DnType::CommonName,
            host.chars().take(64).collect::<String>(),
        );
    }
    (server.not_before, server.not_after) = (date(now) - BEHIND, date(end));
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = server.signed_by(&key, &issuer).map_err(failed)?.pem();
    Ok(Made {
        authority,
        certificate,
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// Random octets.
///
/// # Errors
/// When the system has none.
pub fn random(count: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut octets = Zeroizing::new(vec![0; count]);
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| Error::Make("a key", "no randomness".to_owned()))?;
    Ok(octets)
}
