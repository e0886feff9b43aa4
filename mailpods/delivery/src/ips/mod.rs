//! The OutboundIPs at work: which one a message leaves from, and what the receivers' answers do to them.
//!
//! The decisions are those of `mailpods_policy::outbound`; this drives them with look-ups, the store's counters and the clock. The
//! life of an address is kept in the store ([`kept`]), so that a rest outlasts a restart.

mod choose;
mod explain;
mod gate;
pub mod kept;
mod leaving;
mod lists;
mod reply;
mod seats;
mod sent;
mod spf;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together_tests;
mod uses;
mod watch;
#[cfg(test)]
mod world_tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::classify::{Blame, Class, Heard};
use mailpods_policy::outbound::hotness::{Counts, Thresholds};
use mailpods_policy::outbound::life::{Life, Phase, Rest, Transition};
use mailpods_policy::outbound::provider::{Override, ProfileError, Profiles};
use mailpods_policy::outbound::shape::{Concurrency, Feedback};
use mailpods_store::StoreError;
use mailpods_store::types::UnitId;
use mailpods_telemetry::timestamp;
use tracing::field::display;

use crate::context::Context;
use crate::metrics::{Changed, DRAINED, Failure, Fault};
use crate::scheduler::shares::SERIAL;

pub use explain::{
    AddressState, Asked, ExplainError, Explanation, Fallback, ProtectedHost, ProviderState,
    TransportUsed, explain,
};
pub use leaving::{Gone, Place, Step, in_use, leaving};
pub use reply::{Meaning, meaning};
pub use seats::{Short, short};
pub use uses::{Open, Uses};

pub(crate) use choose::{Ask, Pick};
pub(crate) use uses::Use;
pub(crate) use watch::watch;

/// Domains whose provider is remembered, and providers whose patience is.
const MAX_KNOWN: usize = 16_384;
/// Characters of a reply that are remembered with a unit.
const MOST_SAID: usize = 200;
/// The longest rest, however often an address relapses.
const LONGEST_REST: std::time::Duration = std::time::Duration::from_secs(86_400);

/// All that is known of addresses and providers.
pub(crate) struct Ips {
    /// The profiles with the settings put over them, and these settings.
    profiles: Mutex<(Vec<Override>, Arc<Profiles>)>,
    /// By name and address of the OutboundIP; those that were looked at since the start.
    lives: Mutex<HashMap<String, Life>>,
    /// The settings of addresses as they were when these were last looked at, in the same way.
    met: Mutex<HashMap<String, OutboundIp>>,
    /// The provider behind a domain, as its last look-up said.
    providers: Mutex<HashMap<String, String>>,
    /// What a provider takes at once.
    shapes: Mutex<HashMap<String, Concurrency>>,
    turns: AtomicU64,
    /// The addresses that were refused with a unit, while another one is to be tried.
    refused: Mutex<HashMap<UnitId, Vec<IpAddr>>>,
    /// What servers said when they last refused an address with a unit.
    said: Mutex<HashMap<UnitId, String>>,
    /// What left from addresses.
    tallies: Mutex<sent::Tallies>,
    /// What SPF records say of addresses.
    views: Mutex<spf::Views>,
    /// Whose turn it is to be asked among block lists.
    lists: Mutex<lists::Turns>,
    /// Connections that are open from addresses.
    pub(crate) uses: Uses,
    /// Connections that are open to providers and fixed next hops.
    pub(crate) open: Open<String>,
    /// Addresses that are gone from the settings.
    leaving: tokio::sync::Mutex<leaving::Leaving>,
    /// Orders that could not be done, so that each is told once.
    stuck: Mutex<HashMap<String, String>>,
    /// Addresses whose state cannot be read, so that each is told once.
    unread: Mutex<HashMap<String, String>>,
    /// Who sends in place of others: name and provider; `None` before the first look.
    stand_ins: Mutex<Option<seats::StandIns>>,
    /// Held while a life changes and is kept, so that it is not read back in between.
    keeping: tokio::sync::Mutex<()>,
}

