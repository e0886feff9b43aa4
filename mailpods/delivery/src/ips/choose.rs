//! Which address a message leaves from.

use std::net::IpAddr;

use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::Reason;
use mailpods_policy::outbound::choose::{Member, Turn, seats};
use mailpods_policy::outbound::life::{Cause, Check, Finding, Life, Phase};
use mailpods_policy::outbound::warmup::{Ramp, is_out_of_patience};
use mailpods_store::StoreError;
use mailpods_store::tokens::{Take, Taken};
use mailpods_telemetry::timestamp;

use super::spf::Standing;
use super::{Ips, gate, kept};
use crate::context::Context;
use crate::fate::Trouble;
use crate::outbound::route::Sources;

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
/// A message that finds no place on new addresses looks again after so long, in milliseconds.
const LOOK_AGAIN: i64 = 300_000;
/// Messages that waited for the same rest do not come back at once, in milliseconds.
const SPREAD: u64 = 30_000;

/// For which message an address is asked.
pub(crate) struct Ask<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) sources: &'a Sources,
    pub(crate) provider: &'a str,
    /// The same for all attempts at the message.
    pub(crate) message: u64,
    /// The place of the message among all.
    pub(crate) turn: u64,
    /// When the message came.
    pub(crate) created: i64,
    /// Its envelope sender.
    pub(crate) sender: &'a str,
    /// Addresses that were refused with it before: they are left out while another one may send.
    pub(crate) refused: &'a [IpAddr],
    /// What a server said of an address when it refused the message before.
    pub(crate) said: Option<String>,
}

/// The address that a message leaves from.
#[derive(Debug, Clone)]
pub(crate) struct Pick {
    pub(crate) ip: OutboundIp,
    /// Another one of its family may take the message if this one is refused.
    pub(crate) others: bool,
}

impl Ips {
    /// The addresses of a family that send to the provider, in the order in which they are tried for this message. Those that are
    /// `full` have sent what they may today: others have their seats.
    async fn order(&self, ctx: &Context, ask: &Ask<'_>, v4: bool, full: &[IpAddr]) -> Vec<Pick> {
        let mut candidates = Vec::new();
        let current = ctx.plan.current();
        for ip in ask.sources.of_family(v4) {
            // The settings may be others than when the attempt began: what they do not name any more sends nothing.
            let named = current.outbound_ips.get(&ip.name);
            let Some(named) = named.filter(|named| is_same(named, ip)) else {
                continue;
            };
            self.admit(ctx, &current, named).await;
            if self.standing(ctx, ask.plan, ip, ask.sender).await == Standing::Shown {
                candidates.push(ip);
            }
        }
        let others = self.leave_out_refused(&mut candidates, ask, ctx.now());
        let mut members = self.members(&candidates, ask.plan, ask.provider, ctx.now());
        for (member, ip) in members.iter_mut().zip(&candidates) {
            member.usable &= !full.contains(&ip.address);
        }
        let seats = seats(&members, ask.plan.outbound.min_standby);
        let turn = Turn {
            count: ask.turn,
            random: ctx.random_u64(),
            message: ask.message,
        };
        let order = ask
            .plan
            .outbound
            .balance
            .order(&members, &seats.sending, turn);
        let chosen = order.iter().filter_map(|&at| candidates.get(at));
        let pick = |ip: &&OutboundIp| Pick {
            ip: (*ip).clone(),
            others,
        };
        chosen.map(pick).collect()
    }

    /// Leaves out the addresses that were refused with the message, where one is left that may send: a standby stands in for that one
    /// attempt. Tells whether more than one is left.
    fn leave_out_refused(
        &self,
        candidates: &mut Vec<&OutboundIp>,
        ask: &Ask<'_>,
        now: i64,
    ) -> bool {
        let lives = self.lives();
        let may_send = |ip: &OutboundIp| {
            let life = lives.get(&kept::id(ip));
            let usable = member(ask.plan, ip, life, (ask.provider, now)).usable;
            usable && !ask.refused.contains(&ip.address)
        };
        let left = candidates.iter().filter(|ip| may_send(ip)).count();
        if left > 0 {
            candidates.retain(|ip| !ask.refused.contains(&ip.address));
        }
        left > 1
    }

    /// The candidates as they are for a provider now.
    pub(super) fn members(
        &self,
        candidates: &[&OutboundIp],
        plan: &Plan,
        provider: &str,
        now: i64,
    ) -> Vec<Member> {
        let lives = self.lives();
        candidates
            .iter()
            .map(|ip| member(plan, ip, lives.get(&kept::id(ip)), (provider, now)))
            .collect()
    }

