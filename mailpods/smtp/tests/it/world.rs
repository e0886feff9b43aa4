//! A server with its store, and clients that talk to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::BytesMut;
use mailpods_net::tls::{MinimumVersion, ServerIdentity, self_signed};
use mailpods_net::{Connection, Stage, TlsClient, TlsServer, Trigger, shutdown};
use mailpods_plan::{Plan, PlanHandle, Protocol};
use mailpods_policy::Reason;
use mailpods_rpc::{Action, Scan, ScanError, ScanRequest, Verdict};
use mailpods_smtp::{Deps, Server};
use mailpods_store::directory::Directory;
use mailpods_store::queue::{QueueFilter, QueueItem};
use mailpods_store::sqlite::{Options, SqliteStore};
use mailpods_store::trace::{TraceEvent, TraceQuery};
use mailpods_store::{Store, TraceStore, UnixMillis};
use mailpods_telemetry::metrics::Registry;
use tempfile::TempDir;
use tokio::time::Instant;

/// The filter: says what it was told to, and remembers what it was asked.
#[derive(Default)]
pub struct Filter {
    pub verdict: Mutex<Option<Result<Verdict, ScanError>>>,
    pub asked: Mutex<Vec<ScanRequest>>,
}

pub fn verdict(action: Action, reason: Reason) -> Verdict {
    Verdict {
        action,
        reason,
        reply: None,
        results: Vec::new(),
        prepend: vec!["Authentication-Results: mx.example.test; none\r\n".into()],
        remove: Vec::new(),
    }
}

#[async_trait]
impl Scan for Filter {
    async fn scan(&self, request: ScanRequest) -> Result<Verdict, ScanError> {
        self.asked.lock().unwrap().push(request);
        let told = self.verdict.lock().unwrap().clone();
        told.unwrap_or_else(|| Ok(verdict(Action::Accept, Reason::Accepted)))
    }
}

#[derive(Default)]
pub struct Trace(pub Mutex<Vec<TraceEvent>>);

#[async_trait]
impl TraceStore for Trace {
    fn record(&self, event: TraceEvent) {
        self.0.lock().unwrap().push(event);
    }
    async fn events(
        &self,
        _: &TraceQuery,
        _: UnixMillis,
        _: usize,
    ) -> mailpods_store::Result<Vec<TraceEvent>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

pub struct World {
    pub server: Server,
    pub sqlite: SqliteStore,
    pub store: Store,
    pub filter: Arc<Filter>,
    pub trace: Arc<Trace>,
    pub registry: Registry,
    trigger: Trigger,
    _dir: TempDir,
}

impl World {
    pub async fn new() -> World {
        World::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Plan)) -> World {
        let mut plan = crate::fixture::plan();
        change(&mut plan);
        let dir = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(
            dir.path(),
            Options {
                free_reserve: 0,
                ..Options::default()
            },
        )
        .unwrap();
        let trace = Arc::new(Trace::default());
        let store = Store {
            trace: trace.clone(),
            ..sqlite.store()
        };
        let (plan, registry) = (PlanHandle::new(plan), Registry::new());
        let directory = Directory::open(&store, plan.clone(), &registry)
            .await
            .unwrap();
        let (trigger, shutdown) = shutdown::channel();
        let filter = Arc::new(Filter::default());
        let deps = Deps {
            plan: plan.clone(),
            store: store.clone(),
            directory,
            scan: filter.clone(),
            tls: tls(),
            shutdown,
        };
        let server = Server::new(deps, &registry).unwrap();
        World {
            server,
            sqlite,
            store,
            filter,
            trace,
            registry,
            trigger,
            _dir: dir,
        }
    }

