//! Certificates that TLSA records name, and certificates that are only looked at.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use mailpods_net::tls::{Checker, MinimumVersion, ServerIdentity, self_signed};
use mailpods_net::{CertificateFault, Connection, TlsClient, TlsError, TlsServer};
use mailpods_policy::outbound::tls::tlsa::Tlsa;
use ring::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

const LIMIT: Duration = Duration::from_secs(20);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

async fn handshake(tls: &TlsServer, client: &TlsClient) -> Result<Connection, TlsError> {
    let (a, b) = tokio::io::duplex(4096);
    let (server, peer) = (addr("127.0.0.1:25"), addr("127.0.0.1:40000"));
    let mut a = Connection::from_io(a, peer, server);
    let mut b = Connection::from_io(b, server, peer);
    let accept = async { a.start_tls(tls, LIMIT).await };
    let connect = async {
        b.start_tls_client("mx.test", client, LIMIT)
            .await
            .map(|()| b)
    };
    tokio::join!(accept, connect).1
}

/// A server with a self-signed certificate, which is given too.
fn server(name: &str, minimum: MinimumVersion) -> (TlsServer, Vec<u8>) {
    let pem = self_signed(&[name.to_owned()], SystemTime::now(), 30).unwrap();
    let identity = ServerIdentity::from_pem(pem.chain.as_bytes(), pem.key.as_bytes(), minimum);
    let der = CertificateDer::from_pem_slice(pem.chain.as_bytes()).unwrap();
    (TlsServer::new(identity.unwrap()), der.to_vec())
}

fn record(usage: u8, matching: u8, of: &[u8]) -> Tlsa {
    let data = match matching {
        0 => of.to_vec(),
        1 => digest::digest(&digest::SHA256, of).as_ref().to_vec(),
        _ => digest::digest(&digest::SHA512, of).as_ref().to_vec(),
    };
    Tlsa {
        usage,
        selector: 0,
        matching,
        data,
    }
}

#[tokio::test]
async fn a_certificate_that_is_named_needs_no_name_of_its_own() {
    let (tls, der) = server("other.test", MinimumVersion::Tls12);
    for matching in [0, 1, 2] {
        let client = TlsClient::dane(vec![record(3, matching, &der)], &["mx.test"]).unwrap();
        assert!(handshake(&tls, &client).await.is_ok(), "{matching}");
    }
    let (_, strange) = server("mx.test", MinimumVersion::Tls12);
    for usage in [2, 3] {
        let client = TlsClient::dane(vec![record(usage, 1, &strange)], &["mx.test"]).unwrap();
        let error = handshake(&tls, &client).await.unwrap_err();
        assert_eq!(error.certificate_fault(), Some(CertificateFault::Unmatched));
    }
}

#[tokio::test]
async fn what_is_only_looked_at_goes_and_leaves_a_verdict() {
    let checker = Checker::new(&[]).unwrap();
    let (tls, _) = server("mx.test", MinimumVersion::Tls13);
    let (client, verdict) = checker.client().unwrap();
    assert!(verdict.objection().is_none());
    assert!(handshake(&tls, &client).await.is_ok());
    let objection = verdict.objection().unwrap();
    assert_eq!(
        objection.certificate_fault(),
        Some(CertificateFault::Untrusted)
    );
    let pem = self_signed(&["mx.test".to_owned()], SystemTime::now(), 30).unwrap();
    let identity = ServerIdentity::from_pem(
        pem.chain.as_bytes(),
        pem.key.as_bytes(),
        MinimumVersion::Tls12,
    );
    let tls = TlsServer::new(identity.unwrap());
    let (client, verdict) = Checker::new(pem.chain.as_bytes())
        .unwrap()
        .client()
        .unwrap();
    assert!(handshake(&tls, &client).await.is_ok());
    assert!(verdict.objection().is_none(), "{:?}", verdict.objection());
}
