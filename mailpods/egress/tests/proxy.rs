//! The role over loopback, asked by delivery's client and by others. Every address of 127.0.0.0/8 is on this machine.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use mailpods_egress::{Egress, Metrics, Rules, RulesHandle, Token, watch};
use mailpods_net::shutdown::channel;
use mailpods_net::socks::{self, EgressError, Proxy, Reply};
use mailpods_net::tls::{MinimumVersion, Pem, ServerIdentity, self_signed};
use mailpods_net::{
    ConnectError, Connection, Connector, Listener, ListenerOptions, Stage, TlsClient, TlsServer,
    Tracker, Trigger,
};
use mailpods_plan::OutboundTimeouts;
use mailpods_telemetry::metrics::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

const LIMIT: Duration = Duration::from_secs(20);
const SECRET: &[u8] = b"a token of the pods";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A proxy that opens connections from some addresses to some ports.
struct Server {
    address: SocketAddr,
    pem: Pem,
    rules: RulesHandle,
    trigger: Trigger,
    tracker: Tracker,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(sources: &[&str], ports: &[u16]) -> Self {
        Self::patient(sources, ports, LIMIT).await
    }

    async fn patient(sources: &[&str], ports: &[u16], patience: Duration) -> Self {
        let pem = self_signed(&["127.0.0.1".to_owned()], SystemTime::now(), 30).unwrap();
        Self::with(pem, sources, ports, patience)
    }

    fn with(pem: Pem, sources: &[&str], ports: &[u16], patience: Duration) -> Self {
        Self::built(pem, rules(sources, ports), |egress| {
            egress.with_patience(patience)
        })
    }

    fn built(pem: Pem, rules: Rules, with: impl Fn(Egress) -> Egress) -> Self {
        let identity = ServerIdentity::from_pem(
            pem.chain.as_bytes(),
            pem.key.as_bytes(),
            MinimumVersion::Tls13,
        );
        let rules = RulesHandle::new(rules);
        let egress = Egress::new(
            TlsServer::new(identity.unwrap()),
            Token::new(Zeroizing::new(SECRET.to_vec())),
            rules.clone(),
            &Registry::new(),
        );
        let egress = with(egress.unwrap());
        let options = ListenerOptions::new("egress", "127.0.0.1:0".parse().unwrap());
        let listener = Listener::bind(options).unwrap();
        let address = listener.local_addr();
        let ((trigger, shutdown), tracker) = (channel(), Tracker::new());
        let task = tokio::spawn(egress.serve(listener, shutdown, tracker.clone()));
        Self {
            address,
            pem,
            rules,
            trigger,
            tracker,
            task,
        }
    }

    fn place(&self) -> (String, u16) {
        (self.address.ip().to_string(), self.address.port())
    }

    fn tls(&self) -> TlsClient {
        TlsClient::of_authority(self.pem.chain.as_bytes()).unwrap()
    }

    fn proxy(&self, token: &[u8]) -> Proxy {
        let token = Zeroizing::new(token.to_vec());
        Proxy::new(vec![self.place()], self.tls(), token).unwrap()
    }

    /// A client that has come through TLS and says what it likes.
    async fn stranger(&self) -> Connection {
        let connection = Connector::direct().connect(self.address, None, LIMIT).await;
        let mut connection = connection.unwrap();
        let tls = self.tls();
        let started = connection.start_tls_client("127.0.0.1", &tls, LIMIT);
        started.await.unwrap();
        connection
    }

    /// As a process that is killed: what is open breaks.
    async fn kill(self) {
        self.trigger.advance(Stage::StopAccepting);
        self.task.await.unwrap();
        self.tracker.finish(&self.trigger, Duration::ZERO).await;
    }
}

fn rules(sources: &[&str], ports: &[u16]) -> Rules {
    let sources: BTreeSet<IpAddr> = sources.iter().map(|source| ip(source)).collect();
    let ports = ports.iter().copied().collect();
    Rules::new(sources, ports, &OutboundTimeouts::default())
}

/// A mail server of sorts.
async fn target() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accepted(listener: &TcpListener) -> (TcpStream, IpAddr) {
    let (stream, peer) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    (stream, peer.ip())
}

/// What comes until the other side has ended.
async fn rest(connection: &mut Connection) -> Vec<u8> {
    let mut octets = BytesMut::new();
    let deadline = Instant::now() + LIMIT;
    while let Ok(1..) = connection.read_with_deadline(&mut octets, deadline).await {}
    octets.to_vec()
}

