//! All roles in one process, from a folder of YAML.
//!
//! Contains no mail logic: it reads the folder, keeps the plan current, and has the roles built, served and stopped.

mod certificate;
mod folder;
mod keys;
mod reload;
mod sockets;
mod summary;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mailpods_net::{Shutdown, Tracker, shutdown};
use mailpods_plan::{Plan, PlanHandle, Problem, Role, dns};
use mailpods_process::{
    Built, Listeners, LockError, Roles, RolesError, Setup, Signals, finish, queue_measures,
    take_folder,
};
use mailpods_store::Store;
use mailpods_store::sqlite::{self, SqliteStore};
use mailpods_telemetry::health::Health;
use mailpods_telemetry::metrics::Registry;
use reload::Reloader;
use sockets::Sockets;

pub use folder::{FolderError, read as read_folder};
pub use keys::{KeysError, PublicKeys, ensure as ensure_keys, secret_name as dkim_secret_name};
pub use summary::Summary;

/// Name in leases: an embedded store has one server.
const WORKER: &str = "standalone";

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
    /// No DKIM keys.
    #[error("failed to set up DKIM")]
    Keys(#[from] KeysError),
    /// Another server has the data folder.
    #[error("failed to take the data folder")]
    Lock(#[from] LockError),
    /// A role cannot be built.
    #[error(transparent)]
    Roles(#[from] RolesError),
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

/// Reads the folder and compiles what has no mistake, for tools that must work while something else in it is wrong: the plan, unless
/// nothing can be without what is wrong, and every problem.
///
/// # Errors
/// When it cannot be read.
pub fn load_valid(config: &Path) -> Result<(Option<Plan>, Vec<Problem>), RunError> {
    let (resources, mut problems) = mailpods_plan::load_valid(&folder::read(config)?);
    let compiled = mailpods_plan::compile_valid(resources);
    problems.extend(compiled.problems);
    Ok((compiled.plan, problems))
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
    let _lock = take_folder(&options.data)?;
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
    let health = Health::new();
    // Ready from the first plan on; dropping it would take the component out of /readyz.
    let ready = health.component("plan");
    ready.ready();
    let open = health.component("listeners");
    let setup = setup(options, &plan, &store, &registry, health, stop.clone());
    let Built { roles, delivery } = Roles::build(setup).await?;
    let roles = Arc::new(roles);
    let metrics = reload::Metrics::new(&registry)?;
    let mut listeners = Listeners::new(&plan.current());
    let sockets = Sockets::new(roles.clone(), tracker.clone(), &registry, open)?;
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
    if let Some(delivery) = delivery {
        tracker.spawn(delivery.run(stop.clone()));
    }
    tracker.spawn(queue_measures(store.queue.clone(), &registry, stop)?);
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
    // Nobody else takes over, so nobody is kept waiting.
    finish(
        &trigger,
        &tracker,
        plan.current().shutdown_grace,
        Duration::ZERO,
    )
    .await;
    Ok(())
}

fn setup(
    options: &Options,
    plan: &PlanHandle,
    store: &Store,
    registry: &Registry,
    health: Health,
    shutdown: Shutdown,
) -> Setup {
    Setup {
        role: Role::All,
        plan: plan.clone(),
        store: store.clone(),
        registry: registry.clone(),
        health,
        shutdown,
        resolvers: options.resolvers.clone(),
        extra_roots: options.extra_roots.clone(),
        worker: WORKER.to_owned(),
        egress: None,
        scan: None,
    }
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
