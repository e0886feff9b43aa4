//! A certificate authority of a test's own.

use std::time::Duration;

use mailpods_net::TlsServer;
use mailpods_net::tls::{MinimumVersion, ServerIdentity};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::digest;

const DAY: Duration = Duration::from_secs(86_400);

/// An authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A server with what TLSA records say of it.
pub(crate) struct Certified {
    pub(crate) server: TlsServer,
    /// SHA-256 of the public key.
    key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for `name`, valid now or long expired.
    pub(crate) fn certify(&self, name: &str, expired: bool) -> Certified {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = params.not_before + DAY * 30;
        }
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.issuer).unwrap();
        let chain = format!("{}{}", own.pem(), self.pem);
        let private = key.serialize_pem();
        let identity =
            ServerIdentity::from_pem(chain.as_bytes(), private.as_bytes(), MinimumVersion::Tls12);
        Certified {
            server: TlsServer::new(identity.unwrap()),
            key: sha256(&rcgen::PublicKeyData::subject_public_key_info(&key)),
        }
    }

    /// TLSA data that names the authority.
    pub(crate) fn tlsa(&self) -> String {
        format!("2 0 1 {}", hex(&sha256(&self.der)))
    }
}

impl Certified {
    /// TLSA data that names the server's key.
    pub(crate) fn tlsa(&self) -> String {
        format!("3 1 1 {}", hex(&self.key))
    }
}

fn sha256(octets: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, octets).as_ref().to_vec()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
