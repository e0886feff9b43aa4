//! Listening sockets: bind with errors that say what to do, accept within bounds, read the PROXY header, count clients.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::proxy::{self, Header, HeaderError, Sources};
use crate::{Connection, Shutdown, Tracker};

const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
/// The shortest time between two log lines about refused connections.
const REFUSAL_LOG: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "failed to open listener `{listener}` on {addr}: the address is in use; stop the process that has it \
         (`ss -ltnp 'sport = :{}'` names it) or give the listener another port", .addr.port()
    )]
    InUse {
        /// The listener's name.
        listener: String,
        /// Its address.
        addr: SocketAddr,
    },
    /// Ports below 1024 need a right.
    #[error(
        "failed to open listener `{listener}` on {addr}: permission denied; ports below 1024 need root, CAP_NET_BIND_SERVICE \
         or a lower net.ipv4.ip_unprivileged_port_start"
    )]
    Denied {
        /// The listener's name.
        listener: String,
        /// Its address.
        addr: SocketAddr,
    },
    /// The address is not on this machine.
    #[error(
        "failed to open listener `{listener}` on {addr}: this machine does not have that address; `ip address` lists them"
    )]
    NoSuchAddress {
        /// The listener's name.
        listener: String,
        /// Its address.
        addr: SocketAddr,
    },
    /// Anything else.
    #[error("failed to open listener `{listener}` on {addr}")]
    Other {
        /// The listener's name.
        listener: String,
        /// Its address.
        addr: SocketAddr,
        /// What the kernel says.
        #[source]
        error: io::Error,
    },
}

/// What a listener is.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Its name in logs and errors.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Whether an IPv6 socket refuses IPv4. By default only `[::]` takes both.
    pub v6only: Option<bool>,
    /// Connections that the kernel holds until they are accepted.
    pub backlog: i32,
    /// All sessions at one time; listeners may share it.
    pub sessions: Arc<Semaphore>,
    /// What a client is told when no session is left, for example `421 4.3.2 ...` with CRLF. `None` lets it wait in the
    /// kernel's backlog instead.
    pub busy_reply: Option<&'static [u8]>,
    /// Who sends PROXY headers here. The header is then required.
    pub proxy_sources: Sources,
    /// How long a listed proxy may take to send its header.
    pub proxy_timeout: Duration,
}

impl ListenerOptions {
    /// A listener with a backlog of 1024, 10,000 sessions, no PROXY sources.
    pub fn new(name: impl Into<String>, addr: SocketAddr) -> Self {
        Self {
            name: name.into(),
            addr,
            v6only: None,
            backlog: 1024,
            sessions: Arc::new(Semaphore::new(10_000)),
            busy_reply: None,
            proxy_sources: Sources::default(),
            proxy_timeout: Duration::from_secs(5),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    options: ListenerOptions,
    refusals: Refusals,
}

/// Counts refused connections between two lines of the log, so that a flood does not fill the log too.
#[derive(Debug, Default)]
struct Refusals {
    logged: Option<Instant>,
    since: u64,
}

impl Refusals {
    /// How many there were since the last line, when the next line is due.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.logged.is_some_and(|logged| now < logged + REFUSAL_LOG) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

impl Listener {
    /// Binds. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`BindError`], whose text says what to do.
    pub fn bind(options: ListenerOptions) -> Result<Self, BindError> {
        let opened = open(&options).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (addr, socket) = opened.map_err(|error| bind_error(&options, error))?;
        Ok(Self {
            socket,
            addr,
            options,
            refusals: Refusals::default(),
        })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The bare socket, for a server that accepts by itself (health and metrics).
    pub fn into_socket(self) -> TcpListener {
        self.socket
    }

    /// The listener's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Accepts until `shutdown` says to stop, and runs `session` in a tracked task for each connection, after the PROXY
    /// header where one is due.
    pub async fn run<F, S>(mut self, shutdown: Shutdown, tracker: Tracker, session: F)
    where
        F: Fn(Connection) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        loop {
            let (stream, permit) = tokio::select! {
                () = shutdown.stop_accepting() => break,
                accepted = self.accept() => accepted,
            };
            let task = serve(stream, permit, self.options.clone(), session.clone());
            tracker.spawn(task);
        }
        tracing::debug!(listener = self.options.name, "the listener has closed");
    }

    async fn accept(&mut self) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        loop {
            if self.options.busy_reply.is_none() {
                // Wait for a free session before taking a client out of the backlog. The semaphore is never closed.
                let permit = self.options.sessions.clone().acquire_owned().await.ok();
                return (self.accept_stream().await, permit);
            }
            let stream = self.accept_stream().await;
            match self.options.sessions.clone().try_acquire_owned() {
                Ok(permit) => return (stream, Some(permit)),
                Err(_) => self.refuse(&stream),
            }
        }
    }

    /// Tells a client that there is no room. Never waits: a fresh socket's buffer takes one line.
    fn refuse(&mut self, stream: &TcpStream) {
        let _ = stream.try_write(self.options.busy_reply.unwrap_or_default());
        if let Some(count) = self.refusals.add(Instant::now()) {
            tracing::warn!(
                listener = self.options.name,
                count,
                "connections were refused: all sessions are taken"
            );
        }
    }

    async fn accept_stream(&self) -> TcpStream {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let error = match self.socket.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => error,
            };
            if is_client_fault(&error) {
                continue;
            }
            // Out of file descriptors or memory: sessions that end free some, so wait instead of spinning.
            tracing::warn!(listener = self.options.name, %error, ?back_off, "failed to accept a connection");
            tokio::time::sleep(back_off).await;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
    }
}

fn is_client_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn open(options: &ListenerOptions) -> io::Result<TcpListener> {
    let addr = options.addr;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(options.v6only.unwrap_or(addr.ip() != Ipv6Addr::UNSPECIFIED))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    TcpListener::from_std(socket.into())
}

fn bind_error(options: &ListenerOptions, error: io::Error) -> BindError {
    let (listener, addr) = (options.name.clone(), options.addr);
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { listener, addr },
        io::ErrorKind::PermissionDenied => BindError::Denied { listener, addr },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { listener, addr },
        _ => BindError::Other {
            listener,
            addr,
            error,
        },
    }
}

