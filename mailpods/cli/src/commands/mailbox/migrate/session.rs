//! A connection to the IMAP server that mail comes from.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use mailpods_imap_proto::client::data::argument;
use mailpods_imap_proto::client::{
    Condition, ReplyError, ReplyLimits, Response, ResponseReader, StatusReply, Value,
};
use mailpods_net::Connection;
use mailpods_net::connect::{ConnectError, Connector};
use mailpods_net::tls::{TlsClient, TlsError};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::from::Server;
use super::login::LogIn;
use super::meter::Meter;

/// Octets of a response without its literals: a SEARCH of a million messages.
const MAX_TEXT: usize = 16 << 20;
/// Continuations of one command that nobody asked for.
const MAX_CONTINUED: usize = 10;
/// Room made for what is read at once.
const READ: usize = 16 << 10;
/// How long a name is looked up, a connection opened, TLS begun.
const CONNECT: Duration = Duration::from_secs(20);

/// Why the source does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("failed to look up {host}")]
    Name {
        host: String,
        source: std::io::Error,
    },
    #[error("failed to connect")]
    Connect(#[from] ConnectError),
    #[error(
        "failed to set up TLS with {host} (imaps:// is TLS from the start, imap:// is STARTTLS; --ca-file trusts more certificates)"
    )]
    Tls { host: String, source: TlsError },
    #[error("{0} offers no STARTTLS, and passwords are not sent in clear text")]
    NoTls(String),
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server was silent for {0} s")]
    Silent(u64),
    #[error("the server sent {octets} octets in {seconds} s, and was not done")]
    Slow { octets: u64, seconds: u64 },
    #[error("the server sent more than {0} octets to one command")]
    Endless(u64),
    #[error("the server waits for more of a command that is whole")]
    Continues,
    #[error("the server says goodbye: {0}")]
    Bye(String),
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error("the log-in failed: {0}")]
    LogIn(String),
    #[error("the server is busy: {0}")]
    Busy(String),
    #[error("the server failed at {command}: {text}")]
    Bug { command: &'static str, text: String },
    #[error("the server refused {command}: {text}")]
    Refused { command: &'static str, text: String },
    #[error("the server tells of more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("the server cannot be told the name of {0:?}: it has no LITERAL+")]
    Name8Bit(String),
    #[error("the server gives no UIDVALIDITY")]
    NoValidity,
    #[error("the server told of {found} messages of {exists}, and nothing may be missing")]
    Incomplete { found: usize, exists: u32 },
}

impl SourceError {
    /// Whether the same may work later, on a new connection.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Io(_) | Self::Closed | Self::Bye(_) | Self::Busy(_) => true,
            Self::Silent(_) | Self::Slow { .. } | Self::Bug { .. } => true,
            Self::Name { .. } | Self::Incomplete { .. } => true,
            Self::Tls { source, .. } => !matches!(source, TlsError::Certificate(_)),
            _ => false,
        }
    }

    /// Whether a message may be why, when one is fetched.
    pub fn is_of_message(&self) -> bool {
        matches!(
            self,
            Self::Io(_)
                | Self::Closed
                | Self::Bye(_)
                | Self::Silent(_)
                | Self::Slow { .. }
                | Self::Bug { .. }
                | Self::Endless(_)
                | Self::Reply(_)
        )
    }
}

/// How connections are made.
#[derive(Clone)]
pub struct Dial {
    pub tls: TlsClient,
    /// No TLS at all; for loopback.
    pub plain: bool,
    /// Silence that is waited for.
    pub patience: Duration,
    /// Octets of the largest message.
    pub max_message: u64,
}

/// A connection that is logged in.
pub struct Session {
    connection: Connection,
    reader: ResponseReader,
    meter: Meter,
    /// Octets that the next answer is expected to have.
    expected: u64,
    tags: u32,
    pub(super) capabilities: BTreeSet<String>,
    /// The server's ID tells that it is Dovecot.
    pub is_dovecot: bool,
}

impl Session {
    /// Connects, begins TLS, logs in.
    pub async fn open(server: &Server, login: &LogIn, dial: &Dial) -> Result<Self, SourceError> {
        let connection = connect(server, dial).await?;
        let mut session = Self {
            connection,
            reader: ResponseReader::new(ReplyLimits {
                text: MAX_TEXT,
                literals: dial.max_message,
            }),
            meter: Meter::new(dial.patience, Instant::now()),
            expected: 0,
            tags: 0,
            capabilities: BTreeSet::new(),
            is_dovecot: false,
        };
        if !server.starttls && !dial.plain {
            session.start_tls(server, dial).await?;
        }
        let is_known = session.greeting().await?;
        if server.starttls && !dial.plain {
            session.upgrade(server, dial).await?;
        }
        if !is_known {
            session.log_in(login, server).await?;
        }
        session.ask_capabilities().await?;
        session.identify().await?;
        Ok(session)
    }

