//! Which domains' SPF records show which addresses.
//!
//! Mail of a domain leaves only from an address that its record shows, and that receivers had the time to see: whoever asked
//! before may keep the old record for its time to live. A domain without a record forbids nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, MutexGuard, PoisonError};

use mailpods_api::DomainName;
use mailpods_net::dns::{DnsError, Family, Lookup, Resolver};
use mailpods_plan::{OutboundIp, Plan, Transport};
use mailpods_policy::outbound::life::Finding;
use mailpods_spf::{Answer, Identity, Look, Published, SpfResult, check};
use mailpods_store::StoreError;
use mailpods_telemetry::timestamp;
use serde::{Deserialize, Serialize};

use super::{Ips, gate, kept};
use crate::context::Context;

/// How long a record that shows the address is believed at most, and one that does not, in milliseconds.
const SHOWN_FOR: i64 = 600_000;
const HIDDEN_FOR: i64 = 60_000;
/// Domains that are looked at beside the mail in one second, all addresses together.
const A_SECOND: usize = 20;
/// How long an address with no domain that is due is left alone, in milliseconds.
const NOTHING_DUE: i64 = 10_000;
/// Domains of an address that are remembered.
const MAX_DOMAINS: usize = 20_000;
/// Domains named in a finding.
const NAMED: usize = 5;

/// What a domain's record says of an address.
#[derive(Debug, Clone)]
struct View {
    /// Since when it shows the address; `None`: it does not, and what it says.
    shown: Result<i64, String>,
    /// When it is looked at again.
    next: i64,
}

/// What the store keeps: since when the records of domains show an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown(pub(super) BTreeMap<String, i64>);

/// By name and address of the OutboundIP: what is known of its domains.
#[derive(Debug, Default)]
pub(super) struct Views(HashMap<String, Known>);

#[derive(Debug, Default)]
struct Known {
    domains: HashMap<String, View>,
    /// As the store has it; `None`: not read yet.
    kept: Option<Shown>,
    /// The address was in use before its domains were ever looked at, so that nothing waits for a time to live.
    adopts: bool,
    /// Nothing is due until then.
    rest_until: i64,
}

impl Views {
    /// Keeps what `stays` says of an address.
    pub(super) fn retain(&mut self, stays: impl Fn(&String) -> bool) {
        self.0.retain(|id, _| stays(id));
    }
}

/// What a domain's record means for an address now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Mail may leave from it.
    Shown,
    /// Soon: others may still keep the record of before.
    Waits(i64),
    /// The record does not show it; what it says.
    Hidden(String),
}