impl Ips {
    pub(crate) fn new() -> Result<Self, ProfileError> {
        Ok(Self {
            profiles: Mutex::new((Vec::new(), Arc::new(Profiles::shipped()?))),
            lives: Mutex::default(),
            met: Mutex::default(),
            providers: Mutex::default(),
            shapes: Mutex::default(),
            turns: AtomicU64::new(0),
            refused: Mutex::default(),
            said: Mutex::default(),
            tallies: Mutex::default(),
            views: Mutex::default(),
            lists: Mutex::default(),
            uses: Uses::default(),
            open: Open::default(),
            leaving: tokio::sync::Mutex::default(),
            stuck: Mutex::default(),
            unread: Mutex::default(),
            stand_ins: Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
        })
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<String, Life>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn met(&self) -> MutexGuard<'_, HashMap<String, OutboundIp>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn providers(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn shapes(&self) -> MutexGuard<'_, HashMap<String, Concurrency>> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of providers, by the plan's settings. Settings that cannot be used are left out of every plan; should one
    /// come all the same, what was known before stays.
    pub(crate) fn profiles(&self, plan: &Plan) -> Arc<Profiles> {
        let mut known = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != plan.outbound.providers {
            match Profiles::shipped().and_then(|profiles| profiles.with(&plan.outbound.providers)) {
                Ok(profiles) => known.1 = Arc::new(profiles),
                Err(error) => {
                    tracing::error!(%error, "the settings of providers cannot be used");
                }
            }
            known.0.clone_from(&plan.outbound.providers);
        }
        known.1.clone()
    }

    /// The addresses that were refused with a unit in the attempts just before.
    pub(crate) fn refused(&self, unit: UnitId) -> Vec<IpAddr> {
        let refused = self.refusals();
        refused.get(&unit).cloned().unwrap_or_default()
    }

    /// An address was refused with a unit, and another one is to be tried; `None`: it begins anew.
    pub(crate) fn refuse(&self, unit: UnitId, address: Option<IpAddr>) {
        let mut refused = self.refusals();
        let Some(address) = address else {
            refused.remove(&unit);
            return;
        };
        if refused.len() >= MAX_KNOWN {
            refused.clear();
        }
        refused.entry(unit).or_default().push(address);
    }

    /// What a server said when it last refused an address with a unit.
    pub(crate) fn said(&self, unit: UnitId) -> Option<String> {
        self.sayings().get(&unit).cloned()
    }

    /// A server refused an address with a unit, and said this; `None`: the unit went.
    pub(crate) fn note(&self, unit: UnitId, reply: Option<&str>) {
        let mut said = self.sayings();
        let Some(reply) = reply else {
            said.remove(&unit);
            return;
        };
        if said.len() >= MAX_KNOWN {
            said.clear();
        }
        said.insert(unit, reply.chars().take(MOST_SAID).collect());
    }

    fn sayings(&self) -> MutexGuard<'_, HashMap<UnitId, String>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<UnitId, Vec<IpAddr>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the next message among all.
    pub(crate) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// The provider behind a domain, where a look-up has told.
    pub(crate) fn provider(&self, domain: &str) -> Option<String> {
        self.providers().get(domain).cloned()
    }

    /// Remembers whose servers take a domain's mail.
    pub(crate) fn remember(&self, domain: &str, provider: &str) {
        let mut providers = self.providers();
        if providers.get(domain).is_some_and(|known| known == provider) {
            return;
        }
        if providers.len() >= MAX_KNOWN {
            // All come back with the next look-ups.
            providers.clear();
        }
        providers.insert(domain.to_owned(), provider.to_owned());
    }

    /// Whose server a destination leads to and how many connections it takes now; `None` while that is not known.
    pub(crate) fn limit(&self, plan: &Plan, domain: &str) -> Option<(String, usize)> {
        let provider = self.provider(domain)?;
        let limit = self
            .shapes()
            .get(&provider)
            .map_or_else(|| self.fresh(plan, &provider).limit(), Concurrency::limit);
        Some((provider, limit))
    }

    fn fresh(&self, plan: &Plan, provider: &str) -> Concurrency {
        Concurrency::new(self.ceiling(plan, provider))
    }

    fn ceiling(&self, plan: &Plan, provider: &str) -> usize {
        let own = self.profiles(plan).profile(provider).connections;
        own.min(plan.outbound.concurrency_per_destination)
    }

    /// The limit for a provider, or for a fixed next hop, as exactly as it is known, and what it may grow to.
    pub(crate) fn level(&self, plan: &Plan, key: &str) -> (f64, usize) {
        if !is_provider(key) {
            let most = match key.starts_with(SERIAL) {
                true => 1,
                false => plan.outbound.concurrency_per_destination.max(1),
            };
            return (f64::from(u32::try_from(most).unwrap_or(u32::MAX)), most);
        }
        let shape = self.shapes().get(key).copied();
        let shape = shape.unwrap_or_else(|| self.fresh(plan, key));
        (shape.level(), self.ceiling(plan, key).max(1))
    }

    /// Takes over what other processes have learned of a provider's patience: the limit is so many times what it was.
    pub(crate) fn adopt(&self, plan: &Plan, key: &str, factor: f64) {
        if !is_provider(key) {
            return;
        }
        let fresh = self.fresh(plan, key);
        let mut shapes = self.shapes();
        if shapes.len() >= MAX_KNOWN {
            shapes.clear();
        }
        let shape = shapes.entry(key.to_owned()).or_insert(fresh);
        shape.set_level(shape.level() * factor);
    }

    /// Takes in how an attempt at a provider ended.
    pub(crate) fn feed(&self, plan: &Plan, provider: &str, feedback: Feedback) {
        let fresh = self.fresh(plan, provider);
        let ceiling = self.ceiling(plan, provider);
        let mut shapes = self.shapes();
        if shapes.len() >= MAX_KNOWN {
            shapes.clear();
        }
        let shape = shapes.entry(provider.to_owned()).or_insert(fresh);
        shape.set_ceiling(ceiling);
        shape.feed(feedback);
    }

    /// What a refusal means.
    pub(crate) fn classify(
        &self,
        ctx: &Context,
        plan: &Plan,
        provider: &str,
        heard: &Heard<'_>,
    ) -> Class {
        let class = self.profiles(plan).classify(provider, heard);
        ctx.metrics
            .refusals
            .inc((Fault(class.blame), Failure(class.bounce)));
        class
    }

    /// Counts the outcome of an attempt from an address; too many refusals let it rest.
    pub(crate) async fn learn(&self, ctx: &Context, plan: &Plan, attempted: Attempted<'_>) {
        let Attempted {
            ip,
            provider,
            taken,
            blame,
            reply,
        } = attempted;
        self.tally(ctx, ip, (taken, blame == Some(Blame::Ip)));
        let thresholds = Thresholds::default();
        let key = |what: &str| format!("outbound/{}/{provider}/{what}", kept::id(ip));
        let now = ctx.now();
        let count = |what: &str| {
            let key = key(what);
            async move { ctx.store.tokens.count(&key, thresholds.window, now).await }
        };
        let tried = count("tried").await;
        if blame != Some(Blame::Ip) {
            return tried.map_or_else(|error| uncounted(&error), drop);
        }
        let counts = match (count("refused").await, tried) {
            (Ok(refused), Ok(tried)) => Counts { refused, tried },
            (Err(error), _) | (_, Err(error)) => return uncounted(&error),
        };
        let on_probation = self
            .lives()
            .get(&kept::id(ip))
            .is_some_and(|life| life.is_on_probation(provider, now));
        if !thresholds.is_hot(counts, on_probation) {
            return;
        }
        let least = u64::from(self.profiles(plan).profile(provider).rest_minutes) * 60;
        let rest = Rest {
            cool_down: plan
                .outbound
                .cool_down
                .max(std::time::Duration::from_secs(least)),
            longest: LONGEST_REST,
        };
        let refuse = |life: &mut Life| life.refused(provider, rest, reply, now);
        if !self.change(ctx, ip, refuse).await {
            return;
        }
        for what in ["tried", "refused"] {
            if let Err(error) = ctx.store.tokens.forget(&key(what)).await {
                uncounted(&error);
            }
        }
    }

    /// Changes a life, keeps it and tells of the changes. False when nothing was worth an event, or it cannot be kept or was not taken
    /// in: then nothing has changed.
    async fn change<C: IntoIterator<Item = Transition>>(
        &self,
        ctx: &Context,
        ip: &OutboundIp,
        change: impl Fn(&mut Life) -> C,
    ) -> bool {
        if !self.lives().contains_key(&kept::id(ip)) {
            return false;
        }
        let changed = self.try_change(ctx, ip, change).await;
        changed.unwrap_or_else(|error| {
            tracing::error!(ip = ip.name, %error, "failed to keep the state of an outbound address");
            false
        })
    }

    /// Other processes change a life too: the change is made to what is kept, and made anew where another one came first, so that
    /// a rest that both want begins and doubles once.
    ///
    /// # Errors
    /// When it cannot be kept, or the address was not taken in: what is kept of it under another name would be lost.
    async fn try_change<C: IntoIterator<Item = Transition>>(
        &self,
        ctx: &Context,
        ip: &OutboundIp,
        change: impl Fn(&mut Life) -> C,
    ) -> Result<bool, StoreError> {
        let _keeping = self.keeping.lock().await;
        let known = self.lives().get(&kept::id(ip)).cloned();
        let known = known.ok_or_else(|| {
            StoreError::Unavailable(format!("the state of {} is not known yet", ip.name))
        })?;
        let mut life = known.clone();
        let events = change(&mut life).into_iter().count();
        if life == known {
            return Ok(events > 0);
        }
        let changes = self.swap(ctx, (ip, &known), change).await?;
        let life = self.lives().get(&kept::id(ip)).cloned().unwrap_or_default();
        changes
            .iter()
            .for_each(|change| tell(ctx, (ip, &life), change));
        Ok(!changes.is_empty())
    }

    async fn swap<C: IntoIterator<Item = Transition>>(
        &self,
        ctx: &Context,
        (ip, known): (&OutboundIp, &Life),
        change: impl Fn(&mut Life) -> C,
    ) -> Result<Vec<Transition>, StoreError> {
        let step = |life: &mut Life| {
            let changes: Vec<Transition> = change(life).into_iter().collect();
            if let Some(last) = changes.last() {
                (life.changed, life.cause) = (Some(ctx.now()), Some(last.cause));
            }
            (life.clone(), changes)
        };
        let (secrets, id) = (ctx.store.secrets.as_ref(), kept::id(ip));
        let (life, changes) = match kept::change_life(secrets, &id, step).await {
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(ip = ip.name, %error, "the state of an outbound address cannot be read; what is known of it takes its place");
                kept::forget_life(secrets, ip).await?;
                let anew = |life: &mut Life| {
                    if *life == Life::default() {
                        life.clone_from(known);
                    }
                    step(life)
                };
                kept::change_life(secrets, &id, anew).await?
            }
            swapped => swapped?,
        };
        self.lives().insert(id, life);
        Ok(changes)
    }
}

