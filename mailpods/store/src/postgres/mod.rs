//! The back end for many pods: PostgreSQL (14 or later). Any number of processes share one database.
//!
//! Writes of the hot path (queueing, settling, appending) are gathered by a few writers and committed in groups; everything else is a
//! transaction on a pooled connection. Rows are locked in one order: units, messages, accounts, mailboxes, bodies. Changes are told to other
//! processes by NOTIFY after the commit; whoever may have missed some looks for himself.
//!
//! There is no `backup` and no `fsck` here: `pg_dump` and the database's own checks are the tools for that.

mod body;
mod connection;
mod error;
mod group;
mod housekeeper;
mod locks;
mod mail;
mod metrics;
mod notify;
mod pool;
mod queue;
mod schema;
mod scripts;
mod secrets;
mod shard;
mod shared;
mod shares;
mod tls;
mod tokens;
mod trace;
mod tx;
mod uri;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::Store;
use crate::common::body::new_octets;
use crate::common::{closed, lock};
use crate::error::{Result, StoreError};
use crate::types::NewBody;

use group::Job;
use notify::Listener;
use pool::Pool;
use shared::Shared;

/// Settings of a store.
#[derive(Clone)]
pub struct Options {
    /// `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, with libpq's parameters. `sslmode` is `verify-full` (without a word in the URI),
    /// `verify-ca`, `require` or `disable`; sockets of this machine have no TLS. `sslrootcert` names a file with CA certificates.
    pub uri: Zeroizing<String>,
    /// The file that `uri` comes from: it is read again when the database cannot be reached, because passwords are replaced.
    pub uri_file: Option<PathBuf>,
    /// CA certificates in PEM that sign the server's, in place of the public ones; `sslrootcert` in the URI goes before it.
    pub ca: Option<Vec<u8>>,
    /// The key that seals secrets; the same for all processes of one store.
    pub seal_key: Zeroizing<[u8; 32]>,
    /// The name of this process, for `pg_stat_activity`.
    pub name: String,
    /// Most connections that calls use at the same time, 2 at least. One more listens.
    pub max_connections: usize,
    /// Writers that commit groups, each on a connection of its own while it does.
    pub writers: usize,
    /// Longest wait for a free connection, for a new one to be made, for room among the jobs, and for a writer to take a job.
    pub wait: Duration,
    /// Longest time that the database takes for a statement.
    pub statement_timeout: Duration,
    /// How often changes are looked for that no notification told of, and whether the schema may still be used.
    pub poll: Duration,
    /// How long the database has been reachable, after it was not, before leases of others that have run out are taken over. When it was
    /// away for longer than a lease, all have run out, and whoever still works on one gets this time to extend or to settle it.
    pub takeover_wait: Duration,
    /// Most octets of recently written bodies kept in memory.
    pub cache_octets: usize,
    /// How long trace events are kept.
    pub trace_age: Duration,
    /// Most trace events kept.
    pub trace_rows: u64,
}

