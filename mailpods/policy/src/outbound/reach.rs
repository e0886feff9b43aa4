//! How far an address reaches. From one of the Internet nothing is sent to networks that others cannot reach: a mail exchanger of the
//! Internet is not there. From a private address mail goes to private networks too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who can use an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The machine itself.
    Machine,
    /// One link.
    Link,
    /// Private networks (RFC 1918, RFC 4193, RFC 6598).
    Private,
    /// All the world.
    Internet,
}

impl Reach {
    /// That of an address; `None`: it is no address of one host.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => match embedded(v6) {
                // Where a translator sends it counts.
                Some(v4) => Self::of_v4(v4),
                None => Self::of_v6(v6),
            },
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Option<Self> {
        let [first, second, ..] = v4.octets();
        if first == 0 || first >= 224 {
            return None;
        }
        let shared = first == 100 && second & 0xc0 == 64;
        Some(if v4.is_loopback() {
            Self::Machine
        } else if v4.is_link_local() {
            Self::Link
        } else if v4.is_private() || shared {
            Self::Private
        } else {
            Self::Internet
        })
    }

    fn of_v6(v6: Ipv6Addr) -> Option<Self> {
        if v6.is_unspecified() || v6.is_multicast() {
            return None;
        }
        Some(if v6.is_loopback() {
            Self::Machine
        } else if v6.is_unicast_link_local() {
            Self::Link
        } else if v6.is_unique_local() || is_local(v6.segments()) {
            Self::Private
        } else {
            Self::Internet
        })
    }
}

/// Site-local addresses (RFC 3879), and those that a site's own translator sends to wherever it likes (RFC 8215).
fn is_local(segments: [u16; 8]) -> bool {
    matches!(segments, [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..])
}

/// The IPv4 address that an address of NAT64 (RFC 6052 §2.1) or 6to4 (RFC 3056 §2), or a compatible one (RFC 4291 §2.5.5.1), stands for.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] => Some(of(g, h)),
        // `::` and `::1` are addresses of IPv6.
        [0, 0, 0, 0, 0, 0] if g != 0 => Some(of(g, h)),
        [0x2002, ..] => Some(of(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_reaches_as_far() {
        let of = |text: &str| Reach::of(text.parse().unwrap());
        for (text, wanted) in [
            ("198.51.100.1", Some(Reach::Internet)),
            ("2001:db8::1", Some(Reach::Internet)),
            ("127.255.255.254", Some(Reach::Machine)),
            ("::1", Some(Reach::Machine)),
            ("::ffff:127.0.0.1", Some(Reach::Machine)),
            ("64:ff9b::127.0.0.1", Some(Reach::Machine)),
            ("169.254.169.254", Some(Reach::Link)),
            ("fe80::1", Some(Reach::Link)),
            ("10.0.0.1", Some(Reach::Private)),
            ("100.64.0.1", Some(Reach::Private)),
            ("fd00::1", Some(Reach::Private)),
            ("2002:0a00:0001::1", Some(Reach::Private)),
            ("0.0.0.0", None),
            ("::", None),
            ("224.0.0.1", None),
            ("255.255.255.255", None),
            ("ff02::1", None),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
    }
}
