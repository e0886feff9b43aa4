//! A server with alice and bob, and clients that speak by transcript.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use mailpods_api::{DomainName, MailboxAddress};
use mailpods_imap::{Imap, ImapDeps, Metrics};
use mailpods_net::tls::{MinimumVersion, ServerIdentity, self_signed};
use mailpods_net::{Connection, Shutdown, TlsClient, TlsServer, Trigger, shutdown};
use mailpods_plan::*;
use mailpods_store::Store;
use mailpods_store::directory::Directory;
use mailpods_store::sqlite::{Options, open};
use mailpods_telemetry::metrics::Registry;

/// Nothing here takes long; a test that hangs should say where.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub plan: PlanHandle,
    pub trigger: Trigger,
    pub store: Store,
    server: Imap,
    dir: Arc<tempfile::TempDir>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(plan()).await
    }

    pub async fn with(plan: Plan) -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()), plan).await
    }

    /// Another server of the same store, as another process would be.
    pub async fn second(&self) -> Self {
        Self::on(Arc::clone(&self.dir), plan()).await
    }

    async fn on(dir: Arc<tempfile::TempDir>, plan: Plan) -> Self {
        let store = open(dir.path(), Options::default()).unwrap();
        Self::of(dir, store, PlanHandle::new(plan), "one").await
    }

    /// Another process on the same store.
    pub async fn other(&self, worker: &str) -> Self {
        Self::of(
            self.dir.clone(),
            self.store.clone(),
            self.plan.clone(),
            worker,
        )
        .await
    }

    async fn of(dir: Arc<tempfile::TempDir>, store: Store, plan: PlanHandle, worker: &str) -> Self {
        let registry = Registry::new();
        let directory = Directory::open(&store, plan.clone(), &registry)
            .await
            .unwrap();
        let (trigger, shutdown): (Trigger, Shutdown) = shutdown::channel();
        let pem = self_signed(&["mx.example.test".to_owned()], SystemTime::now(), 1).unwrap();
        let identity = ServerIdentity::from_pem(
            pem.chain.as_bytes(),
            pem.key.as_bytes(),
            MinimumVersion::Tls12,
        )
        .unwrap();
        let tls = TlsServer::new(identity);
        let metrics = Metrics::new(&registry).unwrap();
        let deps = ImapDeps {
            store: store.mail.clone(),
            scripts: store.scripts.clone(),
            tokens: store.tokens.clone(),
            upkeep: store.upkeep.clone(),
            locks: store.locks.clone(),
            worker: worker.to_owned(),
            directory,
            plan: plan.clone(),
            tls: Some(tls),
            metrics,
            shutdown,
        };
        let server = Imap::new(deps);
        Self {
            plan,
            trigger,
            store,
            server,
            dir,
        }
    }

    /// A connection without TLS, before the greeting.
    pub fn plain(&self) -> Client {
        self.connect(false)
    }

    /// Octets that one session's task takes beside what it allocates.
    pub fn session_octets(&self) -> usize {
        let (_, far) = tokio::io::duplex(64);
        let address = "192.0.2.1:993".parse().unwrap();
        size_of_val(
            &self
                .server
                .clone()
                .serve(Connection::from_io(far, address, address), true),
        )
    }

    fn connect(&self, implicit_tls: bool) -> Client {
        self.session(|role, far| async move { role.serve(far, implicit_tls).await })
    }

    /// A connection for POP3, before the greeting.
    pub fn pop3_connection(&self, implicit_tls: bool) -> Client {
        self.session(|role, far| async move { role.serve_pop3(far, implicit_tls).await })
    }

    /// A connection for ManageSieve, before the greeting.
    pub fn managesieve_connection(&self) -> Client {
        self.session(|role, far| async move { role.serve_managesieve(far).await })
    }

    fn session<S>(&self, serve: impl FnOnce(Imap, Connection) -> S) -> Client
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (client, server) = (
            "192.0.2.7:4000".parse().unwrap(),
            "192.0.2.1:993".parse().unwrap(),
        );
        let far = Connection::from_io(far, client, server);
        tokio::spawn(serve(self.server.clone(), far));
        Client {
            io: Connection::from_io(near, server, client),
            input: BytesMut::new(),
            deflate: None,
        }
    }

    /// A connection with TLS, behind the greeting.
    pub async fn secure(&self) -> Client {
        let mut client = self.connect(true);
        client.start_tls().await;
        let greeting = client.line().await;
        assert!(greeting.starts_with("* OK [CAPABILITY "), "{greeting}");
        client
    }

    /// A session of alice.
    pub async fn alice(&self) -> Client {
        self.login("alice").await
    }

    pub async fn login(&self, name: &str) -> Client {
        let mut client = self.secure().await;
        client
            .talk(&format!(
                "C: l LOGIN {name}@example.test quickstart\nS: l OK [CAPABILITY ..."
            ))
            .await;
        client
    }

    /// A session of alice in a mailbox.
    pub async fn selected(&self, mailbox: &str) -> Client {
        let mut client = self.alice().await;
        client.command(&format!("SELECT {mailbox}")).await;
        client
    }
}

