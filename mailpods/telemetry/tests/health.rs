//! The HTTP server over loopback.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::time::Duration;

use mailpods_telemetry::health::{Health, ServeLimits, router, serve, serve_router};
use mailpods_telemetry::metrics::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

struct Server {
    addr: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(health: &Health, registry: &Registry) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(serve(listener, health.clone(), registry.clone(), shutdown));
    Server {
        addr,
        stop: Some(stop),
        task,
    }
}

async fn get(addr: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn readyz_lists_what_is_not_ready_and_why() {
    let health = Health::new();
    let store = health.component("store");
    let plan = health.component("plan");
    plan.ready();
    let server = start(&health, &Registry::new()).await;

    let answer = get(server.addr, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("store: starting") && !answer.contains("plan"),
        "{answer}"
    );

    store.not_ready("the disk is full");
    assert!(
        get(server.addr, "/readyz")
            .await
            .contains("store: the disk is full")
    );
    store.ready();
    assert!(
        get(server.addr, "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(get(server.addr, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(get(server.addr, "/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_dropped_component_no_longer_counts() {
    let health = Health::new();
    let store = health.component("store");
    assert!(!health.is_ready());
    drop(store);
    assert!(health.is_ready());
}

#[tokio::test]
async fn metrics_are_served_as_text() {
    let registry = Registry::new().with_process_metrics("1.2.3").unwrap();
    registry
        .counter::<()>("mailpods_test_total", "Help.", &[])
        .unwrap()
        .inc(());
    let server = start(&Health::new(), &registry).await;
    let answer = get(server.addr, "/metrics").await;
    assert!(answer.contains("mailpods_test_total 1"), "{answer}");
    assert!(
        answer.contains("mailpods_build_info{version=\"1.2.3\"} 1"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_server_ends_with_an_idle_connection_open() {
    let mut server = start(&Health::new(), &Registry::new()).await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    assert!(get(server.addr, "/livez").await.contains("ok"));
    server.stop.take().unwrap().send(()).unwrap();
    server.task.await.unwrap();
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_request_header_that_never_ends_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(20),
        ..ServeLimits::default()
    };
    let routes = router(Health::new(), Registry::new());
    let server = tokio::spawn(serve_router(
        listener,
        routes,
        limits,
        std::future::pending(),
    ));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    server.abort();
}
