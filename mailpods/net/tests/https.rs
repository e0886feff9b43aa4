//! HTTPS between our processes, both sides.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mailpods_net::https::{
    Asked, BodyError, Client, HeaderMap, HttpsError, Limits, Method, Request, ServerUrl,
    StatusCode, answer, bearer, header, is_authorized, read_body, serve,
};
use mailpods_net::tls::{MinimumVersion, Pem, ServerIdentity, self_signed};
use mailpods_net::{
    Listener, ListenerOptions, Stage, TlsClient, TlsServer, Tracker, Trigger, shutdown,
};

const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    body: 1024,
};

struct Server {
    address: SocketAddr,
    pem: Pem,
    trigger: Trigger,
    tracker: Tracker,
}

fn identity() -> (Pem, TlsServer) {
    let pem = self_signed(&["localhost".to_owned()], SystemTime::now(), 30).unwrap();
    let tls = TlsServer::new(served(&pem));
    (pem, tls)
}

fn served(pem: &Pem) -> ServerIdentity {
    let (chain, key) = (pem.chain.as_bytes(), pem.key.as_bytes());
    ServerIdentity::from_pem(chain, key, MinimumVersion::Tls13).unwrap()
}

/// Echoes bodies of at most 64 octets to who has the token.
async fn echo(request: Asked) -> mailpods_net::https::Answer {
    if !is_authorized(request.headers(), b"token") {
        return answer(StatusCode::UNAUTHORIZED, "");
    }
    match read_body(request.into_body(), 64).await {
        Ok(body) => answer(StatusCode::OK, body.to_vec()),
        Err(BodyError::TooLarge { .. }) => answer(StatusCode::PAYLOAD_TOO_LARGE, ""),
        Err(BodyError::Http(_)) => answer(StatusCode::BAD_REQUEST, ""),
    }
}

fn start() -> Server {
    let (pem, tls) = identity();
    let listener =
        Listener::bind(ListenerOptions::new("test", "127.0.0.1:0".parse().unwrap())).unwrap();
    let address = listener.local_addr();
    let (trigger, stop) = shutdown::channel();
    let tracker = Tracker::new();
    tokio::spawn(serve(listener, tls, stop, tracker.clone(), echo));
    Server {
        address,
        pem,
        trigger,
        tracker,
    }
}

impl Server {
    fn url(&self) -> ServerUrl {
        let url = format!("https://localhost:{}", self.address.port());
        url.parse().unwrap()
    }

    fn client(&self) -> Client {
        let tls = TlsClient::of_authority(self.pem.chain.as_bytes()).unwrap();
        Client::new(self.url(), tls)
    }
}

fn request(token: &str, body: &[&'static str]) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, bearer(token).unwrap());
    Request {
        method: Method::POST,
        path: "/echo".to_owned(),
        headers,
        body: body
            .iter()
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect(),
    }
}

#[tokio::test]
async fn a_body_in_pieces_comes_back_whole_on_one_connection() {
    let server = start();
    let client = server.client();
    for _ in 0..3 {
        let response = client
            .send(&request("token", &["a", "", "bc"]), LIMITS)
            .await
            .unwrap();
        assert_eq!(
            (response.status, response.body.as_slice()),
            (StatusCode::OK, &b"abc"[..])
        );
    }
    assert_eq!(server.tracker.running(), 1, "the connection is used again");
}

#[tokio::test]
async fn wrong_tokens_and_large_bodies_are_refused() {
    let server = start();
    let client = server.client();
    let status = async |request| client.send(&request, LIMITS).await.unwrap().status;
    assert_eq!(
        status(request("tokem", &[])).await,
        StatusCode::UNAUTHORIZED
    );
    let large: &'static str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    assert_eq!(
        status(request("token", &[large])).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let small = Limits { body: 2, ..LIMITS };
    let error = client
        .send(&request("token", &["abc"]), small)
        .await
        .unwrap_err();
    assert!(
        matches!(error, HttpsError::Body(BodyError::TooLarge { most: 2 })),
        "{error}"
    );
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let server = start();
    let other = TlsClient::of_authority(identity().0.chain.as_bytes()).unwrap();
    let error = Client::new(server.url(), other)
        .send(&request("token", &[]), LIMITS)
        .await;
    assert!(matches!(error, Err(HttpsError::Tls(_))), "{error:?}");
    assert!(TlsClient::of_authority(b"").is_err());
}

#[tokio::test]
async fn a_kept_connection_that_is_gone_is_replaced() {
    let server = start();
    let client = server.client();
    client
        .send(&request("token", &["a"]), LIMITS)
        .await
        .unwrap();
    server.trigger.advance(Stage::Drain);
    server.tracker.idle().await;
    // Nobody listens any more.
    let error = client
        .send(&request("token", &["a"]), LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, HttpsError::Connect(_)), "{error}");
    let tls = TlsServer::new(served(&server.pem));
    let listener = Listener::bind(ListenerOptions::new("test", server.address)).unwrap();
    let (_trigger, stop) = shutdown::channel();
    tokio::spawn(serve(listener, tls, stop, Tracker::new(), echo));
    let response = client
        .send(&request("token", &["b"]), LIMITS)
        .await
        .unwrap();
    assert_eq!(response.body.as_slice(), b"b");
}
