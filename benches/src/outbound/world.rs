//! Who writes to whom: domains with few providers, tenants of which one has most of the mail.

use std::net::SocketAddr;

use crate::dns::{self, Found};
use crate::message::Random;

/// Providers, each with servers at one address.
pub const PROVIDERS: usize = 10;
/// Domains in all, in turns of the providers.
pub const DOMAINS: usize = 1_000;
/// Who sends; the first one has nine messages of ten.
pub const TENANTS: usize = 50;
/// Providers that take seconds for a message.
pub const SLOW: std::ops::Range<usize> = 0..4;
/// Providers that cannot be reached.
pub const AWAY: std::ops::Range<usize> = 4..9;
/// The provider that has no mail waiting.
pub const FREE: usize = 9;
/// Octets of a message: from, and how many more at most.
pub const SIZE: (usize, usize) = (1_024, 1_024);

/// A domain of a provider.
pub fn domain(provider: usize, number: usize) -> String {
    format!("d{}.test", number * PROVIDERS + provider)
}

/// Where the servers of a provider are.
pub fn address(provider: usize, port: u16) -> SocketAddr {
    let last = u8::try_from(10 + provider).unwrap_or(u8::MAX);
    SocketAddr::from(([127, 0, 53, last], port))
}

/// Who sends message number `index`.
pub fn tenant(index: usize) -> usize {
    let mut random = Random(index as u64 ^ 0x7465_6e61);
    match random.below(10) {
        0 => 1 + random.below(TENANTS - 1),
        _ => 0,
    }
}

/// A domain of one of these providers for message number `index`.
pub fn one_of(providers: &std::ops::Range<usize>, index: usize) -> String {
    let mut random = Random(index as u64 ^ 0x646f_6d61);
    let provider = providers.start + random.below(providers.len());
    domain(provider, random.below(DOMAINS / PROVIDERS))
}

/// What the DNS says.
pub fn find(sender: &dns::Sender, name: &str, kind: u16) -> Found {
    if let Some(number) = number(name, "d") {
        return match kind {
            dns::MX => Found::Data(exchanger(number % PROVIDERS)),
            _ => Found::NoData,
        };
    }
    if let Some(provider) = name
        .strip_prefix("mx.")
        .and_then(|rest| number(rest, "provider"))
    {
        return match (kind, address(provider, 0)) {
            (dns::A, SocketAddr::V4(address)) => Found::Data(address.ip().octets().to_vec()),
            _ => Found::NoData,
        };
    }
    sender.look_up(name, kind)
}

/// The number in `d7.test`.
fn number(name: &str, prefix: &str) -> Option<usize> {
    name.strip_suffix(".test")?
        .strip_prefix(prefix)?
        .parse()
        .ok()
}

/// Data of an MX record (RFC 1035 §3.3.9).
fn exchanger(provider: usize) -> Vec<u8> {
    let mut data = vec![0, 10];
    data.extend(dns::name(&format!("mx.provider{provider}.test")));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_leads_to_the_address_of_its_provider() {
        let sender = dns::Sender::default();
        let Found::Data(mx) = find(&sender, &domain(3, 7), dns::MX) else {
            panic!("no exchanger");
        };
        assert_eq!(mx.get(2..).unwrap(), dns::name("mx.provider3.test"));
        let Found::Data(found) = find(&sender, "mx.provider3.test", dns::A) else {
            panic!("no address");
        };
        assert_eq!(found, [127, 0, 53, 13]);
        assert!(matches!(
            find(&sender, "d7.example", dns::MX),
            Found::NoName
        ));
    }

    #[test]
    fn one_tenant_has_nine_messages_of_ten() {
        let of_first = (0..10_000).filter(|index| tenant(*index) == 0).count();
        assert!((8_800..9_200).contains(&of_first), "{of_first}");
        let domains: std::collections::HashSet<String> =
            (0..10_000).map(|index| one_of(&SLOW, index)).collect();
        assert_eq!(domains.len(), SLOW.len() * DOMAINS / PROVIDERS);
    }
}