pub struct Client {
    pub io: Connection,
    input: BytesMut,
    deflate: Option<(Compress, Decompress)>,
}

impl Client {
    pub async fn start_tls(&mut self) {
        let tls = TlsClient::opportunistic().unwrap();
        self.io
            .start_tls_client("mx.example.test", &tls, PATIENCE)
            .await
            .unwrap();
    }

    /// Compresses from here on.
    pub fn deflate(&mut self) {
        self.deflate = Some((
            Compress::new(Compression::best(), false),
            Decompress::new(false),
        ));
    }

    pub async fn send(&mut self, text: &str) {
        let mut octets = text.as_bytes().to_vec();
        if let Some((compress, _)) = &mut self.deflate {
            let mut out = Vec::with_capacity(octets.len() + 1024);
            compress
                .compress_vec(&octets, &mut out, FlushCompress::Sync)
                .unwrap();
            octets = out;
        }
        self.send_octets(&octets).await;
    }

    /// Sends octets as they are.
    pub async fn send_octets(&mut self, octets: &[u8]) {
        self.io.write_all(octets).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads some more; false at the end.
    async fn read(&mut self) -> bool {
        let mut raw = BytesMut::new();
        let read = tokio::time::timeout(PATIENCE, self.io.read_buf(&mut raw)).await;
        if !matches!(read.expect("the server has nothing to say"), Ok(count) if count > 0) {
            return false;
        }
        let Some((_, decompress)) = &mut self.deflate else {
            self.input.extend_from_slice(&raw);
            return true;
        };
        loop {
            let (before, mut out) = (decompress.total_in(), Vec::with_capacity(64 * 1024));
            decompress
                .decompress_vec(&raw, &mut out, FlushDecompress::Sync)
                .unwrap();
            let _ = raw.split_to((decompress.total_in() - before) as usize);
            self.input.extend_from_slice(&out);
            if out.is_empty() {
                return true;
            }
        }
    }

    /// The next line, without its end; `""` at the end of the stream.
    pub async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line = self.input.split_to(end + 2);
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            if !self.read().await {
                return String::new();
            }
        }
    }

    /// Runs a transcript.
    pub async fn talk(&mut self, transcript: &str) {
        for step in transcript
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty())
        {
            if let Some(line) = step.strip_prefix("C: ") {
                self.send(&format!("{line}\r\n")).await;
                continue;
            }
            let expected = step
                .strip_prefix("S:")
                .unwrap_or_else(|| panic!("neither C: nor S: {step}"));
            let expected = expected.strip_prefix(' ').unwrap_or(expected);
            let line = self.line().await;
            let fits = match expected.strip_suffix("...") {
                Some(start) => line.starts_with(start),
                None => line == expected,
            };
            assert!(
                fits,
                "\nexpected {expected:?}\n     got {line:?}\nin\n{transcript}"
            );
        }
    }

    /// Sends a command and returns all lines of its answer, the tagged one last.
    pub async fn command(&mut self, command: &str) -> Vec<String> {
        self.send(&format!("t {command}\r\n")).await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let last = line.starts_with("t ") || line.starts_with("* BYE");
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// Puts a message into a mailbox.
    pub async fn append(&mut self, mailbox: &str, flags: &str, message: &str) {
        let flags = if flags.is_empty() {
            String::new()
        } else {
            format!("{flags} ")
        };
        let lines = self
            .command(&format!(
                "APPEND {mailbox} {flags}{{{}+}}\r\n{message}",
                message.len()
            ))
            .await;
        assert!(
            lines.last().unwrap().starts_with("t OK [APPENDUID "),
            "{lines:?}"
        );
    }
}