impl Ips {
    pub(super) fn views(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether mail of a sender may leave from an address; looks the record up where that was not done yet.
    pub(super) async fn standing(
        &self,
        ctx: &Context,
        plan: &Plan,
        ip: &OutboundIp,
        sender: &str,
    ) -> Standing {
        let (Some(domain), true) = (domain_of_ours(plan, sender), gate::is_public(ip.address))
        else {
            return Standing::Shown;
        };
        if self
            .lives()
            .get(&kept::id(ip))
            .is_some_and(|life| life.forced)
        {
            return Standing::Shown;
        }
        let known = self
            .views()
            .0
            .get(&kept::id(ip))
            .is_some_and(|known| known.domains.contains_key(&domain));
        if !known {
            self.look_at(ctx, ip, &domain).await;
        }
        self.stands(ip, &domain, plan, ctx.now())
    }

    fn stands(&self, ip: &OutboundIp, domain: &str, plan: &Plan, now: i64) -> Standing {
        let views = self.views();
        match views
            .0
            .get(&kept::id(ip))
            .and_then(|known| known.domains.get(domain))
        {
            None => Standing::Shown,
            Some(view) => view.standing(plan, now),
        }
    }

    /// Asks for a domain's record. What cannot be found out now changes nothing.
    async fn look_at(&self, ctx: &Context, ip: &OutboundIp, domain: &str) {
        self.read_kept(ctx, ip).await;
        let (result, text) = evaluate(ctx.resolver.as_ref(), ip, domain).await;
        let now = ctx.now();
        let mut views = self.views();
        let known = views.0.entry(kept::id(ip)).or_default();
        if known.domains.len() >= MAX_DOMAINS {
            // All come back with the next looks.
            known.domains.clear();
        }
        let since = known
            .kept
            .as_ref()
            .and_then(|kept| kept.0.get(domain))
            .copied();
        let since = since.unwrap_or(if known.adopts { 0 } else { now });
        let before = known.domains.get(domain).map(|view| view.shown.clone());
        let shown = match result {
            SpfResult::Pass => Ok(since),
            // Nobody has a record to hold against us.
            SpfResult::None => Ok(0),
            SpfResult::TempError => before.unwrap_or(Ok(since)),
            _ => Err(text),
        };
        let wait = match shown {
            // No longer than receivers believe it.
            Ok(_) => time_to_live(&ctx.plan.current()).clamp(HIDDEN_FOR, SHOWN_FOR),
            Err(_) => HIDDEN_FOR,
        };
        let next = now.saturating_add(wait);
        known
            .domains
            .insert(domain.to_owned(), View { shown, next });
    }

    async fn read_kept(&self, ctx: &Context, ip: &OutboundIp) {
        if self
            .views()
            .0
            .get(&kept::id(ip))
            .is_some_and(|known| known.kept.is_some())
        {
            return;
        }
        let kept = kept::shown(ctx.store.secrets.as_ref(), &kept::id(ip)).await;
        let kept = match kept {
            Ok(kept) => kept,
            // What was waited for is not known: a record counts as new until it is.
            Err(error) => {
                return tracing::error!(ip = ip.name, %error, "failed to read since when SPF shows an outbound address");
            }
        };
        let in_use = self
            .lives()
            .get(&kept::id(ip))
            .is_some_and(|life| life.activated.is_some());
        let mut views = self.views();
        let known = views.0.entry(kept::id(ip)).or_default();
        known.adopts = kept.is_none() && in_use;
        known.kept = Some(kept.unwrap_or_default());
    }

    /// Looks at the domains whose time has come, and keeps what changed.
    pub(super) async fn look_at_domains(&self, ctx: &Context, plan: &Plan) {
        let mut left = A_SECOND;
        for ip in plan
            .outbound_ips
            .values()
            .filter(|ip| gate::is_public(ip.address))
        {
            for domain in self.due(plan, ip, ctx.now(), left) {
                self.look_at(ctx, ip, &domain).await;
                left -= 1;
            }
            self.keep_shown(ctx, ip).await;
        }
    }

    fn due(&self, plan: &Plan, ip: &OutboundIp, now: i64, most: usize) -> Vec<String> {
        let mut views = self.views();
        let known = views.0.entry(kept::id(ip)).or_default();
        if known.rest_until > now {
            return Vec::new();
        }
        if known.domains.len() > plan.names.len() {
            let own: HashSet<&str> = plan.names.keys().map(DomainName::as_str).collect();
            known.domains.retain(|name, _| own.contains(name.as_str()));
        }
        let is_due = |name: &&str| known.domains.get(*name).is_none_or(|view| view.next <= now);
        let due: Vec<String> = users(plan, ip)
            .filter(is_due)
            .take(most)
            .map(str::to_owned)
            .collect();
        if due.len() < most {
            known.rest_until = now.saturating_add(NOTHING_DUE);
        }
        due
    }

    /// Keeps what this process has found: since when which domains show the address. What others found stays.
    async fn keep_shown(&self, ctx: &Context, ip: &OutboundIp) {
        let new = self.news(ip);
        if new.is_empty() {
            return;
        }
        if let Err(error) = self.swap_shown(ctx, ip, &new).await {
            tracing::error!(ip = ip.name, %error, "failed to keep since when SPF shows an outbound address");
        }
    }

    /// Domains whose record is not as the store has it. Domains that were not looked at since the start stay as they were.
    fn news(&self, ip: &OutboundIp) -> Vec<(String, Option<i64>)> {
        let views = self.views();
        let Some(known) = views.0.get(&kept::id(ip)) else {
            return Vec::new();
        };
        let kept = |name: &String| {
            let kept = known.kept.as_ref();
            kept.is_some_and(|kept| kept.0.contains_key(name))
        };
        let found = known.domains.iter().map(|(name, view)| {
            let since = view.shown.as_ref().ok().copied();
            (name, since.filter(|since| *since > 0))
        });
        let new = found.filter(|(name, since)| since.is_some() != kept(name));
        new.map(|(name, since)| (name.clone(), since)).collect()
    }

    async fn swap_shown(
        &self,
        ctx: &Context,
        ip: &OutboundIp,
        new: &[(String, Option<i64>)],
    ) -> Result<(), StoreError> {
        let secrets = ctx.store.secrets.as_ref();
        let step = |shown: &mut Shown| {
            self.merge(ip, shown, new);
            shown.clone()
        };
        let shown = match kept::change_shown(secrets, &kept::id(ip), step).await {
            // It is written anew by the next look.
            Err(StoreError::Corrupt(_)) => return kept::forget_shown(secrets, &kept::id(ip)).await,
            shown => shown?,
        };
        if let Some(known) = self.views().0.get_mut(&kept::id(ip)) {
            known.kept = Some(shown);
        }
        Ok(())
    }

    /// Takes over what was found.
    fn merge(&self, ip: &OutboundIp, shown: &mut Shown, new: &[(String, Option<i64>)]) {
        for (name, since) in new {
            match since {
                // Who saw it first is right.
                Some(since) => drop(shown.0.entry(name.clone()).or_insert(*since)),
                None => drop(shown.0.remove(name)),
            }
        }
        if shown.0.len() > MAX_DOMAINS {
            let views = self.views();
            let known = views.0.get(&kept::id(ip));
            shown
                .0
                .retain(|name, _| known.is_some_and(|known| known.domains.contains_key(name)));
        }
    }

    /// The finding for the gate: the hostname's own record, which notifications are judged by (RFC 7208 §2.3), and those of the
    /// domains. One domain of many with a wrong record does not keep the others' mail; its own waits.
    pub(super) async fn spf_finding(
        &self,
        ctx: &Context,
        plan: &Plan,
        ip: &OutboundIp,
    ) -> Option<Finding> {
        if !gate::is_public(ip.address) {
            return None;
        }
        match evaluate(ctx.resolver.as_ref(), ip, ip.hostname.as_str()).await {
            (SpfResult::Pass | SpfResult::None, _) => {}
            (SpfResult::TempError, text) => return Some(Finding::Unknown(text)),
            (_, text) => return Some(Finding::Failed(text)),
        }
        let first: Vec<&str> = users(plan, ip).take(A_SECOND).collect();
        for domain in &first {
            if !self
                .views()
                .0
                .get(&kept::id(ip))
                .is_some_and(|known| known.domains.contains_key(*domain))
            {
                self.look_at(ctx, ip, domain).await;
            }
        }
        let now = ctx.now();
        let standings = users(plan, ip).map(|domain| (domain, self.stands(ip, domain, plan, now)));
        Some(sum_up(standings))
    }

    /// Pairs of a domain and an address whose record does not show it.
    pub(super) fn hidden(&self) -> usize {
        let views = self.views();
        let domains = views.0.values().flat_map(|known| known.domains.values());
        domains.filter(|view| view.shown.is_err()).count()
    }
}

impl View {
    fn standing(&self, plan: &Plan, now: i64) -> Standing {
        let since = match &self.shown {
            Ok(since) => *since,
            Err(text) => return Standing::Hidden(text.clone()),
        };
        let from = since.saturating_add(time_to_live(plan));
        if since > 0 && from > now {
            Standing::Waits(from)
        } else {
            Standing::Shown
        }
    }
}

fn time_to_live(plan: &Plan) -> i64 {
    i64::try_from(plan.dns.ttl.as_millis()).unwrap_or(i64::MAX)
}

/// One domain that shows the address is enough for it to be used, for that domain.
fn sum_up<'a>(standings: impl Iterator<Item = (&'a str, Standing)>) -> Finding {
    let (mut shown, mut waits, mut hidden) = (0usize, None, Vec::new());
    for (domain, standing) in standings {
        match standing {
            Standing::Shown => shown += 1,
            Standing::Waits(until) => {
                waits = Some(waits.map_or((domain, until), |(name, at)| {
                    if until < at {
                        (domain, until)
                    } else {
                        (name, at)
                    }
                }))
            }
            Standing::Hidden(text) => hidden.push(text),
        }
    }
    if shown > 0 || (waits.is_none() && hidden.is_empty()) {
        return Finding::Passed;
    }
    if let Some((domain, until)) = waits {
        let from = timestamp(until);
        return Finding::Unknown(format!(
            "the SPF record of {domain} shows it; used from {from} on, when no receiver keeps the record of before"
        ));
    }
    let more = hidden.len().saturating_sub(NAMED);
    hidden.truncate(NAMED);
    let more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    Finding::Failed(format!("{}{more}", hidden.join("; ")))
}

