//! All roles in one process, from a folder of YAML.
//!
//! Contains no mail logic: it reads the folder, keeps the plan current, opens the sockets, builds the roles and stops them.

mod autoconfig;
mod certificate;
mod folder;
mod keys;
mod listeners;
mod lock;
mod measures;
mod reload;
mod roles;
mod sockets;
mod summary;
mod tls;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use mailpods_net::{Tracker, Trigger, shutdown};
use mailpods_plan::{Plan, PlanHandle, Problem, dns};
use mailpods_store::sqlite::{self, SqliteStore};
use mailpods_telemetry::metrics::Registry;
use reload::Reloader;
use roles::Roles;
use sockets::Sockets;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use folder::{FolderError, read as read_folder};
pub use keys::{KeysError, PublicKeys, ensure as ensure_keys, secret_name as dkim_secret_name};
pub use listeners::{Bound, Closed, Listeners};
pub use lock::LockError;
pub use summary::Summary;
pub use tls::TlsSetupError;

/// What `mailpods standalone` is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder with the YAML.
    pub config: PathBuf,
    /// Folder for everything that is kept.
    pub data: PathBuf,
    /// DNS servers in place of the plan's.
    pub resolvers: Vec<SocketAddr>,
    /// PEM certificates trusted besides the usual roots when the certificate of a next hop is checked; may be empty.
    pub extra_roots: Vec<u8>,
    /// Print the summary as one line of JSON.
    pub json: bool,
}

