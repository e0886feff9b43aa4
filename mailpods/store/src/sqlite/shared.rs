//! What the writer, the housekeeper and callers share in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use super::body::file::BodyFiles;
use super::guard::DiskGuard;
use super::queue::due;
use super::tokens::TokenTable;
use super::tx::Effect;
use super::watch;
use super::{Options, Statistics, writer};
use crate::common::body_cache::BodyCache;
use crate::common::due::DueIndex;
use crate::common::flag_table::FlagTables;
use crate::common::lock;
use crate::common::mailbox_cache::{Known, MailboxCache};
use crate::common::metrics::WriterMetrics;
use crate::common::totals::Totals;
use crate::common::trace::TraceBuffer;
use crate::common::watch::Watchers;
use crate::error::Result;
use crate::types::AccountId;

/// Most accounts remembered by address.
const MAX_ACCOUNTS: usize = 100_000;
/// No connection counts as far.
const UNKNOWN_VERSION: u64 = u64::MAX;

pub(super) struct Shared {
    pub(super) files: BodyFiles,
    pub(super) bodies: BodyCache,
    pub(super) uids: MailboxCache<Known>,
    pub(super) flags: FlagTables,
    pub(super) totals: Totals,
    pub(super) accounts: Mutex<HashMap<Arc<str>, AccountId>>,
    pub(super) due: Mutex<DueIndex>,
    pub(super) watchers: Watchers,
    pub(super) guard: DiskGuard,
    pub(super) tokens: TokenTable,
    pub(super) trace: TraceBuffer,
    pub(super) checkpoint: CheckpointState,
    pub(super) stats: Stats,
    pub(super) metrics: WriterMetrics,
    /// Mailboxes were deleted whose messages are still to be removed.
    pub(super) reap: AtomicBool,
    /// Whether bodies get signatures.
    pub(super) sign: AtomicBool,
    data_version: AtomicU64,
}

impl Shared {
    pub(super) fn load(
        connection: &Connection,
        options: &Options,
        files: BodyFiles,
    ) -> Result<Self> {
        Ok(Self {
            guard: DiskGuard::new(files.root(), options.free_reserve),
            files,
            bodies: BodyCache::new(options.cache_octets),
            uids: MailboxCache::default(),
            flags: FlagTables::default(),
            totals: Totals::default(),
            accounts: Mutex::default(),
            due: Mutex::new(due::load(connection)?),
            watchers: Watchers::default(),
            tokens: TokenTable::load(connection)?,
            trace: TraceBuffer::default(),
            checkpoint: CheckpointState::new(options.checkpoint_octets),
            stats: Stats::default(),
            metrics: WriterMetrics::default(),
            reap: AtomicBool::new(true),
            sign: AtomicBool::new(true),
            data_version: AtomicU64::new(data_version(connection)?),
        })
    }

    /// Looks whether another process has written, and takes over what it changed. Called inside a transaction of the writer.
    pub(super) fn notice_others(&self, connection: &Connection) -> Result<()> {
        let found = data_version(connection)?;
        if self.data_version.load(Ordering::Relaxed) == found {
            return Ok(());
        }
        *lock(&self.due) = due::load(connection)?;
        self.tokens.reload(connection)?;
        watch::mailboxes_changed_outside(&self.watchers, connection)?;
        self.watchers.accounts_changed();
        self.watchers.queue_changed();
        // It may have deleted accounts, and ended before their messages were removed.
        lock(&self.accounts).clear();
        self.reap.store(true, Ordering::Release);
        // Last: what failed to be read is not taken for read.
        self.data_version.store(found, Ordering::Relaxed);
        Ok(())
    }

    /// The writer goes on with another connection, whose count of changes has nothing to do with the last one's: what others and
    /// a commit of doubtful end have written is read again.
    pub(super) fn forget_version(&self) {
        self.data_version.store(UNKNOWN_VERSION, Ordering::Relaxed);
    }

