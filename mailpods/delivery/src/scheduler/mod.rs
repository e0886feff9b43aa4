//! Takes ready units from the queue and hands them to workers: woken by the store or by the next due time.
//!
//! Units for mailboxes here are taken in batches by [`local`]. Units for others are spread over [`lanes`]: one lane for each
//! next destination, with a bounded number of workers each; what waits for one provider is bounded by [`crowds`].

mod crowds;
mod lane;
pub(crate) mod lanes;
pub(crate) mod leases;
pub(crate) mod local;
mod order;
pub(crate) mod remote;
pub(crate) mod shares;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::{Shutdown, Stage};
use mailpods_store::queue::{LeasedUnit, Wanted};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::Context;
use crate::suspension;

/// How long a lease lasts. A worker that dies is replaced after this long at most.
pub(crate) const LEASE: Duration = Duration::from_secs(120);
/// How often leases are extended.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);
/// How soon that is tried again when the store did not answer: before others take over what has run out meanwhile.
const HEARTBEAT_AGAIN: Duration = Duration::from_secs(3);
/// Longest sleep of a scheduler, should a notification get lost between processes.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Shortest sleep: units that are due but taken by somebody else must not keep a scheduler spinning.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);
/// Wait after the store refused to lease.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Leases ready units. A store that fails is waited for.
pub(crate) async fn lease(ctx: &Context, wanted: Wanted, limit: usize) -> Vec<LeasedUnit> {
    let now = ctx.now();
    let until = now.saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
    match ctx
        .store
        .queue
        .lease(&ctx.worker, wanted, now, until, limit)
        .await
    {
        Ok(mut units) => {
            units.retain(|unit| ctx.leases.hold(ctx, unit));
            suspension::set_aside(ctx, units).await
        }
        Err(error) => {
            tracing::warn!(%error, "failed to lease queued mail");
            tokio::time::sleep(STORE_WAIT).await;
            Vec::new()
        }
    }
}

/// Sleeps until units may be ready: the store says so, one is due, or the stop begins.
pub(crate) async fn sleep(
    ctx: &Context,
    wanted: Wanted,
    queue: &mut watch::Receiver<u64>,
    shutdown: &Shutdown,
) {
    let now = ctx.now();
    let due = ctx
        .store
        .queue
        .next_due(wanted, now)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to ask when mail is due");
            None
        });
    let wait = due.map_or(LONGEST_SLEEP, |at| {
        Duration::from_millis(at.saturating_sub(now).max(0).unsigned_abs()).max(SHORTEST_SLEEP)
    });
    tokio::select! {
        changed = queue.changed() => {
            if changed.is_err() {
                // The store is closing; the stop follows.
                tokio::time::sleep(STORE_WAIT).await;
            }
        }
        () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
        () = shutdown.drain() => {}
    }
}

/// Whether new work may be taken.
pub(crate) fn open(shutdown: &Shutdown) -> bool {
    shutdown.stage() < Stage::Drain
}

/// Extends leases until everything is cut, and hands back those that nobody here works on.
pub(crate) async fn heartbeat(ctx: Arc<Context>, shutdown: Shutdown) {
    let mut next = Instant::now() + HEARTBEAT;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                let extended = ctx.leases.extend(&ctx).await;
                next = Instant::now() + if extended { HEARTBEAT } else { HEARTBEAT_AGAIN };
            }
            () = ctx.leases.newer() => {
                ctx.leases.give_owed(&ctx).await;
            }
            () = shutdown.force() => return,
        }
    }
}