    /// The address for a message; `None`: the system chooses.
    ///
    /// # Errors
    /// No address may send now; the trouble says when one may.
    pub(crate) async fn pick(
        &self,
        ctx: &Context,
        ask: &Ask<'_>,
        v4: bool,
    ) -> Result<Option<Pick>, Trouble> {
        if ask.sources.ips.is_empty() {
            return Ok(None);
        }
        let (mut full, mut first, mut uncounted) = (Vec::new(), None, false);
        loop {
            let order = self.order(ctx, ask, v4, &full).await;
            if order.is_empty() {
                break;
            }
            for pick in order {
                match self.room(ctx, &pick.ip, ask.provider).await {
                    Some(true) => return Ok(Some(pick)),
                    Some(false) => {}
                    None => uncounted = true,
                }
                full.push(pick.ip.address);
                first.get_or_insert(pick);
            }
        }
        let now = ctx.now();
        match first {
            Some(first) if is_out_of_patience(ask.created, now) => Ok(Some(first)),
            Some(_) => {
                let text = no_room(ask, &full, uncounted);
                Err(Trouble::new(Reason::WarmUp, "4.7.0", text).worth_at(now + LOOK_AGAIN))
            }
            None => match self.hidden_by_spf(ctx, ask, v4).await {
                Some(trouble) => Err(trouble),
                None => Err(self.none(ctx, ask, v4)),
            },
        }
    }

    /// The trouble when the sender's SPF record shows none of the addresses.
    async fn hidden_by_spf(&self, ctx: &Context, ask: &Ask<'_>, v4: bool) -> Option<Trouble> {
        let (mut soonest, mut why) = (None, None);
        for ip in ask.sources.of_family(v4) {
            match self.standing(ctx, ask.plan, ip, ask.sender).await {
                Standing::Shown => return None,
                Standing::Waits(until) => {
                    soonest = Some(soonest.map_or(until, |at: i64| at.min(until)));
                }
                Standing::Hidden(text) => why = Some(text),
            }
        }
        let text = match (soonest, why) {
            (None, Some(why)) => why,
            _ => "the SPF record is new; it is used when no receiver keeps the one of before"
                .to_owned(),
        };
        let trouble = Trouble::new(Reason::NoSourceAddress, "4.7.23", text);
        Some(match soonest {
            Some(until) => trouble.worth_at(until),
            None => trouble,
        })
    }

    /// Why no address may send, and when one may.
    fn none(&self, ctx: &Context, ask: &Ask<'_>, v4: bool) -> Trouble {
        let now = ctx.now();
        let (back, whys) = {
            let lives = self.lives();
            let asked = ask.sources.of_family(v4);
            let asked: Vec<_> = asked.map(|ip| (ip, lives.get(&kept::id(ip)))).collect();
            let lives = asked.iter().filter_map(|(_, life)| *life);
            let back = lives.filter_map(|life| life.rests_until(ask.provider, now));
            (back.min(), whys(&asked, ask, now))
        };
        let said = ask.said.as_ref();
        // First, because the queue does not keep all.
        let said = said.map_or_else(String::new, |said| format!("a server had said: {said}; "));
        let text = format!("{said}no outbound address may send to {} now", ask.provider);
        let trouble = Trouble::new(Reason::NoSourceAddress, "4.4.0", text).detailed(whys);
        match back {
            Some(until) => {
                let spread = i64::try_from(ctx.random_u64() % SPREAD).unwrap_or(0);
                trouble.worth_at(until + spread)
            }
            None => trouble,
        }
    }

    /// Whether an address may send one more message to the provider today, which is then counted; `None`: the store cannot count.
    pub(super) async fn room(
        &self,
        ctx: &Context,
        ip: &OutboundIp,
        provider: &str,
    ) -> Option<bool> {
        let started = self
            .lives()
            .get(&kept::id(ip))
            .and_then(|life| life.activated);
        let now = ctx.now();
        let ramp = ramp(ip);
        let limit = ramp
            .zip(started)
            .and_then(|(ramp, started)| ramp.allowance(started, now));
        let Some(limit) = limit else {
            return Some(true);
        };
        let take = Take {
            key: format!("outbound/{}/{provider}/warm-up", kept::id(ip)),
            amount: 1,
            limit,
            window: DAY,
        };
        match ctx.store.tokens.take(vec![take], now).await {
            Ok(taken) => Some(taken == Taken::Granted),
            Err(error) => {
                tracing::warn!(ip = ip.name, %error, "failed to count a message of a new address");
                None
            }
        }
    }

