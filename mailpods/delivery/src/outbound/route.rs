//! Which way mail for a destination leaves, and from which address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::{HopTls, IpFamily, NextHop, OutboundIp, Plan, Route, TransportRule};
use mailpods_policy::Reason;
use mailpods_policy::outbound::choose::{self, Class};
use mailpods_store::queue::{Destination, LeasedUnit, Origin};

use crate::fate::Trouble;
use crate::scheduler::lanes::LaneKey;

/// The way to a destination.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// It is ours now: into mailboxes.
    Local,
    /// A fixed next hop. Mail of ours to the world leaves from an OutboundIP; mail to a host of ours does not.
    Hop { hop: NextHop, from_pool: bool },
    /// The mail exchangers of a domain.
    Mx(DomainName),
    /// An address literal (RFC 5321 §4.1.3).
    Literal(IpAddr),
    /// A domain of ours that a problem keeps from its mail: nowhere for now.
    Held,
    /// Not a name that mail can go to.
    Nowhere,
}

/// The way to `destination` by the plan of now.
pub(crate) fn way(plan: &Plan, destination: &Destination) -> Way {
    if destination.is_local() {
        return Way::Local;
    }
    if let Some(address) = literal(&destination.0) {
        return match &plan.outbound.smart_host {
            Some(hop) => Way::Hop {
                hop: hop.clone(),
                from_pool: true,
            },
            None => Way::Literal(address),
        };
    }
    let Ok(domain) = DomainName::parse(&destination.0) else {
        return Way::Nowhere;
    };
    match plan.route(&domain) {
        Route::Local => Way::Local,
        Route::Held => Way::Held,
        Route::Relay(hop) => Way::Hop {
            hop: hop.clone(),
            from_pool: false,
        },
        Route::NextHop(hop) | Route::SmartHost(hop) => Way::Hop {
            hop: hop.clone(),
            from_pool: true,
        },
        Route::Mx => Way::Mx(domain),
    }
}

/// The lane of a destination: what shares a next hop shares its workers and connections.
pub(crate) fn lane(plan: &Plan, destination: &Destination) -> LaneKey {
    match way(plan, destination) {
        Way::Hop { hop, .. } if is_serial(plan, destination) => {
            LaneKey(format!("{}{SERIAL}", hop_key(&hop)))
        }
        Way::Hop { hop, .. } => LaneKey(hop_key(&hop)),
        Way::Local | Way::Mx(_) | Way::Literal(_) | Way::Held | Way::Nowhere => {
            LaneKey(destination.0.to_string())
        }
    }
}

/// Ends the name of a lane to a next hop that takes one connection.
const SERIAL: &str = " serial";

/// Whether a lane has one worker: its transport says so.
pub(crate) fn is_serial_lane(plan: &Plan, lane: &LaneKey) -> bool {
    match is_domain(lane) {
        true => rule(plan, &lane.0).is_some_and(|rule| rule.serial),
        false => lane.0.ends_with(SERIAL),
    }
}

fn is_serial(plan: &Plan, destination: &Destination) -> bool {
    rule_of(plan, destination).is_some_and(|rule| rule.serial)
}

/// Whether one attempt is made at mail for a destination.
pub(crate) fn is_once(plan: &Plan, destination: &Destination) -> bool {
    rule_of(plan, destination).is_some_and(|rule| rule.once)
}

/// Mailboxes here have none, though their destination has the name of a domain.
fn rule_of<'a>(plan: &'a Plan, destination: &Destination) -> Option<&'a TransportRule> {
    match destination.is_local() {
        true => None,
        false => rule(plan, &destination.0),
    }
}

fn rule<'a>(plan: &'a Plan, domain: &str) -> Option<&'a TransportRule> {
    let domain = DomainName::parse(domain).ok()?;
    plan.transport(&domain).map(|(_, rule)| rule)
}

/// Whether a lane leads to the exchangers of a domain.
pub(crate) fn is_domain(lane: &LaneKey) -> bool {
    !lane.0.starts_with('[') && !lane.0.contains("://")
}

/// Names a hop with all that makes connections to it differ.
pub(crate) fn hop_key(hop: &NextHop) -> String {
    let tls = match hop.tls {
        HopTls::None => "plain",
        HopTls::Opportunistic => "opportunistic",
        HopTls::Verify => "verify",
        HopTls::Implicit => "implicit",
    };
    let user = hop.auth.as_ref().map_or("", |(user, _)| user.as_str());
    let protocol = if hop.lmtp { "lmtp" } else { "smtp" };
    format!("{protocol}://{user}@{}:{}#{tls}", hop.host, hop.port)
}