    /// Carries out what jobs asked for, now that their commit is on the disk.
    pub(super) fn apply(&self, effects: Vec<Effect>) {
        let mut queue_changed = false;
        for effect in effects {
            match effect {
                Effect::Mailbox(mailbox) => self.watchers.mailbox_changed(mailbox),
                Effect::OfAccount(id) => self.watchers.account_changed(AccountId(id)),
                Effect::Settings(account) => self.watchers.settings_changed(account),
                Effect::Due(destination, at) => {
                    lock(&self.due).at_most(destination, at);
                    queue_changed = true;
                }
                Effect::DueExactly(destination, at) => lock(&self.due).exactly(destination, at),
                Effect::Written(id, octets, meta) => self.bodies.put(id, octets, meta),
                Effect::Keep(file) => file.keep(),
                Effect::Removed(id, file) => {
                    self.bodies.remove(id);
                    if let Some(name) = file {
                        self.files.remove(&name);
                    }
                }
                Effect::AccountGone(address) => {
                    lock(&self.accounts).remove(address.as_str());
                }
                Effect::Account(address, id) => self.remember_account(address, AccountId(id)),
            }
        }
        if queue_changed {
            self.watchers.queue_changed();
        }
    }

    pub(super) fn remember_account(&self, address: Arc<str>, id: AccountId) {
        let mut accounts = lock(&self.accounts);
        if accounts.len() >= MAX_ACCOUNTS {
            accounts.clear();
        }
        accounts.insert(address, id);
    }

    pub(super) fn known_account(&self, address: &str) -> Option<AccountId> {
        lock(&self.accounts).get(address).copied()
    }

    pub(super) fn statistics(&self) -> Statistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            commits: get(&self.stats.commits),
            jobs: get(&self.stats.jobs),
            waiting: get(&self.stats.waiting),
            busy_micros: get(&self.stats.busy_micros),
            trace_dropped: self.trace.dropped(),
        }
    }
}

impl Effect {
    /// The commit failed in a way that leaves open what is on the disk.
    pub(super) fn leave(self) {
        if let Self::Keep(file) = self {
            file.keep();
        }
    }
}

/// Changes when another connection has committed.
fn data_version(connection: &Connection) -> Result<u64> {
    let version: i64 = connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?;
    Ok(version.unsigned_abs())
}

#[derive(Default)]
pub(super) struct Stats {
    commits: AtomicU64,
    jobs: AtomicU64,
    pub(super) waiting: AtomicU64,
    busy_micros: AtomicU64,
}

impl Stats {
    pub(super) fn group(&self, jobs: usize, waiting: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.jobs.fetch_add(jobs as u64, Ordering::Relaxed);
        self.waiting.store(waiting as u64, Ordering::Relaxed);
    }

    pub(super) fn busy(&self, time: Duration) {
        self.busy_micros.fetch_add(
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// The two steps of carrying the log over: the housekeeper copies most of it, the writer finishes.
pub(super) struct CheckpointState {
    limit_pages: i64,
    wanted: AtomicBool,
    finish: AtomicBool,
    pub(super) housekeeper: Mutex<Option<std::thread::Thread>>,
}

impl CheckpointState {
    fn new(limit_octets: u64) -> Self {
        Self {
            limit_pages: i64::try_from(limit_octets / 4096).unwrap_or(i64::MAX),
            wanted: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            housekeeper: Mutex::default(),
        }
    }

    /// Asks the housekeeper when the log has grown enough.
    pub(super) fn look(&self, connection: &Connection) {
        let Ok((pages, moved)) = writer::checkpoint(connection, "NOOP") else {
            return;
        };
        if pages - moved > self.limit_pages && !self.wanted.swap(true, Ordering::AcqRel) {
            self.wake_housekeeper();
        }
    }

    pub(super) fn wake_housekeeper(&self) {
        if let Some(thread) = &*lock(&self.housekeeper) {
            thread.unpark();
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(super) fn copied(&self) {
        self.wanted.store(false, Ordering::Release);
        self.finish.store(true, Ordering::Release);
    }

    pub(super) fn take_finish(&self) -> bool {
        self.finish.load(Ordering::Relaxed) && self.finish.swap(false, Ordering::AcqRel)
    }
}
