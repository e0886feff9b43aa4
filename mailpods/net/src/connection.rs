//! One connection, plain or encrypted, either side.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::tls::{self, ServerIdentity, TlsClient, TlsError, TlsInfo, TlsServer};

/// The most that one read adds to the caller's buffer, in octets.
pub const MAX_READ: usize = 16 * 1024;
/// Silence before the kernel asks whether the peer is still there: sessions that idle for hours must notice its loss.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// What [`Connection::close`] reads and drops at most, so that a reset does not destroy the last reply.
const MAX_LINGER: usize = 256 * 1024;

/// A stream to one peer. It holds no read buffer: the caller's buffer is only grown by what arrived, so an idle
/// connection costs the socket, this struct and, when encrypted, one boxed TLS state.
pub struct Connection {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    via: Option<SocketAddr>,
}

enum Stream {
    Plain(Transport),
    Server(Box<ServerSession>),
    Client(Box<client::TlsStream<Transport>>),
    // After a failed handshake.
    Closed,
}

struct ServerSession {
    stream: server::TlsStream<Transport>,
    identity: Arc<ServerIdentity>,
}

impl Connection {
    /// A connection over TCP that was accepted or opened; no delay and keep-alive are set.
    ///
    /// # Errors
    /// When the socket is no longer connected.
    pub fn from_tcp(stream: TcpStream) -> io::Result<Self> {
        let peer = canonical(stream.peer_addr()?);
        let local = canonical(stream.local_addr()?);
        // Replies are written whole, so Nagle's algorithm could only delay them.
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        Ok(Self::new(Raw::Tcp(stream), peer, local))
    }

