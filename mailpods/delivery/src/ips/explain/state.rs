//! Addresses as people see them: phase, why, what comes next.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::choose::{Member, seats};
use mailpods_policy::outbound::life::{Cause, Check, Finding, Life, Phase};
use mailpods_store::{SecretStore, StoreError};
use serde::Serialize;

use crate::ips::choose::{is_warming, member, not_passed, ramp, seat};
use crate::ips::seats::is_hidden;
use crate::ips::{kept, sent};
use crate::outbound::route::Sources;

/// An address as it is for one provider, or for all.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressState {
    /// Name of the OutboundIP.
    pub name: String,
    /// The address.
    pub address: std::net::IpAddr,
    /// The name that it says in HELO.
    pub hostname: String,
    /// Its pool.
    pub pool: String,
    /// Its phase.
    pub phase: Phase,
    /// Its phase for all other providers, where `phase` is that for some alone: those of `providers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_others: Option<Phase>,
    /// Why, in words.
    pub reason: String,
    /// What comes next, and when.
    pub next: String,
    /// Since when; milliseconds since 1970, as all times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When the phase ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The address that other servers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<std::net::IpAddr>,
    /// Messages of the last 24 hours that a server took.
    pub sent: u64,
    /// Attempts of the last 24 hours that were refused for the address.
    pub refused: u64,
    /// Providers for which it is in another phase.
    pub providers: Vec<ProviderState>,
    /// All that is kept of it.
    pub life: Life,
}

/// An address as it is for a provider that had trouble with it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderState {
    /// Name of the provider.
    pub name: String,
    /// Hot or Cooling.
    pub phase: Phase,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: i64,
    /// When it ends by itself.
    pub until: i64,
    /// How often it was refused again after a rest.
    pub relapses: u32,
}

/// The sources with their seats for the provider, IPv4 before IPv6.
pub(super) async fn states(
    plan: &Plan,
    secrets: &dyn SecretStore,
    sources: &Sources,
    provider: &str,
    now: i64,
) -> Result<(Vec<AddressState>, bool), StoreError> {
    let (mut states, mut short) = (Vec::new(), false);
    for v4 in [true, false] {
        let mut lives = Vec::new();
        for ip in sources.of_family(v4) {
            lives.push((ip, life_of(ip, secrets, now).await?));
        }
        let members: Vec<_> = lives
            .iter()
            .map(|(ip, life)| member(plan, ip, Some(life), (provider, now)))
            .collect();
        let seats = seats(&members, plan.outbound.min_standby);
        short |= seats.short && !lives.is_empty();
        for (at, (ip, life)) in lives.into_iter().enumerate() {
            let waits = seats.standby.contains(&at);
            let mut state = state(ip, life, (Some(provider), waits), now);
            (state.sent, state.refused) = sent::all(secrets, ip).await?.totals(now);
            states.push(state);
        }
    }
    Ok((states, short))
}

/// What is kept of an address, as far as it counts under its hostname.
async fn life_of(ip: &OutboundIp, secrets: &dyn SecretStore, now: i64) -> Result<Life, StoreError> {
    let mut life = kept::life(secrets, ip).await?.unwrap_or_default();
    life.rename(ip.hostname.as_str(), now);
    Ok(life)
}

/// Which addresses wait while others of their pool send, for providers that had trouble with none.
pub(in crate::ips) fn waiting(
    lives: &[(&OutboundIp, &Life)],
    min_standby: usize,
    now: i64,
) -> HashSet<IpAddr> {
    let mut pools: BTreeMap<(&str, bool), Vec<(&OutboundIp, Member)>> = BTreeMap::new();
    let shown = lives.iter().copied().filter(|(_, life)| !is_hidden(life));
    for (ip, life) in shown {
        let pool = (ip.pool.as_str(), ip.address.is_ipv4());
        let pool = pools.entry(pool).or_default();
        pool.push((ip, seat(ip, Some(life), ("", now))));
    }
    let mut waiting = HashSet::new();
    for pool in pools.into_values() {
        let members: Vec<Member> = pool.iter().map(|(_, member)| *member).collect();
        let standby = seats(&members, min_standby).standby;
        let standby = standby.iter().filter_map(|at| pool.get(*at));
        waiting.extend(standby.map(|(ip, _)| ip.address));
    }
    waiting
}

