//! From a domain to the servers that take its mail (RFC 5321 §5.1), in the order they are tried.

use std::net::IpAddr;

use mailpods_api::DomainName;
use mailpods_net::dns::{DnsError, Family, Mx, Resolver};
use mailpods_plan::OutboundSettings;
use mailpods_policy::Reason;
use mailpods_policy::outbound::reach::Reach;

use crate::fate::Trouble;

/// Hosts of one domain that are looked at.
const MAX_HOSTS: usize = 16;
/// Addresses of one domain that are tried in one attempt.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// A server to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its name, for TLS and for reports.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: IpAddr,
}

/// The names that are this server.
pub(crate) trait Own {
    /// Whether a host name is ours.
    fn is_own(&self, host: &str) -> bool;
}

/// The hosts of `domain` in the order they are tried; an answer with an error is the end of the attempt.
///
/// # Errors
/// No mail goes there for now or at all.
pub(crate) fn rank(
    domain: &DomainName,
    answer: Result<Vec<Mx>, DnsError>,
    own: &dyn Own,
    random: u64,
) -> Result<Vec<String>, Trouble> {
    let records = match answer {
        Ok(records) => records,
        // RFC 5321 §5.1: the domain itself is its only mail exchanger.
        Err(DnsError::NoRecords) => vec![Mx {
            preference: 0,
            exchange: domain.to_string(),
        }],
        Err(DnsError::NxDomain) => {
            return Err(Trouble::new(
                Reason::NoSuchDomain,
                "5.1.2",
                format!("domain {domain} does not exist"),
            ));
        }
        Err(error @ DnsError::Malformed(_)) => {
            return Err(Trouble::new(
                Reason::NoSuchDomain,
                "5.1.2",
                error.to_string(),
            ));
        }
        Err(error @ DnsError::Temporary(_)) => {
            return Err(Trouble::new(
                Reason::DnsTemporary,
                "4.4.3",
                format!("MX of {domain}: {error}"),
            )
            .unreachable());
        }
    };
    let mut hosts: Vec<Mx> = records.iter().filter(|mx| !mx.is_null()).cloned().collect();
    if hosts.is_empty() {
        // RFC 7505 §3, §4.1.
        return Err(Trouble::new(
            Reason::NullMx,
            "5.1.10",
            format!("domain {domain} accepts no mail (null MX)"),
        ));
    }
    shuffle(&mut hosts, random);
    hosts.sort_by_key(|mx| mx.preference);
    without_own(domain, hosts, own)
}

/// RFC 5321 §5.1: when we are among the exchangers, only those preferred to us are tried.
fn without_own(
    domain: &DomainName,
    mut hosts: Vec<Mx>,
    own: &dyn Own,
) -> Result<Vec<String>, Trouble> {
    if let Some(ours) = hosts
        .iter()
        .filter(|mx| own.is_own(&mx.exchange))
        .map(|mx| mx.preference)
        .min()
    {
        hosts.retain(|mx| mx.preference < ours);
        if hosts.is_empty() {
            let text = format!(
                "mail for {domain} loops back to this server, which is not set up for the domain"
            );
            return Err(Trouble::new(Reason::RoutingLoop, "5.4.6", text));
        }
    }
    hosts.truncate(MAX_HOSTS);
    Ok(hosts.into_iter().map(|mx| mx.exchange).collect())
}

/// Hosts of equal preference share the load (RFC 5321 §5.1). The sort that follows keeps this order among equals.
fn shuffle<T>(items: &mut [T], random: u64) {
    let mut state = random;
    for at in (1..items.len()).rev() {
        // Knuth's 64-bit LCG: spreading load needs no better randomness than its seed.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from((state >> 33) % (at as u64 + 1)).unwrap_or(0);
        items.swap(at, other);
    }
}

/// The port of mail exchangers (RFC 5321 §4.5.4.2).
const SMTP: u16 = 25;

/// Whether an exchanger may be at an address: one of the Internet, or of a network that the settings speak of. Whoever sends from such a
/// network has servers there, and no exchanger of the Internet is at another port.
pub(crate) fn may_be_at(settings: &OutboundSettings, source: Option<IpAddr>, to: IpAddr) -> bool {
    let Some(reach) = Reach::of(to) else {
        return false;
    };
    let nets = &settings.private_exchangers;
    reach == Reach::Internet
        || settings.port != SMTP
        || source.and_then(Reach::of).is_some_and(|from| from <= reach)
        || nets.iter().any(|net| net.contains(to))
}

/// The trouble when all exchangers are where none may be. What names this machine means nobody; what is private may be a resolver's
/// answer for inside, or a mistake that somebody mends.
pub(crate) fn refused(domain: &str, targets: &[Target]) -> Trouble {
    let at = |target: &Target| format!("{} [{}]", target.name, target.address);
    let places: Vec<String> = targets.iter().take(3).map(at).collect();
    let places = places.join(", ");
    let nobody = |target: &Target| matches!(Reach::of(target.address), None | Some(Reach::Machine));
    if targets.iter().all(nobody) {
        let text = format!("the mail servers of {domain} are at addresses of nobody: {places}");
        return Trouble::new(Reason::NoSuchDomain, "5.4.4", text);
    }
    let text = format!("the mail servers of {domain} are not on the Internet: {places}");
    Trouble::new(Reason::PrivateExchanger, "4.4.4", text)
}

/// The addresses of `hosts` in their order, those that `usable` allows.
///
/// # Errors
/// None of the hosts has an address, or this cannot be found out now.
pub(crate) async fn addresses(
    resolver: &dyn Resolver,
    hosts: &[String],
    usable: impl Fn(IpAddr) -> bool,
) -> Result<Vec<Target>, Trouble> {
    let (mut targets, mut temporary, mut unusable) = (Vec::new(), None, false);
    for host in hosts {
        if targets.len() >= MAX_ADDRESSES {
            break;
        }
        match resolver.addresses(host, Family::Both).await {
            Ok(found) => {
                let good = found.iter().copied().filter(|address| usable(*address));
                let before = targets.len();
                targets.extend(good.take(MAX_ADDRESSES - before).map(|address| Target {
                    name: host.clone(),
                    address,
                }));
                unusable |= targets.len() == before;
            }
            Err(error) if error.is_temporary() => {
                temporary = Some(format!("addresses of {host}: {error}"))
            }
            Err(_) => {}
        }
    }
    if !targets.is_empty() {
        return Ok(targets);
    }
    Err(match (temporary, unusable) {
        (Some(text), _) => Trouble::new(Reason::DnsTemporary, "4.4.3", text).unreachable(),
        // Another OutboundIP may come: that is no fault of the domain.
        (None, true) => {
            let text = "no source address of the family of the next server's addresses";
            Trouble::new(Reason::ConnectFailed, "4.4.1", text).unreachable()
        }
        (None, false) => {
            let names = hosts.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            Trouble::new(
                Reason::NoSuchDomain,
                "5.4.4",
                format!("no mail server has an address: {names}"),
            )
        }
    })
}
