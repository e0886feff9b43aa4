//! TLSA records (RFC 6698) as mail reads them (RFC 7672, RFC 7671).

use std::fmt;
use std::str::FromStr;

use ring::digest;
use subtle::ConstantTimeEq as _;

/// Records of one name that are looked at.
pub const MAX_RECORDS: usize = 32;
/// Octets of a record's data: a certificate.
const MAX_DATA: usize = 16 * 1024;

/// A TLSA record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 is DANE-EE.
    pub usage: u8,
    /// 0: the certificate, 1: its public key.
    pub selector: u8,
    /// 0: all of it, 1: SHA-256, 2: SHA-512.
    pub matching: u8,
    /// What must be equal.
    pub data: Vec<u8>,
}

/// A text that is no TLSA record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no TLSA record; `3 1 1 HEX` is")]
pub struct TlsaError {
    found: String,
}

/// What a certificate must be for a record to match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// DANE-TA: in the chain above the server's own.
    TrustAnchor,
    /// DANE-EE: the server's own.
    EndEntity,
}

impl Tlsa {
    /// How the record is used; `None`: it is unusable for mail. PKIX-TA and PKIX-EE are (RFC 7672 §3.1.3), and so is what this side does
    /// not know or what cannot match anything.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let length = match self.matching {
            0 => !self.data.is_empty() && self.data.len() <= MAX_DATA,
            1 => self.data.len() == digest::SHA256_OUTPUT_LEN,
            2 => self.data.len() == digest::SHA512_OUTPUT_LEN,
            _ => false,
        };
        match self.usage {
            _ if !length || self.selector > 1 => None,
            2 => Some(Usage::TrustAnchor),
            3 => Some(Usage::EndEntity),
            _ => None,
        }
    }

    /// Whether a certificate is the one that the record speaks of; `key` is its SubjectPublicKeyInfo.
    #[must_use]
    pub fn matches(&self, certificate: &[u8], key: &[u8]) -> bool {
        let selected = if self.selector == 0 { certificate } else { key };
        let digest = match self.matching {
            0 => return bool::from(selected.ct_eq(&self.data)),
            1 => digest::digest(&digest::SHA256, selected),
            2 => digest::digest(&digest::SHA512, selected),
            _ => return false,
        };
        bool::from(digest.as_ref().ct_eq(&self.data))
    }
}

/// The records that count. Where the same thing is published with both digests, the stronger one does (RFC 7671 §9).
#[must_use]
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    let sound = || {
        records
            .iter()
            .take(MAX_RECORDS)
            .filter(|record| record.usage().is_some())
    };
    let stronger = |weak: &Tlsa| {
        sound().any(|other| {
            (other.usage, other.selector, other.matching) == (weak.usage, weak.selector, 2)
        })
    };
    sound()
        .filter(|record| record.matching != 1 || !stronger(record))
        .cloned()
        .collect()
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data
            .iter()
            .try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl FromStr for Tlsa {
    type Err = TlsaError;

    /// RFC 6698 §2.2: three numbers, and hexadecimal digits that blanks may divide.
    fn from_str(text: &str) -> Result<Self, TlsaError> {
        parse(text).ok_or_else(|| TlsaError {
            found: text.chars().take(80).collect(),
        })
    }
}

fn parse(text: &str) -> Option<Tlsa> {
    let mut words = text.split_ascii_whitespace();
    let mut numbers = words.by_ref().take(3).map(|word| word.parse::<u8>().ok());
    let (usage, selector, matching) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let mut data = Vec::new();
    let mut high = None;
    for digit in words.flat_map(str::chars) {
        let digit = u8::try_from(digit.to_digit(16)?).ok()?;
        match high.take() {
            Some(high) => data.push(high << 4 | digit),
            None => high = Some(digit),
        }
        if data.len() > MAX_DATA {
            return None;
        }
    }
    (high.is_none() && !data.is_empty()).then_some(Tlsa {
        usage,
        selector,
        matching,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(usage: u8, selector: u8, matching: u8, of: &[u8]) -> Tlsa {
        let data = match matching {
            1 => digest::digest(&digest::SHA256, of).as_ref().to_vec(),
            2 => digest::digest(&digest::SHA512, of).as_ref().to_vec(),
            _ => of.to_vec(),
        };
        Tlsa {
            usage,
            selector,
            matching,
            data,
        }
    }

    #[test]
    fn each_way_of_matching_matches_its_own_and_nothing_else() {
        for selector in [0, 1] {
            for matching in [0, 1, 2] {
                let of: &[u8] = if selector == 0 { b"cert" } else { b"key" };
                let record = record(3, selector, matching, of);
                assert!(record.matches(b"cert", b"key"), "{record}");
                assert!(
                    !record.matches(b"key", b"cert") && !record.matches(b"", b""),
                    "{record}"
                );
                assert_eq!(record.to_string().parse::<Tlsa>(), Ok(record));
            }
        }
    }

    #[test]
    fn what_mail_does_not_use_is_unusable() {
        for (usage, selector, matching, wanted) in [
            (0, 1, 1, None),
            (1, 1, 1, None),
            (2, 0, 1, Some(Usage::TrustAnchor)),
            (3, 1, 1, Some(Usage::EndEntity)),
            (4, 1, 1, None),
            (255, 1, 1, None),
            (3, 2, 1, None),
            (3, 1, 3, None),
        ] {
            assert_eq!(record(usage, selector, matching, b"x").usage(), wanted);
        }
        let short = Tlsa {
            data: vec![1; 31],
            ..record(3, 1, 1, b"x")
        };
        assert_eq!(short.usage(), None);
    }

    #[test]
    fn the_stronger_digest_counts() {
        let (weak, strong) = (record(3, 1, 1, b"x"), record(3, 1, 2, b"y"));
        let other = record(2, 1, 1, b"z");
        let all = [
            weak.clone(),
            strong.clone(),
            other.clone(),
            record(1, 0, 1, b"q"),
        ];
        assert_eq!(usable(&all), [strong, other]);
        assert_eq!(usable(std::slice::from_ref(&weak)), [weak]);
    }

    #[test]
    fn texts() {
        assert_eq!("3 1 1 AB cd".parse::<Tlsa>().unwrap().data, [0xab, 0xcd]);
        for bad in ["", "3 1", "3 1 1", "3 1 1 a", "3 1 1 zz", "300 1 1 aa"] {
            assert!(bad.parse::<Tlsa>().is_err(), "{bad}");
        }
    }
}