/// The domains whose mail may leave from an address.
fn users<'a>(plan: &'a Plan, ip: &'a OutboundIp) -> impl Iterator<Item = &'a str> {
    let ruled = |domain: &str| {
        let rules = plan
            .outbound
            .pool_rules
            .iter()
            .filter(|rule| rule.pool == ip.pool);
        rules.into_iter().any(|rule| {
            let sender = rule.sender.as_deref().map(str::to_ascii_lowercase);
            sender.is_none_or(|sender| sender.rsplit('@').next() == Some(domain))
        })
    };
    let domains = plan.domains.values();
    let sends = domains.filter(|domain| matches!(domain.transport, Transport::Mailboxes));
    let uses = sends.filter(move |domain| {
        domain.outbound_ips.is_empty()
            || domain.outbound_ips.contains(&ip.name)
            || ruled(domain.name.as_str())
    });
    uses.flat_map(|domain| std::iter::once(&domain.name).chain(&domain.alias_names))
        .map(DomainName::as_str)
}

/// The domain of a sender of ours, whose record counts.
fn domain_of_ours(plan: &Plan, sender: &str) -> Option<String> {
    let (_, domain) = sender.rsplit_once('@')?;
    let domain = DomainName::parse(domain).ok()?;
    plan.domain(&domain).map(|_| domain.as_str().to_owned())
}

