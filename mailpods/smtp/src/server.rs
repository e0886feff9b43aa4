//! The server: what its sessions share.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::{Connection, Shutdown, TlsServer};
use mailpods_plan::{PlanHandle, Protocol};
use mailpods_rpc::Scan;
use mailpods_store::Store;
use mailpods_store::directory::Directory;
use mailpods_store::suspension::Guard;
use mailpods_telemetry::metrics::{MetricsError, Registry};

use crate::admission::Admission;
use crate::budget::Budget;
use crate::metrics::Metrics;
use crate::session;

/// A handshake takes no longer than this.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(30);

/// What the role needs.
#[derive(Clone)]
pub struct Deps {
    /// The current plan.
    pub plan: PlanHandle,
    /// Queue, counters, quota, trace.
    pub store: Store,
    /// Log-ins.
    pub directory: Directory,
    /// The filter.
    pub scan: Arc<dyn Scan>,
    /// The certificate for STARTTLS and implicit TLS.
    pub tls: TlsServer,
    /// Sessions end at the next command once it says `Drain`.
    pub shutdown: Shutdown,
}

/// The smtp role of a process. Clones share everything.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) deps: Deps,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Admission,
    pub(crate) budget: Budget,
    pub(crate) guard: Guard,
}

impl Server {
    /// A server with its metrics in `registry`.
    ///
    /// # Errors
    /// When the registry already has such metrics.
    pub fn new(deps: Deps, registry: &Registry) -> Result<Server, MetricsError> {
        let metrics = Metrics::new(registry)?;
        Ok(Server(Arc::new(Shared {
            deps,
            metrics,
            admission: Admission::default(),
            budget: Budget::default(),
            guard: Guard::default(),
        })))
    }

    /// Serves one connection to its end. `protocol` is what the listener speaks: Smtp, Submission, Submissions or Lmtp;
    /// for another the connection is closed.
    pub async fn serve(&self, connection: Connection, protocol: Protocol) {
        match protocol {
            Protocol::Smtp | Protocol::Submission | Protocol::Submissions | Protocol::Lmtp => {
                session::run(self.0.clone(), connection, protocol).await;
            }
            Protocol::Imap
            | Protocol::Imaps
            | Protocol::Pop3
            | Protocol::Pop3s
            | Protocol::ManageSieve
            | Protocol::Http
            | Protocol::Https => {
                tracing::error!(
                    protocol = protocol.as_str(),
                    "the listener's protocol is not for the smtp role"
                );
            }
        }
    }
}