#[tokio::test]
async fn connections_come_from_the_address_that_is_named() {
    let (listener, to) = target().await;
    let server = Server::start(&["127.0.0.2", "127.0.0.3"], &[to.port()]).await;
    let proxy = server.proxy(SECRET);
    for source in ["127.0.0.2", "127.0.0.3"] {
        let mail_server = async {
            let (mut stream, peer) = accepted(&listener).await;
            // The server speaks first.
            stream.write_all(b"220 hello\r\n").await.unwrap();
            let mut read = Vec::new();
            // Half of the connection ends, the other half goes on.
            stream.read_to_end(&mut read).await.unwrap();
            stream.write_all(b"221 bye\r\n").await.unwrap();
            (peer, read)
        };
        let delivery = async {
            let connected = proxy.connect(to, ip(source), LIMIT).await;
            let mut connection = connected.unwrap();
            assert_eq!(
                (connection.peer(), connection.local().ip()),
                (to, ip(source))
            );
            let sent = vec![b'x'; 1_000_000];
            connection.write_all(&sent).await.unwrap();
            connection.flush().await.unwrap();
            connection.shutdown().await.unwrap();
            rest(&mut connection).await
        };
        let ((peer, read), answered) = tokio::join!(mail_server, delivery);
        assert_eq!((peer, read.len()), (ip(source), 1_000_000));
        assert_eq!(answered, b"220 hello\r\n221 bye\r\n");
        assert!(proxy.has(ip(source)).await.unwrap());
    }
}

#[tokio::test]
async fn each_failure_has_its_own_error() {
    let (listener, to) = target().await;
    // 192.0.2.9 is for documentation: no machine has it.
    let server = Server::start(&["127.0.0.2", "192.0.2.9"], &[to.port()]).await;
    let proxy = server.proxy(SECRET);
    let connect = async |source: &str, to| proxy.connect(to, ip(source), LIMIT).await.unwrap_err();
    for source in ["192.0.2.9", "127.0.0.4"] {
        let error = connect(source, to).await;
        assert!(
            matches!(error, ConnectError::Absent { .. }) && error.is_of_source(),
            "{error}"
        );
        assert!(!proxy.has(ip(source)).await.unwrap());
    }
    let other: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let error = connect("127.0.0.2", other).await;
    assert!(
        error.to_string().contains("127.0.0.1:9") && !error.is_local(),
        "{error}"
    );
    let ConnectError::Connect { error, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    let error = connect("127.0.0.2", "[::1]:25".parse().unwrap()).await;
    assert!(matches!(error, ConnectError::Family { .. }), "{error}");
    drop(listener);
    let error = connect("127.0.0.2", to).await;
    let ConnectError::Connect { error, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    server.kill().await;
    let error = connect("127.0.0.2", to).await;
    assert!(
        matches!(error, ConnectError::Egress { .. }) && error.is_of_source(),
        "{error}"
    );
    let error = proxy.has(ip("127.0.0.2")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Egress { .. }), "{error}");
}

#[tokio::test]
async fn without_the_token_and_the_authority_there_is_nothing() {
    let (_listener, to) = target().await;
    let server = Server::start(&["127.0.0.2"], &[to.port()]).await;
    for token in [&b"b token of the pods"[..], b"a", &[b'a'; 255]] {
        let error = server.proxy(token).has(ip("127.0.0.2")).await.unwrap_err();
        let refused = matches!(&error, ConnectError::Egress { error, .. } if matches!(**error, EgressError::Token(_)));
        assert!(refused, "{error:?}");
    }
    let other = self_signed(&["127.0.0.1".to_owned()], SystemTime::now(), 30).unwrap();
    let tls = TlsClient::of_authority(other.chain.as_bytes()).unwrap();
    let proxy = Proxy::new(vec![server.place()], tls, Zeroizing::new(SECRET.to_vec())).unwrap();
    let error = proxy.has(ip("127.0.0.2")).await.unwrap_err();
    let refused = matches!(&error, ConnectError::Egress { error, .. } if matches!(**error, EgressError::Tls(..)));
    assert!(refused, "{error:?}");
    // The right one is taken while it runs.
    proxy
        .swap(server.tls(), Zeroizing::new(SECRET.to_vec()))
        .unwrap();
    assert!(proxy.has(ip("127.0.0.2")).await.unwrap());
    assert!(
        Proxy::new(
            vec![server.place()],
            server.tls(),
            Zeroizing::new(Vec::new())
        )
        .is_err()
    );
}

#[tokio::test]
async fn the_proxy_that_has_the_address_is_found_and_another_one_takes_over() {
    let (listener, to) = target().await;
    let pem = self_signed(&["127.0.0.1".to_owned()], SystemTime::now(), 30).unwrap();
    let server = |sources: &[&str]| Server::with(pem.clone(), sources, &[to.port()], LIMIT);
    let (one, two) = (server(&["127.0.0.2"]), server(&["127.0.0.3"]));
    let places = vec![one.place(), two.place()];
    let token = Zeroizing::new(SECRET.to_vec());
    let proxy = Proxy::new(places, one.tls(), token).unwrap();
    for source in ["127.0.0.3", "127.0.0.2", "127.0.0.3"] {
        let connected = proxy.connect(to, ip(source), LIMIT);
        let (connected, (_, peer)) = tokio::join!(connected, accepted(&listener));
        connected.unwrap();
        assert_eq!(peer, ip(source));
    }
    two.kill().await;
    // The one that is left says that it is not there, which is what counts.
    let error = proxy.connect(to, ip("127.0.0.3"), LIMIT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Absent { .. }), "{error}");
    // One that does not answer is asked no more while another one knows: the next is told at once, whatever time it would take.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = silent.local_addr().unwrap();
    let places = vec![one.place(), (place.ip().to_string(), place.port())];
    let token = Zeroizing::new(SECRET.to_vec());
    let waiting = Proxy::new(places, one.tls(), token).unwrap();
    for _ in 0..3 {
        assert!(!waiting.has(ip("127.0.0.3")).await.unwrap());
    }
    accepted(&silent).await;
    assert!(
        timeout(Duration::from_millis(10), silent.accept())
            .await
            .is_err()
    );
    // The address moves.
    one.rules
        .swap(rules(&["127.0.0.2", "127.0.0.3"], &[to.port()]));
    let connected = proxy.connect(to, ip("127.0.0.3"), LIMIT);
    let (connected, (_, peer)) = tokio::join!(connected, accepted(&listener));
    connected.unwrap();
    assert_eq!(peer, ip("127.0.0.3"));
}

