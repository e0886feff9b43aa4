//! The leases that this process holds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailpods_store::UnitId;
use mailpods_store::queue::{Lease, LeasedUnit};

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

    /// Forgets a lease: its unit is settled or somebody else's.
    pub(crate) fn release(&self, ctx: &Context, lease: Lease) {
        let mut held = self.lock();
        if held
            .get(&lease.unit)
            .is_some_and(|known| known.first == lease)
            && let Some(gone) = held.remove(&lease.unit)
        {
            ctx.metrics.leased.add(gone.way, -1);
        }
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
        let owed = std::mem::take(&mut *self.owed());
        let given = owed.is_empty() || self.give(ctx, owed).await;
        extended && given
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
                    self.release(ctx, lease);
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
        let current: Vec<Lease> = leases
            .iter()
            .map(|lease| self.current(*lease).unwrap_or(*lease))
            .collect();
        leases.iter().for_each(|lease| self.release(ctx, *lease));
        if leases.is_empty() {
            return;
        }
        self.give(ctx, current).await;
    }

    /// Hands leases back that are not held any more; what the store does not take now is handed back with the next heartbeat.
    async fn give(&self, ctx: &Context, leases: Vec<Lease>) -> bool {
        let Err(error) = ctx.store.queue.hand_back(leases.clone()).await else {
            return true;
        };
        tracing::warn!(%error, "failed to hand leases back; that is tried again, or they run out by themselves");
        let mut owed = self.owed();
        let room = MAX_OWED.saturating_sub(owed.len());
        owed.extend(leases.into_iter().take(room));
        false
    }

    /// Hands everything back.
    pub(crate) async fn hand_back_all(&self, ctx: &Context) {
        let held = self.lock().values().map(|known| known.first).collect();
        self.hand_back(ctx, held).await;
    }
}
