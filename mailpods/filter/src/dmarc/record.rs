//! DMARC records (RFC 7489 §6.3).

use crate::dkim::Tags;

/// What `_dmarc.` of a name holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// No record, several, or one that says nothing (RFC 7489 §6.6.3 steps 2, 5 and 6).
    None,
    /// One record.
    Record(Record),
}

/// What is asked for failing mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing.
    None,
    /// Suspicious: the Junk folder.
    Quarantine,
    /// Refuse.
    Reject,
}

impl Policy {
    /// The word of the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "quarantine" => Some(Self::Quarantine),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }

    /// What the unsampled share gets (RFC 7489 §6.6.4).
    pub(crate) fn one_less(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            Self::Quarantine | Self::None => Self::None,
        }
    }
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) policy: Policy,
    /// `sp=`, the policy for names below the organizational domain.
    pub(crate) subdomains: Policy,
    pub(crate) strict_dkim: bool,
    pub(crate) strict_spf: bool,
    /// Share of failing mail that the policy is for; 0 for RFC 9989's `t=y`.
    pub(crate) percent: u8,
}

impl Published {
    pub(crate) fn parse(texts: &[Box<[u8]>]) -> Self {
        let mut records = texts.iter().filter_map(|text| Record::parse(text));
        match (records.next(), records.next()) {
            (Some(Ok(record)), None) => Self::Record(record),
            _ => Self::None,
        }
    }
}

impl Record {
    /// `None` where the text is something else than a DMARC record, an error where it is one that cannot be used.
    fn parse(text: &[u8]) -> Option<Result<Self, ()>> {
        let text = std::str::from_utf8(text).ok()?;
        // RFC 7489 §6.3: v= comes first and its value is exact.
        let version = text.split(';').next()?;
        let (name, value) = version.split_once('=')?;
        if name.trim_ascii() != "v" || value.trim_ascii() != "DMARC1" {
            return None;
        }
        Some(
            Tags::parse(text)
                .map_err(|_| ())
                .and_then(|tags| Self::from_tags(&tags).ok_or(())),
        )
    }

    fn from_tags(tags: &Tags<'_>) -> Option<Self> {
        let policy = match tags.get("p").and_then(Policy::parse) {
            Some(policy) => policy,
            // RFC 7489 §6.6.3 step 6: without a valid p= a record that asks for reports counts as p=none.
            None if tags
                .get("rua")
                .is_some_and(|rua| rua.to_ascii_lowercase().contains("mailto:")) =>
            {
                Policy::None
            }
            None => return None,
        };
        let strict = |name: &str| {
            tags.get(name)
                .is_some_and(|value| value.eq_ignore_ascii_case("s"))
        };
        let percent = tags
            .get("pct")
            .and_then(|value| value.parse().ok())
            .filter(|percent| *percent <= 100)
            .unwrap_or(100);
        let testing = tags
            .get("t")
            .is_some_and(|value| value.eq_ignore_ascii_case("y"));
        Some(Self {
            policy,
            subdomains: tags.get("sp").and_then(Policy::parse).unwrap_or(policy),
            strict_dkim: strict("adkim"),
            strict_spf: strict("aspf"),
            percent: if testing { 0 } else { percent },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, Published, Record};

    fn parse(texts: &[&str]) -> Published {
        Published::parse(
            &texts
                .iter()
                .map(|text| text.as_bytes().into())
                .collect::<Vec<Box<[u8]>>>(),
        )
    }

    const PLAIN: Record = Record {
        policy: Policy::Reject,
        subdomains: Policy::Reject,
        strict_dkim: false,
        strict_spf: false,
        percent: 100,
    };

    #[test]
    fn records_are_read_with_their_defaults() {
        let cases = [
            ("v=DMARC1; p=reject", PLAIN),
            ("v=DMARC1;p=REJECT;rua=mailto:a@b.test;foo=bar", PLAIN),
            (
                "v=DMARC1; p=reject; sp=none; adkim=s; aspf=s; pct=25",
                Record {
                    subdomains: Policy::None,
                    strict_dkim: true,
                    strict_spf: true,
                    percent: 25,
                    ..PLAIN
                },
            ),
            ("v=DMARC1; p=reject; pct=101", PLAIN),
            (
                "v=DMARC1; p=reject; t=y",
                Record {
                    percent: 0,
                    ..PLAIN
                },
            ),
            (
                "v=DMARC1; p=what; rua=mailto:a@b.test",
                Record {
                    policy: Policy::None,
                    subdomains: Policy::None,
                    ..PLAIN
                },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&[text]), Published::Record(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for texts in [
            &[][..],
            &["v=spf1 -all"],
            &["v=DMARC1"],
            &["v=dmarc1; p=reject"],
            &["p=reject; v=DMARC1"],
            &["v=DMARC1; p=reject", "v=DMARC1; p=none"],
            &["v=DMARC1; p=reject; p=none"],
        ] {
            assert_eq!(parse(texts), Published::None, "{texts:?}");
        }
    }

    #[test]
    fn other_texts_beside_the_record_do_not_matter() {
        assert_eq!(
            parse(&["hello", "v=DMARC1; p=reject"]),
            Published::Record(PLAIN)
        );
    }
}