/// Why the server did not start or stop well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder cannot be read.
    #[error("failed to read the configuration")]
    Folder(#[from] FolderError),
    /// The resources are wrong.
    #[error("the configuration has {}", mistakes(.0.len()))]
    Problems(Vec<Problem>),
    /// The store cannot be opened.
    #[error("failed to open the store in {}", path.display())]
    Store {
        /// The data folder.
        path: PathBuf,
        /// Why.
        source: mailpods_store::StoreError,
    },
    /// No certificate.
    #[error("failed to set up TLS")]
    Tls(#[from] TlsSetupError),
    /// No DKIM keys.
    #[error("failed to set up DKIM")]
    Keys(#[from] KeysError),
    /// Another server has the data folder.
    #[error("failed to take the data folder")]
    Lock(#[from] LockError),
    /// Name look-ups cannot be set up.
    #[error("failed to set up DNS")]
    Dns(#[from] mailpods_net::dns::ResolverConfigError),
    /// The log-in service cannot be opened.
    #[error("failed to open the log-in service")]
    Directory(#[from] mailpods_store::directory::DirectoryError),
    /// Delivery cannot be built.
    #[error("failed to build the delivery role")]
    Delivery(#[from] mailpods_delivery::DeliveryError),
    /// A socket cannot be opened.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Bind(Vec<mailpods_net::listener::BindError>),
    /// A metric's name is taken twice.
    #[error("failed to register metrics")]
    Metrics(#[from] mailpods_telemetry::metrics::MetricsError),
    /// The runtime is going down.
    #[error("interrupted by the end of the process")]
    Interrupted,
    /// Signals cannot be received.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

fn mistakes(number: usize) -> String {
    match number {
        1 => "1 mistake".to_owned(),
        more => format!("{more} mistakes"),
    }
}

/// Reads the folder and compiles it.
///
/// # Errors
/// When it cannot be read, or with every problem in it.
pub fn load(config: &Path) -> Result<Plan, RunError> {
    examine(config).map(|(plan, _)| plan)
}

/// Reads the folder and compiles it: the plan, and what is allowed but hardly meant.
///
/// # Errors
/// When it cannot be read, or with every problem in it.
pub fn examine(config: &Path) -> Result<(Plan, Vec<Problem>), RunError> {
    let sources = folder::read(config)?;
    let mut warnings = folder::exposed(config, &sources);
    let now = SystemTime::now();
    let (plan, problems) = mailpods_plan::check_with(&sources, |plan, resources| {
        let found = certificate::examine(plan, resources, now);
        warnings.extend(found.warnings);
        found.problems
    });
    match plan {
        Some(plan) => Ok((plan, warnings)),
        None => Err(RunError::Problems(problems)),
    }
}

/// As [`examine`], with the warnings logged.
fn load_and_warn(config: &Path) -> Result<Plan, RunError> {
    let (plan, warnings) = examine(config)?;
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
    Ok(plan)
}

/// Runs until SIGTERM or SIGINT, then stops cleanly: no new work, sessions finish within the grace time, the queue is handed back.
///
/// # Errors
/// When something that the start needs is missing. What goes wrong later is logged, not returned.
pub async fn run(options: Options) -> Result<(), RunError> {
    let mut signals = Signals::new().map_err(RunError::Signals)?;
    let plan = load_and_warn(&options.config)?;
    let _lock = lock::take(&options.data)?;
    let failed = |source| RunError::Store {
        path: options.data.clone(),
        source,
    };
    let sqlite = SqliteStore::open(&options.data, sqlite::Options::default()).map_err(failed)?;
    let result = serve(&options, plan, &sqlite, &mut signals).await;
    sqlite.close().await.map_err(failed)?;
    result
}

async fn serve(
    options: &Options,
    plan: Plan,
    sqlite: &SqliteStore,
    signals: &mut Signals,
) -> Result<(), RunError> {
    let store = sqlite.store();
    let (trigger, stop) = shutdown::channel();
    let tracker = Tracker::new();
    let registry = Registry::new().with_process_metrics(env!("CARGO_PKG_VERSION"))?;
    sqlite.register_metrics(&registry)?;
    let keys = keys::ensure(&plan, store.secrets.as_ref()).await?;
    let plan = PlanHandle::new(plan);
    let (roles, delivery) = Roles::build(options, &plan, &store, &registry, stop.clone()).await?;
    let roles = Arc::new(roles);
    let metrics = reload::Metrics::new(&registry)?;
    let mut listeners = Listeners::new(&plan.current());
    let health = roles.health().component("listeners");
    let sockets = Sockets::new(roles.clone(), tracker.clone(), &registry, health)?;
    let errors = sockets.apply(&mut listeners, &plan.current());
    if !errors.is_empty() {
        return Err(RunError::Bind(errors));
    }
    // Leases of a server that did not end well: this one has the lock, so nobody works on them.
    let failed = |source| RunError::Store {
        path: options.data.clone(),
        source,
    };
    sqlite.reclaim().await.map_err(failed)?;
    tracker.spawn(delivery.run(stop.clone()));
    tracker.spawn(measures::queue(store.queue.clone(), &registry, stop)?);
    show(options, &plan.current(), &listeners, &keys);
    let reloader = Reloader {
        options: options.clone(),
        plan: plan.clone(),
        store,
        roles,
        sockets,
        metrics,
    };
    reloader.until_stop(signals, &mut listeners).await;
    listeners.close();
    finish(&trigger, &tracker, &plan.current()).await;
    Ok(())
}

fn show(options: &Options, plan: &Plan, listeners: &Listeners, keys: &PublicKeys) {
    let bound = listeners.bound();
    let records = dns::fill(plan, None, |domain, selector| {
        keys.get(&(domain.clone(), selector.clone())).cloned()
    });
    let zone = dns::zone(&records);
    let summary = Summary {
        plan,
        bound: &bound,
        zone: &zone,
        config: &options.config,
        data: &options.data,
    };
    if options.json {
        println!("{}", summary.json());
    } else {
        println!("{}", summary.text());
    }
}

async fn finish(trigger: &Trigger, tracker: &Tracker, plan: &Plan) {
    tracing::info!(sessions = tracker.running(), grace = ?plan.shutdown_grace, "stopping");
    trigger.advance(mailpods_net::Stage::StopAccepting);
    let drained = tracker.finish(trigger, plan.shutdown_grace).await;
    tracing::info!(finished = drained.finished, cut = drained.cut, "stopped");
}

/// Signals that end or reload.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
