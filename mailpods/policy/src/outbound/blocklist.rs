//! What a DNS block list says of an address (RFC 5782), and what is no statement at all.

use std::net::{IpAddr, Ipv4Addr};

/// Answers by which operators of lists refuse to answer: over the limit, asked through a public resolver, a mistyped zone.
/// See the list's own page; Spamhaus, SpamCop, SURBL and others use this range.
const REFUSALS: u32 = 0x7FFF_FF00;
/// Its prefix.
const REFUSALS_MASK: u32 = 0xFFFF_FF00;

/// RFC 5782 §5: an entry that every list of IPv4 addresses has.
pub const ALWAYS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// RFC 5782 §5: an entry that no list has.
pub const NEVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a zone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The address is on the list; the answers.
    Listed(String),
    /// It is not.
    Clear,
    /// Nothing: the zone does not answer us, or the resolver answers in its place. Why.
    Nothing(String),
}

/// The name to look up (RFC 5782 §2.1, §2.4): octets or nibbles in reverse order before the zone.
#[must_use]
pub fn name(address: IpAddr, zone: &str) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.{zone}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev();
            let nibbles = nibbles.flat_map(|octet| [octet & 15, octet >> 4]);
            let mut name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            name.push_str(zone);
            name
        }
    }
}

/// Reads the A records of a zone; `refused` says which further answers are no listing.
#[must_use]
pub fn read(answers: &[IpAddr], refused: impl Fn(IpAddr) -> bool) -> Word {
    for answer in answers {
        let IpAddr::V4(v4) = answer else {
            return Word::Nothing(format!("answered {answer}, which is no IPv4 address"));
        };
        // RFC 5782 §2.1: a listing is in 127.0.0.0/8. A resolver that leads unknown names to a page of its own says nothing.
        if !v4.is_loopback() {
            return Word::Nothing(format!("answered {answer}, which no list does"));
        }
        if v4.to_bits() & REFUSALS_MASK == REFUSALS || refused(*answer) {
            return Word::Nothing(format!("refused to answer us: {answer}"));
        }
    }
    match answers {
        [] => Word::Clear,
        answers => {
            let texts: Vec<String> = answers.iter().take(8).map(ToString::to_string).collect();
            Word::Listed(texts.join(", "))
        }
    }
}

/// Whether a zone can be believed, by its answers for [`ALWAYS`] and [`NEVER`] (RFC 5782 §5): one that lists all the world, or
/// that has been given up, cannot.
///
/// # Errors
/// Why not.
pub fn believe(always: &Word, never: &Word) -> Result<(), String> {
    match (always, never) {
        (Word::Nothing(why), _) | (_, Word::Nothing(why)) => Err(why.clone()),
        (_, Word::Listed(_)) => Err("it lists 127.0.0.1, so it lists everybody".to_owned()),
        (Word::Clear, _) => {
            Err("it does not list 127.0.0.2, so it is no block list any more".to_owned())
        }
        (Word::Listed(_), Word::Clear) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(answers: &[&str]) -> Word {
        let answers: Vec<IpAddr> = answers.iter().map(|text| text.parse().unwrap()).collect();
        read(&answers, |answer| answer.to_string() == "127.0.0.1")
    }

    #[test]
    fn names_are_in_reverse() {
        let of = |text: &str| name(text.parse().unwrap(), "bl.test");
        assert_eq!(of("192.0.2.99"), "99.2.0.192.bl.test");
        assert_eq!(
            of("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test"
        );
    }

    #[test]
    fn only_a_true_listing_is_one() {
        assert_eq!(word(&[]), Word::Clear);
        assert_eq!(word(&["127.0.0.2"]), Word::Listed("127.0.0.2".to_owned()));
        assert_eq!(
            word(&["127.0.0.4", "127.0.0.10"]),
            Word::Listed("127.0.0.4, 127.0.0.10".to_owned())
        );
        for refused in [
            "127.255.255.252",
            "127.255.255.254",
            "127.255.255.255",
            "127.0.0.1",
            "203.0.113.7",
            "2001:db8::1",
        ] {
            assert!(matches!(word(&[refused]), Word::Nothing(_)), "{refused}");
        }
        assert!(matches!(
            word(&["127.0.0.2", "127.255.255.254"]),
            Word::Nothing(_)
        ));
    }

    #[test]
    fn a_zone_is_tried_before_it_is_believed() {
        let listed = Word::Listed("127.0.0.2".to_owned());
        assert_eq!(believe(&listed, &Word::Clear), Ok(()));
        assert!(believe(&listed, &listed).is_err());
        assert!(believe(&Word::Clear, &Word::Clear).is_err());
        assert!(believe(&Word::Nothing("x".to_owned()), &Word::Clear).is_err());
    }
}
