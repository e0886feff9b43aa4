//! Listeners, PROXY headers, counting and the connector over loopback.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use mailpods_net::listener::BindError;
use mailpods_net::proxy::Sources;
use mailpods_net::shutdown::channel;
use mailpods_net::tls::{MinimumVersion, ServerIdentity, self_signed};
use mailpods_net::{
    ConnectError, Connection, Connections, Connector, Listener, ListenerOptions, Stage, TlsClient,
    TlsServer, Tracker, Trigger, client_prefix,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

const LIMIT: Duration = Duration::from_secs(20);

fn options() -> ListenerOptions {
    ListenerOptions::new("smtp", "127.0.0.1:0".parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

struct Running {
    addr: SocketAddr,
    trigger: Trigger,
    tracker: Tracker,
    sessions: mpsc::UnboundedReceiver<Connection>,
    task: tokio::task::JoinHandle<()>,
}

/// Every session hands its connection over and ends.
fn start(options: ListenerOptions) -> Running {
    let (trigger, shutdown) = channel();
    let tracker = Tracker::new();
    let (sender, sessions) = mpsc::unbounded_channel();
    let listener = Listener::bind(options).unwrap();
    let addr = listener.local_addr();
    let task = tokio::spawn(listener.run(shutdown, tracker.clone(), move |connection| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(connection);
        }
    }));
    Running {
        addr,
        trigger,
        tracker,
        sessions,
        task,
    }
}

async fn read_text(connection: &mut Connection) -> String {
    let mut buf = BytesMut::new();
    connection.read_buf(&mut buf).await.unwrap();
    String::from_utf8(buf.to_vec()).unwrap()
}

#[tokio::test]
async fn a_session_sees_the_client_and_its_input() {
    let mut running = start(options());
    let mut client = TcpStream::connect(running.addr).await.unwrap();
    client
        .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        .await
        .unwrap();
    let mut session = running.sessions.recv().await.unwrap();
    assert_eq!(session.peer(), client.local_addr().unwrap());
    // Nobody is listed, so the header is the protocol's own problem.
    assert!(read_text(&mut session).await.starts_with("PROXY TCP4"));
}

#[tokio::test]
async fn a_listed_proxy_names_the_client() {
    let mut running = start(ListenerOptions {
        proxy_sources: Sources::new(&[(ip("127.0.0.0"), 8)]),
        ..options()
    });
    let mut proxy = TcpStream::connect(running.addr).await.unwrap();
    proxy
        .write_all(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\nEHLO x\r\n")
        .await
        .unwrap();
    let mut session = running.sessions.recv().await.unwrap();
    assert_eq!(session.peer(), "192.0.2.1:56324".parse().unwrap());
    assert_eq!(session.local(), "198.51.100.2:25".parse().unwrap());
    assert_eq!(session.via(), Some(proxy.local_addr().unwrap()));
    assert_eq!(read_text(&mut session).await, "EHLO x\r\n");
}

#[tokio::test]
async fn a_local_header_keeps_the_proxys_own_address() {
    let mut running = start(ListenerOptions {
        proxy_sources: Sources::new(&[(ip("127.0.0.1"), 32)]),
        ..options()
    });
    let mut proxy = TcpStream::connect(running.addr).await.unwrap();
    proxy
        .write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00")
        .await
        .unwrap();
    let session = running.sessions.recv().await.unwrap();
    assert_eq!(session.peer(), proxy.local_addr().unwrap());
    assert_eq!(session.via(), None);
}

#[tokio::test]
async fn a_listed_proxy_without_a_header_is_dropped() {
    let sources = Sources::new(&[(ip("127.0.0.1"), 32)]);
    let mut running = start(ListenerOptions {
        proxy_sources: sources,
        proxy_timeout: Duration::from_millis(20),
        ..options()
    });
    let mut talker = TcpStream::connect(running.addr).await.unwrap();
    talker.write_all(b"EHLO x\r\n").await.unwrap();
    let mut silent = TcpStream::connect(running.addr).await.unwrap();
    let mut rest = Vec::new();
    for stream in [&mut talker, &mut silent] {
        // The end, or a reset because input was left unread.
        let _ = stream.read_to_end(&mut rest).await;
    }
    assert!(rest.is_empty());
    running.tracker.idle().await;
    assert!(running.sessions.try_recv().is_err());
}

#[tokio::test]
async fn implicit_tls_works_behind_a_proxy_and_starttls_drops_what_was_sent_before() {
    let pem = self_signed(&["a.test".to_owned()], SystemTime::now(), 30).unwrap();
    let identity = ServerIdentity::from_pem(
        pem.chain.as_bytes(),
        pem.key.as_bytes(),
        MinimumVersion::Tls12,
    )
    .unwrap();
    let tls = TlsServer::new(identity);
    let mut running = start(ListenerOptions {
        proxy_sources: Sources::new(&[(ip("127.0.0.1"), 32)]),
        ..options()
    });
    for (starttls, injected) in [(false, &b""[..]), (true, b"STARTTLS\r\nNOOP injected\r\n")] {
        let mut client = Connector::direct()
            .connect(running.addr, None, LIMIT)
            .await
            .unwrap();
        let mut first = b"PROXY UNKNOWN\r\n".to_vec();
        first.extend(injected);
        client.write_all(&first).await.unwrap();
        let mut session = running.sessions.recv().await.unwrap();
        let serve = async {
            if starttls {
                let mut command = [0; 10];
                session.read_exact(&mut command).await.unwrap();
                session.start_tls(&tls, LIMIT).await.unwrap();
            } else {
                session.accept_tls(&tls, LIMIT).await.unwrap();
            }
            read_text(&mut session).await
        };
        let drive = async {
            client
                .start_tls_client("a.test", &TlsClient::opportunistic().unwrap(), LIMIT)
                .await
                .unwrap();
            client.write_all(b"EHLO x\r\n").await.unwrap();
            client.flush().await.unwrap();
        };
        let (received, ()) = tokio::join!(serve, drive);
        assert_eq!(received, "EHLO x\r\n");
    }
}

#[tokio::test]
async fn at_the_limit_a_client_is_told_so() {
    let sessions = Arc::new(Semaphore::new(1));
    let permit = sessions.clone().acquire_owned().await.unwrap();
    let mut running = start(ListenerOptions {
        sessions,
        busy_reply: Some(b"421 4.3.2 Busy\r\n"),
        ..options()
    });
    let mut client = TcpStream::connect(running.addr).await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert_eq!(reply, "421 4.3.2 Busy\r\n");
    drop(permit);
    let _client = TcpStream::connect(running.addr).await.unwrap();
    assert!(running.sessions.recv().await.is_some());
}

#[tokio::test]
async fn without_a_busy_reply_a_client_waits_for_its_turn() {
    let sessions = Arc::new(Semaphore::new(1));
    let permit = sessions.clone().acquire_owned().await.unwrap();
    let mut running = start(ListenerOptions {
        sessions,
        ..options()
    });
    let _client = TcpStream::connect(running.addr).await.unwrap();
    tokio::task::yield_now().await;
    assert!(running.sessions.try_recv().is_err());
    drop(permit);
    assert!(running.sessions.recv().await.is_some());
}

#[tokio::test]
async fn a_stopped_listener_frees_its_port() {
    let running = start(options());
    running.trigger.advance(Stage::StopAccepting);
    running.task.await.unwrap();
    assert!(Listener::bind(ListenerOptions::new("again", running.addr)).is_ok());
}

#[tokio::test]
async fn a_bind_error_says_which_listener_and_what_to_do() {
    let taken = Listener::bind(options()).unwrap();
    let error = Listener::bind(ListenerOptions::new("submission", taken.local_addr())).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    let text = error.to_string();
    let wanted = format!(
        "listener `submission` on {}: the address is in use; stop",
        taken.local_addr()
    );
    assert!(
        text.contains(&wanted) && text.contains("ss -ltnp"),
        "{text}"
    );
    let elsewhere =
        Listener::bind(ListenerOptions::new("mx", "192.0.2.1:0".parse().unwrap())).unwrap_err();
    assert!(
        matches!(elsewhere, BindError::NoSuchAddress { .. }),
        "{elsewhere}"
    );
}

#[test]
fn clients_are_counted_by_prefix_while_connected() {
    let connections = Connections::new();
    let first = connections.enter(ip("2001:db8::1"), 2).unwrap();
    let second = connections.enter(ip("2001:db8::ffff"), 2).unwrap();
    assert!(connections.enter(ip("2001:db8:0:0:7::"), 2).is_none());
    let other = connections.enter(ip("2001:db8:0:1::1"), 2).unwrap();
    assert_eq!(
        (connections.open(ip("2001:db8::5")), connections.clients()),
        (2, 2)
    );
    drop(first);
    assert!(connections.enter(ip("2001:db8::1"), 2).is_some());
    drop((second, other));
    assert_eq!(connections.clients(), 0);
    assert_eq!(client_prefix(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    assert!(connections.enter(ip("192.0.2.1"), 0).is_none());
}

#[tokio::test]
async fn a_connector_tells_our_faults_from_theirs() {
    let listener = Listener::bind(options()).unwrap();
    let addr = listener.local_addr();
    let connector = Connector::direct();
    let connection = connector
        .connect(addr, Some(ip("127.0.0.1")), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        (connection.peer(), connection.local().ip()),
        (addr, ip("127.0.0.1"))
    );

    let source = connector
        .connect(addr, Some(ip("192.0.2.1")), LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(source, ConnectError::Source { .. }) && source.is_local(),
        "{source:?}"
    );
    let family = connector
        .connect(addr, Some(ip("::1")), LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(family, ConnectError::Family { .. }) && family.is_local());
    drop(listener);
    let refused = connector.connect(addr, None, LIMIT).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Connect { .. }) && !refused.is_local(),
        "{refused:?}"
    );
}