impl AddressState {
    /// Addresses as they are by themselves, whatever the provider; `min_standby` of a pool are kept back. One whose state cannot be
    /// read is left out, and hides none of the others.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(
        ips: impl IntoIterator<Item = &OutboundIp>,
        min_standby: usize,
        secrets: &dyn SecretStore,
        now: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let mut lives = Vec::new();
        for ip in ips {
            match life_of(ip, secrets, now).await {
                Ok(life) => lives.push((ip, life)),
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::debug!(ip = ip.name, %error, "the state of an outbound address cannot be read; it is not told of");
                }
                Err(error) => return Err(error),
            }
        }
        let known: Vec<(&OutboundIp, &Life)> = lives.iter().map(|(ip, life)| (*ip, life)).collect();
        let waiting = waiting(&known, min_standby, now);
        let mut states = Vec::new();
        for (ip, life) in lives {
            let mut state = state(ip, life, (None, waiting.contains(&ip.address)), now);
            (state.sent, state.refused) = sent::all(secrets, ip).await?.totals(now);
            states.push(state);
        }
        Ok(states)
    }
}

/// The state of an address for a provider, or for all; `waits`: others send.
fn state(
    ip: &OutboundIp,
    life: Life,
    (provider, waits): (Option<&str>, bool),
    now: i64,
) -> AddressState {
    let phase = match provider {
        Some(provider) => match life.phase(Some(provider), now) {
            Phase::Active | Phase::Cooling if waits => Phase::Standby,
            Phase::Active => fresh(ip, &life, now),
            phase => phase,
        },
        None => overall(ip, &life, waits, now),
    };
    let until = until(ip, &life, provider, phase, now);
    let own = ip.address;
    let seen = life.seen.values().max_by_key(|seen| seen.at);
    AddressState {
        name: ip.name.clone(),
        address: ip.address,
        hostname: ip.hostname.to_string(),
        pool: ip.pool.clone(),
        reason: reason(&life, provider, phase),
        next: next(phase, &life).to_owned(),
        since: life.changed.or(life.activated),
        until,
        observed: match life.is_confirmed(own) {
            true => Some(own),
            false => seen.map(|seen| seen.address),
        },
        sent: 0,
        refused: 0,
        for_others: (provider.is_none() && matches!(phase, Phase::Hot | Phase::Cooling))
            .then(|| for_others(ip, &life, waits, now))
            .filter(|others| *others != phase),
        providers: providers(&life, now),
        phase,
        life,
    }
}

/// The providers that had trouble with an address, and for which that is not over.
fn providers(life: &Life, now: i64) -> Vec<ProviderState> {
    let heat = life.heat.iter().filter(|(_, heat)| heat.until > now);
    heat.map(|(name, heat)| ProviderState {
        name: name.clone(),
        phase: if heat.resting {
            Phase::Hot
        } else {
            Phase::Cooling
        },
        reason: format!("{} {}", heat.cause.as_str(), heat.reply)
            .trim_end()
            .to_owned(),
        since: heat.since,
        until: heat.until,
        relapses: heat.level.into(),
    })
    .collect()
}

/// When a phase ends by itself.
fn until(
    ip: &OutboundIp,
    life: &Life,
    provider: Option<&str>,
    phase: Phase,
    now: i64,
) -> Option<i64> {
    let heat = life.heat.iter().filter(|(name, heat)| {
        heat.until > now && provider.is_none_or(|provider| provider == *name)
    });
    match phase {
        Phase::Hot | Phase::Cooling => {
            let own = life.rested_until.filter(|until| *until > now);
            own.max(heat.map(|(_, heat)| heat.until).max())
        }
        Phase::Warming => {
            let ramp = ramp(ip)?;
            let length = i64::try_from(ramp.duration.as_millis()).ok()?;
            life.activated.map(|started| started.saturating_add(length))
        }
        Phase::Pending | Phase::Active | Phase::Standby => None,
    }
}

