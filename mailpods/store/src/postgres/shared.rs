//! What calls, writers, the listener and the housekeeper share in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::Options;
use super::mail::blocks::Blocks;
use super::notify::Outbox;
use super::pool::Pool;
use super::queue::due::Due;
use super::shard;
use super::tx::Effect;
use crate::common::body_cache::BodyCache;
use crate::common::flag_table::FlagTables;
use crate::common::lock;
use crate::common::mailbox_cache::{Known, MailboxCache};
use crate::common::metrics::WriterMetrics;
use crate::common::seal::Seal;
use crate::common::totals::Totals;
use crate::common::trace::TraceBuffer;
use crate::common::watch::Watchers;
use crate::error::Result;
use crate::types::{AccountId, MailboxId};

/// Most accounts remembered by address.
const MAX_ACCOUNTS: usize = 100_000;

pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) seal: Seal,
    pub(super) bodies: BodyCache,
    pub(super) uids: MailboxCache<Known>,
    pub(super) flags: FlagTables,
    pub(super) blocks: Blocks,
    pub(super) totals: Totals,
    pub(super) due: Due,
    pub(super) watchers: Watchers,
    pub(super) outbox: Outbox,
    pub(super) trace: TraceBuffer,
    /// Held while events go from the buffer into the database.
    pub(super) trace_turn: tokio::sync::Mutex<()>,
    pub(super) stats: Stats,
    pub(super) metrics: WriterMetrics,
    /// What must be added to this process's clock to have the database's, in milliseconds, as it was found last.
    pub(super) shift: AtomicI64,
    /// Mailboxes were deleted whose messages are still to be removed.
    pub(super) reap: AtomicBool,
    /// Whether bodies get signatures.
    pub(super) sign: AtomicBool,
    pub(super) options: Options,
    /// Tells stores in one database apart: the schema that the tables are in.
    pub(super) schema: String,
    accounts: Mutex<HashMap<Arc<str>, AccountId>>,
}

/// What was done so far.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) commits: AtomicU64,
    pub(super) jobs: AtomicU64,
    pub(super) waiting: AtomicU64,
    /// Commits whose end had to be looked up.
    pub(super) doubtful: AtomicU64,
}

impl Shared {
    pub(super) fn new(pool: Pool, options: Options, schema: String) -> Result<Self> {
        Ok(Self {
            seal: Seal::new(options.seal_key.as_slice())?,
            bodies: BodyCache::new(options.cache_octets),
            uids: MailboxCache::default(),
            flags: FlagTables::default(),
            blocks: Blocks::default(),
            totals: Totals::default(),
            due: Due::default(),
            watchers: Watchers::default(),
            outbox: Outbox::new()?,
            trace: TraceBuffer::default(),
            trace_turn: tokio::sync::Mutex::default(),
            stats: Stats::default(),
            metrics: WriterMetrics::default(),
            shift: AtomicI64::new(0),
            reap: AtomicBool::new(true),
            sign: AtomicBool::new(true),
            accounts: Mutex::default(),
            pool,
            options,
            schema,
        })
    }

    /// Carries out what a transaction asked for, now that it is on the disk; others are told, too.
    pub(super) fn apply(&self, effects: Vec<Effect>) {
        let mut queue_changed = false;
        for effect in effects {
            match effect {
                Effect::Mailbox(mailbox) => {
                    self.mailbox_changed(mailbox);
                    self.outbox.mailbox(mailbox);
                }
                Effect::Due(destination, at) => {
                    self.outbox.due(&destination, at);
                    self.due.at_most(destination, at);
                    queue_changed = true;
                }
                Effect::Written(id, octets, meta) => self.bodies.put(id, octets, meta),
                Effect::Removed(id) => self.bodies.remove(id),
            }
        }
        if queue_changed {
            self.watchers.queue_changed();
        }
    }

    /// Wakes those who watch a mailbox, or its account.
    pub(super) fn mailbox_changed(&self, mailbox: MailboxId) {
        let account = AccountId(shard::account_of(mailbox));
        if mailbox == shard::whole_account(account) {
            return self.watchers.settings_changed(account);
        }
        self.watchers.mailbox_changed(mailbox);
        self.watchers.account_changed(account);
    }

    pub(super) fn remember_account(&self, address: &str, id: AccountId) {
        let mut accounts = lock(&self.accounts);
        if accounts.len() >= MAX_ACCOUNTS {
            accounts.clear();
        }
        accounts.insert(address.into(), id);
    }

    /// One of them may have been deleted.
    pub(super) fn forget_accounts(&self) {
        lock(&self.accounts).clear();
    }

    pub(super) fn known_account(&self, address: &str) -> Option<AccountId> {
        lock(&self.accounts).get(address).copied()
    }

    /// Counts a group that was committed.
    pub(super) fn count_group(&self, jobs: usize) {
        self.stats.commits.fetch_add(1, Ordering::Relaxed);
        self.stats.jobs.fetch_add(jobs as u64, Ordering::Relaxed);
    }
}
