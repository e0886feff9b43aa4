//! TLS over in-memory streams, both sides ours.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use mailpods_net::tls::{MinimumVersion, Pem, ServerIdentity, TlsConfigError, self_signed};
use mailpods_net::{Connection, TlsClient, TlsError, TlsServer};

const LIMIT: Duration = Duration::from_secs(20);

fn pem(name: &str) -> Pem {
    self_signed(&[name.to_owned()], SystemTime::now(), 30).unwrap()
}

fn identity(pem: &Pem, minimum: MinimumVersion) -> ServerIdentity {
    ServerIdentity::from_pem(pem.chain.as_bytes(), pem.key.as_bytes(), minimum).unwrap()
}

fn server(pem: &Pem) -> TlsServer {
    TlsServer::new(identity(pem, MinimumVersion::Tls12))
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pair() -> (Connection, Connection) {
    let (a, b) = tokio::io::duplex(4096);
    let (server, client) = (addr("127.0.0.1:25"), addr("[::ffff:192.0.2.9]:40000"));
    (
        Connection::from_io(a, client, server),
        Connection::from_io(b, server, client),
    )
}

async fn handshake(
    tls: &TlsServer,
    client: &TlsClient,
    name: &str,
) -> (Result<Connection, TlsError>, Result<Connection, TlsError>) {
    let (mut a, mut b) = pair();
    let accept = async { a.start_tls(tls, LIMIT).await.map(|()| a) };
    let connect = async { b.start_tls_client(name, client, LIMIT).await.map(|()| b) };
    tokio::join!(accept, connect)
}

#[tokio::test]
async fn both_sides_agree_on_names_and_bindings() {
    let tls = server(&pem("mx.example.test"));
    let (a, b) = handshake(
        &tls,
        &TlsClient::opportunistic().unwrap(),
        "mx.example.test.",
    )
    .await;
    let (a, b) = (a.unwrap(), b.unwrap());
    let (on_server, on_client) = (a.tls_info().unwrap(), b.tls_info().unwrap());
    assert_eq!(on_server.version, "TLSv1.3");
    assert!(on_server.cipher.starts_with("TLS_") && on_server.cipher == on_client.cipher);
    assert_eq!(on_server.sni.as_deref(), Some("mx.example.test"));
    assert!(on_server.exporter.is_some());
    assert_eq!(on_server.exporter, on_client.exporter);
    assert_eq!(on_server.server_end_point.as_ref().map(Vec::len), Some(32));
    assert_eq!(on_server.server_end_point, on_client.server_end_point);
}

#[tokio::test]
async fn data_goes_both_ways_and_ends_in_order() {
    let tls = server(&pem("a.test"));
    let (a, b) = handshake(&tls, &TlsClient::opportunistic().unwrap(), "a.test").await;
    let (mut a, mut b) = (a.unwrap(), b.unwrap());
    let message = vec![b'x'; 100_000];
    let send = async {
        a.write_all(&message).await.unwrap();
        a.flush().await.unwrap();
    };
    let receive = async {
        let mut buf = BytesMut::new();
        while buf.len() < message.len() {
            assert!(b.read_buf(&mut buf).await.unwrap() > 0);
        }
        buf
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, message);
    let read_end = async {
        let mut buf = BytesMut::new();
        let read = b.read_buf(&mut buf).await;
        drop(b);
        read
    };
    let ((), end) = tokio::join!(a.close(LIMIT), read_end);
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn a_verifying_client_takes_only_the_right_name_from_a_known_root() {
    let pem = pem("mx.example.test");
    let tls = server(&pem);
    let trusting = TlsClient::verified(pem.chain.as_bytes()).unwrap();
    assert!(
        handshake(&tls, &trusting, "MX.example.test")
            .await
            .1
            .is_ok()
    );
    let wrong_name = handshake(&tls, &trusting, "other.example.test")
        .await
        .1
        .unwrap_err();
    assert!(
        matches!(wrong_name, TlsError::Certificate(_)),
        "{wrong_name:?}"
    );
    let unknown = handshake(&tls, &TlsClient::verified(b"").unwrap(), "mx.example.test").await;
    assert!(matches!(unknown.1, Err(TlsError::Certificate(_))));
    assert!(unknown.0.is_err());
    assert_eq!(wrong_name.reason(), "tls_certificate");
}

#[tokio::test]
async fn opportunistic_clients_connect_whatever_the_name() {
    let tls = server(&pem("mx.example.test"));
    let client = TlsClient::opportunistic().unwrap();
    for (name, sni) in [
        ("192.0.2.1", None),
        ("not a name", None),
        ("b\u{fc}cher.test", Some("xn--bcher-kva.test")),
    ] {
        let (a, b) = handshake(&tls, &client, name).await;
        assert!(b.is_ok(), "{name}");
        assert_eq!(a.unwrap().tls_info().unwrap().sni.as_deref(), sni, "{name}");
    }
}

#[tokio::test]
async fn a_swap_holds_for_the_next_handshake() {
    let (old, new) = (pem("a.test"), pem("a.test"));
    let tls = server(&old);
    let listener_copy = tls.clone();
    let trusts_new = TlsClient::verified(new.chain.as_bytes()).unwrap();
    assert!(
        handshake(&listener_copy, &trusts_new, "a.test")
            .await
            .1
            .is_err()
    );
    tls.swap(identity(&new, MinimumVersion::Tls13));
    assert!(
        handshake(&listener_copy, &trusts_new, "a.test")
            .await
            .1
            .is_ok()
    );
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_an_error_and_closes() {
    let tls = server(&pem("a.test"));
    let (mut a, mut b) = pair();
    b.write_all(b"EHLO client.test\r\n").await.unwrap();
    assert!(matches!(
        a.start_tls(&tls, LIMIT).await,
        Err(TlsError::Handshake(_))
    ));
    assert!(a.read_buf(&mut BytesMut::new()).await.is_err());
    assert!(matches!(
        a.start_tls(&tls, LIMIT).await,
        Err(TlsError::NotPlain)
    ));
    assert!(a.tls_info().is_none() && !a.is_tls());
}

#[tokio::test]
async fn a_silent_peer_runs_into_the_limit() {
    let (mut a, mut b) = pair();
    let limit = Duration::from_millis(10);
    let silent = a.start_tls(&server(&pem("a.test")), limit).await;
    assert!(matches!(silent, Err(TlsError::Timeout(_))));
    let gone = b
        .start_tls_client("a.test", &TlsClient::opportunistic().unwrap(), LIMIT)
        .await;
    assert!(matches!(gone, Err(TlsError::Io(_))), "{gone:?}");
}

#[tokio::test]
async fn reads_and_writes_keep_their_deadlines() {
    let (mut a, _b) = pair();
    let soon = || tokio::time::Instant::now() + Duration::from_millis(10);
    let mut buf = BytesMut::new();
    let read = a.read_with_deadline(&mut buf, soon()).await.unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(buf.capacity(), 0, "waiting takes no memory");
    let write = a
        .write_with_deadline(&[0; 10_000], soon())
        .await
        .unwrap_err();
    assert_eq!(write.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn addresses_are_canonical_and_the_struct_is_small() {
    let (io, _other) = tokio::io::duplex(16);
    let connection = Connection::from_io(io, addr("[::ffff:192.0.2.9]:7"), addr("[::1]:25"));
    assert_eq!(connection.peer(), addr("192.0.2.9:7"));
    assert_eq!(connection.local(), addr("[::1]:25"));
    assert_eq!(connection.via(), None);
    assert!(
        size_of::<Connection>() <= 192,
        "{}",
        size_of::<Connection>()
    );
}

#[test]
fn pem_mistakes_are_told_apart() {
    let (one, other) = (pem("a.test"), pem("a.test"));
    let read = |chain: &str, key: &str| {
        ServerIdentity::from_pem(chain.as_bytes(), key.as_bytes(), MinimumVersion::Tls12)
            .map(|_| ())
    };
    assert!(read(&one.chain, &one.key).is_ok());
    assert!(matches!(
        read("", &one.key),
        Err(TlsConfigError::NoCertificate)
    ));
    assert!(matches!(read(&one.chain, ""), Err(TlsConfigError::NoKey)));
    assert!(matches!(
        read(&one.chain, &other.key),
        Err(TlsConfigError::KeyMismatch)
    ));
    assert!(matches!(
        read("-----BEGIN CERTIFICATE-----\n*", &one.key),
        Err(TlsConfigError::Pem(_))
    ));
    assert!(!format!("{one:?}").contains("PRIVATE"));
}

#[test]
fn a_self_signed_certificate_expires_when_it_says() {
    let now = SystemTime::now();
    let pem = self_signed(&["a.test".to_owned(), "127.0.0.1".to_owned()], now, 30).unwrap();
    let expiry = identity(&pem, MinimumVersion::Tls12).not_after().unwrap();
    let left = expiry.duration_since(now).unwrap();
    assert!(left > Duration::from_secs(29 * 86_400) && left <= Duration::from_secs(30 * 86_400));
    assert!(self_signed(&["b\u{fc}cher.test".to_owned()], now, 30).is_err());
}
