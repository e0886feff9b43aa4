//! The leases that this process holds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailpods_store::UnitId;
use mailpods_store::queue::{Lease, LeasedUnit};
use tokio::sync::Notify;

use super::LEASE;
use crate::context::Context;
use crate::metrics::Way;

/// A unit in the hands of this process.
struct Held {
    /// The lease that the worker was given.
    first: Lease,
    /// The lease that counts: a later one when the first ran out while the worker was still at it.
    now: Lease,
    way: Way,
    /// Attempts that had ended when it was leased.
    attempts: u32,
}

/// Leases that the store did not take back which are remembered; those beyond run out by themselves.
const MAX_OWED: usize = 4_096;

/// Units held now. One whose lease was lost to another process is in it no more.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<UnitId, Held>>,
    /// What the store is still to take back: it did not answer.
    owed: Mutex<Vec<Lease>>,
    /// There is something to hand back that came while an attempt ended.
    newer: Notify,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, HashMap<UnitId, Held>> {
        // A map of plain values is whole whatever panicked.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owed(&self) -> MutexGuard<'_, Vec<Lease>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a lease just taken. False when a worker of this process is at the unit already: leases go by the clock, and when
    /// it jumps forward they run out too early. The new lease then serves the worker that is at work, and nothing is sent twice.
    pub(crate) fn hold(&self, ctx: &Context, unit: &LeasedUnit) -> bool {
        let mut held = self.lock();
        if let Some(known) = held.get_mut(&unit.lease.unit)
            && known.attempts == unit.attempts
        {
            known.now = unit.lease;
            return false;
        }
        let way = if unit.destination.is_local() {
            Way::Local
        } else {
            Way::Remote
        };
        let new = Held {
            first: unit.lease,
            now: unit.lease,
            way,
            attempts: unit.attempts,
        };
        if held.insert(unit.lease.unit, new).is_none() {
            ctx.metrics.leased.add(way, 1);
        }
        true
    }

    /// Forgets a lease: its unit is settled or somebody else's. One that came while the first ended is nobody's work: it is handed back.
    pub(crate) fn release(&self, ctx: &Context, lease: Lease) {
        if let Some(newer) = self.forget(ctx, lease).filter(|now| *now != lease) {
            self.owe(vec![newer]);
            self.newer.notify_one();
        }
    }

    /// Forgets a lease that a worker was given; the one that counted for it.
    fn forget(&self, ctx: &Context, lease: Lease) -> Option<Lease> {
        let mut held = self.lock();
        held.get(&lease.unit).filter(|known| known.first == lease)?;
        let gone = held.remove(&lease.unit)?;
        ctx.metrics.leased.add(gone.way, -1);
        Some(gone.now)
    }

    /// Whether the lease was not lost as far as is known.
    pub(crate) fn is_held(&self, lease: Lease) -> bool {
        self.current(lease).is_some()
    }

    /// The lease that counts now for a worker that was given `lease`; `None` when it was lost.
    pub(crate) fn current(&self, lease: Lease) -> Option<Lease> {
        let held = self.lock();
        let known = held.get(&lease.unit)?;
        (known.first == lease).then_some(known.now)
    }

    /// The lease that was given to the worker whose lease is `now`.
    fn first(&self, now: Lease) -> Option<Lease> {
        let held = self.lock();
        let known = held.get(&now.unit)?;
        (known.now == now).then_some(known.first)
    }

    /// Extends all leases and forgets those that are lost; hands back what is still owed. False when the store did not answer.
    pub(crate) async fn extend(&self, ctx: &Context) -> bool {
        let extended = self.extend_held(ctx).await;
        let given = self.give_owed(ctx).await;
        extended && given
    }

    /// Waits for leases that came while an attempt ended, for [`Self::give_owed`].
    pub(crate) async fn newer(&self) {
        self.newer.notified().await;
    }

    /// Hands back what is owed. False when the store did not answer.
    pub(crate) async fn give_owed(&self, ctx: &Context) -> bool {
        let owed = std::mem::take(&mut *self.owed());
        owed.is_empty() || self.give(ctx, owed).await
    }

    fn owe(&self, leases: Vec<Lease>) {
        let mut owed = self.owed();
        let room = MAX_OWED.saturating_sub(owed.len());
        owed.extend(leases.into_iter().take(room));
    }

    async fn extend_held(&self, ctx: &Context) -> bool {
        let held: Vec<Lease> = self.lock().values().map(|known| known.now).collect();
        if held.is_empty() {
            return true;
        }
        let until = ctx
            .now()
            .saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
        match ctx.store.queue.extend(held, until).await {
            Ok(lost) => {
                // A lease that was settled meanwhile is reported too; it is not held any more, and not counted.
                for lease in lost.into_iter().filter_map(|lease| self.first(lease)) {
                    ctx.metrics.leases_lost.inc(());
                    tracing::warn!(unit = %lease.unit, "lease lost; another worker goes on with the unit");
                    self.forget(ctx, lease);
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "failed to extend leases");
                false
            }
        }
    }

    /// Hands leases back untried, so that others need not wait for their end.
    pub(crate) async fn hand_back(&self, ctx: &Context, leases: Vec<Lease>) {
        let current = |lease: &Lease| self.forget(ctx, *lease).unwrap_or(*lease);
        let current: Vec<Lease> = leases.iter().map(current).collect();
        if !current.is_empty() {
            self.give(ctx, current).await;
        }
    }

    /// Hands leases back that are not held any more; what the store does not take now is handed back with the next heartbeat.
    async fn give(&self, ctx: &Context, leases: Vec<Lease>) -> bool {
        let Err(error) = ctx.store.queue.hand_back(leases.clone()).await else {
            return true;
        };
        tracing::warn!(%error, "failed to hand leases back; that is tried again, or they run out by themselves");
        self.owe(leases);
        false
    }

    /// Hands everything back.
    pub(crate) async fn hand_back_all(&self, ctx: &Context) {
        let held = self.lock().values().map(|known| known.first).collect();
        self.hand_back(ctx, held).await;
    }
}