async fn serve<F, S>(
    stream: TcpStream,
    permit: Option<OwnedSemaphorePermit>,
    options: ListenerOptions,
    session: F,
) where
    F: Fn(Connection) -> S,
    S: Future<Output = ()>,
{
    match prepare(stream, &options).await {
        Ok(connection) => {
            // What the session does not need must not live as long as it does.
            drop(options);
            session(connection).await;
        }
        Err(error) => {
            let error = mailpods_telemetry::error_chain(&error);
            tracing::info!(
                listener = options.name,
                error,
                "a connection was dropped before its session began"
            );
        }
    }
    drop(permit);
}

#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error("failed to set up the connection")]
    Io(#[from] io::Error),
    #[error("failed to read the PROXY header of {proxy}, which is listed as a proxy")]
    Proxy {
        proxy: SocketAddr,
        #[source]
        error: HeaderError,
    },
}

async fn prepare(stream: TcpStream, options: &ListenerOptions) -> Result<Connection, PrepareError> {
    let mut connection = Connection::from_tcp(stream)?;
    if options.proxy_sources.contains(connection.peer().ip()) {
        read_header(&mut connection, options.proxy_timeout).await?;
    }
    Ok(connection)
}

async fn read_header(connection: &mut Connection, limit: Duration) -> Result<(), PrepareError> {
    let deadline = Instant::now() + limit;
    let proxy = connection.peer();
    let mut input = BytesMut::new();
    loop {
        match proxy::parse(&input).map_err(|error| PrepareError::Proxy { proxy, error })? {
            Some((header, consumed)) => {
                let rest = input.split_off(consumed).freeze();
                let addresses = match header {
                    Header::Local => None,
                    Header::Proxied {
                        source,
                        destination,
                    } => Some((source, destination)),
                };
                connection.set_proxied(addresses, rest);
                return Ok(());
            }
            None if connection.read_with_deadline(&mut input, deadline).await? == 0 => {
                return Err(PrepareError::Proxy {
                    proxy,
                    error: HeaderError::Missing,
                });
            }
            None => {}
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address (a customer's smallest network).
pub fn client_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Counts what each client has open, by [`client_prefix`]. Memory is bounded by what is open. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<HashMap<IpAddr, u32>>>);

impl Connections {
    /// Nothing counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one more of `client` until the guard is dropped; `None` when it has `limit` already.
    pub fn enter(&self, client: IpAddr, limit: u32) -> Option<ConnectionGuard> {
        let prefix = client_prefix(client);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = counts.get(&prefix).copied().unwrap_or(0);
        if open >= limit {
            return None;
        }
        counts.insert(prefix, open + 1);
        Some(ConnectionGuard {
            connections: self.clone(),
            prefix,
        })
    }

    /// How many `client` has open.
    pub fn open(&self, client: IpAddr) -> u32 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&client_prefix(client)).copied().unwrap_or(0)
    }

    /// How many clients have anything open.
    pub fn clients(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One connection in [`Connections`].
#[derive(Debug)]
pub struct ConnectionGuard {
    connections: Connections,
    prefix: IpAddr,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut counts = self
            .connections
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let open = counts.get(&self.prefix).copied().unwrap_or(0);
        if open > 1 {
            counts.insert(self.prefix, open - 1);
        } else {
            counts.remove(&self.prefix);
        }
    }
}
