//! The leases that this process holds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailpods_store::queue::{Lease, LeasedUnit};

use super::LEASE;
use crate::context::Context;
use crate::metrics::Way;

/// Leases held now, with the way of their unit. A lease that was lost is in it no more.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<Lease, Way>>);

impl Leases {
    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, Way>> {
        // A map of plain values is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a lease just taken.
    pub(crate) fn hold(&self, ctx: &Context, unit: &LeasedUnit) {
        let way = if unit.destination.is_local() {
            Way::Local
        } else {
            Way::Remote
        };
        if self.lock().insert(unit.lease, way).is_none() {
            ctx.metrics.leased.add(way, 1);
        }
    }

    /// Forgets a lease: its unit is settled or somebody else's.
    pub(crate) fn release(&self, ctx: &Context, lease: Lease) {
        if let Some(way) = self.lock().remove(&lease) {
            ctx.metrics.leased.add(way, -1);
        }
    }

    /// Whether the lease was not lost as far as is known.
    pub(crate) fn is_held(&self, lease: Lease) -> bool {
        self.lock().contains_key(&lease)
    }

    /// Extends all leases and forgets those that are lost.
    pub(crate) async fn extend(&self, ctx: &Context) {
        let held: Vec<Lease> = self.lock().keys().copied().collect();
        if held.is_empty() {
            return;
        }
        let until = ctx
            .now()
            .saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
        match ctx.store.queue.extend(held, until).await {
            Ok(lost) => {
                // A lease that was settled meanwhile is reported too; it is not held any more, and not counted.
                for lease in lost.into_iter().filter(|lease| self.is_held(*lease)) {
                    ctx.metrics.leases_lost.inc(());
                    tracing::warn!(unit = %lease.unit, "lease lost; another worker goes on with the unit");
                    self.release(ctx, lease);
                }
            }
            Err(error) => tracing::warn!(%error, "failed to extend leases"),
        }
    }

    /// Hands leases back untried, so that others need not wait for their end.
    pub(crate) async fn hand_back(&self, ctx: &Context, leases: Vec<Lease>) {
        leases.iter().for_each(|lease| self.release(ctx, *lease));
        if leases.is_empty() {
            return;
        }
        if let Err(error) = ctx.store.queue.hand_back(leases).await {
            tracing::warn!(%error, "failed to hand leases back; they run out by themselves");
        }
    }

    /// Hands everything back.
    pub(crate) async fn hand_back_all(&self, ctx: &Context) {
        let held = self.lock().keys().copied().collect();
        self.hand_back(ctx, held).await;
    }
}
