//! The embedded back end: one SQLite file, and large bodies as files beside it.
//!
//! ```text
//! DIR/mailpods.db        rows and small bodies (WAL, every commit synced)
//! DIR/bodies/xx/NAME     large bodies, compressed
//! DIR/seal.key           the key that seals secrets (0600)
//! ```
//! One thread writes and commits in groups; readers never wait for it. Several processes may have the same store open: changes by
//! others are noticed within 250 ms. Counters of limits are kept by each process and shared when they are written, once a second.

mod backup;
mod body;
mod connection;
mod fsck;
mod guard;
mod housekeeper;
mod locks;
mod mail;
mod metrics;
mod queue;
mod readers;
mod schema;
mod scripts;
mod secrets;
mod shared;
mod tokens;
mod trace;
mod tx;
mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Store;
use crate::common::seal::Seal;
use crate::error::{Result, StoreError};
use crate::types::NewBody;

pub use backup::{Progress, Restored, backup, restore};
pub use fsck::{FsckOptions, Problem, Report, fsck};

use body::file::BodyFiles;
use housekeeper::Housekeeper;
use readers::Readers;
use shared::Shared;
use tx::Tx;
use writer::Writer;

/// Name of the database file in the store's folder.
pub const DATABASE_FILE: &str = "mailpods.db";

/// Settings of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Free space on the disk, in octets, below which no new mail is taken.
    pub free_reserve: u64,
    /// Most octets of recently written bodies kept in memory.
    pub cache_octets: usize,
    /// Connections that read at the same time.
    pub readers: usize,
    /// How long trace events are kept.
    pub trace_age: Duration,
    /// Most trace events kept.
    pub trace_rows: u64,
    /// Octets of the write-ahead log at which it is carried over into the database.
    pub checkpoint_octets: u64,
    /// Most pages of the database; `None` is without limit. For tests of a full disk.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            free_reserve: 64 << 20,
            cache_octets: 16 << 20,
            readers: 4,
            trace_age: Duration::from_secs(7 * 24 * 3600),
            trace_rows: 1_000_000,
            checkpoint_octets: 32 << 20,
            max_pages: None,
        }
    }
}

/// Opens the store in `dir`, making it if it is not there.
///
/// # Errors
/// When files cannot be made or read, or the store was written by a newer version.
pub fn open(dir: &Path, options: Options) -> Result<Store> {
    SqliteStore::open(dir, options).map(|store| store.store())
}

/// An open embedded store. Clones are handles to the same one; it closes with the last handle or [`Store`].
#[derive(Clone)]
pub struct SqliteStore {
    core: Arc<Core>,
}

impl SqliteStore {
    /// Opens the store in `dir`, making it if it is not there.
    ///
    /// # Errors
    /// When files cannot be made or read, or the store was written by a newer version.
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        connection::make_folder(dir)?;
        Self::start(dir, options)
    }

    /// Opens the store in `dir`, which must be there: for tools.
    ///
    /// # Errors
    /// `NotFound` when there is none; else as [`SqliteStore::open`].
    pub fn open_existing(dir: &Path, options: Options) -> Result<Self> {
        connection::require(dir)?;
        Self::start(dir, options)
    }

    fn start(dir: &Path, options: Options) -> Result<Self> {
        let mut connection = connection::open_writer(dir, &options)?;
        schema::migrate(&mut connection)?;
        let files = BodyFiles::open(dir)?;
        let seal = secrets::open_seal(dir, &connection)?;
        let shared = Arc::new(Shared::load(&connection, &options, files)?);
        let writer = Writer::start(
            connection,
            dir.to_owned(),
            options.clone(),
            Arc::clone(&shared),
        )?;
        let readers = Readers::new(dir.to_owned(), options.readers);
        let housekeeper = Housekeeper::start(
            dir.to_owned(),
            options,
            Arc::clone(&shared),
            writer.sender(),
        )?;
        let core = Core {
            shared,
            seal,
            housekeeper,
            writer,
            readers,
            admission: Arc::new(Semaphore::new(ADMISSION as usize)),
        };
        Ok(Self {
            core: Arc::new(core),
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
            shares: None,
        }
    }

    /// Writes what is buffered, carries the log over into the database and ends the threads. Later calls find the store unavailable.
    ///
    /// # Errors
    /// `Unavailable` when the closing itself was interrupted.
    pub async fn close(&self) -> Result<()> {
        let core = Arc::clone(&self.core);
        tokio::task::spawn_blocking(move || core.stop())
            .await
            .map_err(|_| StoreError::Unavailable("closing was interrupted".to_owned()))
    }

    /// Hands back every lease, and says how many there were: for the one server of the store, before its workers start, when a
    /// server before it did not end well.
    ///
    /// # Errors
    /// As any write.
    pub async fn reclaim(&self) -> Result<usize> {
        self.core.write(queue::lease::hand_back_all).await
    }

    /// What the writer has done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.core.shared.statistics()
    }
}

/// What the writer has done so far, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Commits.
    pub commits: u64,
    /// Jobs in these commits; divided by commits it is the size of a group.
    pub jobs: u64,
    /// Jobs that wait now.
    pub waiting: u64,
    /// Time that the writer was at work, in microseconds.
    pub busy_micros: u64,
    /// Trace events dropped because the buffer was full.
    pub trace_dropped: u64,
}

/// What all handles share; implements each concern.
struct Core {
    shared: Arc<Shared>,
    seal: Seal,
    housekeeper: Housekeeper,
    writer: Writer,
    readers: Readers,
    /// Room for bodies on their way to the writer, in KiB.
    admission: Arc<Semaphore>,
}

/// Most KiB of bodies on their way to the writer; a larger body comes alone.
const ADMISSION: u32 = 64 << 10;

impl Core {
    fn stop(&self) {
        self.housekeeper.stop();
        self.readers.clear();
        self.writer.stop();
    }

    /// Waits for room for new bodies. A call asks once for all of its bodies: so none holds a part while it waits for another.
    async fn admit<'a>(
        &self,
        bodies: impl Iterator<Item = &'a NewBody> + Send,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        let octets = bodies.map(crate::common::body::new_octets).sum::<u64>();
        let kib = u32::try_from(octets.div_ceil(1024))
            .unwrap_or(ADMISSION)
            .min(ADMISSION);
        if kib == 0 {
            return Ok(None);
        }
        let permit = Arc::clone(&self.admission).acquire_many_owned(kib).await;
        permit
            .map(Some)
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }

    /// Runs `job` in the writer and answers when it is on the disk.
    async fn write<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.writer.call(job, writer::Kind::Durable).await
    }

    /// Runs `job` in the writer; a loss of power may undo it.
    async fn write_lazily<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.writer.call(job, writer::Kind::Lazy).await
    }

    /// Runs `query` on a reading connection, in one snapshot.
    async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection) -> Result<T> + Send + 'static,
    {
        self.readers.run(query).await
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.stop();
    }
}