impl Options {
    /// The usual settings for a database.
    #[must_use]
    pub fn new(uri: &str, seal_key: Zeroizing<[u8; 32]>) -> Self {
        Self {
            uri: Zeroizing::new(uri.to_owned()),
            uri_file: None,
            ca: None,
            seal_key,
            name: "mailpods".to_owned(),
            max_connections: 16,
            writers: 4,
            wait: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            poll: Duration::from_secs(15),
            takeover_wait: Duration::from_secs(10),
            cache_octets: 16 << 20,
            trace_age: Duration::from_secs(7 * 24 * 3600),
            trace_rows: 1_000_000,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// An open store. Clones are handles to the same one; it closes with the last handle or [`Store`].
#[derive(Clone)]
pub struct PostgresStore {
    core: Arc<Core>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to this version.
    ///
    /// # Errors
    /// `Invalid` for a URI that cannot be, and for a schema that needs a newer program; `Unavailable` when the database cannot be reached.
    pub async fn connect(mut options: Options) -> Result<Self> {
        // One for the writers, one for everybody else.
        options.max_connections = options.max_connections.max(2);
        options.writers = options.writers.clamp(1, options.max_connections - 1);
        let target = uri::parse(&options.uri, options.ca.as_deref(), &options.name)?;
        let pool = Pool::new(target, &options);
        let schema = schema::migrate(&pool, &options).await?;
        let shared = Arc::new(Shared::new(pool, options, schema)?);
        queue::lease::measure_shift(&shared).await?;
        // First the ear, then the look: what changes in between is heard.
        let listener = Listener::open(&shared).await?;
        queue::due::load(&shared).await?;
        Ok(Self {
            core: Arc::new(Core::start(shared, listener)),
        })
    }

    /// The store's concerns.
    #[must_use]
    pub fn store(&self) -> Store {
        let core = &self.core;
        Store {
            mail: core.clone(),
            queue: core.clone(),
            tokens: core.clone(),
            secrets: core.clone(),
            directory: core.clone(),
            trace: core.clone(),
            locks: core.clone(),
            upkeep: core.clone(),
            scripts: core.clone(),
            migrations: core.clone(),
            shares: Some(core.clone()),
        }
    }

    /// Writes what is buffered, tells others of the last changes and closes the connections. Later calls find the store unavailable.
    pub async fn close(&self) {
        self.core.close().await;
    }

    /// Hands back every lease of the workers named `worker`, and says how many there were: for a pod that starts under the name of one
    /// that did not end well. Other pods' leases stay; they expire.
    ///
    /// # Errors
    /// As any write.
    pub async fn reclaim(&self, worker: &str) -> Result<usize> {
        queue::lease::hand_back_all(&self.core.shared, worker).await
    }

    /// What the writers have done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let stats = &self.core.shared.stats;
        Statistics {
            commits: stats.commits.load(Ordering::Relaxed),
            jobs: stats.jobs.load(Ordering::Relaxed),
            doubtful: stats.doubtful.load(Ordering::Relaxed),
        }
    }
}

/// What the writers have done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Groups committed.
    pub commits: u64,
    /// Jobs in these groups.
    pub jobs: u64,
    /// Commits whose end was unknown and looked up.
    pub doubtful: u64,
}

/// What all handles share; implements each concern.
struct Core {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Vec<Job>>,
    tasks: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    /// Room for bodies on their way to the writers, in KiB.
    admission: Arc<Semaphore>,
}

/// Most KiB of bodies on their way to the writers; a larger body comes alone.
const ADMISSION: u32 = 64 << 10;
/// Longest wait for tasks to end when the store is closed.
const CLOSE: Duration = Duration::from_secs(10);

impl Core {
    fn start(shared: Arc<Shared>, listener: Listener) -> Self {
        let (jobs, queue) = mpsc::channel(group::CHANNEL);
        let (stop, stopped) = watch::channel(false);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let claims = group::Claims::default();
        let mut tasks = JoinSet::new();
        for _ in 0..shared.options.writers {
            tasks.spawn(group::run(
                Arc::clone(&shared),
                Arc::clone(&queue),
                Arc::clone(&claims),
                stopped.clone(),
            ));
        }
        tasks.spawn(notify::listen(
            Arc::clone(&shared),
            listener,
            stopped.clone(),
        ));
        tasks.spawn(notify::send(Arc::clone(&shared), stopped.clone()));
        tasks.spawn(housekeeper::run(Arc::clone(&shared), stopped));
        Self {
            shared,
            jobs,
            tasks: Mutex::new(tasks),
            stop,
            admission: Arc::new(Semaphore::new(ADMISSION as usize)),
        }
    }

    async fn close(&self) {
        self.admission.close();
        self.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(CLOSE, ended).await.is_err() {
            tracing::warn!("the store's tasks did not end in time");
        }
        self.shared.pool.close();
    }

    /// Waits for room for new bodies. A call asks once for all of its bodies: so none holds a part while it waits for another.
    async fn admit<'a>(
        &self,
        bodies: impl Iterator<Item = &'a NewBody> + Send,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        let octets = bodies.map(new_octets).sum::<u64>();
        let kib = u32::try_from(octets.div_ceil(1024))
            .unwrap_or(ADMISSION)
            .min(ADMISSION);
        if kib == 0 {
            return Ok(None);
        }
        let room = Arc::clone(&self.admission).acquire_many_owned(kib);
        match timeout(self.shared.options.wait, room).await {
            Ok(permit) => permit.map(Some).map_err(|_| closed()),
            Err(_) => Err(too_slow()),
        }
    }
}

/// The database does not keep up with what is asked of it.
fn too_slow() -> StoreError {
    StoreError::Unavailable("the database is too slow for what it is asked".to_owned())
}
