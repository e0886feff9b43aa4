//! Drives one session: octets between connection and core, and each question of the core to its handler.

mod config;
mod end;
mod envelope;
mod login;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mailpods_net::{Connection, Shutdown, TlsInfo};
use mailpods_plan::{Mailbox, Plan, Protocol};
use mailpods_policy::Reason;
use mailpods_smtp_proto::server::{Event, Session};
use mailpods_smtp_proto::{HelloKind, ProtocolError, Reply};
use mailpods_store::directory;
use tokio::time::Instant;

use crate::admission;
use crate::ids;
use crate::metrics::Service;
use crate::report::About;
use crate::server::{HANDSHAKE, Shared};
use envelope::Transaction;

/// How long the end of a connection may linger, for the last reply to arrive.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to read what it is told.
const WRITE: Duration = Duration::from_secs(300);

/// One session and what is known of its client.
pub(super) struct Driver {
    shared: Arc<Shared>,
    connection: Connection,
    session: Session,
    client: Client,
    login: Option<directory::Login>,
    transaction: Option<Transaction>,
    input: BytesMut,
    draining: bool,
}

/// What is known of a client.
pub(crate) struct Client {
    pub(crate) protocol: Protocol,
    pub(crate) address: IpAddr,
    /// The address as text, for logs.
    pub(crate) peer: String,
    /// Id of the session.
    pub(crate) session: String,
    pub(crate) helo: String,
    pub(crate) extended: bool,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) identity: Option<Arc<Mailbox>>,
}

impl Client {
    /// What a report is about before there is a message.
    pub(crate) fn about<'a>(&'a self, sender: &'a str) -> About<'a> {
        About {
            protocol: self.protocol,
            id: &self.session,
            session: &self.session,
            peer: &self.peer,
            sender,
        }
    }
}

/// Why the loop ended.
enum End {
    /// The core has said its last word.
    Closed,
    /// The client is gone.
    Gone,
}

/// Serves a connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, mut connection: Connection, protocol: Protocol) {
    let Some(session) = ids::new_id(ids::now()) else {
        return tracing::error!("the system gives no random octets");
    };
    let plan = shared.deps.plan.current();
    let admitted = shared
        .admission
        .enter(connection.peer().ip(), protocol, &plan.smtp)
        .and_then(|admitted| wait_kept(&shared, &connection, protocol).map(|()| admitted));
    // A handshake costs more than the refusal says.
    let tls_first = protocol == Protocol::Submissions && admitted.is_ok();
    if tls_first && !handshake(&shared, &mut connection, session.as_str()).await {
        return;
    }
    let _open = shared.metrics.sessions.hold(Service(protocol));
    let mut driver = Driver::new(shared, connection, protocol, session.to_string(), &plan);
    drop(plan);
    driver
        .shared
        .report_connection(driver.client.about(""), admitted.as_ref().err().copied());
    match &admitted {
        Ok(_) => {
            driver.offer_mechanisms().await;
            driver.session.greet();
        }
        Err(_) if protocol == Protocol::Submissions => return,
        Err(reason) => driver.session.refuse(busy(*reason)),
    }
    driver.serve().await;
}

/// RFC 5321 §4.3.1: a client waits for the greeting. What another server sends before it was written without listening.
fn wait_kept(shared: &Shared, connection: &Connection, protocol: Protocol) -> Result<(), Reason> {
    let plan = shared.deps.plan.current();
    let exempt = admission::is_exempt(connection.peer().ip(), &plan.smtp);
    match protocol == Protocol::Smtp && !exempt && connection.has_input() {
        true => Err(Reason::EarlyTalker),
        false => Ok(()),
    }
}

/// RFC 8314 §3.3: TLS from the first octet.
async fn handshake(shared: &Shared, connection: &mut Connection, session: &str) -> bool {
    match connection.accept_tls(&shared.deps.tls, HANDSHAKE).await {
        Ok(()) => true,
        Err(error) => {
            let (peer, error) = (connection.peer(), mailpods_telemetry::error_chain(&error));
            tracing::info!(session, %peer, error, "TLS handshake failed");
            false
        }
    }
}

fn busy(reason: Reason) -> Reply {
    match reason {
        Reason::RateLimited => Reply::new(
            421,
            (7, 0),
            "too many connections from your network, try again later",
        ),
        Reason::EarlyTalker => ProtocolError::EarlyTalker.reply(),
        _ => Reply::new(421, (3, 2), "too many sessions, try again later"),
    }
}

