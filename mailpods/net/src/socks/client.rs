//! Connections through egress proxies: of several behind one name the one that has the source address.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Buf as _, BytesMut};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::wire::{self, Malformed, Parsed, Reply, Target, USER_PASSWORD};
use crate::connect::{ConnectError, Connector};
use crate::{Connection, TlsClient, TlsError};

/// To be connected to a proxy. They are near: one that takes longer is dead, and another one waits to be asked.
const OPEN: Duration = Duration::from_secs(3);
/// For the handshake and the log-in.
const LOG_IN: Duration = Duration::from_secs(5);
/// What a proxy's answer may take longer than its own limit for the connection.
const MARGIN: Duration = Duration::from_secs(5);
/// A proxy that did not answer is asked last for so long, and not at all where another one knows better.
const REST: Duration = Duration::from_secs(30);
/// Proxies behind one name that are asked.
const MOST: usize = 64;
/// Sources that are remembered.
const MOST_KNOWN: usize = 4096;

/// Why a proxy could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Its name leads nowhere.
    #[error("failed to look up {host}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// It does not answer.
    #[error("failed to connect to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    /// Its certificate is not that of our proxies, or it speaks no TLS.
    #[error("failed to start TLS with {0}")]
    Tls(SocketAddr, #[source] TlsError),
    /// The connection broke or it said nothing in time.
    #[error("failed to talk to {0}")]
    Io(SocketAddr, #[source] io::Error),
    /// It does not speak SOCKS 5.
    #[error("{0} does not speak SOCKS 5")]
    Malformed(SocketAddr, #[source] Malformed),
    /// It takes another token.
    #[error("{0} does not take our token")]
    Token(SocketAddr),
    /// There is none that could be asked.
    #[error("{0}")]
    Unusable(String),
    /// It has a problem of its own.
    #[error("{0} says {reply}", reply = .1.as_str())]
    Reply(SocketAddr, Reply),
}

/// A token that no proxy can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token of {0} octets; 1 to 255 are possible (RFC 1929)")]
pub struct TokenError(usize);

struct Secrets {
    tls: TlsClient,
    token: Zeroizing<Vec<u8>>,
}

/// Egress proxies that have the same authority and token; each has the addresses of its node.
pub struct Proxy {
    /// Names and ports; a name may lead to several.
    servers: Vec<(String, u16)>,
    secrets: ArcSwap<Secrets>,
    memory: Mutex<Memory>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// What was seen of proxies.
#[derive(Default)]
struct Memory {
    /// Who had a source address.
    owners: HashMap<IpAddr, SocketAddr>,
    /// Who did not answer, and when.
    silent: HashMap<SocketAddr, Instant>,
}

impl Memory {
    /// Whoever had the source first, who did not answer last; else as the name has them.
    fn order(&mut self, source: IpAddr, proxies: &mut [(SocketAddr, &str)]) {
        self.silent.retain(|_, at| at.elapsed() < REST);
        let owner = self.owners.get(&source).copied();
        proxies.sort_by_key(|(proxy, _)| (self.silent.contains_key(proxy), owner != Some(*proxy)));
    }

    fn has(&mut self, source: IpAddr, proxy: SocketAddr) {
        if self.owners.len() >= MOST_KNOWN {
            self.owners.clear();
        }
        self.owners.insert(source, proxy);
        self.silent.remove(&proxy);
    }
}

/// What one proxy made of a request.
enum Answer {
    /// It is connected.
    Connected(Box<Connection>),
    /// The proxy has the source; the destination is another matter.
    Destination(Reply),
    /// The source has no room, or cannot reach the destination.
    Source(Reply),
    /// The source is not there.
    Elsewhere,
}

impl Proxy {
    /// Proxies at host names or addresses and ports. Nothing is connected.
    ///
    /// # Errors
    /// A token that cannot be sent.
    pub fn new(
        servers: Vec<(String, u16)>,
        tls: TlsClient,
        token: Zeroizing<Vec<u8>>,
    ) -> Result<Self, TokenError> {
        Ok(Self {
            servers,
            secrets: ArcSwap::from_pointee(secrets(tls, token)?),
            memory: Mutex::default(),
        })
    }

    /// Takes another authority and token, for connections from now on.
    ///
    /// # Errors
    /// A token that cannot be sent; those of before stay.
    pub fn swap(&self, tls: TlsClient, token: Zeroizing<Vec<u8>>) -> Result<(), TokenError> {
        self.secrets.store(secrets(tls, token)?.into());
        Ok(())
    }

    /// Connects to `to` from `source` within `limit`, through the proxy that has it.
    ///
    /// # Errors
    /// See [`ConnectError`]; [`ConnectError::is_local`] tells whose fault it is.
    pub async fn connect(
        &self,
        to: SocketAddr,
        source: IpAddr,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        if source.is_ipv4() != to.is_ipv4() {
            return Err(ConnectError::Family { from: source, to });
        }
        match self.ask(source, to, limit).await? {
            Answer::Connected(connection) => Ok(*connection),
            Answer::Destination(reply) => Err(of_destination(reply, to, limit)),
            Answer::Source(reply) => Err(of_source(reply, source)),
            Answer::Elsewhere => Err(self.absent(source)),
        }
    }

    /// Whether a proxy has a source address.
    ///
    /// # Errors
    /// [`ConnectError::Egress`] when none could be asked; `false` needs one that says so.
    pub async fn has(&self, source: IpAddr) -> Result<bool, ConnectError> {
        let answer = self.ask(source, Target::probe(source), LOG_IN).await?;
        Ok(!matches!(answer, Answer::Elsewhere))
    }

    fn absent(&self, address: IpAddr) -> ConnectError {
        let proxy = self.to_string();
        ConnectError::Absent { address, proxy }
    }

    /// Asks one after the other until one has the source.
    async fn ask(
        &self,
        source: IpAddr,
        to: SocketAddr,
        limit: Duration,
    ) -> Result<Answer, ConnectError> {
        let failed = |error| ConnectError::Egress {
            proxy: self.to_string(),
            error: Box::new(error),
        };
        let mut proxies = self.resolve().await.map_err(failed)?;
        self.memory().order(source, &mut proxies);
        let (mut elsewhere, mut exhausted, mut last) = (false, None, None);
        for (proxy, host) in proxies {
            if elsewhere && self.memory().silent.contains_key(&proxy) {
                // The address is most likely there, and waiting for it once in a while is enough.
                break;
            }
            match self.one((proxy, host), source, to, limit).await {
                Ok(Answer::Elsewhere) => elsewhere = true,
                Ok(Answer::Source(reply)) => exhausted = Some(reply),
                Ok(answer) => {
                    self.memory().has(source, proxy);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(%proxy, error = mailpods_telemetry::error_chain(&error), "an egress proxy is passed over");
                    self.memory().silent.insert(proxy, Instant::now());
                    last = Some(error);
                }
            }
        }
        match (exhausted, last) {
            (Some(reply), _) => Ok(Answer::Source(reply)),
            // What one of them says counts, whoever else is away: the address is where the others cannot be asked.
            _ if elsewhere => Ok(Answer::Elsewhere),
            (None, Some(error)) => Err(failed(error)),
            (None, None) => Err(failed(nowhere(
                &self.to_string(),
                io::ErrorKind::NotFound.into(),
            ))),
        }
    }

    /// Addresses, and for which name each was found.
    async fn resolve(&self) -> Result<Vec<(SocketAddr, &str)>, EgressError> {
        let (mut proxies, mut last) = (Vec::new(), None);
        for (host, port) in &self.servers {
            let found = timeout(LOG_IN, tokio::net::lookup_host((host.as_str(), *port))).await;
            match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(found) => proxies.extend(found.map(|proxy| (proxy, host.as_str()))),
                Err(error) => last = Some(nowhere(host, error)),
            }
        }
        proxies.truncate(MOST);
        match last {
            Some(error) if proxies.is_empty() => Err(error),
            _ => Ok(proxies),
        }
    }

    async fn one(
        &self,
        (proxy, host): (SocketAddr, &str),
        source: IpAddr,
        to: SocketAddr,
        limit: Duration,
    ) -> Result<Answer, EgressError> {
        let mut talk = self.log_in((proxy, host), source).await?;
        talk.deadline = Instant::now() + limit + MARGIN;
        talk.write(&wire::encode_request(to)).await?;
        let (reply, bound) = talk.read(wire::reply).await?;
        match reply {
            Reply::Succeeded => {
                let bound = bound.unwrap_or_else(|| SocketAddr::new(source, 0));
                Ok(Answer::Connected(Box::new(talk.through(to, bound))))
            }
            Reply::SourceAbsent | Reply::SourceUnknown => Ok(Answer::Elsewhere),
            Reply::SourceExhausted | Reply::SourceFamily => Ok(Answer::Source(reply)),
            Reply::NotAllowed
            | Reply::NetworkUnreachable
            | Reply::HostUnreachable
            | Reply::Refused
            | Reply::TimedOut => Ok(Answer::Destination(reply)),
            Reply::Failed
            | Reply::Busy
            | Reply::CommandNotSupported
            | Reply::AddressTypeNotSupported => Err(EgressError::Reply(proxy, reply)),
        }
    }

    /// A connection on which requests from the source are taken.
    async fn log_in(
        &self,
        (proxy, host): (SocketAddr, &str),
        source: IpAddr,
    ) -> Result<Talk, EgressError> {
        let secrets = self.secrets.load_full();
        let opened = Connector::direct().connect(proxy, None, OPEN).await;
        let mut connection = opened.map_err(|error| EgressError::Connect(proxy, io(error)))?;
        let started = connection
            .start_tls_client(host, &secrets.tls, LOG_IN)
            .await;
        started.map_err(|error| EgressError::Tls(proxy, error))?;
        let mut talk = Talk {
            connection,
            proxy,
            input: BytesMut::new(),
            deadline: Instant::now() + LOG_IN,
        };
        talk.write(&wire::encode_greeting()).await?;
        if talk.read(wire::method).await? != USER_PASSWORD {
            return Err(EgressError::Token(proxy));
        }
        let credentials = wire::encode_credentials(source, &secrets.token);
        talk.write(&credentials.ok_or(EgressError::Token(proxy))?)
            .await?;
        match talk.read(wire::status).await? {
            true => Ok(talk),
            false => Err(EgressError::Token(proxy)),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each change is whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut servers = self.servers.iter();
        if let Some((host, port)) = servers.next() {
            write!(f, "{host}:{port}")?;
        }
        servers.try_for_each(|(host, port)| write!(f, ", {host}:{port}"))
    }
}

/// A conversation with one proxy.
struct Talk {
    connection: Connection,
    proxy: SocketAddr,
    /// Not read yet: the server behind the proxy may have spoken already.
    input: BytesMut,
    deadline: Instant,
}

impl Talk {
    async fn write(&mut self, octets: &[u8]) -> Result<(), EgressError> {
        let written = self.connection.write_with_deadline(octets, self.deadline);
        written
            .await
            .map_err(|error| EgressError::Io(self.proxy, error))
    }

    async fn read<T>(&mut self, parse: fn(&[u8]) -> Parsed<T>) -> Result<T, EgressError> {
        let failed = |error| EgressError::Io(self.proxy, error);
        loop {
            let parsed = parse(&self.input);
            let parsed = parsed.map_err(|error| EgressError::Malformed(self.proxy, error))?;
            if let Some((value, octets)) = parsed {
                self.input.advance(octets);
                return Ok(value);
            }
            let read = timeout_at(self.deadline, self.connection.read_buf(&mut self.input)).await;
            let read = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if read.map_err(failed)? == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// The connection as one to where the proxy has connected.
    fn through(self, to: SocketAddr, bound: SocketAddr) -> Connection {
        Connection::from_io(self.connection, to, bound).with_prefix(self.input.freeze())
    }
}

fn nowhere(host: &str, source: io::Error) -> EgressError {
    EgressError::Resolve {
        host: host.to_owned(),
        source,
    }
}

fn secrets(tls: TlsClient, token: Zeroizing<Vec<u8>>) -> Result<Secrets, TokenError> {
    match token.len() {
        1..=255 => Ok(Secrets { tls, token }),
        octets => Err(TokenError(octets)),
    }
}

/// What the kernel said of a connection to a proxy.
fn io(error: ConnectError) -> io::Error {
    match error {
        ConnectError::Connect { error, .. }
        | ConnectError::Source { error, .. }
        | ConnectError::Socket(error) => error,
        other => io::Error::new(io::ErrorKind::TimedOut, other.to_string()),
    }
}

fn of_destination(reply: Reply, to: SocketAddr, after: Duration) -> ConnectError {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied};
    let kind = match reply {
        Reply::TimedOut => return ConnectError::Timeout { to, after },
        Reply::Refused => ConnectionRefused,
        Reply::NetworkUnreachable => NetworkUnreachable,
        Reply::HostUnreachable => HostUnreachable,
        _ => {
            let text = "the egress proxy does not connect to such addresses and ports";
            let error = io::Error::new(PermissionDenied, text);
            return ConnectError::Connect { to, error };
        }
    };
    ConnectError::Connect {
        to,
        error: kind.into(),
    }
}

fn of_source(reply: Reply, address: IpAddr) -> ConnectError {
    let kind = match reply {
        Reply::SourceExhausted => io::ErrorKind::AddrInUse,
        _ => io::ErrorKind::InvalidInput,
    };
    ConnectError::Source {
        address,
        error: kind.into(),
    }
}
