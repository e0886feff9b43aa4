//! One connection to a server, with the protocol machine that it drives.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mailpods_net::tls::{TlsConfigError, Verdict};
use mailpods_net::{ConnectError, Connection, TlsError};
use mailpods_plan::SecretText;
use mailpods_sasl::ChannelBindings;
use mailpods_smtp_proto::client::{
    Client, ClientConfig, Event, Failure, Mode, Protocol, Timeouts, Transaction, TransactionResult,
};
use tokio::time::Instant;

use super::auth;
use super::egress::{self, Via};
use super::protection::Protection;
use crate::context::Context;
use crate::ips::Use;
use crate::metrics::Connected;

/// Wait for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Octets of the body that are given to the machine at once.
const PIECE: usize = 64 * 1024;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// No TCP connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The handshake failed; the certificate, where one is asked for, included.
    #[error("{0}")]
    Tls(TlsError),
    /// The server did not let the session stand.
    #[error("{0}")]
    Session(Failure),
    /// REQUIRETLS is wanted and the server does not offer it.
    #[error("the server does not offer REQUIRETLS")]
    NoRequireTls,
    /// TLS cannot be set up on this side.
    #[error("failed to set up TLS for a connection")]
    TlsConfig(#[from] TlsConfigError),
    /// The log-in failed.
    #[error("failed to log in at the next server: {0}")]
    LogIn(String),
}

/// What a session is opened with.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    /// The server's name, for TLS and reports.
    pub(crate) name: String,
    pub(crate) to: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    /// Who opens connections from the source.
    pub(crate) via: Via,
    pub(crate) helo: String,
    pub(crate) protection: Protection,
    pub(crate) lmtp: bool,
    /// To be connected.
    pub(crate) connect: Duration,
    /// For the server's replies.
    pub(crate) timeouts: Timeouts,
    pub(crate) auth: Option<(String, SecretText)>,
    /// What limits connections to the place, and how many there may be now.
    pub(crate) limit: Option<(String, usize)>,
    /// What must be equal for another message to go over the same connection.
    pub(crate) pool_key: String,
}

/// A connection that is ready for transactions.
pub(crate) struct Session {
    client: Client,
    connection: Connection,
    input: BytesMut,
    handshake: Handshake,
    pub(crate) dial: Dial,
    /// Transactions so far.
    pub(crate) sent: usize,
    pub(crate) opened: Instant,
    /// How many replies had come when the next one was first waited for, and when that was.
    awaits: Option<(u64, Instant)>,
    /// Counts it among those from its address, and to its provider.
    _uses: (Option<Use<IpAddr>>, Option<Use<String>>),
}

/// The client side of TLS for one session.
struct Handshake {
    tls: mailpods_net::TlsClient,
    failed: Option<TlsError>,
    /// On a certificate that is only looked at.
    verdict: Option<Verdict>,
}

