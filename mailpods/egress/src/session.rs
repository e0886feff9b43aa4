//! One client: TLS, log-in, request, and then what passes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mailpods_net::socks::{self, Malformed, Parsed, Reply, Target};
use mailpods_net::{Connection, TlsError};
use mailpods_telemetry::error_chain;
use tokio::time::Instant;

use crate::Egress;
use crate::MOST_STRANGERS;
use crate::metrics::{Direction, Served};
use crate::open::open;
use crate::relay::{Passed, relay};

/// For the answer to a request, and the goodbye.
const TELL: Duration = Duration::from_secs(5);

/// Why a client did not come as far as a request that is done.
#[derive(Debug, thiserror::Error)]
enum Stranger {
    #[error("failed to start TLS")]
    Tls(#[from] TlsError),
    #[error("the connection broke, or nothing came in time")]
    Io(#[from] io::Error),
    #[error("not SOCKS 5")]
    Malformed(#[from] Malformed),
    #[error("user name and password are not offered")]
    NoLogIn,
    #[error("the log-in has another token, or no address for its user name")]
    Token,
}

impl Egress {
    pub(crate) async fn session(&self, connection: Connection) {
        let peer = connection.peer();
        let Some(guard) = self.strangers.enter(peer.ip(), MOST_STRANGERS) else {
            return self.metrics.connections.inc(Served::Crowded);
        };
        let asked = self.asked(connection).await;
        // From here on it is one of ours.
        drop(guard);
        match asked {
            Ok(asked) => self.serve_request(asked).await,
            Err(error) => {
                let served = match error {
                    Stranger::Token => Served::Refused,
                    _ => Served::Strange,
                };
                self.metrics.connections.inc(served);
                tracing::info!(%peer, error = error_chain(&error), "a client was turned away");
            }
        }
    }

    /// What a client that has the token wants.
    async fn asked(&self, mut connection: Connection) -> Result<Asked, Stranger> {
        let deadline = Instant::now() + self.patience;
        connection.accept_tls(&self.tls, self.patience).await?;
        let mut client = Client {
            connection,
            input: BytesMut::new(),
            deadline,
        };
        let source = self.log_in(&mut client).await?;
        let request = client.read(socks::request).await?;
        Ok(Asked {
            client,
            source,
            request,
        })
    }

    async fn log_in(&self, client: &mut Client) -> Result<IpAddr, Stranger> {
        // RFC 1928 §3: the client that offers none of our methods must close the connection.
        if !client.read(socks::greeting).await? {
            client.tell(&socks::encode_method(socks::NO_METHOD)).await?;
            return Err(Stranger::NoLogIn);
        }
        client
            .tell(&socks::encode_method(socks::USER_PASSWORD))
            .await?;
        let source = client.credentials(|user, password| {
            let good = self.token.is(password);
            let user = std::str::from_utf8(user)
                .ok()
                .and_then(|user| user.parse().ok());
            user.filter(|_: &IpAddr| good)
        });
        let source = source.await?;
        // RFC 1929 §2: a failure closes the connection.
        client.tell(&socks::encode_status(source.is_some())).await?;
        source.ok_or(Stranger::Token)
    }

    async fn serve_request(&self, asked: Asked) {
        let Asked {
            mut client,
            source,
            request,
        } = asked;
        let room = self.room.try_acquire();
        let opened = match request.to {
            _ if room.is_err() => Err(Reply::Busy),
            _ if request.command != socks::CONNECT => Err(Reply::CommandNotSupported),
            Target::Name => Err(Reply::AddressTypeNotSupported),
            Target::Address(to) => open(&self.rules.current(), source, to).await,
        };
        let reply = opened
            .as_ref()
            .map_or_else(|reply| *reply, |_| Reply::Succeeded);
        self.metrics.connections.inc(Served::Answered(reply));
        let server = opened.ok().flatten();
        let bound = server
            .as_ref()
            .map_or_else(|| SocketAddr::new(source, 0), Connection::local);
        client.deadline = Instant::now() + TELL;
        if client
            .tell(&socks::encode_reply(reply, bound))
            .await
            .is_err()
        {
            return;
        }
        match server {
            Some(server) => self.pass(client, server, source).await,
            None => client.connection.close(TELL).await,
        }
    }

    async fn pass(&self, client: Client, server: Connection, source: IpAddr) {
        let (peer, to, start) = (client.connection.peer(), server.peer(), Instant::now());
        let _open = self.metrics.open.hold(());
        let passed = Arc::new(Passed::default());
        let idle = self.rules.current().idle;
        let ended = relay(client.into_connection(), server, idle, &passed).await;
        let (out, back) = (
            passed.out.load(Ordering::Relaxed),
            passed.back.load(Ordering::Relaxed),
        );
        self.metrics.octets.add(Direction::Out, out);
        self.metrics.octets.add(Direction::In, back);
        let error = ended.err().map(|error| error_chain(&error));
        tracing::info!(
            %peer, %source, %to, out, back, seconds = start.elapsed().as_secs(), error, "a connection has ended"
        );
    }
}

/// A request that was read.
struct Asked {
    client: Client,
    source: IpAddr,
    request: socks::Request,
}

/// A client, and what it sent that is not read yet.
struct Client {
    connection: Connection,
    input: BytesMut,
    deadline: Instant,
}

impl Client {
    /// The next message. No more is read than the longest one and one reading have.
    async fn read<T>(&mut self, parse: fn(&[u8]) -> Parsed<T>) -> Result<T, Stranger> {
        loop {
            if let Some((value, octets)) = parse(&self.input)? {
                self.input.advance(octets);
                return Ok(value);
            }
            self.more().await?;
        }
    }

    /// What is made of user name and password; their octets are wiped.
    async fn credentials<T>(
        &mut self,
        judge: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<T, Stranger> {
        while socks::credentials(&self.input)?.is_none() {
            self.more().await?;
        }
        let Some((given, octets)) = socks::credentials(&self.input)? else {
            return Err(Stranger::Token);
        };
        let judged = judge(given.user, given.password);
        if let Some(secret) = self.input.get_mut(..octets) {
            zeroize::Zeroize::zeroize(secret);
        }
        self.input.advance(octets);
        Ok(judged)
    }

    async fn more(&mut self) -> Result<(), Stranger> {
        let read = self
            .connection
            .read_with_deadline(&mut self.input, self.deadline);
        match read.await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }

    async fn tell(&mut self, octets: &[u8]) -> Result<(), Stranger> {
        let told = self.connection.write_with_deadline(octets, self.deadline);
        Ok(told.await?)
    }

    /// The connection; what the client sent ahead comes first.
    fn into_connection(self) -> Connection {
        let (peer, local) = (self.connection.peer(), self.connection.local());
        Connection::from_io(self.connection, peer, local).with_prefix(self.input.freeze())
    }
}