impl Ips {
    /// A server of a provider told where our connection came from.
    pub(crate) async fn observe(
        &self,
        ctx: &Context,
        ip: &OutboundIp,
        provider: &str,
        seen: IpAddr,
    ) {
        let now = ctx.now();
        let observe = |life: &mut Life| {
            life.observe(provider, seen, now);
            None
        };
        if seen != ip.address {
            tracing::warn!(ip = ip.name, address = %ip.address, provider, %seen, "a server sees another address than ours");
        }
        self.change(ctx, ip, observe).await;
    }
}

/// Providers have names; a next hop is a URI or an address in brackets.
fn is_provider(key: &str) -> bool {
    !key.starts_with('[') && !key.contains("://")
}

/// A phase as people see it: a life does not know of ramps, and is on standby only where it was drained.
fn seen_as(phase: Phase, (ip, life): (&OutboundIp, &Life), now: i64) -> &'static str {
    match phase {
        Phase::Active => explain::fresh(ip, life, now).as_str(),
        Phase::Standby => DRAINED,
        phase => phase.as_str(),
    }
}

fn tell(ctx: &Context, (ip, life): (&OutboundIp, &Life), change: &Transition) {
    ctx.metrics.transitions.inc(Changed(change.cause));
    let provider = change.provider.as_deref().unwrap_or("all");
    let now = ctx.now();
    let (from, to, reason) = (
        seen_as(change.from, (ip, life), now),
        seen_as(change.to, (ip, life), now),
        change.cause.as_str(),
    );
    let until = change.until.map(|until| display(timestamp(until)));
    if change.cause.is_trouble() {
        tracing::warn!(ip = ip.name, address = %ip.address, provider, from, to, reason, until, "outbound address changed");
    } else {
        tracing::info!(ip = ip.name, address = %ip.address, provider, from, to, reason, until, "outbound address changed");
    }
}

fn uncounted(error: &mailpods_store::StoreError) {
    tracing::warn!(%error, "failed to count an outcome of an outbound address");
}

/// How an attempt from an address ended.
pub(crate) struct Attempted<'a> {
    pub(crate) ip: &'a OutboundIp,
    pub(crate) provider: &'a str,
    /// A server took the message for one recipient at least.
    pub(crate) taken: bool,
    /// What the refusal was about; `None`: there was none.
    pub(crate) blame: Option<Blame>,
    pub(crate) reply: &'a str,
}