pub fn address(text: &str) -> MailboxAddress {
    MailboxAddress::parse(text).unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub fn mailbox(account: &str, quota_octets: Option<u64>) -> Mailbox {
    Mailbox {
        address: address(account),
        enabled: true,
        credential: Some(Credential {
            kind: CredentialKind::Password,
            value: SecretText::new("quickstart".to_owned()),
        }),
        quota: QuotaRules {
            octets: quota_octets,
            ..QuotaRules::default()
        },
        folders: Vec::new(),
        send_as: Vec::new(),
        sieve: None,
    }
}

pub fn plan() -> Plan {
    let domain = Arc::new(Domain {
        name: name("example.test"),
        alias_names: Vec::new(),
        transport: Transport::Mailboxes,
        detail_separators: vec!['+'],
        detail_folders: false,
        quota: Default::default(),
        defaults: Default::default(),
        catch_all: None,
        dkim: Vec::new(),
        outbound_ips: Vec::new(),
        limits: None,
        sieve: Default::default(),
        mta_sts: None,
    });
    let mailboxes = [
        mailbox("alice@example.test", None),
        mailbox("bob@example.test", Some(2048)),
    ];
    Plan {
        digest: "digest".to_owned(),
        cluster: "test".to_owned(),
        hostname: name("mx.example.test"),
        listeners: Vec::new(),
        tls: TlsSettings::default(),
        dns: DnsSettings::default(),
        smtp: smtp(),
        submission: SubmissionSettings::default(),
        imap: ImapSettings {
            max_sessions: 10,
            max_sessions_per_account: 4,
            idle_timeout: Duration::from_secs(1800),
            max_append_octets: 1024 * 1024,
            text_index: true,
        },
        auth: AuthSettings {
            failures_per_account: 10,
            failures_per_client: 100,
            window: Duration::from_secs(600),
            ban: Duration::from_secs(3600),
            exempt: Vec::new(),
        },
        filter: filter(),
        outbound: outbound(),
        outbound_ips: Shared::default(),
        domains: BTreeMap::from([(domain.name.clone(), domain.clone())]).into(),
        names: HashMap::from([(name("example.test"), domain)]).into(),
        mailboxes: mailboxes
            .into_iter()
            .map(|mailbox| (mailbox.address.clone(), Arc::new(mailbox)))
            .collect(),
        aliases: Shared::default(),
        held: Shared::default(),
        shares: Shared::default(),
        records: Vec::new(),
        mailbox_defaults: Default::default(),
        sieve: Default::default(),
        shutdown_grace: Duration::ZERO,
    }
}

fn smtp() -> SmtpSettings {
    SmtpSettings {
        max_message_octets: 0,
        max_recipients: 0,
        max_messages: 0,
        max_commands: 0,
        max_errors: 0,
        max_text_line: 0,
        idle_timeout: Duration::ZERO,
        session_timeout: Duration::ZERO,
        max_sessions: 0,
        max_sessions_per_client: 0,
        connections_per_minute: 0,
        messages_per_minute: 0,
        limit_exempt: Vec::new(),
        max_received: 0,
        bare_newline: BareNewline::Reject,
        bare_newline_exempt: Vec::new(),
        over_quota: OverQuota::Defer,
        max_octets_in_flight: 1024 * 1024,
    }
}

fn filter() -> FilterSettings {
    FilterSettings {
        dkim_min_rsa_bits: 0,
        dkim_max_signatures: 0,
        dmarc_honour: true,
        arc_trusted_sealers: Vec::new(),
        reverse_dns: ReverseDnsPolicy::Record,
        timeout: Duration::ZERO,
    }
}

fn outbound() -> OutboundSettings {
    OutboundSettings {
        retry_initial: Duration::ZERO,
        retry_max: Duration::ZERO,
        max_age: Duration::ZERO,
        max_age_bounce: Duration::ZERO,
        delay_warning: None,
        concurrency: 0,
        concurrency_per_destination: 0,
        messages_per_connection: 0,
        smart_host: None,
        port: 25,
        postmaster: None,
        ip_family: IpFamily::Both,
        timeouts: OutboundTimeouts::default(),
        ..OutboundSettings::default()
    }
}
