//! Whether two records say the same.

use mailpods_plan::dns::{Record, RecordType};
use mailpods_policy::spf;

/// What is wrong with what was seen of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The key is not made yet, so that there is nothing to compare.
    NoKey,
    /// No server answered: nothing is known.
    NotAnswered,
    /// Servers answer, and it is not there.
    Missing,
    /// Something else is there instead.
    Different,
    /// The same is there but for the case of letters.
    DifferentCase,
    /// It is there with another that readers cannot tell it from.
    Several,
    /// It is there with others that nobody wants.
    Foreign,
    /// The name is an alias of one that has no such record.
    Alias,
    /// What is there answers for any name.
    Wildcard,
    /// Some servers have it and others not.
    NotEverywhere,
}

impl Fault {
    /// The name in status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "NoKey",
            Self::NotAnswered => "NotAnswered",
            Self::Missing => "Missing",
            Self::Different => "Different",
            Self::DifferentCase => "DifferentCase",
            Self::Several => "Several",
            Self::Foreign => "Foreign",
            Self::Alias => "Alias",
            Self::Wildcard => "Wildcard",
            Self::NotEverywhere => "NotEverywhere",
        }
    }
}

/// Texts that are lists of tags.
const TAGGED: [&str; 4] = ["v=dkim1", "v=dmarc1", "v=tlsrptv1", "v=stsv1"];

/// The form in which records that say the same are equal.
pub(super) fn normal(kind: RecordType, data: &str) -> String {
    if kind == RecordType::Txt {
        return text(data);
    }
    let lower = data.to_ascii_lowercase();
    match lower.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with(' ') => rest.to_owned(),
        _ => lower,
    }
}

fn text(data: &str) -> String {
    if spf::is_record(data) {
        return data.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    if !TAGGED.contains(&version(data).as_str()) {
        return data.to_owned();
    }
    // RFC 6376 §3.2: blanks around tags and within keys say nothing, nor does a last semicolon.
    let tags = data
        .split(';')
        .map(|tag| tag.split_ascii_whitespace().collect::<String>());
    tags.filter(|tag| !tag.is_empty())
        .collect::<Vec<_>>()
        .join(";")
}

/// What a text says that it is, in lower case: `v=spf1`, `v=dkim1`, `v=dmarc1`; else nothing.
fn version(text: &str) -> String {
    let first = text.split([';', ' ']).next().unwrap_or_default();
    let first = first.trim().to_ascii_lowercase();
    if first.starts_with("v=") {
        first
    } else {
        String::new()
    }
}

/// Whether a reader of the one would stumble over the other at the same name.
pub(super) fn are_rivals(wanted: &Record, data: &str, other: &str) -> bool {
    if wanted.kind != RecordType::Txt || is_dkim(&wanted.name) {
        return true;
    }
    let version = version(data);
    !version.is_empty() && version == self::version(other)
}

/// RFC 6376 §3.6.2.1.
pub(super) fn is_dkim(name: &str) -> bool {
    name.contains("._domainkey.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_equal_and_what_does_not_is_not() {
        for (kind, one, other, same) in [
            (
                RecordType::Mx,
                "10 Mail.example.test.",
                "10 mail.example.test",
                true,
            ),
            (
                RecordType::Mx,
                "10 mail.example.test",
                "20 mail.example.test",
                false,
            ),
            (RecordType::Srv, "0 0 0 .", "0 0 0 .", true),
            (RecordType::Txt, "v=spf1  mx -all", "v=spf1 mx -all", true),
            (RecordType::Txt, "v=spf1 mx -all", "v=spf1 mx ~all", false),
            (
                RecordType::Txt,
                "v=DKIM1; k=rsa; p=AB CD;",
                "v=DKIM1;k=rsa;p=ABCD",
                true,
            ),
            (RecordType::Txt, "v=DKIM1; p=ABCD", "v=DKIM1; p=abcd", false),
            (
                RecordType::Txt,
                "site verification",
                "site  verification",
                false,
            ),
        ] {
            let equal = normal(kind, one) == normal(kind, other);
            assert_eq!(equal, same, "{one} / {other}");
        }
    }
}
