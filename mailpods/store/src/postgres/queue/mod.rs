//! The queue.

mod admin;
pub(super) mod due;
pub(super) mod lease;
mod pick;
pub(super) mod prepare;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Core;
use super::group::Work;
use crate::common::closed;
use crate::error::{Result, StoreError};
use crate::queue::{
    Lease, LeasedUnit, NewMessage, QueueAction, QueueFilter, QueueItem, QueueStore, QueueTotals,
    Settlement, Wanted,
};
use crate::types::{UnitId, UnixMillis};

/// Times beyond this are cut, so that the clocks' difference can be added.
const MAX_TIME: UnixMillis = i64::MAX / 4;
/// A lease ends later than it begins.
const MAX_NOW: UnixMillis = MAX_TIME - 1;

#[async_trait]
impl QueueStore for Core {
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<()> {
        let _room = self
            .admit(messages.iter().map(|message| &message.body))
            .await?;
        let prepared = prepare::messages(&self.shared, messages).await?;
        self.submit(Work::Enqueue(prepared)).await.map(drop)
    }

    async fn lease(
        &self,
        worker: &str,
        wanted: Wanted,
        now: UnixMillis,
        until: UnixMillis,
        limit: usize,
    ) -> Result<Vec<LeasedUnit>> {
        let term = pick::Term {
            worker,
            now: now.min(MAX_NOW),
            until: until.min(MAX_TIME),
        };
        pick::lease(&self.shared, &wanted, &term, limit).await
    }

    async fn extend(&self, leases: Vec<Lease>, until: UnixMillis) -> Result<Vec<Lease>> {
        lease::extend(&self.shared, leases, until.min(MAX_TIME)).await
    }

    async fn hand_back(&self, leases: Vec<Lease>) -> Result<()> {
        lease::hand_back(&self.shared, &leases).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Result<()>>> {
        let new = settlements
            .iter()
            .flat_map(|settlement| &settlement.enqueue);
        let _room = self.admit(new.map(|message| &message.body)).await?;
        // What cannot even be made ready has failed alone.
        let (mut results, mut works) = (Vec::with_capacity(settlements.len()), Vec::new());
        for settlement in settlements {
            results.push(match self.prepare_settlement(settlement).await {
                Ok(prepared) => {
                    works.push(Work::Settle(Box::new(prepared)));
                    Ok(())
                }
                Err(error) => Err(error),
            });
        }
        let answers = self.hand_in(works).await?;
        for (result, answer) in results.iter_mut().filter(|one| one.is_ok()).zip(answers) {
            *result = answer
                .await
                .map_err(|_| closed())
                .and_then(|answer| answer.map(drop));
        }
        whole(results)
    }

    async fn next_due(&self, wanted: Wanted, now: UnixMillis) -> Result<Option<UnixMillis>> {
        lease::next_due(&self.shared, &wanted, now.min(MAX_NOW)).await
    }

    async fn list(
        &self,
        filter: &QueueFilter,
        after: Option<UnitId>,
        limit: usize,
    ) -> Result<Vec<QueueItem>> {
        admin::list(&self.shared, filter, after, limit).await
    }

    async fn act(&self, filter: &QueueFilter, action: QueueAction, now: UnixMillis) -> Result<u64> {
        admin::act(&self.shared, filter, action, now.min(MAX_NOW)).await
    }

    async fn totals(&self, now: UnixMillis) -> Result<QueueTotals> {
        admin::totals(&self.shared, now.min(MAX_NOW)).await
    }

    fn watch_queue(&self) -> watch::Receiver<u64> {
        self.shared.watchers.queue()
    }
}

/// When nothing could be settled because the database is away, the call has failed as a whole.
fn whole(mut results: Vec<Result<()>>) -> Result<Vec<Result<()>>> {
    let away = |result: &Result<()>| matches!(result, Err(StoreError::Unavailable(_)));
    if results.iter().all(away)
        && let Some(Err(error)) = results.pop()
    {
        return Err(error);
    }
    Ok(results)
}
