//! The queue.

mod admin;
pub(super) mod due;
mod enqueue;
pub(super) mod lease;
mod rows;
mod settle;
mod turn;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use self::lease::Term;
use super::Core;
use crate::error::Result;
use crate::queue::{
    Lease, LeasedUnit, NewMessage, QueueAction, QueueFilter, QueueItem, QueueStore, QueueTotals,
    Settlement, Wanted,
};
use crate::types::{UnitId, UnixMillis};

#[async_trait]
impl QueueStore for Core {
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<()> {
        // Settlements are not asked: the reserve is there so that they can end what was taken.
        self.shared.guard.check()?;
        let _room = self
            .admit(messages.iter().map(|message| &message.body))
            .await?;
        let prepared = self.prepare_messages(messages).await?;
        self.write(move |tx| {
            tx.shared.guard.check()?;
            prepared
                .into_iter()
                .try_for_each(|message| enqueue::enqueue(tx, message))
        })
        .await
    }

    async fn lease(
        &self,
        worker: &str,
        wanted: Wanted,
        now: UnixMillis,
        until: UnixMillis,
        limit: usize,
    ) -> Result<Vec<LeasedUnit>> {
        tracing::trace!(worker, limit, "lease");
        self.write_lazily(move |tx| lease::lease(tx, &wanted, Term { now, until }, limit))
            .await
    }

    async fn extend(&self, leases: Vec<Lease>, until: UnixMillis) -> Result<Vec<Lease>> {
        self.write_lazily(move |tx| lease::extend(tx, &leases, until))
            .await
    }

    async fn hand_back(&self, leases: Vec<Lease>) -> Result<()> {
        self.write_lazily(move |tx| lease::hand_back(tx, &leases))
            .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Result<()>>> {
        let new = settlements
            .iter()
            .flat_map(|settlement| &settlement.enqueue);
        let _room = self.admit(new.map(|message| &message.body)).await?;
        let mut prepared = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            prepared.push(self.prepare_settlement(settlement).await);
        }
        self.write(move |tx| {
            Ok(prepared
                .into_iter()
                .map(|settlement| settle::settle(tx, settlement?))
                .collect())
        })
        .await
    }

    async fn next_due(&self, wanted: Wanted, now: UnixMillis) -> Result<Option<UnixMillis>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |connection| lease::next_due(connection, &shared, &wanted, now))
            .await
    }

    async fn list(
        &self,
        filter: &QueueFilter,
        after: Option<UnitId>,
        limit: usize,
    ) -> Result<Vec<QueueItem>> {
        let filter = filter.clone();
        self.read(move |connection| admin::list(connection, &filter, after, limit))
            .await
    }

    async fn act(&self, filter: &QueueFilter, action: QueueAction, now: UnixMillis) -> Result<u64> {
        let filter = Arc::new(filter.for_action(action));
        let (mut after, mut changed) = (0, 0);
        loop {
            let (held, filter) = (filter.held, Arc::clone(&filter));
            let units = self
                .read(move |connection| admin::candidates(connection, &filter, after))
                .await?;
            let Some(last) = units.last().copied() else {
                return Ok(changed);
            };
            after = last;
            let (all, mut next) = (Arc::new(units), 0);
            while next < all.len() {
                let units = Arc::clone(&all);
                let acted = self
                    .write(move |tx| {
                        let rest = units.get(next..).unwrap_or_default();
                        admin::act(tx, rest, held, action, now)
                    })
                    .await?;
                next += acted.looked_at;
                changed += acted.changed;
            }
        }
    }

    async fn totals(&self, now: UnixMillis) -> Result<QueueTotals> {
        self.read(move |connection| admin::totals(connection, now))
            .await
    }

    fn watch_queue(&self) -> watch::Receiver<u64> {
        self.shared.watchers.queue()
    }
}
