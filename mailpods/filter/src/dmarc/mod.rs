//! DMARC, RFC 7489.
//!
//! The organizational domain comes from the public suffix list (RFC 7489 §3.2, the `psl` crate), not from the DNS tree walk of
//! RFC 9989: alignment then needs no look-up, so a DNS failure cannot change it and a sender cannot make a receiver walk; and
//! most published records were written for it. RFC 9989's `t=y` is honoured, and so is RFC 7489's `pct=`.
//!
//! Several author domains: each is evaluated and the strictest outcome counts (RFC 7489 §6.6.1). No author domain: nothing is
//! evaluated; such a message claims nobody.

mod record;

pub(crate) use record::Published;
pub(crate) use record::{Policy, Record};

use crate::dkim::{DkimCheck, DkimResult};
use crate::dns::{Lookups, Temporary};
use mailpods_spf::{SpfCheck, SpfResult};

/// The result of DMARC (RFC 7489 §11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DmarcResult {
    /// No policy is published.
    None,
    /// An aligned identifier passed.
    Pass,
    /// None did.
    Fail,
    /// It could not be found out for now.
    TempError,
    /// The message names no author domain, or too many.
    PermError,
}

impl DmarcResult {
    /// The word of RFC 7489 §11.2.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// The policy that was found for an author domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) author: String,
    /// The record and whether it stands at the organizational domain above the author's.
    pub(crate) record: Result<Option<(Record, bool)>, Temporary>,
}

/// The outcome for one author domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DmarcCheck {
    pub(crate) result: DmarcResult,
    pub(crate) author: String,
    /// What the record asks for, sampling not yet applied.
    pub(crate) policy: Policy,
    /// Share of failing mail that the policy is for.
    pub(crate) percent: u8,
    pub(crate) reason: String,
}

/// The organizational domain of a name in A-labels and lower case: the public suffix and one label, or the name itself where it is
/// a public suffix (RFC 7489 §3.2).
pub(crate) fn organizational_domain(domain: &str) -> &str {
    psl::domain_str(domain).unwrap_or(domain)
}

/// Whether two names are aligned (RFC 7489 §3.1).
pub(crate) fn is_aligned(author: &str, other: &str, strict: bool) -> bool {
    author == other || (!strict && organizational_domain(author) == organizational_domain(other))
}

/// Looks for the policy at the author domain, then at its organizational domain (RFC 7489 §6.6.3). Both are asked for at once.
pub(crate) async fn find(dns: Lookups<'_>, author: &str) -> Found {
    let org = organizational_domain(author);
    let record = if org == author {
        dns.dmarc(author)
            .await
            .map(|published| record_of(&published, false))
    } else {
        let (own, above) = tokio::join!(dns.dmarc(author), dns.dmarc(org));
        match own.map(|published| record_of(&published, false)) {
            Ok(None) => above.map(|published| record_of(&published, true)),
            own => own,
        }
    };
    Found {
        author: author.to_owned(),
        record,
    }
}

fn record_of(published: &Published, above: bool) -> Option<(Record, bool)> {
    match published {
        Published::None => None,
        Published::Record(record) => Some((*record, above)),
    }
}

