//! Who sends in place of others, and which pools cannot keep their standby.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::PoisonError;

use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::choose::{Member, Seats, seats};
use mailpods_policy::outbound::life::{Cause, Check, Finding, Life};

use super::choose::member;
use super::{AddressState, Ips, kept};
use crate::context::Context;
use crate::metrics::Changed;

/// What is known of addresses, by [`kept::id`].
type Lives = HashMap<String, Life>;

/// Addresses that send to a provider and would not if all others could: name and provider, which is empty where it is so for all.
pub(super) type StandIns = BTreeSet<(String, String)>;

/// A pool of two addresses or more of a family that cannot keep as many on standby as are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// Its name.
    pub pool: String,
    /// Of which family.
    pub family: &'static str,
    /// For which providers; empty: for all.
    pub providers: Vec<String>,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pool, self.family)?;
        match self.providers.as_slice() {
            [] => Ok(()),
            providers => write!(f, " for {}", providers.join(", ")),
        }
    }
}

/// The addresses of a pool of one family.
struct Group<'a> {
    plan: &'a Plan,
    /// With what is known of each.
    members: Vec<(&'a OutboundIp, Option<&'a Life>)>,
    now: i64,
}

impl Group<'_> {
    /// The providers that some of the addresses had trouble with.
    fn troubled(&self) -> BTreeSet<&String> {
        let lives = self.members.iter().filter_map(|(_, life)| *life);
        lives.flat_map(|life| life.heat.keys()).collect()
    }

    fn seats(&self, provider: &str, change: fn(&mut Member)) -> Seats {
        let of = |(ip, life): &(&OutboundIp, Option<&Life>)| {
            let mut member = member(self.plan, ip, *life, (provider, self.now));
            change(&mut member);
            member
        };
        let members: Vec<Member> = self.members.iter().map(of).collect();
        seats(&members, self.plan.outbound.min_standby)
    }

    fn sending(&self, provider: &str, change: fn(&mut Member)) -> BTreeSet<String> {
        let sending = self.seats(provider, change).sending;
        let names = sending.iter().filter_map(|&at| self.members.get(at));
        names.map(|(ip, _)| ip.name.clone()).collect()
    }

    fn stand_ins(&self) -> StandIns {
        let usual = self.sending("", |member| {
            (member.usable, member.on_probation) = (true, false);
        });
        let always = &self.sending("", |_| {}) - &usual;
        let mut found = StandIns::new();
        for provider in self.troubled() {
            let theirs = &self.sending(provider, |_| {}) - &usual;
            let theirs = theirs.difference(&always).cloned();
            found.extend(theirs.map(|name| (name, provider.clone())));
        }
        found.extend(always.into_iter().map(|name| (name, String::new())));
        found
    }

    /// One address is never anybody's standby: a pool of one is short of nothing that it ever had. `None`: it is not short.
    fn short_for(&self) -> Option<Vec<String>> {
        if self.members.len() < 2 {
            return None;
        }
        if self.seats("", |_| {}).short {
            return Some(Vec::new());
        }
        let is_short = |provider: &&&String| self.seats(provider, |_| {}).short;
        let troubled = self.troubled();
        let providers = troubled.iter().filter(is_short);
        let providers: Vec<String> = providers.map(|name| (*name).clone()).collect();
        Some(providers).filter(|providers| !providers.is_empty())
    }
}

/// The addresses of a plan by pool and family, IPv4 by `true`.
fn groups<'a>(plan: &'a Plan, lives: &'a Lives, now: i64) -> BTreeMap<(&'a str, bool), Group<'a>> {
    let mut groups = BTreeMap::new();
    for ip in plan.outbound_ips.values() {
        let pool = (&*ip.pool, ip.address.is_ipv4());
        let group = groups.entry(pool).or_insert_with(|| Group {
            plan,
            members: Vec::new(),
            now,
        });
        group.members.push((ip, lives.get(&kept::id(ip))));
    }
    groups
}

/// The pools that cannot keep as many addresses on standby as are wanted, for one provider at least.
#[must_use]
pub fn short(plan: &Plan, states: &[AddressState], now: i64) -> Vec<Short> {
    let life = |state: &AddressState| (kept::key(&state.name, state.address), state.life.clone());
    short_of(plan, &states.iter().map(life).collect(), now)
}

pub(super) fn short_of(plan: &Plan, lives: &Lives, now: i64) -> Vec<Short> {
    let groups = groups(plan, lives, now).into_iter();
    let short = groups.filter_map(|((pool, v4), group)| {
        Some(Short {
            pool: pool.to_owned(),
            family: if v4 { "IPv4" } else { "IPv6" },
            providers: group.short_for()?,
        })
    });
    short.collect()
}

impl Ips {
    /// Tells which addresses have taken a seat for a provider since the last look, and which have given it back. The first look, which
    /// follows a start, only remembers.
    pub(super) fn tell_seats(&self, ctx: &Context, plan: &Plan) {
        let now = self.stand_ins(plan, ctx.now());
        let mut known = self
            .stand_ins
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = known.replace(now.clone());
        drop(known);
        let Some(before) = before else {
            return;
        };
        for seat in now.difference(&before) {
            let text = "an outbound address takes over";
            tell(ctx, seat, Cause::SeatTaken, text);
        }
        for seat in before.difference(&now) {
            let text = "an outbound address stands back";
            tell(ctx, seat, Cause::SeatGivenBack, text);
        }
    }

    pub(super) fn stand_ins(&self, plan: &Plan, now: i64) -> StandIns {
        let lives = self.lives();
        let mut found = StandIns::new();
        for mut group in groups(plan, &lives, now).into_values() {
            // Nobody stands in for one that is on its way out: it does not come back.
            let draining = &plan.outbound.draining;
            group
                .members
                .retain(|(ip, life)| !draining.contains(&ip.name) && !life.is_some_and(is_hidden));
            found.extend(group.stand_ins());
        }
        found
    }
}

/// What SPF does not show is no choice for the mail of that domain, so nobody stands in for it.
pub(super) fn is_hidden(life: &Life) -> bool {
    matches!(life.gate.get(&Check::Spf), Some(Finding::Failed(_)))
}

fn tell(ctx: &Context, (name, provider): &(String, String), cause: Cause, text: &str) {
    ctx.metrics.transitions.inc(Changed(cause));
    let provider = if provider.is_empty() { "all" } else { provider };
    tracing::info!(ip = name, provider, reason = cause.as_str(), "{text}");
}
