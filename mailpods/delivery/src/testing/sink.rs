//! A server that does what a script says and tells what it was told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use mailpods_net::tls::{MinimumVersion, ServerIdentity, self_signed};
use mailpods_net::{Connection, TlsServer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

const LIMIT: Duration = Duration::from_secs(20);

/// What STARTTLS leads to.
#[derive(Clone)]
pub(crate) enum Tls {
    /// It is not offered.
    None,
    /// It is offered, and then the connection is closed.
    Broken,
    /// It works.
    Good(TlsServer),
    /// The connection is closed when the client has said hello under TLS.
    Cut(TlsServer),
}

impl Tls {
    pub(crate) fn good(host: &str) -> Self {
        let pem = self_signed(&[host.to_owned()], SystemTime::now(), 30).unwrap();
        let identity = ServerIdentity::from_pem(
            pem.chain.as_bytes(),
            pem.key.as_bytes(),
            MinimumVersion::Tls12,
        )
        .unwrap();
        Self::Good(TlsServer::new(identity))
    }
}

/// How the server behaves. Commands are answered by the first rule whose prefix fits; else with yes.
#[derive(Clone)]
pub(crate) struct Script {
    /// Empty: the server never says anything.
    pub(crate) greeting: &'static str,
    pub(crate) extensions: Vec<&'static str>,
    pub(crate) rules: Vec<(&'static str, &'static str)>,
    pub(crate) tls: Tls,
    /// Reply after the body; several lines for LMTP.
    pub(crate) after_body: &'static str,
    /// The connection is closed after this many messages.
    pub(crate) messages: usize,
    /// The reply after a body waits for a permit.
    pub(crate) gate: Option<Arc<Semaphore>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            greeting: "220 sink.test ESMTP",
            extensions: vec!["PIPELINING", "8BITMIME", "DSN", "SIZE 1000000"],
            rules: Vec::new(),
            tls: Tls::None,
            after_body: "250 2.0.0 taken",
            messages: usize::MAX,
            gate: None,
        }
    }
}

/// One message that the server took, with the commands since the one before.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) commands: Vec<String>,
    pub(crate) body: String,
    pub(crate) tls: bool,
}

impl Received {
    pub(crate) fn has(&self, command: &str) -> bool {
        self.commands.iter().any(|line| line.starts_with(command))
    }
}

/// Messages that are being taken, and the most at once so far.
#[derive(Default)]
struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A running server.
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    connections: Arc<AtomicUsize>,
    busy: Arc<Busy>,
    connected: mpsc::UnboundedReceiver<()>,
}

impl Sink {
    pub(crate) async fn start(script: Script) -> Self {
        Self::bind("127.0.0.1:0", script).await
    }

    pub(crate) async fn bind(addr: &str, script: Script) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let (hello, connected) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let busy = Arc::new(Busy::default());
        let shared = busy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = hello.send(());
                let connection = Connection::from_tcp(stream).unwrap();
                let mut peer = Peer::new(connection, script.clone(), sender.clone());
                peer.busy = shared.clone();
                tokio::spawn(peer.run());
            }
        });
        Self {
            addr,
            received,
            connections,
            busy,
            connected,
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Received {
        tokio::time::timeout(LIMIT, self.received.recv())
            .await
            .expect("no message came")
            .unwrap()
    }

    /// Waits for a connection.
    pub(crate) async fn connection(&mut self) {
        tokio::time::timeout(LIMIT, self.connected.recv())
            .await
            .expect("no connection came")
            .unwrap();
    }

    /// Messages that were on their way at once, at most.
    pub(crate) fn most(&self) -> usize {
        self.busy.most.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

struct Peer {
    connection: Connection,
    script: Script,
    sender: mpsc::UnboundedSender<Received>,
    input: BytesMut,
    commands: Vec<String>,
    messages: usize,
    busy: Arc<Busy>,
}

impl Peer {
    fn new(
        connection: Connection,
        script: Script,
        sender: mpsc::UnboundedSender<Received>,
    ) -> Self {
        Self {
            connection,
            script,
            sender,
            input: BytesMut::new(),
            commands: Vec::new(),
            messages: 0,
            busy: Arc::default(),
        }
    }

    async fn run(mut self) {
        if self.script.greeting.is_empty() {
            while self.line().await.is_some() {}
            return;
        }
        self.say(self.script.greeting).await;
        while let Some(line) = self.line().await {
            self.commands.push(line.clone());
            if !self.command(&line).await || self.messages >= self.script.messages {
                return;
            }
        }
    }

    async fn command(&mut self, line: &str) -> bool {
        let rule = self
            .script
            .rules
            .iter()
            .find(|(prefix, _)| line.starts_with(prefix))
            .map(|(_, reply)| *reply);
        match (rule, line.split(' ').next().unwrap_or_default()) {
            (Some(""), _) => return false,
            (Some(reply), _) => self.say(reply).await,
            (None, "EHLO" | "LHLO") => self.hello().await,
            (None, "STARTTLS") => return self.start_tls().await,
            (None, "DATA") => self.data().await,
            (None, "QUIT") => {
                self.say("221 bye").await;
                return false;
            }
            _ => self.say("250 2.0.0 yes").await,
        }
        true
    }

    async fn hello(&mut self) {
        let starttls = !matches!(self.script.tls, Tls::None) && !self.connection.is_tls();
        let mut words = vec!["sink.test"];
        words.extend(&self.script.extensions);
        words.extend(starttls.then_some("STARTTLS"));
        let last = words.len() - 1;
        let lines: Vec<String> = words
            .iter()
            .enumerate()
            .map(|(at, word)| format!("250{}{word}", if at == last { ' ' } else { '-' }))
            .collect();
        self.say(&lines.join("\r\n")).await;
    }

    async fn start_tls(&mut self) -> bool {
        self.say("220 go ahead").await;
        match self.script.tls.clone() {
            Tls::Good(server) => self.connection.start_tls(&server, LIMIT).await.is_ok(),
            Tls::Cut(server) => {
                let _ = self.connection.start_tls(&server, LIMIT).await;
                false
            }
            Tls::None | Tls::Broken => false,
        }
    }

    async fn data(&mut self) {
        let now = self.busy.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.busy.most.fetch_max(now, Ordering::SeqCst);
        self.say("354 go on").await;
        let mut body = String::new();
        while let Some(line) = self.line().await {
            if line == "." {
                break;
            }
            body.push_str(line.strip_prefix('.').unwrap_or(&line));
            body.push_str("\r\n");
        }
        let commands = std::mem::take(&mut self.commands);
        let tls = self.connection.is_tls();
        if let Some(gate) = &self.script.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.busy.now.fetch_sub(1, Ordering::SeqCst);
        self.say(self.script.after_body).await;
        self.messages += 1;
        let _ = self.sender.send(Received {
            commands,
            body,
            tls,
        });
    }

    async fn say(&mut self, text: &str) {
        let _ = self
            .connection
            .write_all(format!("{text}\r\n").as_bytes())
            .await;
        let _ = self.connection.flush().await;
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let line = self.input.split_to(end + 1);
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.connection.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}