impl Driver {
    fn new(
        shared: Arc<Shared>,
        connection: Connection,
        protocol: Protocol,
        id: String,
        plan: &Plan,
    ) -> Driver {
        let address = connection.peer().ip();
        let tls = connection.tls_info();
        let config = Arc::new(config::session_config(plan, protocol, address));
        let session = Session::new(config, tls.is_some(), Instant::now().into_std());
        let client = Client {
            protocol,
            address,
            peer: address.to_string(),
            session: id,
            helo: String::new(),
            extended: false,
            tls,
            identity: None,
        };
        Driver {
            shared,
            connection,
            session,
            client,
            login: None,
            transaction: None,
            input: BytesMut::new(),
            draining: false,
        }
    }

    async fn serve(mut self) {
        let end = self.talk().await;
        self.shared.report_end(
            self.client.about(""),
            self.session.close_reason(),
            matches!(end, End::Gone),
        );
        if matches!(end, End::Closed) {
            self.connection.close(LINGER).await;
        }
    }

    async fn talk(&mut self) -> End {
        loop {
            match self.session.next_event() {
                Event::BodyChunk(chunk) => {
                    if let Some(transaction) = &mut self.transaction {
                        transaction.push(chunk);
                    }
                }
                Event::NeedInput => {
                    if !self.take_input().await {
                        return End::Gone;
                    }
                }
                Event::Output(output) => {
                    let deadline = Instant::now() + WRITE;
                    if self
                        .connection
                        .write_with_deadline(&output, deadline)
                        .await
                        .is_err()
                    {
                        return End::Gone;
                    }
                }
                Event::StartTls => {
                    if !self.start_tls().await {
                        return End::Gone;
                    }
                }
                Event::Closed => return End::Closed,
                Event::Hello { kind, name } => self.on_hello(kind, name),
                Event::AuthStart { mechanism, initial } => {
                    self.on_auth_start(&mechanism, initial).await
                }
                Event::AuthResponse(response) => self.on_auth_response(&response).await,
                Event::AuthAborted => self.login = None,
                Event::Mail { path, params } => self.on_mail(&path, params).await,
                Event::Rcpt { path, params } => self.on_rcpt(&path, &params).await,
                Event::BodyStart(_) => self.on_body_start(),
                Event::BodyEnd => self.on_body_end().await,
                Event::BodyRefused(error) => self.on_body_refused(&error),
                Event::Reset => self.transaction = None,
                Event::Fault(error) => self.shared.report_fault(self.client.about(""), &error),
                // RFC 5321 §7.3: who is behind an address is nobody's business, and 252 says neither yes nor no.
                Event::Vrfy(_) | Event::Expn(_) => self.session.accept(),
                Event::NeedAnswer => self
                    .session
                    .answer(Reply::new(451, (3, 0), "internal error")),
                Event::Quit => self.transaction = None,
            }
        }
    }

    /// Gives the core what was read, or reads; false when the client is gone.
    async fn take_input(&mut self) -> bool {
        if self.input.is_empty() && !self.read().await {
            return false;
        }
        let taken = self.session.feed(&self.input, Instant::now().into_std());
        self.input.advance(taken);
        true
    }

    async fn read(&mut self) -> bool {
        let deadline = Instant::from_std(self.session.deadline());
        let stop = drain(self.shared.deps.shutdown.clone(), self.draining);
        let read = tokio::select! {
            read = self.connection.read_with_deadline(&mut self.input, deadline) => read,
            () = stop => {
                self.draining = true;
                self.session.shutdown();
                return true;
            }
        };
        match read {
            Ok(count) => count > 0,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                self.session.timed_out();
                true
            }
            Err(_) => false,
        }
    }

    async fn start_tls(&mut self) -> bool {
        self.input.clear();
        if let Err(error) = self
            .connection
            .start_tls(&self.shared.deps.tls, HANDSHAKE)
            .await
        {
            let (session, peer) = (&self.client.session, &self.client.peer);
            tracing::info!(
                session,
                peer,
                error = mailpods_telemetry::error_chain(&error),
                "TLS handshake failed"
            );
            return false;
        }
        self.client.tls = self.connection.tls_info();
        self.transaction = None;
        self.session.tls_established(Instant::now().into_std());
        self.offer_mechanisms().await;
        true
    }

    fn on_hello(&mut self, kind: HelloKind, name: String) {
        self.transaction = None;
        self.client.extended = kind != HelloKind::Helo;
        self.client.helo = name;
        self.session.accept();
    }
}

/// Ends when sessions are to end; never, once that was seen.
async fn drain(shutdown: Shutdown, seen: bool) {
    if seen {
        return std::future::pending().await;
    }
    shutdown.drain().await;
}
