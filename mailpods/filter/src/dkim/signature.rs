//! DKIM-Signature and ARC-Message-Signature fields (RFC 6376 §3.5, RFC 8617 §4.1.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Canonicalization;

use super::tags::Tags;
use super::{DkimResult, Fault};

/// Octets of one signature field.
pub(crate) const MAX_FIELD: usize = 16 * 1024;
/// Names in one `h=`.
const MAX_SIGNED_FIELDS: usize = 512;

/// A signature that can be checked as soon as its key is known.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) algorithm: Algorithm,
    /// `d=`, lower case.
    pub(crate) domain: String,
    /// `s=`, lower case.
    pub(crate) selector: String,
    /// Domain of `i=`, lower case; `d=` without it.
    pub(crate) agent_domain: String,
    pub(crate) signature: Vec<u8>,
    pub(crate) body_hash: Vec<u8>,
    /// `h=`, lower case, in order.
    pub(crate) signed_fields: Vec<String>,
    pub(crate) body_length: Option<u64>,
    pub(crate) expires: Option<u64>,
    pub(crate) header_form: Canonicalization,
    pub(crate) body_form: Canonicalization,
    /// `i=` of an ARC set.
    pub(crate) instance: Option<u32>,
}

/// What is known of a signature even when it is broken: for results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) domain: String,
    pub(crate) selector: String,
    pub(crate) algorithm: String,
    /// The first eight characters of `b=` (RFC 6008 §4).
    pub(crate) signature: String,
}

impl Label {
    fn of(tags: &Tags<'_>) -> Self {
        let short = |name: &str, most: usize| {
            tags.compact(name)
                .unwrap_or_default()
                .chars()
                .take(most)
                .collect::<String>()
        };
        Self {
            domain: short("d", 255).to_ascii_lowercase(),
            selector: short("s", 255),
            algorithm: short("a", 32),
            signature: short("b", 8),
        }
    }
}

/// Whose field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Dkim,
    Arc,
}

impl Signature {
    /// Reads a field value. The label comes back whatever the outcome.
    pub(crate) fn parse(value: &[u8], kind: Kind) -> (Label, Result<Self, Fault>) {
        let Some(tags) = std::str::from_utf8(value)
            .ok()
            .filter(|value| value.len() <= MAX_FIELD)
        else {
            return (
                Label::default(),
                Err(Fault::new(
                    DkimResult::Neutral,
                    "field is not text or too long",
                )),
            );
        };
        match Tags::parse(tags) {
            Ok(tags) => (Label::of(&tags), Self::from_tags(&tags, kind)),
            // RFC 8601 §2.7.1: a syntax error is neutral.
            Err(error) => (
                Label::default(),
                Err(Fault::new(DkimResult::Neutral, error.to_string())),
            ),
        }
    }

    fn from_tags(tags: &Tags<'_>, kind: Kind) -> Result<Self, Fault> {
        if kind == Kind::Dkim && tags.get("v") != Some("1") {
            return Err(neutral("v= is not 1"));
        }
        // RFC 6376 §3.5: dns/txt is the only query method.
        if tags.compact("q").is_some_and(|query| {
            !query
                .split(':')
                .any(|method| method.eq_ignore_ascii_case("dns/txt"))
        }) {
            return Err(neutral("q= names no known method"));
        }
        let domain = required(tags, "d")?.to_ascii_lowercase();
        let (header_form, body_form) = forms(tags)?;
        let signature = Self {
            algorithm: algorithm(&required(tags, "a")?)?,
            agent_domain: agent_domain(tags, kind).unwrap_or_else(|| domain.clone()),
            domain,
            selector: required(tags, "s")?.to_ascii_lowercase(),
            signature: binary(tags, "b")?,
            body_hash: binary(tags, "bh")?,
            signed_fields: signed_fields(tags, kind)?,
            body_length: number(tags, "l")?,
            expires: number(tags, "x")?,
            header_form,
            body_form,
            instance: if kind == Kind::Arc {
                instance(tags)
            } else {
                None
            },
        };
        signature.checked(number(tags, "t")?)
    }

