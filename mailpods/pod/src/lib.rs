//! One role as a process: its plan comes from the operator, or from the store while the operator is away.
//!
//! Contains no mail logic: it follows the plan, has the role built, served and stopped, and tells the operator what it sees.

mod alone;
mod control;
mod egress;
mod filter;
mod inner;
mod kept;
mod remote;
mod run;
mod serving;
mod state;
mod storage;
mod wait;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mailpods_plan::Role;
use mailpods_process::RolesError;
use mailpods_telemetry::metrics::MetricsError;

pub use alone::{AloneError, AloneOptions, run_proxy};
pub use control::{ControlOptions, SetupError};
pub use egress::{EgressOptions, EgressSetupError, ProxyError};
pub use inner::{InnerListenerOptions, InnerServeError};
pub use kept::{KeptError, kept_plan};
pub use remote::{RemoteError, RemoteOptions};
pub use run::run;
pub use storage::{StorageError, StoreOptions, postgres_options};

/// What a pod is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it does.
    pub role: Role,
    /// Its name, in leases and reports.
    pub pod: String,
    /// The operator.
    pub control: ControlOptions,
    /// The store.
    pub store: StoreOptions,
    /// Where probes and metrics are served, plain HTTP.
    pub health: SocketAddr,
    /// The filter to ask; `None`: built in. For smtp.
    pub filter: Option<RemoteOptions>,
    /// Where other pods are served. For filter and egress.
    pub inner_listener: Option<InnerListenerOptions>,
    /// The one address that the pod is for, and whether the network translates to it. For egress.
    pub egress_source: Option<(IpAddr, bool)>,
    /// The egress proxies. For delivery.
    pub egress: Option<EgressOptions>,
    /// Between readiness going off and the end of accepting: load balancers need a moment.
    pub drain_delay: Duration,
    /// DNS servers in place of the plan's.
    pub resolvers: Vec<SocketAddr>,
    /// PEM certificates trusted besides the usual roots when the certificate of a next hop is checked; may be empty.
    pub extra_roots: Vec<u8>,
    /// Print what is open as lines of JSON.
    pub json: bool,
}

/// Why a pod did not start or stop well.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// Signals cannot be received.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    /// Probes cannot be served.
    #[error("failed to serve probes and metrics on {address}")]
    Health {
        /// The address wanted.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// There is no store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The operator cannot be asked at all.
    #[error(transparent)]
    Control(#[from] SetupError),
    /// The filter's address is wrong.
    #[error("failed to use the filter's address")]
    Filter(#[from] RemoteError),
    /// Scans cannot be taken.
    #[error("failed to take scans")]
    FilterListener(#[from] InnerServeError),
    /// The role was not told where to listen.
    #[error("the {0} role needs --{0}-listen")]
    NoInnerListener(Role),
    /// The egress role cannot work.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The egress proxies cannot be used.
    #[error("failed to set the egress proxies up")]
    Egress(#[from] EgressSetupError),
    /// A role cannot be built.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// A metric's name is taken twice.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
}
