//! The engine against a DNS server on loopback.

#[path = "../../tests/support/dns.rs"]
#[allow(
    dead_code,
    missing_docs,
    reason = "a helper that other tests use more of"
)]
pub(crate) mod dns;

mod arc;
mod dkim;
mod engine;
mod policy;
mod robust;
mod spf;

use std::time::{Duration, Instant};

use bytes::Bytes;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mailpods_plan::{FilterSettings, ReverseDnsPolicy};
use mailpods_rpc::{Mechanism, ScanRequest, Verdict};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::dns::Dns;
use crate::engine::judge;
use dns::{TestDns, Zone};

pub(crate) const CLIENT: &str = "192.0.2.1";
pub(crate) const RSA_PEM: &str = include_str!("../../tests/keys/rsa2048.pem");
pub(crate) const RSA_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA42mMMDEit/LuEkC+wwevPx4Rj8H6EaZDt4iH/598JfXqzdshUcTZjjbCwEYUmb+sN31Do3HKTewVM09OLbxvPyafMaaKLRcdl2G4ra89HT8Ja1B/2YgK2FyNa3LnPBDPr7eXNkxmzSB3i8geVkKNTSMtCCL831ZEQ4ib7Effa4/TWlpjY0iAarBNr/gik9l9nJYz99VrjHPcETp/SoZst9DEHaa9cjqjYmRnHPllJJfnGNQmvhmasFFdGqTsReXVMg3O2iMW5cBRO1Tw5vebtQS47hxLvDF2hM52YrxRM3kV/rVVJDaVuAQSiMyAlv+VNp/hmUgED1YHEiXVFcT7XwIDAQAB";
/// A fixed seed: the key of RFC 8463 §A.2.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
pub(crate) const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

pub(crate) const MESSAGE: &str = "From: Ann <ann@sender.test>\r\nTo: bob@example.test\r\nSubject: Hi\r\n\
     Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <1@sender.test>\r\n\r\nHello,\r\n\r\nbye\r\n";

pub(crate) fn settings() -> FilterSettings {
    FilterSettings {
        dkim_min_rsa_bits: 1024,
        dkim_max_signatures: 10,
        dmarc_honour: true,
        arc_trusted_sealers: Vec::new(),
        reverse_dns: ReverseDnsPolicy::Record,
        timeout: Duration::from_secs(20),
    }
}

pub(crate) fn request(message: &str) -> ScanRequest {
    ScanRequest {
        id: "test-1".to_owned(),
        client_ip: CLIENT.parse().unwrap(),
        helo: "mx.sender.test".to_owned(),
        mail_from: "ann@sender.test".to_owned(),
        recipients: vec!["bob@example.test".to_owned()],
        hostname: "mail.example.test".to_owned(),
        authenticated: None,
        message: Some(Bytes::copy_from_slice(message.as_bytes())),
    }
}

/// Scans with a server of its own.
pub(crate) async fn scan(zone: Zone, request: &ScanRequest) -> Verdict {
    scan_with(zone, request, &settings()).await
}

pub(crate) async fn scan_with(
    zone: Zone,
    request: &ScanRequest,
    settings: &FilterSettings,
) -> Verdict {
    let server = TestDns::start(zone).await;
    let dns = Dns::new(server.resolver());
    let deadline = Instant::now() + settings.timeout;
    judge(dns.until(deadline), request, settings).await
}

/// The results of one mechanism, in order.
pub(crate) fn results(verdict: &Verdict, mechanism: Mechanism) -> Vec<&'static str> {
    verdict
        .results
        .iter()
        .filter(|row| row.mechanism == mechanism)
        .map(|row| row.result)
        .collect()
}

pub(crate) fn reason(verdict: &Verdict, mechanism: Mechanism) -> &str {
    verdict
        .results
        .iter()
        .find(|row| row.mechanism == mechanism)
        .map_or("", |row| &row.reason)
}

pub(crate) fn rsa_key() -> RsaKey<Sha256> {
    RsaKey::from_key_der(PrivateKeyDer::from_pem_slice(RSA_PEM.as_bytes()).unwrap()).unwrap()
}

pub(crate) fn ed25519_key() -> Ed25519Key {
    use base64::Engine as _;
    let decode = |text| {
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    Ed25519Key::from_seed_and_public_key(&decode(ED25519_SEED), &decode(ED25519_PUBLIC)).unwrap()
}

pub(crate) const SIGNED: [&str; 5] = ["From", "To", "Subject", "Date", "Message-ID"];

/// `message` with an RSA signature of `domain` above it.
pub(crate) fn sign(message: &str, domain: &str) -> String {
    let signer = DkimSigner::from_key(rsa_key())
        .domain(domain)
        .selector("rsa")
        .headers(SIGNED);
    signer.sign(message.as_bytes()).unwrap().to_header() + message
}

pub(crate) fn sign_ed25519(message: &str, domain: &str) -> String {
    let signer = DkimSigner::from_key(ed25519_key())
        .domain(domain)
        .selector("ed")
        .headers(SIGNED)
        .header_canonicalization(Canonicalization::Simple)
        .body_canonicalization(Canonicalization::Simple);
    signer.sign(message.as_bytes()).unwrap().to_header() + message
}

pub(crate) fn rsa_record() -> String {
    format!("v=DKIM1; k=rsa; p={RSA_PUBLIC}")
}

pub(crate) fn ed25519_record() -> String {
    format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}")
}

/// A sender that does everything right.
pub(crate) fn good_zone() -> Zone {
    Zone::new()
        .ptr(CLIENT, "mx.sender.test")
        .a("mx.sender.test", CLIENT)
        .txt("mx.sender.test", "v=spf1 a -all")
        .txt("sender.test", "v=spf1 ip4:192.0.2.0/28 -all")
        .txt("rsa._domainkey.sender.test", &rsa_record())
        .txt("ed._domainkey.sender.test", &ed25519_record())
        .txt("_dmarc.sender.test", "v=DMARC1; p=reject")
}
