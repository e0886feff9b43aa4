//! The egress role: a SOCKS 5 server on the node that has outbound addresses. Delivery names the address, it opens the connection.
//!
//! ```text
//! delivery --TLS 1.3, token, source address--> egress --bind(source), connect--> mail exchanger
//! ```
//!
//! It listens on the node's own network, where no NetworkPolicy need hold: whoever has no token gets nothing but a handshake, few at
//! a time. What it opens leads from addresses of the plan to the ports of mail alone, and from an address of the Internet to the
//! Internet alone ([`Rules`]). It reads nothing of what passes.

mod metrics;
mod open;
mod relay;
mod rules;
mod session;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mailpods_net::{Connections, Listener, Shutdown, TlsServer, Tracker};
use mailpods_telemetry::metrics::{MetricsError, Registry};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use metrics::Metrics;
pub use rules::Rules;
pub use sources::{Sources, watch};

/// Connections to mail servers at once. Each takes two sockets and 32 KiB of buffers at most.
const MOST_CONNECTIONS: usize = 4096;
/// Clients at once: those, and some who log in or are told that there is no room.
pub const MOST_CLIENTS: usize = MOST_CONNECTIONS + 512;
/// Connections that have not logged in yet, by client.
const MOST_STRANGERS: u32 = 64;

/// The token that clients must have; it is exchanged while the role runs.
#[derive(Clone)]
pub struct Token(Arc<ArcSwap<Zeroizing<Vec<u8>>>>);

impl Token {
    /// A token. An empty one is nobody's.
    #[must_use]
    pub fn new(token: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(token)))
    }

    /// Takes another one, for connections from now on.
    pub fn swap(&self, token: Zeroizing<Vec<u8>>) {
        self.0.store(Arc::new(token));
    }

    /// Whether this is it; takes as long whatever is given.
    fn is(&self, given: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        let token = self.0.load();
        !token.is_empty() && bool::from(token.as_slice().ct_eq(given))
    }
}

/// What is opened for whom; exchanged with each plan.
#[derive(Clone)]
pub struct RulesHandle(Arc<ArcSwap<Rules>>);

impl RulesHandle {
    /// Rules that hold from the start.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }

    /// Takes other ones, for connections from now on.
    pub fn swap(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }

    /// The rules now.
    #[must_use]
    pub fn current(&self) -> Arc<Rules> {
        self.0.load_full()
    }
}

/// The role.
#[derive(Clone)]
pub struct Egress {
    tls: TlsServer,
    token: Token,
    rules: RulesHandle,
    metrics: Arc<Metrics>,
    strangers: Connections,
    /// One permit for each connection to a mail server.
    room: Arc<Semaphore>,
    /// For TLS and the log-in.
    patience: Duration,
}

impl Egress {
    /// The role; nothing runs yet.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn new(
        tls: TlsServer,
        token: Token,
        rules: RulesHandle,
        registry: &Registry,
    ) -> Result<Self, MetricsError> {
        Ok(Self {
            tls,
            token,
            rules,
            metrics: Arc::new(Metrics::new(registry)?),
            strangers: Connections::new(),
            room: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            patience: Duration::from_secs(10),
        })
    }

    /// Gives clients another time for TLS and the log-in.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Opens no more than so many connections at once.
    #[must_use]
    pub fn with_room(mut self, connections: usize) -> Self {
        self.room = Arc::new(Semaphore::new(connections));
        self
    }

    /// The numbers.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Serves until `shutdown` says to stop accepting; what is open goes on in `tracker` until it is cut.
    pub async fn serve(self, listener: Listener, shutdown: Shutdown, tracker: Tracker) {
        let session = move |connection| {
            let egress = self.clone();
            async move { egress.session(connection).await }
        };
        listener.run(shutdown, tracker, session).await;
    }
}