    /// Takes an address in that was not looked at since the start, or whose settings have changed: what is kept of it, and the gate.
    pub(super) async fn admit(&self, ctx: &Context, plan: &Plan, ip: &OutboundIp) {
        let id = kept::id(ip);
        if self.met().get(&id) == Some(ip) || is_replaced(ctx, ip) {
            return;
        }
        let known = self.lives().get(&id).cloned();
        let known = match known {
            Some(life) => life,
            None => match self.recall(ctx, ip).await {
                Some(life) => life,
                None => return,
            },
        };
        let now = ctx.now();
        let name = |life: &mut Life| {
            if life.hostname.is_none() {
                life.clone_from(&known);
            }
            life.left = None;
            // The plan may have been replaced since: the new one has named it already, or will.
            if is_replaced(ctx, ip) {
                return None;
            }
            life.rename(ip.hostname.as_str(), now)
        };
        self.lives().entry(id.clone()).or_insert(known.clone());
        if let Err(error) = self.try_change(ctx, ip, name).await {
            // Until it is kept whose checks these are, nothing leaves from it.
            if self.is_news(ip, &error) {
                tracing::error!(ip = ip.name, %error, "failed to keep the state of an outbound address; it is not used");
            }
            return;
        }
        self.is_read(ip);
        self.met().insert(id, ip.clone());
        self.check(ctx, plan, ip).await;
    }

    /// The life of an address as it is kept; `None`: nobody can tell now.
    async fn recall(&self, ctx: &Context, ip: &OutboundIp) -> Option<Life> {
        let secrets = ctx.store.secrets.as_ref();
        match kept::life(secrets, ip).await {
            Ok(life) => Some(life.unwrap_or_default()),
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(ip = ip.name, %error, "the state of an outbound address cannot be read; it begins anew");
                if let Err(error) = kept::forget_life(secrets, ip).await {
                    tracing::error!(ip = ip.name, %error, "failed to begin anew");
                    return None;
                }
                Some(Life::default())
            }
            // It may rest: nothing leaves from it until that is known.
            Err(error) => {
                if self.is_news(ip, &error) {
                    tracing::error!(ip = ip.name, %error, "failed to read the state of an outbound address; it is not used");
                }
                None
            }
        }
    }

    /// Looks whether the address is right. Where what is known is of another hostname there is nothing to look at: a process with
    /// another plan has it so, until one of them [takes it in](Self::admit).
    pub(crate) async fn check(&self, ctx: &Context, plan: &Plan, ip: &OutboundIp) {
        let now = ctx.now();
        let hostname = ip.hostname.as_str();
        let life = self.lives().get(&kept::id(ip)).cloned();
        let Some(life) = life.filter(|life| life.is_named(hostname)) else {
            return;
        };
        let there = ctx.egress.finding(ip).await;
        // No answer changes nothing.
        let absent = match &there {
            Finding::Unknown(_) => None,
            there => Some(*there != Finding::Passed),
        };
        let resolver = ctx.resolver.as_ref();
        let mut findings = gate::findings(resolver, plan, (ip, &life), there, now).await;
        let spf = self.spf_finding(ctx, plan, ip).await;
        findings.extend(spf.map(|finding| (Check::Spf, finding)));
        let gate = |life: &mut Life| {
            if !life.is_named(hostname) {
                return None;
            }
            life.absent = absent.unwrap_or(life.absent);
            let mut change = life.gate(&findings, now);
            if let Some(change) = change.as_mut()
                && change.to == Phase::Active
                && is_warming(ip, life, now)
            {
                change.to = Phase::Warming;
            }
            change
        };
        self.change(ctx, ip, gate).await;
    }
}

pub(super) fn member(
    plan: &Plan,
    ip: &OutboundIp,
    life: Option<&Life>,
    (provider, now): (&str, i64),
) -> Member {
    let mut member = seat(ip, life, (provider, now));
    if plan.outbound.draining.contains(&ip.name) {
        // Nobody stands in for it: it does not come back.
        (member.usable, member.standby) = (false, true);
    }
    member
}