/// The address of `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
pub(crate) fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    let v6 = inner
        .get(..5)
        .filter(|tag| tag.eq_ignore_ascii_case("ipv6:"))
        .and_then(|_| inner.get(5..));
    match v6 {
        Some(text) => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// The addresses that some mail may leave from; empty: the system chooses, unless others are [`missing`](Self::missing).
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// By name, those for standby too.
    pub(crate) ips: Vec<OutboundIp>,
    /// The mail has addresses of its own and none of them is there: it must not leave from another one, which the SPF record of its domain
    /// need not show. In words, what is asked for.
    pub(crate) missing: Option<String>,
    family: Option<IpFamily>,
}

impl Sources {
    /// Those of the pool that a rule names, or of the sender's domain, or all where the sender is not ours.
    pub(crate) fn of(plan: &Plan, sender: &str, class: Class) -> Self {
        let pool = choose::pool(&plan.outbound.pool_rules, sender, class);
        let domain = MailboxAddress::parse(sender)
            .ok()
            .and_then(|address| plan.domain(address.domain()).cloned());
        let named = |ip: &OutboundIp| match (pool, &domain) {
            (Some(pool), _) => ip.pool == pool,
            (None, Some(domain)) => {
                domain.outbound_ips.is_empty() || domain.outbound_ips.contains(&ip.name)
            }
            (None, None) => true,
        };
        let ips = plan.outbound_ips.values().filter(|ip| named(ip));
        let ips: Vec<OutboundIp> = ips.cloned().collect();
        let missing = match (pool, &domain) {
            _ if !ips.is_empty() => None,
            (Some(pool), _) => Some(format!("pool {pool}, which spec.outbound.poolRules names")),
            (None, Some(domain)) if !domain.outbound_ips.is_empty() => {
                let names = domain.outbound_ips.join(", ");
                Some(format!("{names}, which {} names", domain.name))
            }
            (None, _) => None,
        };
        Self {
            ips,
            missing,
            family: Some(plan.outbound.ip_family),
        }
    }

    /// Why mail waits that has addresses of its own, none of which is there.
    pub(crate) fn absent(&self) -> Option<Trouble> {
        let missing = self.missing.as_ref()?.to_string();
        let text = "no OutboundIP is there of those that the mail leaves from";
        let trouble = Trouble::new(Reason::NoSourceAddress, "4.4.0", text);
        Some(trouble.detailed(missing))
    }

    /// No fixed source, whatever the plan says: for hosts of ours.
    pub(crate) fn any() -> Self {
        Self::default()
    }

    /// Whether a destination address can be reached from one of the sources.
    pub(crate) fn reaches(&self, to: IpAddr) -> bool {
        let family = match self.family {
            Some(IpFamily::V4) => to.is_ipv4(),
            Some(IpFamily::V6) => to.is_ipv6(),
            Some(IpFamily::Both) | None => true,
        };
        family && (self.ips.is_empty() || self.of_family(to.is_ipv4()).next().is_some())
    }

    /// The sources of a family.
    pub(crate) fn of_family(&self, v4: bool) -> impl Iterator<Item = &OutboundIp> {
        self.ips.iter().filter(move |ip| ip.address.is_ipv4() == v4)
    }
}

/// What a session says in EHLO: the name of the address that it comes from (RFC 5321 §4.1.1.1).
pub(crate) fn helo(plan: &Plan, source: Option<&OutboundIp>) -> String {
    source.map_or(&plan.hostname, |ip| &ip.hostname).to_string()
}

/// What kind of mail a unit is; `header` is needed to tell bulk mail.
pub(crate) fn class(unit: &LeasedUnit, header: &[u8]) -> Class {
    if unit.message.envelope.sender.is_empty() {
        Class::Bounce
    } else if matches!(unit.message.origin, Origin::Forward(_)) {
        Class::Forwarded
    } else if is_bulk(header) {
        Class::Bulk
    } else {
        Class::Transactional
    }
}

/// RFC 2369 §3.2, RFC 2919 §3, and the field that RFC 2076 §3.9 speaks of.
pub(crate) fn is_bulk(header: &[u8]) -> bool {
    let text = String::from_utf8_lossy(header).to_ascii_lowercase();
    text.lines().any(|line| {
        line.starts_with("list-id:")
            || line.starts_with("list-unsubscribe:")
            || line
                .strip_prefix("precedence:")
                .is_some_and(|value| matches!(value.trim(), "bulk" | "list" | "junk"))
    })
}
