//! Whether an address is right: what an address of the Internet needs before any receiver takes its mail.

use std::net::IpAddr;

use mailpods_net::dns::{DnsError, Family, Resolver};
use mailpods_net::tls::covers;
use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::life::{Check, Finding, Life};

use crate::outbound::route::helo;

/// The checks that need no look at the domains; `there` is whether a connection can come from the address at all. An address that no receiver on the Internet sees has no names there to look up.
pub(super) async fn findings(
    resolver: &dyn Resolver,
    plan: &Plan,
    (ip, life): (&OutboundIp, &Life),
    there: Finding,
    now: i64,
) -> Vec<(Check, Finding)> {
    let observed = match there {
        Finding::Passed => observed(ip.address, life, now),
        there => there,
    };
    let mut findings = vec![(Check::ObservedSource, observed)];
    if is_public(ip.address) {
        findings.push((Check::ReverseName, reverse(resolver, ip).await));
        findings.push((Check::ForwardConfirmed, forward(resolver, ip).await));
        findings.push((Check::Helo, greets(resolver, plan, ip).await));
        findings.extend(certificate(plan, ip).map(|finding| (Check::Certificate, finding)));
    }
    findings
}

async fn reverse(resolver: &dyn Resolver, ip: &OutboundIp) -> Finding {
    match resolver.ptr(ip.address).await {
        Ok(names)
            if names
                .iter()
                .any(|name| ip.hostname == *name.trim_end_matches('.')) =>
        {
            Finding::Passed
        }
        Ok(names) => Finding::Failed(format!(
            "the PTR record of {} names {}, not {}",
            ip.address,
            names.join(", "),
            ip.hostname
        )),
        Err(error) => missing(&error, &format!("PTR record of {}", ip.address)),
    }
}

async fn forward(resolver: &dyn Resolver, ip: &OutboundIp) -> Finding {
    let family = if ip.address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    match resolver.addresses(ip.hostname.as_str(), family).await {
        Ok(addresses) if addresses.contains(&ip.address) => Finding::Passed,
        Ok(_) => Finding::Failed(format!(
            "the address records of {} do not hold {}",
            ip.hostname, ip.address
        )),
        Err(error) => missing(&error, &format!("address record of {}", ip.hostname)),
    }
}

/// What a session says is the name of the address, and a name that may stand there: RFC 5321 §2.3.5 wants one that leads to
/// address records itself, not an alias.
async fn greets(resolver: &dyn Resolver, plan: &Plan, ip: &OutboundIp) -> Finding {
    let said = helo(plan, Some(ip));
    if ip.hostname != *said {
        return Finding::Failed(format!("sessions say {said}, not {}", ip.hostname));
    }
    match resolver.cname_chain(&said).await {
        Ok(names) => Finding::Failed(format!(
            "{said} is an alias of {}; HELO needs a name with address records of its own",
            names.last().map_or("another name", String::as_str)
        )),
        Err(error) if error.is_temporary() => {
            Finding::Unknown(format!("whether {said} is an alias: {error}"))
        }
        Err(_) => Finding::Passed,
    }
}

/// Receivers that connect back to the name find our servers, where it is theirs too: what these present must be for it. Nothing of
/// ours listens under another name, and a certificate that we make ourselves is for the own name.
fn certificate(plan: &Plan, ip: &OutboundIp) -> Option<Finding> {
    let chain = plan.tls.presented.as_ref()?;
    if ip.hostname != plan.hostname {
        return None;
    }
    Some(match covers(chain.as_bytes(), ip.hostname.as_str()) {
        Ok(true) => Finding::Passed,
        Ok(false) => Finding::Failed(format!("the certificate is not for {}", ip.hostname)),
        Err(error) => Finding::Failed(format!("the certificate cannot be read: {error}")),
    })
}

fn missing(error: &DnsError, what: &str) -> Finding {
    if error.is_temporary() {
        Finding::Unknown(format!("{what}: {error}"))
    } else {
        Finding::Failed(format!("there is no {what}"))
    }
}

/// Where a connection goes through a translation, other servers say so.
fn observed(address: IpAddr, life: &Life, now: i64) -> Finding {
    match life.comes_from_elsewhere(address, now) {
        Some(other) if is_public(address) => Finding::Failed(format!(
            "other servers see connections come from {other}, not from {address}"
        )),
        _ => Finding::Passed,
    }
}

/// Whether receivers on the Internet can see the address.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}