/// What comes next.
fn next(phase: Phase, life: &Life) -> &'static str {
    match phase {
        Phase::Pending if life.gate.is_empty() => "it is checked when the server looks at it",
        Phase::Pending => "checked again every half minute; sends when nothing fails",
        Phase::Warming | Phase::Active | Phase::Cooling if unreached(life).is_some() => {
            "mail waits, or leaves from others, while no connection can be opened from it"
        }
        Phase::Warming => "sends more each day",
        Phase::Hot if life.listed.values().any(|listing| listing.rests) && !life.forced => {
            "rests until no block list names it"
        }
        Phase::Hot => "rests, then sends on probation",
        Phase::Cooling => "sends; refusals let it rest twice as long",
        Phase::Active => "sends",
        Phase::Standby if life.drained => "sends again after `mailpods ip activate`",
        Phase::Standby => "takes over when another one rests",
    }
}

/// The phase of an address whatever the provider: trouble with one counts.
pub(in crate::ips) fn overall(ip: &OutboundIp, life: &Life, waits: bool, now: i64) -> Phase {
    let heat = || life.heat.values().filter(|heat| heat.until > now);
    match life.phase(None, now) {
        Phase::Active if heat().any(|heat| heat.resting) => Phase::Hot,
        Phase::Active if heat().next().is_some() => Phase::Cooling,
        _ => for_others(ip, life, waits, now),
    }
}

/// The phase of an address for providers that have no trouble with it.
fn for_others(ip: &OutboundIp, life: &Life, waits: bool, now: i64) -> Phase {
    match life.phase(None, now) {
        Phase::Active if waits => Phase::Standby,
        Phase::Active => fresh(ip, life, now),
        phase => phase,
    }
}

pub(in crate::ips) fn fresh(ip: &OutboundIp, life: &Life, now: i64) -> Phase {
    if is_warming(ip, life, now) {
        Phase::Warming
    } else {
        Phase::Active
    }
}

/// Why nobody knows whether a connection can come from an address that would send: who opens it does not answer as it should.
fn unreached(life: &Life) -> Option<&str> {
    match life.gate.get(&Check::ObservedSource) {
        Some(Finding::Unknown(text)) => Some(text),
        _ => None,
    }
}

fn reason(life: &Life, provider: Option<&str>, phase: Phase) -> String {
    let forced = match life.passed_over() {
        _ if !life.forced => String::new(),
        over if over.is_empty() => Cause::ActivatedByOperator.as_str().to_owned(),
        over => format!(
            "{}; {}",
            Cause::ActivatedByOperator.as_str(),
            over.join(", ")
        ),
    };
    let unreached = unreached(life).filter(|_| phase != Phase::Pending);
    let unreached = unreached.map(|text| format!("cannot be sent from now: {text}"));
    let words = [
        why(life, provider, phase),
        unreached.unwrap_or_default(),
        forced,
    ];
    let words = words.into_iter().filter(|words| !words.is_empty());
    words.collect::<Vec<_>>().join("; ")
}

fn why(life: &Life, provider: Option<&str>, phase: Phase) -> String {
    match phase {
        Phase::Pending if life.gate.is_empty() => "not looked at yet".to_owned(),
        Phase::Pending => not_passed(life).join("; "),
        Phase::Hot if !life.forced && life.listed.values().any(|listing| listing.rests) => life
            .listed
            .iter()
            .map(|(zone, listing)| format!("listed: {zone} {}", listing.answer))
            .collect::<Vec<_>>()
            .join("; "),
        Phase::Hot | Phase::Cooling if life.rested_until.is_none() => life
            .heat
            .iter()
            .filter(|(name, _)| provider.is_none_or(|provider| provider == *name))
            .map(|(name, heat)| {
                format!("{name}: {} {}", heat.cause.as_str(), heat.reply)
                    .trim_end()
                    .to_owned()
            })
            .collect::<Vec<_>>()
            .join("; "),
        Phase::Hot => "rested-by-operator".to_owned(),
        Phase::Standby if life.drained => "drained-by-operator".to_owned(),
        Phase::Standby => "kept back".to_owned(),
        Phase::Warming => "slow start".to_owned(),
        Phase::Cooling | Phase::Active => String::new(),
    }
}