/// An address among those of its pool, one that is not being removed.
pub(super) fn seat(ip: &OutboundIp, life: Option<&Life>, (provider, now): (&str, i64)) -> Member {
    Member {
        // What was checked under another hostname says nothing of this one.
        usable: life.is_some_and(|life| {
            life.is_named(ip.hostname.as_str()) && life.is_usable(provider, now)
        }),
        on_probation: life.is_some_and(|life| life.is_on_probation(provider, now)),
        standby: !ip.sending,
        weight: ip.weight,
        id: id(ip.address),
    }
}

/// A number for an address, the same in every process.
fn id(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let [high, low] = [bits >> 64, bits & u128::from(u64::MAX)].map(u64::try_from);
    high.unwrap_or_default().rotate_left(32) ^ low.unwrap_or_default()
}

/// Why a message finds no place on addresses that would send.
fn no_room(ask: &Ask<'_>, full: &[IpAddr], uncounted: bool) -> String {
    let provider = ask.provider;
    if uncounted {
        return format!("the messages of new addresses to {provider} cannot be counted now");
    }
    let but = match ask.refused {
        [first, ..] if !full.contains(first) => " and were not refused with this message",
        _ => "",
    };
    format!(
        "all addresses that may send to {provider} now{but} are new and have sent what they may today"
    )
}

/// Addresses of which it is told why they may not send, and characters of what is told of each.
const MOST_TOLD: usize = 4;
const MOST_WORDS: usize = 160;

/// Why addresses may not send to a provider, by pool.
fn whys(asked: &[(&OutboundIp, Option<&Life>)], ask: &Ask<'_>, now: i64) -> String {
    let told = asked.iter().take(MOST_TOLD).map(|(ip, life)| {
        let why = match life {
            _ if ask.plan.outbound.draining.contains(&ip.name) => "is being removed".to_owned(),
            Some(life) if life.is_named(ip.hostname.as_str()) => cannot(life, ask.provider, now),
            _ => "is not checked yet".to_owned(),
        };
        let why: String = why.chars().take(MOST_WORDS).collect();
        format!("{} of pool {} {why}", ip.name, ip.pool)
    });
    let mut told: Vec<String> = told.collect();
    match asked.len().saturating_sub(MOST_TOLD) {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    told.join("; ")
}

/// Why a life does not let an address send.
fn cannot(life: &Life, provider: &str, now: i64) -> String {
    let until = life.rests_until(provider, now);
    let until = until.map_or_else(String::new, |until| format!(" until {}", timestamp(until)));
    match life.phase(Some(provider), now) {
        Phase::Pending => format!("is Pending: {}", not_passed(life).join(", ")),
        Phase::Standby => "is drained".to_owned(),
        Phase::Hot => match life.heat.get(provider).filter(|heat| heat.resting) {
            Some(heat) => format!("rests{until} ({} {})", heat.cause.as_str(), heat.reply),
            None if until.is_empty() => "rests while a block list names it".to_owned(),
            None => format!("rests{until} ({})", Cause::RestedByOperator.as_str()),
        },
        Phase::Active | Phase::Warming | Phase::Cooling => "cannot be used".to_owned(),
    }
}

/// The checks of the gate that an address has not passed, and why.
pub(super) fn not_passed(life: &Life) -> Vec<String> {
    let told = |(check, finding): (&Check, &Finding)| match finding {
        Finding::Passed => None,
        Finding::Failed(text) | Finding::Unknown(text) => {
            Some(format!("{}: {text}", check.as_str()))
        }
    };
    life.gate.iter().filter_map(told).collect()
}

/// Whether the plan has other settings of an address by now than these.
fn is_replaced(ctx: &Context, ip: &OutboundIp) -> bool {
    let current = ctx.plan.current();
    let named = current.outbound_ips.get(&ip.name);
    named.is_some_and(|named| !is_same(named, ip))
}

/// Whether receivers see the same: address and name.
fn is_same(one: &OutboundIp, other: &OutboundIp) -> bool {
    (one.address, &one.hostname) == (other.address, &other.hostname)
}

/// The slow start of an address.
pub(super) fn ramp(ip: &OutboundIp) -> Option<Ramp> {
    ip.warm_up.map(|warm_up| Ramp {
        initial: warm_up.initial_per_day,
        duration: warm_up.duration,
    })
}

/// Whether the slow start of an address goes on.
pub(super) fn is_warming(ip: &OutboundIp, life: &Life, now: i64) -> bool {
    let ramp = ramp(ip).zip(life.activated);
    ramp.is_some_and(|(ramp, started)| ramp.is_warming(started, now))
}
