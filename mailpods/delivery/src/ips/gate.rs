//! Whether an address is right: what an address of the Internet needs before any receiver takes its mail.

use std::net::IpAddr;

use mailpods_net::dns::{DnsError, Family, Resolver};
use mailpods_plan::OutboundIp;
use mailpods_policy::outbound::life::{Check, Finding};

/// Every check that applies. An address that no receiver on the Internet sees has no names there to look up.
pub(super) async fn findings(resolver: &dyn Resolver, ip: &OutboundIp) -> Vec<(Check, Finding)> {
    let mut findings = vec![(Check::ObservedSource, plumbed(ip.address).await)];
    if is_public(ip.address) {
        findings.push((Check::ReverseName, reverse(resolver, ip).await));
        findings.push((Check::ForwardConfirmed, forward(resolver, ip).await));
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

fn missing(error: &DnsError, what: &str) -> Finding {
    if error.is_temporary() {
        Finding::Unknown(format!("{what}: {error}"))
    } else {
        Finding::Failed(format!("there is no {what}"))
    }
}

/// A connection can come from an address only where an interface has it.
async fn plumbed(address: IpAddr) -> Finding {
    match tokio::net::UdpSocket::bind((address, 0)).await {
        Ok(_) => Finding::Passed,
        Err(error) => Finding::Failed(format!("{address} cannot be sent from: {error}")),
    }
}

/// Whether receivers on the Internet can see the address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}