/// Applies a policy to what SPF and DKIM said (RFC 7489 §6.6.2 steps 3 to 5).
pub(crate) fn evaluate(found: &Found, spf: &SpfCheck, dkim: &[DkimCheck]) -> DmarcCheck {
    let author = &found.author;
    let done = |result, policy, percent, reason: String| DmarcCheck {
        result,
        author: author.clone(),
        policy,
        percent,
        reason,
    };
    let (record, above) = match &found.record {
        // Without the record strictness is unknown: what is aligned either way is a pass under any record.
        Err(_) if passes(author, spf, dkim, (true, true)) => {
            return done(
                DmarcResult::Pass,
                Policy::None,
                100,
                "exact match, record not available".to_owned(),
            );
        }
        Err(error) => return done(DmarcResult::TempError, Policy::None, 100, error.to_string()),
        Ok(None) => {
            return done(
                DmarcResult::None,
                Policy::None,
                100,
                "no policy published".to_owned(),
            );
        }
        Ok(Some(found)) => found,
    };
    let policy = if *above {
        record.subdomains
    } else {
        record.policy
    };
    let strict = (record.strict_spf, record.strict_dkim);
    if passes(author, spf, dkim, strict) {
        done(
            DmarcResult::Pass,
            policy,
            record.percent,
            "an aligned identifier passed".to_owned(),
        )
    } else if could_pass(author, spf, dkim, strict) {
        done(
            DmarcResult::TempError,
            policy,
            record.percent,
            "an aligned identifier could not be checked for now".to_owned(),
        )
    } else {
        done(
            DmarcResult::Fail,
            policy,
            record.percent,
            "no aligned identifier passed".to_owned(),
        )
    }
}

fn passes(
    author: &str,
    spf: &SpfCheck,
    dkim: &[DkimCheck],
    (spf_strict, dkim_strict): (bool, bool),
) -> bool {
    let signed = |check: &DkimCheck| {
        check.result == DkimResult::Pass && is_aligned(author, &check.label.domain, dkim_strict)
    };
    (spf.result == SpfResult::Pass && is_aligned(author, &spf.domain, spf_strict))
        || dkim.iter().any(signed)
}

fn could_pass(
    author: &str,
    spf: &SpfCheck,
    dkim: &[DkimCheck],
    (spf_strict, dkim_strict): (bool, bool),
) -> bool {
    let signed = |check: &DkimCheck| {
        check.result == DkimResult::TempError
            && is_aligned(author, &check.label.domain, dkim_strict)
    };
    (spf.result == SpfResult::TempError && is_aligned(author, &spf.domain, spf_strict))
        || dkim.iter().any(signed)
}

/// The policy for this message: its share is drawn from the message's id, the same at every try (RFC 7489 §6.6.4).
pub(crate) fn sampled(policy: Policy, percent: u8, id: &str) -> Policy {
    if percent >= 100 || fnv1a(id) % 100 < u64::from(percent) {
        policy
    } else {
        policy.one_less()
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{Policy, is_aligned, organizational_domain, sampled};

    #[test]
    fn organizational_domains_follow_the_public_suffix_list() {
        for (name, expected) in [
            ("example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("a.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("com", "com"),
            ("mail.example.test", "example.test"),
        ] {
            assert_eq!(organizational_domain(name), expected, "{name}");
        }
    }

    #[test]
    fn alignment_is_strict_or_relaxed() {
        let table = [
            ("example.com", "example.com", true, true),
            ("example.com", "mail.example.com", true, false),
            ("news.example.com", "bounce.example.com", true, false),
            ("example.co.uk", "other.co.uk", false, false),
            ("example.com", "badexample.com", false, false),
            ("example.com", "example.com.evil.test", false, false),
        ];
        for (author, other, relaxed, strict) in table {
            assert_eq!(
                is_aligned(author, other, false),
                relaxed,
                "{author} {other} relaxed"
            );
            assert_eq!(
                is_aligned(author, other, true),
                strict,
                "{author} {other} strict"
            );
        }
    }

    #[test]
    fn sampling_follows_the_share_and_repeats() {
        let full = (0..1000)
            .filter(|n| sampled(Policy::Reject, 30, &format!("id-{n}")) == Policy::Reject)
            .count();
        assert!((200..400).contains(&full), "{full} of 1000");
        assert_eq!(sampled(Policy::Reject, 0, "x"), Policy::Quarantine);
        assert_eq!(sampled(Policy::Quarantine, 0, "x"), Policy::None);
        assert_eq!(sampled(Policy::Reject, 100, "x"), Policy::Reject);
        assert_eq!(
            sampled(Policy::Reject, 50, "x"),
            sampled(Policy::Reject, 50, "x")
        );
    }
}