    /// A connection over anything else, such as one end of [`tokio::io::duplex`].
    pub fn from_io(
        io: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Self {
        Self::new(Raw::Other(Box::new(io)), canonical(peer), canonical(local))
    }

    fn new(raw: Raw, peer: SocketAddr, local: SocketAddr) -> Self {
        let stream = Stream::Plain(Transport {
            raw,
            prefix: Bytes::new(),
        });
        Self {
            stream,
            peer,
            local,
            via: None,
        }
    }

    /// The client's real address: from the PROXY header when a listed proxy sent one. IPv4-mapped addresses are IPv4 here.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address the client connected to: from the PROXY header when a listed proxy sent one.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The proxy's address when a PROXY header was read.
    pub fn via(&self) -> Option<SocketAddr> {
        self.via
    }

    /// The same, with octets that were read already and are to be read again, before what comes. Only on a plain connection.
    #[must_use]
    pub fn with_prefix(mut self, octets: Bytes) -> Self {
        if let Stream::Plain(transport) = &mut self.stream {
            transport.prefix = octets;
        }
        self
    }

    pub(crate) fn set_proxied(&mut self, addresses: Option<(SocketAddr, SocketAddr)>, rest: Bytes) {
        if let Some((source, destination)) = addresses {
            self.via = Some(self.peer);
            self.peer = canonical(source);
            self.local = canonical(destination);
        }
        if let Stream::Plain(transport) = &mut self.stream {
            transport.prefix = rest;
        }
    }

    /// Whether octets have come that nobody has read, without waiting for any. False under TLS and for what is no socket.
    pub fn has_input(&self) -> bool {
        let Stream::Plain(transport) = &self.stream else {
            return false;
        };
        let mut octet = [const { std::mem::MaybeUninit::<u8>::uninit() }; 1];
        match &transport.raw {
            _ if !transport.prefix.is_empty() => true,
            // The socket does not block. Asked by itself, as tokio knows of input only after a turn of its reactor.
            Raw::Tcp(stream) => SockRef::from(stream)
                .peek(&mut octet)
                .is_ok_and(|count| count > 0),
            Raw::Other(_) => false,
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Server(_) | Stream::Client(_))
    }

    /// What was negotiated; `None` on a plain connection.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        match &self.stream {
            Stream::Server(session) => Some(tls::server_info(
                session.stream.get_ref().1,
                &session.identity,
            )),
            Stream::Client(stream) => Some(tls::client_info(stream.get_ref().1)),
            Stream::Plain(_) | Stream::Closed => None,
        }
    }

    /// Encrypts as the server from the first octet on (implicit TLS).
    ///
    /// # Errors
    /// See [`TlsError`]; the connection is closed then.
    pub async fn accept_tls(&mut self, tls: &TlsServer, limit: Duration) -> Result<(), TlsError> {
        let transport = self.take_plain()?;
        self.serve_tls(transport, tls, limit).await
    }

    /// Encrypts as the server after STARTTLS: plaintext that was read ahead is dropped, so that nothing sent before the
    /// handshake counts as sent after it (RFC 3207 §4.2). The caller clears its own buffer too.
    ///
    /// # Errors
    /// See [`TlsError`]; the connection is closed then.
    pub async fn start_tls(&mut self, tls: &TlsServer, limit: Duration) -> Result<(), TlsError> {
        let mut transport = self.take_plain()?;
        transport.prefix = Bytes::new();
        self.serve_tls(transport, tls, limit).await
    }

    async fn serve_tls(
        &mut self,
        transport: Transport,
        tls: &TlsServer,
        limit: Duration,
    ) -> Result<(), TlsError> {
        let identity = tls.current();
        // Boxed, so that the handshake's state is not part of every session's future for good.
        let accept = Box::pin(TlsAcceptor::from(identity.config()).accept(transport));
        let stream = timeout(limit, accept)
            .await
            .map_err(|_| TlsError::Timeout(limit))?
            .map_err(TlsError::from_io)?;
        self.stream = Stream::Server(Box::new(ServerSession { stream, identity }));
        Ok(())
    }

    /// Encrypts as the client, for the server called `name` (a host name, in U-labels or A-labels, or an address). A name
    /// that cannot stand in a ClientHello is replaced by the peer's address, which sends no SNI (RFC 6066 §3).
    ///
    /// # Errors
    /// See [`TlsError`]; the connection is closed then.
    pub async fn start_tls_client(
        &mut self,
        name: &str,
        tls: &TlsClient,
        limit: Duration,
    ) -> Result<(), TlsError> {
        let mut transport = self.take_plain()?;
        transport.prefix = Bytes::new();
        let server = tls::server_name(name).unwrap_or_else(|| ServerName::from(self.peer.ip()));
        let connect = Box::pin(TlsConnector::from(tls.config()).connect(server, transport));
        let stream = timeout(limit, connect)
            .await
            .map_err(|_| TlsError::Timeout(limit))?
            .map_err(TlsError::from_io)?;
        self.stream = Stream::Client(Box::new(stream));
        Ok(())
    }

    fn take_plain(&mut self) -> Result<Transport, TlsError> {
        match std::mem::replace(&mut self.stream, Stream::Closed) {
            Stream::Plain(transport) => Ok(transport),
            other => {
                self.stream = other;
                Err(TlsError::NotPlain)
            }
        }
    }

    /// Waits for input and appends it to `buf`, at most [`MAX_READ`] octets; 0 is the end of the stream. Cancel-safe:
    /// nothing is lost when the future is dropped. No memory is taken while it waits.
    ///
    /// # Errors
    /// Those of the socket and of TLS; an end without TLS's close_notify is `UnexpectedEof`.
    pub async fn read_buf(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read_buf(cx, buf)).await
    }

    fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [const { std::mem::MaybeUninit::<u8>::uninit() }; MAX_READ];
        let mut read = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(self).poll_read(cx, &mut read))?;
        buf.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// [`Connection::read_buf`] until `deadline`.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, else as [`Connection::read_buf`].
    pub async fn read_with_deadline(
        &mut self,
        buf: &mut BytesMut,
        deadline: Instant,
    ) -> io::Result<usize> {
        timeout_at(deadline, self.read_buf(buf))
            .await
            .map_err(|_| timed_out("read"))?
    }

    /// Writes all of `data`; [`Connection::flush`] sends what TLS holds back.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        AsyncWriteExt::write_all(self, data).await
    }

    /// Sends what is still buffered.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub async fn flush(&mut self) -> io::Result<()> {
        AsyncWriteExt::flush(self).await
    }

    /// Writes all of `data` and flushes, until `deadline`.
    ///
    /// # Errors
    /// `TimedOut` at the deadline (part of the data may be sent), else those of the socket and of TLS.
    pub async fn write_with_deadline(&mut self, data: &[u8], deadline: Instant) -> io::Result<()> {
        let write = async {
            self.write_all(data).await?;
            self.flush().await
        };
        timeout_at(deadline, write)
            .await
            .map_err(|_| timed_out("write"))?
    }

    /// Ends the stream so that the last reply arrives: close_notify, then FIN, then what the peer still sends is read and
    /// dropped until it closes too, `limit` passes or too much comes.
    pub async fn close(mut self, limit: Duration) {
        let linger = async {
            self.shutdown().await?;
            let mut buf = [0; 1024];
            let mut total = 0;
            while total < MAX_LINGER {
                match self.read(&mut buf).await? {
                    0 => break,
                    read => total += read,
                }
            }
            io::Result::Ok(())
        };
        // The peer may be gone already; there is nobody left to tell.
        let _ = timeout(limit, linger).await;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Connection");
        out.field("peer", &self.peer)
            .field("local", &self.local)
            .field("tls", &self.is_tls())
            .finish_non_exhaustive()
    }
}

/// The address with an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) as the IPv4 address it stands for.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("failed to {what} in time"))
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Server(session) => Pin::new(&mut session.stream).poll_read(cx, buf),
            Stream::Client(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Stream::Closed => closed(),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Stream::Server(session) => Pin::new(&mut session.stream).poll_write(cx, data),
            Stream::Client(stream) => Pin::new(stream.as_mut()).poll_write(cx, data),
            Stream::Closed => closed(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Server(session) => Pin::new(&mut session.stream).poll_flush(cx),
            Stream::Client(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Stream::Closed => closed(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Server(session) => Pin::new(&mut session.stream).poll_shutdown(cx),
            Stream::Client(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Stream::Closed => closed(),
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

enum Raw {
    Tcp(TcpStream),
    Other(Box<dyn Io>),
}

/// The octets below TLS: what was read past a PROXY header first, then the stream.
struct Transport {
    raw: Raw,
    prefix: Bytes,
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let count = this.prefix.len().min(buf.remaining());
            buf.put_slice(this.prefix.get(..count).unwrap_or_default());
            this.prefix.advance(count);
            return Poll::Ready(Ok(()));
        }
        match &mut this.raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Raw::Other(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_write(cx, data),
            Raw::Other(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Raw::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Raw::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