    /// Opens a connection and waits for nothing.
    pub fn dial(&self, protocol: Protocol, from: &str) -> Peer {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (client, local) = (
            SocketAddr::new(from.parse().unwrap(), 4000),
            "127.0.0.1:25".parse().unwrap(),
        );
        let connection = Connection::from_io(far, client, local);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve(connection, protocol).await });
        Peer {
            connection: Connection::from_io(near, local, client),
            input: BytesMut::new(),
        }
    }

    /// A session with another server, after EHLO.
    pub async fn mx(&self) -> Peer {
        let mut peer = self.dial(Protocol::Smtp, "192.0.2.1");
        peer.expect("220").await;
        peer.ask("EHLO client.test", "250").await;
        peer
    }

    /// A submission session under TLS, logged in as `account`.
    pub async fn submit(&self, account: &str) -> Peer {
        let mut peer = self.dial(Protocol::Submission, "198.51.100.7");
        peer.expect("220").await;
        peer.ask("EHLO laptop.test", "250").await;
        peer.start_tls().await;
        peer.ask("EHLO laptop.test", "250").await;
        let secret = plain(account, "quickstart");
        peer.ask(&format!("AUTH PLAIN {secret}"), "235").await;
        peer
    }

    pub async fn queue(&self) -> Vec<QueueItem> {
        self.store
            .queue
            .list(&QueueFilter::default(), None, 100)
            .await
            .unwrap()
    }

    pub async fn body(&self, item: &QueueItem) -> String {
        String::from_utf8(
            self.store
                .mail
                .body(item.message.body)
                .await
                .unwrap()
                .to_vec(),
        )
        .unwrap()
    }

    /// Octets of the task of one session, buffers not counted.
    pub fn session_octets(&self) -> usize {
        let (_, far) = tokio::io::duplex(1);
        let local: SocketAddr = "127.0.0.1:25".parse().unwrap();
        size_of_val(
            &self
                .server
                .serve(Connection::from_io(far, local, local), Protocol::Smtp),
        )
    }

    pub fn drain(&self) {
        self.trigger.advance(Stage::Drain);
    }

    /// Reasons in the trace, in order.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.trace
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.reason)
            .collect()
    }
}

fn tls() -> TlsServer {
    let pem = self_signed(&["mx.example.test".into()], SystemTime::now(), 2).unwrap();
    TlsServer::new(
        ServerIdentity::from_pem(
            pem.chain.as_bytes(),
            pem.key.as_bytes(),
            MinimumVersion::default(),
        )
        .unwrap(),
    )
}

/// The initial response of PLAIN in base64.
pub fn plain(account: &str, password: &str) -> String {
    base64(format!("\0{account}\0{password}").as_bytes())
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in octets.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (place, octet)| {
            word | u32::from(*octet) << (16 - 8 * place)
        });
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

pub struct Peer {
    connection: Connection,
    input: BytesMut,
}

impl Peer {
    /// Says lines and expects one reply.
    pub async fn ask(&mut self, line: &str, code: &str) -> String {
        self.say(&format!("{line}\r\n")).await;
        self.expect(code).await
    }

    /// Says a line and gives the reply, whatever it is.
    pub async fn try_ask(&mut self, line: &str) -> String {
        self.say(&format!("{line}\r\n")).await;
        self.reply().await
    }

    pub async fn say(&mut self, text: &str) {
        self.connection.write_all(text.as_bytes()).await.unwrap();
        self.connection.flush().await.unwrap();
    }

    /// The next reply, which must begin so.
    pub async fn expect(&mut self, code: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(code), "wanted {code}, got {reply}");
        reply
    }

    async fn reply(&mut self) -> String {
        loop {
            if let Some(reply) = take_reply(&mut self.input) {
                return reply;
            }
            assert!(self.read().await > 0, "the server closed");
        }
    }

    async fn read(&mut self) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        self.connection
            .read_with_deadline(&mut self.input, deadline)
            .await
            .unwrap()
    }

    /// Waits for the end of the connection.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.read().await, 0, "{:?}", self.input);
    }

    pub async fn start_tls(&mut self) {
        self.ask("STARTTLS", "220").await;
        self.tls().await;
    }

    pub async fn tls(&mut self) {
        let client = TlsClient::opportunistic().unwrap();
        self.connection
            .start_tls_client("mx.example.test", &client, Duration::from_secs(30))
            .await
            .unwrap();
    }

    /// MAIL, RCPT, DATA and a message; gives the last reply.
    pub async fn send(
        &mut self,
        sender: &str,
        recipients: &[&str],
        message: &str,
        code: &str,
    ) -> String {
        self.ask(&format!("MAIL FROM:<{sender}>"), "250").await;
        for recipient in recipients {
            self.ask(&format!("RCPT TO:<{recipient}>"), "250").await;
        }
        self.ask("DATA", "354").await;
        self.ask(&format!("{message}\r\n."), code).await
    }
}

/// Cuts one whole reply off the input.
fn take_reply(input: &mut BytesMut) -> Option<String> {
    let text = std::str::from_utf8(input).unwrap();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if line.ends_with('\n') && line.as_bytes().get(3) != Some(&b'-') {
            return Some(String::from_utf8(input.split_to(end).to_vec()).unwrap());
        }
    }
    None
}