impl Session {
    /// Connects and brings the session up to where transactions can be sent.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open(ctx: &Context, dial: Dial) -> Result<Self, OpenError> {
        let mut session = Self::connect(ctx, dial)
            .await
            .inspect_err(|_| ctx.metrics.connections.inc(Connected::Failed))?;
        if let Err(error) = session.begin(ctx).await {
            // RFC 5321 §4.1.1.10: no connection is closed without QUIT, also where nothing was accepted
            tokio::spawn(session.quit());
            return Err(error);
        }
        let kind = if session.connection.is_tls() {
            Connected::Tls
        } else {
            Connected::Plain
        };
        ctx.metrics.connections.inc(kind);
        Ok(session)
    }

    async fn begin(&mut self, ctx: &Context) -> Result<(), OpenError> {
        self.greet()
            .await
            .inspect_err(|_| ctx.metrics.connections.inc(Connected::Failed))?;
        if self.dial.protection.require_tls && !self.client.capabilities().require_tls {
            return Err(OpenError::NoRequireTls);
        }
        let Some(auth) = self.dial.auth.clone() else {
            return Ok(());
        };
        let nonce = ctx
            .random::<18>()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        auth::log_in(self, &auth, nonce).await
    }

    async fn connect(ctx: &Context, dial: Dial) -> Result<Self, OpenError> {
        // Counted before it is there: an address must not look unused while one is being opened.
        let from = dial.source.map(|source| ctx.ips.uses.begin(source));
        let to = dial.limit.as_ref().map(|(key, most)| {
            ctx.pool.make_room(&ctx.ips.open, key, *most);
            ctx.ips.open.begin(key.clone())
        });
        let by = (&dial.via, dial.source);
        let mut connection = egress::connect(&ctx.connector, by, dial.to, dial.connect).await?;
        let protection = &dial.protection;
        let (tls, verdict) = protection.client(&ctx.protections.clients)?;
        if protection.implicit {
            connection
                .start_tls_client(protection.server_name(&dial.name), &tls, HANDSHAKE)
                .await
                .map_err(OpenError::Tls)?;
        }
        let config = ClientConfig {
            protocol: if dial.lmtp {
                Protocol::Lmtp
            } else {
                Protocol::Smtp
            },
            helo: dial.helo.clone(),
            tls: protection.mode(),
            pipelining: true,
            // Converting to quoted-printable would break the author's signature, and bouncing would lose mail that nearly every
            // server takes: 8-bit content goes as it is, as Exim and qmail do.
            eight_bit: Mode::JustSend,
            timeouts: dial.timeouts,
        };
        let client = Client::new(Arc::new(config));
        let handshake = Handshake {
            tls,
            failed: None,
            verdict,
        };
        Ok(Self {
            client,
            connection,
            input: BytesMut::new(),
            handshake,
            dial,
            sent: 0,
            opened: Instant::now(),
            awaits: None,
            _uses: (from, to),
        })
    }

    async fn greet(&mut self) -> Result<(), OpenError> {
        loop {
            match self.next().await {
                Event::Ready(_) => return Ok(()),
                Event::Failed(failure) => {
                    return Err(self
                        .handshake
                        .failed
                        .take()
                        .map_or(OpenError::Session(failure), OpenError::Tls));
                }
                _ => {}
            }
        }
    }

    /// The protocol machine.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Whether it is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.connection.is_tls()
    }

    /// What a certificate that was only looked at is worth.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.handshake.verdict.as_ref()
    }

    /// Whether nobody on the way can read along: TLS, or this machine itself.
    pub(crate) fn is_private(&self) -> bool {
        self.connection.is_tls() || self.connection.peer().ip().is_loopback()
    }

    /// What SCRAM may bind to.
    pub(crate) fn bindings(&self) -> ChannelBindings {
        let info = self.connection.tls_info();
        ChannelBindings {
            tls_exporter: info.as_ref().and_then(|info| info.exporter).map(Vec::from),
            tls_server_end_point: info.and_then(|info| info.server_end_point),
        }
    }

    /// Whether another transaction may go over it.
    pub(crate) fn is_reusable(&self, most: usize) -> bool {
        self.sent < most.max(1) && self.client.is_reusable()
    }

    /// Sends one message: `slices` are the message from its first octet.
    pub(crate) async fn send(
        &mut self,
        transaction: Transaction,
        slices: &[Bytes],
    ) -> TransactionResult {
        self.sent += 1;
        let mut pieces = slices.iter().flat_map(|slice| slice.chunks(PIECE));
        self.client.send(transaction);
        loop {
            match self.next().await {
                Event::SendBody => match pieces.next() {
                    Some(piece) => self.client.body(piece),
                    None => self.client.body_end(),
                },
                Event::Done(result) => return result,
                // The machine ends a transaction before it ends itself, so these come only when there is none.
                Event::Failed(_) | Event::Closed => {
                    return TransactionResult {
                        recipients: Vec::new(),
                        phases: Vec::new(),
                    };
                }
                _ => {}
            }
        }
    }

    /// Says goodbye; errors are nobody's concern any more.
    pub(crate) async fn quit(mut self) {
        self.client.quit();
        loop {
            match self.next().await {
                Event::Closed | Event::Failed(_) => break,
                _ => {}
            }
        }
        self.connection.close(Duration::from_secs(1)).await;
    }

    /// The next step that is not plain input and output.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match self.client.next_event() {
                Event::Output(octets) => self.write(&octets).await,
                Event::NeedInput => self.read().await,
                Event::StartTls => self.start_tls().await,
                event => return event,
            }
        }
    }

    async fn write(&mut self, octets: &[u8]) {
        let deadline = Instant::now() + self.client.timeout();
        if self
            .connection
            .write_with_deadline(octets, deadline)
            .await
            .is_err()
        {
            // A server that refuses may say why before it closes: what it said is read first.
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let deadline = self.awaited() + self.client.timeout();
        self.input.clear();
        match self
            .connection
            .read_with_deadline(&mut self.input, deadline)
            .await
        {
            Ok(read) if read > 0 => self.client.feed(&self.input),
            Ok(_) | Err(_) => self.client.lost(),
        }
    }

    /// Since when the next reply is awaited: a server that sends an octet now and then does not keep us longer.
    fn awaited(&mut self) -> Instant {
        let heard = self.client.heard();
        match self.awaits {
            Some((known, since)) if known == heard => since,
            _ => {
                let now = Instant::now();
                self.awaits = Some((heard, now));
                now
            }
        }
    }

    async fn start_tls(&mut self) {
        match self
            .connection
            .start_tls_client(
                self.dial.protection.server_name(&self.dial.name),
                &self.handshake.tls,
                HANDSHAKE,
            )
            .await
        {
            Ok(()) => self.client.tls_established(),
            Err(error) => {
                self.handshake.failed = Some(error);
                self.client.lost();
            }
        }
    }
}
