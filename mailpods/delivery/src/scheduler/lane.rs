//! One lane.

use std::collections::VecDeque;

use mailpods_policy::outbound::shape::Fair;
use mailpods_store::UnixMillis;
use mailpods_store::queue::LeasedUnit;
use tokio::time::Instant;

use super::crowds::Crowds;
use super::order::{Order, Place};
use crate::fate::Trouble;

/// What a tenant may take in one turn, in KiB: a small message or two. Slow servers take seconds for each.
pub(super) const QUANTUM: u64 = 4;

/// Who has something here that was written no longer before it came, in milliseconds, had nothing that waited: the oldest message of a
/// tenant comes first.
pub(super) const YOUNG: UnixMillis = 1_000;

/// A unit in a lane.
pub(super) struct Waiting {
    pub(super) unit: LeasedUnit,
    pub(super) tenant: String,
    /// See [`Place`].
    pub(super) old: bool,
    pub(super) since: u64,
}

pub(super) struct Lane {
    pub(super) waiting: Fair<String, Waiting>,
    /// Its tenants.
    pub(super) order: Order,
    /// For whose sake workers were counted in that have taken nothing yet: a tenant's, or the lane's.
    pub(super) called: VecDeque<Option<String>>,
    pub(super) workers: usize,
    /// The next server could not be talked to.
    pub(super) dead: Option<Dead>,
    /// Its name among [`Crowds`].
    pub(super) crowd: String,
    /// When it had its last turn, or was made.
    pub(super) served: u64,
}

impl Lane {
    /// The tenant whose turn is next.
    pub(super) fn first(&mut self, crowds: &Crowds) -> Option<(Place, &str)> {
        let Self { order, crowd, .. } = self;
        order.first(|tenant| crowds.last_turn(crowd, tenant))
    }

    /// Gives the next turn of its provider to the lane: the tenant that has waited longest there, in every other one.
    pub(super) fn turn(&mut self, crowds: &mut Crowds) -> Option<String> {
        if !crowds.turn(&self.crowd) {
            return None;
        }
        let (_, tenant) = self.first(crowds)?;
        Some(tenant.to_owned())
    }

    /// The place of a tenant whose next unit is this.
    pub(super) fn place_of(&self, first: &Waiting, crowds: &Crowds) -> Place {
        Place {
            turn: crowds.last_turn(&self.crowd, &first.tenant),
            old: first.old,
            since: first.since,
        }
    }

    /// A tenant has a unit less.
    pub(super) fn less(&mut self, tenant: &str, crowds: &Crowds) {
        let first = self.waiting.first(tenant);
        let place = first.map(|first| self.place_of(first, crowds));
        self.order.set(tenant, place);
    }

    /// All places, by the turns of the crowd that the lane is in now.
    pub(super) fn order_in(&self, crowds: &Crowds) -> Order {
        let mut order = Order::default();
        for waiting in self.waiting.iter() {
            if let Some(first) = self.waiting.first(&waiting.tenant) {
                order.add(&waiting.tenant, self.place_of(first, crowds));
            }
        }
        order
    }
}

/// Until when nothing but what is urgent is tried, why, and the digest of the plan that it was tried by: under another plan
/// the way there may be another one.
pub(super) struct Dead {
    pub(super) until: Instant,
    pub(super) trouble: Trouble,
    pub(super) plan: String,
}