    fn checked(self, signed_at: Option<u64>) -> Result<Self, Fault> {
        // RFC 6376 §3.5: i= is d= or below it.
        if !is_within(&self.agent_domain, &self.domain) {
            return Err(Fault::new(DkimResult::PermError, "i= is outside of d="));
        }
        if self
            .expires
            .zip(signed_at)
            .is_some_and(|(expires, signed)| expires <= signed)
        {
            return Err(neutral("x= is before t="));
        }
        Ok(self)
    }

    /// Where the key is.
    pub(crate) fn key_name(&self) -> String {
        key_name(&self.selector, &self.domain)
    }
}

pub(crate) fn key_name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

pub(crate) fn neutral(text: &str) -> Fault {
    Fault::new(DkimResult::Neutral, text)
}

pub(crate) fn required(tags: &Tags<'_>, name: &str) -> Result<String, Fault> {
    tags.compact(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Fault::new(DkimResult::PermError, format!("{name}= is missing")))
}

pub(crate) fn binary(tags: &Tags<'_>, name: &str) -> Result<Vec<u8>, Fault> {
    STANDARD
        .decode(required(tags, name)?)
        .map_err(|_| neutral("invalid base64"))
}

/// Only digits, at most 76 of them by RFC 6376 §3.5; more than 64 bits is as good as the largest number.
fn number(tags: &Tags<'_>, name: &str) -> Result<Option<u64>, Fault> {
    match tags.compact(name) {
        None => Ok(None),
        Some(digits)
            if !digits.is_empty()
                && digits.len() <= 76
                && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Ok(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        Some(_) => Err(neutral("a number is invalid")),
    }
}

pub(crate) fn algorithm(name: &str) -> Result<Algorithm, Fault> {
    match name.to_ascii_lowercase().as_str() {
        "rsa-sha256" => Ok(Algorithm::RsaSha256),
        "ed25519-sha256" => Ok(Algorithm::Ed25519Sha256),
        // RFC 8301 §3.1
        "rsa-sha1" => Err(Fault::new(
            DkimResult::Policy,
            "rsa-sha1 is no longer accepted",
        )),
        _ => Err(neutral("unknown algorithm")),
    }
}

fn forms(tags: &Tags<'_>) -> Result<(Canonicalization, Canonicalization), Fault> {
    let form = |name: &str| match name.to_ascii_lowercase().as_str() {
        "simple" => Ok(Canonicalization::Simple),
        "relaxed" => Ok(Canonicalization::Relaxed),
        _ => Err(neutral("unknown canonicalization")),
    };
    let Some(both) = tags.compact("c") else {
        return Ok((Canonicalization::Simple, Canonicalization::Simple));
    };
    match both.split_once('/') {
        Some((header, body)) => Ok((form(header)?, form(body)?)),
        None => Ok((form(&both)?, Canonicalization::Simple)),
    }
}

fn agent_domain(tags: &Tags<'_>, kind: Kind) -> Option<String> {
    let agent = tags.compact("i").filter(|_| kind == Kind::Dkim)?;
    Some(
        agent
            .rsplit_once('@')
            .map_or("", |(_, domain)| domain)
            .to_ascii_lowercase(),
    )
}

fn signed_fields(tags: &Tags<'_>, kind: Kind) -> Result<Vec<String>, Fault> {
    let fields: Vec<String> = required(tags, "h")?
        .split(':')
        .map(str::to_ascii_lowercase)
        .collect();
    if fields.len() > MAX_SIGNED_FIELDS {
        return Err(Fault::new(DkimResult::Policy, "h= names too many fields"));
    }
    // RFC 6376 §5.4.1: From must be signed.
    if kind == Kind::Dkim && !fields.iter().any(|name| name == "from") {
        return Err(Fault::new(DkimResult::PermError, "From is not signed"));
    }
    // RFC 8617 §4.1.2
    if kind == Kind::Arc && fields.iter().any(|name| name == "arc-seal") {
        return Err(Fault::new(DkimResult::PermError, "ARC-Seal is signed"));
    }
    Ok(fields)
}

pub(crate) fn instance(tags: &Tags<'_>) -> Option<u32> {
    tags.get("i")?.parse().ok()
}

/// `name` is `domain` or below it; both in lower case.
pub(crate) fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}
