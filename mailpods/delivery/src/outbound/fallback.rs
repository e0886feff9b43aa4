//! The fallback relay: where mail goes that no mail exchanger takes for now.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_plan::{HopTls, NextHop, Plan};
use mailpods_policy::Reason;
use mailpods_policy::outbound::tls::Wish;
use mailpods_store::queue::LeasedUnit;
use tokio::time::Instant;

use super::attempt::{Attempt, State};
use super::learned::Learned;
use super::route::{self, Way};
use crate::context::Context;
use crate::fate::{Fate, Trouble};
use crate::scheduler::lanes::LaneKey;

/// How long nothing but the relay is tried once the exchangers of a domain could not be reached.
const DETOUR: Duration = Duration::from_secs(60);
/// Domains whose exchangers are known to be out of reach.
const MAX_DETOURS: usize = 4_096;

/// Domains whose exchangers could not be reached a moment ago: until when that is believed, and the digest of the plan by which their
/// mail goes to the relay.
#[derive(Default)]
pub(crate) struct Detours(Mutex<HashMap<String, (Instant, String)>>);

impl Detours {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, plan: &Plan, domain: &str) {
        let now = Instant::now();
        let mut detours = self.lock();
        if detours.len() >= MAX_DETOURS {
            detours.retain(|_, (until, _)| *until > now);
        }
        if detours.len() < MAX_DETOURS {
            let until = now + DETOUR.min(plan.outbound.retry_initial);
            detours.insert(domain.to_owned(), (until, plan.digest.clone()));
        }
    }

    fn has(&self, plan: &Plan, domain: &str) -> bool {
        let detours = self.lock();
        let known = detours.get(domain);
        known.is_some_and(|(until, digest)| *until > Instant::now() && *digest == plan.digest)
    }
}

/// The relay, when a unit is old enough for it.
fn due<'a>(ctx: &Context, plan: &'a Plan, unit: &LeasedUnit) -> Option<&'a NextHop> {
    let after = i64::try_from(plan.outbound.fallback_after.as_millis()).unwrap_or(i64::MAX);
    let age = ctx.now().saturating_sub(unit.message.created);
    let relay = plan.outbound.fallback_relay.as_ref();
    relay.filter(|_| age >= after)
}

/// The relay, when the exchangers of a unit's domain could not be reached a moment ago.
pub(super) fn detour(ctx: &Context, plan: &Plan, unit: &LeasedUnit) -> Option<NextHop> {
    let relay = due(ctx, plan, unit)?;
    // Nobody asks any more what the sender asks for: that is known when the exchangers are looked at.
    let known = ctx.detours.has(plan, &unit.destination.0);
    known.then(|| relay.clone())
}

/// Whether a unit is old enough for the relay in a lane to exchangers. That younger mail has found them out of reach must not keep it there:
/// where that is mail after mail it would wait for ever.
pub(crate) fn may_detour(ctx: &Context, plan: &Plan, lane: &LaneKey, unit: &LeasedUnit) -> bool {
    route::is_domain(lane) && due(ctx, plan, unit).is_some()
}

/// The lane of a unit: that of its destination, or of the relay.
pub(crate) fn lane_of(ctx: &Context, plan: &Plan, unit: &LeasedUnit) -> LaneKey {
    let lane = route::lane(plan, &unit.destination);
    match route::is_domain(&lane) && !unit.destination.is_local() {
        true => detour(ctx, plan, unit).map_or(lane, |relay| LaneKey(route::hop_key(&relay))),
        false => lane,
    }
}

/// Whether a relay proves its name, so that mail may go there whose domain or administrator asks for protected connections.
pub(crate) const fn is_proved(relay: &NextHop) -> bool {
    matches!(relay.tls, HopTls::Verify | HopTls::Implicit)
}

/// Whether another server may take mail that failed so: nobody has it, and nobody refused it for good. Where a better time is known it
/// waits for that: another address is tried first.
fn is_open(fate: Option<&Fate>) -> bool {
    let Some(Fate::Deferred(trouble)) = fate else {
        return false;
    };
    let reached = matches!(
        trouble.reason,
        Reason::ConnectFailed
            | Reason::RemoteDeferred
            | Reason::RemoteProtocol
            | Reason::TlsFailed
            | Reason::TlsPolicy
    );
    reached && !trouble.stays && trouble.retry_at.is_none()
}

impl Attempt<'_> {
    /// Once no exchanger has taken the message, what is left of it goes to the relay. `None`: there is none, or it may not.
    pub(super) async fn fall_back(&mut self) -> Option<State> {
        let relay = due(self.ctx, self.plan, self.unit)?.clone();
        let open = |fate: &Option<Fate>| is_open(fate.as_ref());
        // No server was chosen: what the domain asks for is not known.
        if self.hop.is_some() || self.asked.is_none() || !self.fates.iter().any(open) {
            return None;
        }
        let id = &self.unit.message.id;
        if self.asked == Some(true) && !is_proved(&relay) {
            tracing::info!(%id, relay = relay.host, "not to the fallback relay: the domain asks for more TLS than it is set up with");
            return None;
        }
        tracing::info!(%id, domain = %self.unit.destination.0, relay = relay.host, "no exchanger takes it for now: to the fallback relay");
        self.learn().await;
        self.learned = Learned::default();
        // What one sender waives others have not.
        let for_all = is_proved(&relay) || self.wish() == Wish::Usual;
        if for_all && self.fates.iter().any(is_unreachable) {
            let domain = &self.unit.destination.0;
            self.ctx.detours.remember(self.plan, domain);
        }
        let unit = self.unit;
        for (recipient, slot) in unit.recipients.iter().zip(&mut self.fates) {
            if let Some(fate) = slot.take_if(|fate| is_open(Some(fate))) {
                self.ctx.trace(unit, recipient, &fate);
            }
        }
        self.unmet.leave_open();
        self.clear();
        self.relay = Some(relay);
        Some(State::Route)
    }

    /// Forgets what was found for the exchangers.
    fn clear(&mut self) {
        if let Some(session) = self.session.take() {
            self.ctx.pool.put(session);
        }
        self.dials.clear();
        self.picked.clear();
        self.away.clear();
        (self.last, self.fresh) = (None, false);
    }

    /// Where the message goes: to the relay once the exchangers have failed, or had a moment ago.
    pub(super) fn way(&mut self) -> Way {
        let way = route::way(self.plan, &self.unit.destination);
        if !matches!(way, Way::Mx(_) | Way::Literal(_)) {
            return way;
        }
        if self.relay.is_none() && self.asked.is_none() {
            self.relay = detour(self.ctx, self.plan, self.unit);
        }
        match &self.relay {
            Some(relay) => Way::Hop {
                hop: relay.clone(),
                from_pool: true,
            },
            None => way,
        }
    }

    /// The lane whose limits hold for connections of this attempt.
    pub(super) fn lane(&self) -> LaneKey {
        match &self.relay {
            Some(relay) => LaneKey(route::hop_key(relay)),
            None => route::lane(self.plan, &self.unit.destination),
        }
    }
}

fn is_unreachable(fate: &Option<Fate>) -> bool {
    matches!(
        fate,
        Some(Fate::Deferred(Trouble {
            unreachable: true,
            ..
        }))
    )
}