    /// Whether the server offers something, in capitals.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    async fn start_tls(&mut self, server: &Server, dial: &Dial) -> Result<(), SourceError> {
        let done = self
            .connection
            .start_tls_client(&server.host, &dial.tls, CONNECT)
            .await;
        done.map_err(|source| SourceError::Tls {
            host: server.host.clone(),
            source,
        })
    }

    /// RFC 9051 §7.1: `OK`, or `PREAUTH`: the server knows who it is.
    async fn greeting(&mut self) -> Result<bool, SourceError> {
        match self.response().await? {
            Response::Status(status) if status.condition == Condition::Ok => {
                self.note(&status);
                Ok(false)
            }
            Response::Status(status) if status.condition == Condition::Preauth => Ok(true),
            Response::Status(status) => Err(SourceError::Bye(status.text)),
            _ => Err(SourceError::Bye("no greeting".to_owned())),
        }
    }

    async fn upgrade(&mut self, server: &Server, dial: &Dial) -> Result<(), SourceError> {
        self.ask_capabilities().await?;
        if !self.has("STARTTLS") {
            return Err(SourceError::NoTls(server.host.clone()));
        }
        let reply = self.run(b"STARTTLS", |_| Ok(())).await?;
        // RFC 9051 §11.1: what came before TLS may be somebody else's.
        if reply.condition != Condition::Ok || !self.reader.is_empty() {
            return Err(SourceError::NoTls(server.host.clone()));
        }
        self.start_tls(server, dial).await?;
        self.capabilities.clear();
        Ok(())
    }

    pub(super) async fn ask_capabilities(&mut self) -> Result<(), SourceError> {
        let mut found = BTreeSet::new();
        let reply = self
            .run(b"CAPABILITY", |data| {
                if data.name == "CAPABILITY" {
                    let names = data.values.iter().filter_map(Value::text);
                    found.extend(names.take(500).map(str::to_ascii_uppercase));
                }
                Ok(())
            })
            .await?;
        self.capabilities = found;
        self.note(&reply);
        Ok(())
    }

    /// RFC 2971
    async fn identify(&mut self) -> Result<(), SourceError> {
        if !self.has("ID") {
            return Ok(());
        }
        let mut is_dovecot = false;
        let on_data = |data: Data| {
            if data.name == "ID" {
                let fields = data
                    .values
                    .first()
                    .and_then(Value::list)
                    .unwrap_or_default();
                is_dovecot |= fields
                    .iter()
                    .filter_map(Value::text)
                    .any(|text| text == "Dovecot");
            }
            Ok(())
        };
        self.run(b"ID (\"name\" \"mailpods\")", on_data).await?;
        self.is_dovecot = is_dovecot;
        Ok(())
    }

    /// Capabilities in a response code.
    pub(super) fn note(&mut self, reply: &StatusReply) {
        if let Some(list) = reply.argument("CAPABILITY") {
            let names = list.split_ascii_whitespace().take(500);
            self.capabilities = names.map(str::to_ascii_uppercase).collect();
        }
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), SourceError> {
        let patience = self.meter.patience();
        let written = self
            .connection
            .write_with_deadline(octets, Instant::now() + patience)
            .await;
        match written {
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(SourceError::Silent(patience.as_secs()))
            }
            written => Ok(written?),
        }
    }

    /// Octets that the answer to the next command may have beside what any answer may.
    pub fn expect(&mut self, octets: u64) {
        self.expected = octets;
    }

    /// Sends a command; its tag. What the server sends from now on is counted as its answer.
    pub async fn send(&mut self, command: &[u8]) -> Result<String, SourceError> {
        let expected = std::mem::take(&mut self.expected);
        self.meter.begin(expected, Instant::now());
        self.tags += 1;
        let tag = format!("m{}", self.tags);
        let mut line = Zeroizing::new(Vec::with_capacity(command.len() + 16));
        line.extend_from_slice(tag.as_bytes());
        line.push(b' ');
        line.extend_from_slice(command);
        line.extend_from_slice(b"\r\n");
        self.write(&line).await?;
        Ok(tag)
    }

    /// What the server says next.
    pub async fn response(&mut self) -> Result<Response, SourceError> {
        loop {
            if let Some(response) = self.reader.next_response()? {
                return Ok(response);
            }
            let deadline = self.meter.deadline(Instant::now());
            let buffer = self.reader.buffer();
            buffer.reserve(READ);
            let read = self.connection.read_with_deadline(buffer, deadline).await;
            match read {
                Ok(0) => return Err(SourceError::Closed),
                Ok(octets) => self.meter.add(octets)?,
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Err(self.meter.late(Instant::now()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a command and reads up to its end.
    pub async fn run(
        &mut self,
        command: &[u8],
        mut on_data: impl FnMut(Data) -> Result<(), SourceError>,
    ) -> Result<StatusReply, SourceError> {
        let tag = self.send(command).await?;
        let mut continued = 0;
        loop {
            match self.response().await? {
                Response::Status(status) if status.tag.as_ref() == Some(&tag) => return Ok(status),
                Response::Status(status) if status.condition == Condition::Bye => {
                    return Err(SourceError::Bye(status.text));
                }
                Response::Status(status) => on_data(Data::of_status(status))?,
                Response::Data {
                    number,
                    name,
                    values,
                } => on_data(Data {
                    number,
                    name,
                    values,
                    status: None,
                })?,
                Response::Continue => {
                    // Some say so to a LITERAL+ too, that needs it not.
                    continued += 1;
                    if continued > MAX_CONTINUED {
                        return Err(SourceError::Continues);
                    }
                }
            }
        }
    }

    /// The same, where anything but `OK` is an error.
    pub async fn must(
        &mut self,
        command: &[u8],
        name: &'static str,
        on_data: impl FnMut(Data) -> Result<(), SourceError>,
    ) -> Result<StatusReply, SourceError> {
        let reply = self.run(command, on_data).await?;
        match reply.condition {
            Condition::Ok => Ok(reply),
            _ => Err(refusal(name, &reply)),
        }
    }

    /// A folder's name as a command has it.
    pub fn quoted(&self, raw: &[u8]) -> Result<Vec<u8>, SourceError> {
        argument(raw, self.has("LITERAL+"))
            .ok_or_else(|| SourceError::Name8Bit(String::from_utf8_lossy(raw).into_owned()))
    }

    /// Says goodbye. Whatever the server answers, all is done.
    pub async fn close(mut self) {
        let _ = self.run(b"LOGOUT", |_| Ok(())).await;
        self.connection.close(Duration::from_secs(1)).await;
    }
}

/// What the server says beside the end of a command.
pub struct Data {
    pub number: Option<u32>,
    pub name: String,
    pub values: Vec<Value>,
    /// An untagged `OK` or `NO`.
    pub status: Option<StatusReply>,
}

impl Data {
    fn of_status(status: StatusReply) -> Self {
        Self {
            number: None,
            name: String::new(),
            values: Vec::new(),
            status: Some(status),
        }
    }
}

/// A refusal that ends with time (RFC 5530 §3, and what large providers say).
pub(super) fn is_busy(reply: &StatusReply) -> bool {
    let code = reply.code.as_ref().map_or("", |(name, _)| name.as_str());
    let text = reply.text.to_ascii_lowercase();
    matches!(
        code,
        "LIMIT" | "THROTTLED" | "UNAVAILABLE" | "INUSE" | "OVERQUOTA" | "SERVERBUG"
    ) || text.contains("throttl")
        || text.contains("too many simultaneous")
}

/// What a refusal means.
pub fn refusal(command: &'static str, reply: &StatusReply) -> SourceError {
    let mut text = String::new();
    if let Some((code, _)) = &reply.code {
        // Writing to a String does not fail.
        let _ = write!(text, "[{code}] ");
    }
    text.extend(reply.text.chars().take(200));
    let is_bug = matches!(&reply.code, Some((code, _)) if code == "SERVERBUG");
    match is_busy(reply) {
        _ if is_bug => SourceError::Bug { command, text },
        true => SourceError::Busy(text),
        false => SourceError::Refused { command, text },
    }
}

async fn connect(server: &Server, dial: &Dial) -> Result<Connection, SourceError> {
    let name = |source| SourceError::Name {
        host: server.host.clone(),
        source,
    };
    let look_up = tokio::net::lookup_host((server.host.as_str(), server.port));
    let found = tokio::time::timeout(CONNECT, look_up).await;
    let found = found.map_err(|_| name(std::io::ErrorKind::TimedOut.into()))?;
    let addresses: Vec<SocketAddr> = found.map_err(name)?.take(8).collect();
    if dial.plain && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(SourceError::NoTls(server.host.clone()));
    }
    let mut last = name(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        match Connector::direct().connect(address, None, CONNECT).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