/// Why mail of a sender does not leave from an address: the record of its domain does not show it now.
pub(super) async fn hides(
    plan: &Plan,
    resolver: &dyn Resolver,
    ip: &OutboundIp,
    sender: &str,
) -> Option<String> {
    let domain = domain_of_ours(plan, sender).filter(|_| gate::is_public(ip.address))?;
    let (result, text) = evaluate(resolver, ip, &domain).await;
    match result {
        SpfResult::Pass | SpfResult::None | SpfResult::TempError => None,
        _ => Some(format!("{}: {text}", ip.name)),
    }
}

/// What a receiver would find for mail of the domain from the address.
async fn evaluate(resolver: &dyn Resolver, ip: &OutboundIp, domain: &str) -> (SpfResult, String) {
    let identity = Identity {
        client_ip: ip.address,
        helo: ip.hostname.as_str(),
        local: "postmaster",
        domain,
    };
    let found = check(&Looks(resolver), &identity).await;
    let text = format!(
        "SPF of {domain} gives {} for {}: {}",
        found.result.as_str(),
        ip.address,
        found.reason
    );
    (found.result, text)
}

/// The look-ups of a check over the resolver of the role.
struct Looks<'a>(&'a dyn Resolver);

/// DNS says that there are none.
fn found<T, U>(
    answer: Lookup<T>,
    most: usize,
    pick: impl Fn(T) -> Option<U>,
) -> Answer<U, DnsError> {
    match answer {
        Ok(records) => Ok(records.into_iter().take(most).filter_map(pick).collect()),
        Err(error) if error.is_temporary() => Err(error),
        Err(_) => Ok(Arc::new([])),
    }
}

impl Look for Looks<'_> {
    type Error = DnsError;

    async fn spf(&self, domain: &str) -> Result<Arc<Published>, DnsError> {
        let texts = found(self.0.txt(domain).await, 100, |text| {
            Some(text.into_boxed_slice())
        })?;
        Ok(Arc::new(Published::parse(&texts)))
    }

    async fn v4(&self, name: &str) -> Answer<Ipv4Addr, DnsError> {
        found(
            self.0.addresses(name, Family::V4).await,
            100,
            |address| match address {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            },
        )
    }

    async fn v6(&self, name: &str) -> Answer<Ipv6Addr, DnsError> {
        found(
            self.0.addresses(name, Family::V6).await,
            100,
            |address| match address {
                IpAddr::V6(v6) => Some(v6),
                IpAddr::V4(_) => None,
            },
        )
    }

    async fn mx(&self, name: &str) -> Answer<Box<str>, DnsError> {
        found(self.0.mx(name).await, 11, |mx| Some(mx.exchange.into()))
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Box<str>, DnsError> {
        found(self.0.ptr(address).await, 10, |name| Some(name.into()))
    }
}
