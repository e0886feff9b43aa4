//! One role as a process: its plan comes from the operator, or from the store while the operator is away.
//!
//! Contains no mail logic: it follows the plan, has the role built, served and stopped, and tells the operator what it sees.

mod control;
mod filter;
mod kept;
mod remote;
mod run;
mod serving;
mod state;
mod storage;
mod wait;

use std::net::SocketAddr;
use std::time::Duration;

use mailpods_plan::Role;
use mailpods_process::RolesError;
use mailpods_telemetry::metrics::MetricsError;

pub use control::{ControlOptions, SetupError};
pub use filter::{FilterListenerOptions, FilterServeError};
pub use remote::{RemoteError, RemoteOptions};
pub use run::run;
pub use storage::{StorageError, StoreOptions};

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
    /// Where scans are taken. For filter.
    pub filter_listener: Option<FilterListenerOptions>,
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
    FilterListener(#[from] FilterServeError),
    /// The filter role was not told where to listen.
    #[error("the filter role needs --filter-listen")]
    NoFilterListener,
    /// A role cannot be built.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// A metric's name is taken twice.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
}