#[tokio::test]
async fn what_is_no_socks_is_turned_away_at_once() {
    let server = Server::start(&["127.0.0.2"], &[25]).await;
    for (said, answered) in [
        (&b"\x04\x01"[..], &b""[..]),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        // Nothing but a log-in will do.
        (b"\x05\x01\x00", b"\x05\xff"),
        (b"\x05\x01\x02\x05", b"\x05\x02"),
        (b"\x05\x01\x02\x01\x04nope\x01a", b"\x05\x02\x01\x01"),
        // No address is no user.
        (
            b"\x05\x01\x02\x01\x04nope\x13a token of the pods",
            b"\x05\x02\x01\x01",
        ),
    ] {
        let mut client = server.stranger().await;
        client.write_all(said).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(rest(&mut client).await, answered, "{said:?}");
    }
}

#[tokio::test]
async fn only_connect_to_an_address_is_done() {
    let server = Server::start(&["127.0.0.2"], &[25]).await;
    let log_in = socks::encode_credentials(ip("127.0.0.2"), SECRET).unwrap();
    for (request, reply) in [
        (&b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x19"[..], Reply::CommandNotSupported),
        (b"\x05\x01\x00\x03\x01a\x00\x19", Reply::AddressTypeNotSupported),
        (b"\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x19", Reply::SourceFamily),
        (b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x16", Reply::NotAllowed),
    ] {
        let mut client = server.stranger().await;
        // All at once is allowed: nothing waits for an answer that is certain.
        let said = [&socks::encode_greeting()[..], &log_in, request].concat();
        client.write_all(&said).await.unwrap();
        client.flush().await.unwrap();
        let answered = rest(&mut client).await;
        let (said, _) = socks::reply(&answered[4..]).unwrap().unwrap();
        assert_eq!(said.0, reply);
    }
}

#[tokio::test]
async fn whoever_is_slow_is_cut_off() {
    let patience = Duration::from_millis(100);
    let server = Server::patient(&["127.0.0.2"], &[25], patience).await;
    for said in [
        &b""[..],
        b"\x05",
        b"\x05\xff\x00",
        b"\x05\x01\x02\x01\xff127",
    ] {
        let mut client = server.stranger().await;
        client.write_all(said).await.unwrap();
        client.flush().await.unwrap();
        assert!(rest(&mut client).await.len() <= 2);
    }
    // Not even TLS.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut read = Vec::new();
    timeout(LIMIT, silent.read_to_end(&mut read))
        .await
        .unwrap()
        .ok();
    assert!(read.is_empty());
}

#[tokio::test]
async fn strangers_are_few_and_do_not_keep_those_out_who_are_logged_in() {
    let (listener, to) = target().await;
    let server = Server::start(&["127.0.0.2"], &[to.port()]).await;
    let proxy = server.proxy(SECRET);
    let (connected, (mut stream, _)) = tokio::join!(
        proxy.connect(to, ip("127.0.0.2"), LIMIT),
        accepted(&listener)
    );
    let mut connected = connected.unwrap();
    let mut strangers = Vec::new();
    // 64 of one client may wait.
    for _ in 0..64 {
        strangers.push(server.stranger().await);
    }
    let mut more = TcpStream::connect(server.address).await.unwrap();
    let mut read = Vec::new();
    timeout(LIMIT, more.read_to_end(&mut read))
        .await
        .unwrap()
        .ok();
    assert!(read.is_empty());
    // What is open goes on.
    stream.write_all(b"220 still here\r\n").await.unwrap();
    drop(stream);
    assert_eq!(rest(&mut connected).await, b"220 still here\r\n");
    drop(strangers);
}

#[tokio::test]
async fn where_the_network_translates_the_pods_address_is_what_connections_come_from() {
    let (listener, to) = target().await;
    let pem = self_signed(&["127.0.0.1".to_owned()], SystemTime::now(), 30).unwrap();
    // No interface has 192.0.2.9; a network that translates is not here, so that the address of the machine is what is seen.
    let all = rules(&["192.0.2.9", "127.0.0.2"], &[to.port()]);
    let mine = all.only(ip("192.0.2.9"), true);
    assert_eq!(mine.sources, [ip("192.0.2.9")].into());
    let server = Server::built(pem, mine, |egress| egress);
    let proxy = server.proxy(SECRET);
    assert!(proxy.has(ip("192.0.2.9")).await.unwrap());
    assert!(!proxy.has(ip("127.0.0.2")).await.unwrap());
    // From an address of the Internet nothing leads to this machine, translated or not.
    let error = proxy.connect(to, ip("192.0.2.9"), LIMIT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    server
        .rules
        .swap(rules(&["127.0.0.9"], &[to.port()]).only(ip("127.0.0.9"), true));
    let connected = proxy.connect(to, ip("127.0.0.9"), LIMIT);
    let (connected, (_, peer)) = tokio::join!(connected, accepted(&listener));
    connected.unwrap();
    assert_eq!(peer, ip("127.0.0.1"));
}

#[tokio::test]
async fn one_that_has_no_room_says_so_and_another_one_is_asked() {
    let (listener, to) = target().await;
    let pem = self_signed(&["127.0.0.1".to_owned()], SystemTime::now(), 30).unwrap();
    let start = |room: usize| {
        let rules = rules(&["127.0.0.2"], &[to.port()]);
        Server::built(pem.clone(), rules, |egress| egress.with_room(room))
    };
    let (small, large) = (start(1), start(10));
    let proxy = small.proxy(SECRET);
    let connect = |proxy| async move {
        let proxy: &Proxy = proxy;
        proxy.connect(to, ip("127.0.0.2"), LIMIT).await
    };
    let (first, _there) = tokio::join!(connect(&proxy), accepted(&listener));
    let first = first.unwrap();
    let error = connect(&proxy).await.unwrap_err();
    let busy = matches!(&error, ConnectError::Egress { error, .. } if matches!(**error, EgressError::Reply(_, Reply::Busy)));
    assert!(busy, "{error:?}");
    let token = Zeroizing::new(SECRET.to_vec());
    let both = Proxy::new(vec![small.place(), large.place()], small.tls(), token).unwrap();
    let (second, _there) = tokio::join!(connect(&both), accepted(&listener));
    second.unwrap();
    drop(first);
}

#[tokio::test]
async fn the_addresses_of_the_node_are_told_as_they_come_and_go() {
    let rules_now = RulesHandle::new(rules(&["127.0.0.2", "192.0.2.9"], &[25]));
    let metrics = std::sync::Arc::new(Metrics::new(&Registry::new()).unwrap());
    let (sender, mut seen) = tokio::sync::watch::channel(BTreeSet::new());
    tokio::spawn(watch(rules_now.clone(), metrics, sender));
    let here = timeout(LIMIT, seen.wait_for(|seen| !seen.is_empty())).await;
    assert_eq!(*here.unwrap().unwrap(), [ip("127.0.0.2")].into());
    rules_now.swap(rules(&["127.0.0.3"], &[25]));
    let here = timeout(LIMIT, seen.wait_for(|seen| seen.contains(&ip("127.0.0.3")))).await;
    assert_eq!(*here.unwrap().unwrap(), [ip("127.0.0.3")].into());
}
