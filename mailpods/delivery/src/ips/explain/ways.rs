//! Which way mail for a domain leaves.

use std::net::IpAddr;

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_net::dns::Resolver;
use mailpods_plan::Plan;
use mailpods_policy::outbound::choose::{Class, PoolRule, pool};
use mailpods_policy::outbound::suspension::Suspension;
use mailpods_store::{SecretStore, StoreError, suspension};
use serde::Serialize;

use super::{AddressState, ProtectedHost};
use crate::ips::spf;
use crate::outbound::fallback::is_proved;
use crate::outbound::mx::{self, Target};
use crate::outbound::route::{Sources, Way};

/// A rule of `spec.outbound.transports`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportUsed {
    /// Its place in the list.
    pub place: usize,
    /// It names the next hop.
    pub next_hop: bool,
    /// One attempt is made.
    pub once: bool,
    /// One connection at once.
    pub serial: bool,
}

/// The fallback relay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Age of a message from which on it is used, in seconds.
    pub after: u64,
    /// Whether it may be used: the domain does not ask for more TLS than the relay is set up with.
    pub used: bool,
}

pub(super) fn transport(plan: &Plan, domain: &str) -> Option<TransportUsed> {
    let domain = DomainName::parse(domain).ok()?;
    let (place, rule) = plan.transport(&domain)?;
    Some(TransportUsed {
        place,
        next_hop: rule.next_hop.is_some(),
        once: rule.once,
        serial: rule.serial,
    })
}

/// The relay for mail to exchangers; it must prove its name where one of them must do more than offer TLS.
/// Where one attempt is made, none is left for it.
pub(super) fn fallback(
    plan: &Plan,
    way: &Way,
    transport: Option<&TransportUsed>,
    tls: &[ProtectedHost],
) -> Option<Fallback> {
    if transport.is_some_and(|used| used.once) {
        return None;
    }
    let relay = plan.outbound.fallback_relay.as_ref();
    let relay = relay.filter(|_| matches!(way, Way::Mx(_) | Way::Literal(_)))?;
    Some(Fallback {
        host: relay.host.clone(),
        port: relay.port,
        after: plan.outbound.fallback_after.as_secs(),
        used: is_proved(relay) || !tls.iter().any(|host| host.asked),
    })
}

/// Connections at once, at most.
pub(super) fn connections(
    plan: &Plan,
    of_profile: usize,
    transport: Option<&TransportUsed>,
) -> usize {
    match transport.is_some_and(|used| used.serial) {
        true => 1,
        false => of_profile.min(plan.outbound.concurrency_per_destination),
    }
}

/// What names the pool or the addresses of mail: the first rule that fits, or the sender's domain.
pub(super) fn named_by(plan: &Plan, sender: &str, class: Class) -> Option<String> {
    let fits = |rule: &PoolRule| pool(std::slice::from_ref(rule), sender, class).is_some();
    if let Some(place) = plan.outbound.pool_rules.iter().position(fits) {
        return Some(format!("spec.outbound.poolRules[{place}]"));
    }
    let address = MailboxAddress::parse(sender).ok()?;
    let domain = plan.domain(address.domain())?;
    let names = domain.outbound_ips.join(", ");
    (!names.is_empty()).then(|| format!("MailDomain {} names {names}", domain.name))
}

/// The suspension of the account that a sender is the address of.
pub(super) async fn suspended(
    plan: &Plan,
    secrets: &dyn SecretStore,
    sender: &str,
    now: i64,
) -> Result<Option<Suspension>, StoreError> {
    let address = MailboxAddress::parse(sender).ok();
    let Some(mailbox) = address.and_then(|address| plan.mailbox(&address)) else {
        return Ok(None);
    };
    let all = suspension::all(secrets).await?;
    Ok(all.of(&mailbox.address.to_string(), now).cloned())
}

pub(super) const fn way_name(way: &Way, transport: Option<&TransportUsed>) -> &'static str {
    let named = matches!(transport, Some(TransportUsed { next_hop: true, .. }));
    match way {
        Way::Local => "local",
        Way::Hop {
            from_pool: false, ..
        } => "relay",
        Way::Hop {
            from_pool: true, ..
        } if named => "transport",
        Way::Hop {
            from_pool: true, ..
        } => "smart-host",
        Way::Mx(_) | Way::Literal(_) => "mx",
        Way::Held => "held",
        Way::Nowhere => "nowhere",
    }
}

/// Why no exchanger gets the mail: all are where none may be, from whichever of the sources.
pub(super) async fn refused(
    plan: &Plan,
    resolver: &dyn Resolver,
    (way, hosts): (&Way, &[String]),
    sources: &Sources,
) -> Option<String> {
    let (domain, targets) = match way {
        Way::Mx(domain) => {
            let targets = mx::addresses(resolver, hosts, |address| sources.reaches(address));
            (domain.to_string(), targets.await.ok()?)
        }
        Way::Literal(address) => {
            let (name, address) = (address.to_string(), *address);
            (format!("[{name}]"), vec![Target { name, address }])
        }
        _ => return None,
    };
    let from: Vec<Option<IpAddr>> = match sources.ips.as_slice() {
        [] => vec![None],
        ips => ips.iter().map(|ip| Some(ip.address)).collect(),
    };
    let may = |target: &Target| {
        let mut from = from.iter();
        from.any(|source| mx::may_be_at(&plan.outbound, *source, target.address))
    };
    let refused = !targets.is_empty() && !targets.iter().any(may);
    refused.then(|| mx::refused(&domain, &targets).text.into())
}

/// Addresses whose SPF is looked at.
const MOST_LOOKED_AT: usize = 16;

/// What the record of the sender's domain says of addresses that it does not show. An address that an operator activated sends all the same.
pub(super) async fn hidden(
    plan: &Plan,
    resolver: &dyn Resolver,
    sources: &Sources,
    states: &[AddressState],
    sender: &str,
) -> Vec<String> {
    let mut hidden = Vec::new();
    for ip in sources.ips.iter().take(MOST_LOOKED_AT) {
        let is_forced = |state: &AddressState| state.name == ip.name && state.life.forced;
        if !states.iter().any(is_forced) {
            hidden.extend(spf::hides(plan, resolver, ip, sender).await);
        }
    }
    hidden
}
