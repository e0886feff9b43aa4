//! A queue whose settlements and hand-backs fail when a test wants it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mailpods_store::queue::{
    Lease, LeasedUnit, NewMessage, QueueAction, QueueFilter, QueueItem, QueueStore, QueueTotals,
    Settlement, Wanted,
};
use mailpods_store::{StoreError, UnitId, UnixMillis};
use tokio::sync::watch;

type Result<T> = std::result::Result<T, StoreError>;

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuse {
    Nothing,
    /// This many calls.
    Calls(usize),
    /// Settlements that queue something.
    NewMessages,
    /// Leases that are handed back.
    HandBacks,
}

pub(crate) struct Flaky {
    inner: Arc<dyn QueueStore>,
    refuse: Mutex<Refuse>,
}

impl Flaky {
    pub(crate) fn new(inner: Arc<dyn QueueStore>, refuse: Refuse) -> Arc<Self> {
        Arc::new(Self {
            inner,
            refuse: Mutex::new(refuse),
        })
    }

    pub(crate) fn set(&self, refuse: Refuse) {
        *self.refuse.lock().unwrap() = refuse;
    }
}

#[async_trait]
impl QueueStore for Flaky {
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<()> {
        self.inner.enqueue(messages).await
    }

    async fn lease(
        &self,
        worker: &str,
        wanted: Wanted,
        now: UnixMillis,
        until: UnixMillis,
        limit: usize,
    ) -> Result<Vec<LeasedUnit>> {
        self.inner.lease(worker, wanted, now, until, limit).await
    }

    async fn extend(&self, leases: Vec<Lease>, until: UnixMillis) -> Result<Vec<Lease>> {
        self.inner.extend(leases, until).await
    }

    async fn hand_back(&self, leases: Vec<Lease>) -> Result<()> {
        if *self.refuse.lock().unwrap() == Refuse::HandBacks {
            return Err(StoreError::Unavailable("asleep".to_owned()));
        }
        self.inner.hand_back(leases).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Result<()>>> {
        let refuse = *self.refuse.lock().unwrap();
        match refuse {
            Refuse::Calls(left) if left > 0 => {
                self.set(Refuse::Calls(left - 1));
                Err(StoreError::Full)
            }
            Refuse::NewMessages if settlements.iter().any(|one| !one.enqueue.is_empty()) => {
                Ok(settlements.iter().map(|_| Err(StoreError::Full)).collect())
            }
            _ => self.inner.settle(settlements).await,
        }
    }

    async fn next_due(&self, wanted: Wanted, now: UnixMillis) -> Result<Option<UnixMillis>> {
        self.inner.next_due(wanted, now).await
    }

    async fn list(
        &self,
        filter: &QueueFilter,
        after: Option<UnitId>,
        limit: usize,
    ) -> Result<Vec<QueueItem>> {
        self.inner.list(filter, after, limit).await
    }

    async fn act(&self, filter: &QueueFilter, action: QueueAction, now: UnixMillis) -> Result<u64> {
        self.inner.act(filter, action, now).await
    }

    async fn totals(&self, now: UnixMillis) -> Result<QueueTotals> {
        self.inner.totals(now).await
    }

    fn watch_queue(&self) -> watch::Receiver<u64> {
        self.inner.watch_queue()
    }
}
