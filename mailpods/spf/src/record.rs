//! SPF records (RFC 7208 §4.5, §4.6, §12).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::SpfResult;
use super::macros::MacroString;

/// Most terms of one record; 4096 octets hold no more than this of the shortest ones.
const MAX_TERMS: usize = 1024;

/// What a domain publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// No SPF record.
    None,
    /// Several of them, or a broken one: `permerror`.
    Broken(String),
    /// One record.
    Record(Record),
}

impl Published {
    /// Selects the record among the TXT records of a name (RFC 7208 §4.5).
    #[must_use]
    pub fn parse(texts: &[Box<[u8]>]) -> Self {
        let mut records = texts.iter().filter(|text| is_spf(text));
        match (records.next(), records.next()) {
            (None, _) => Self::None,
            (Some(_), Some(_)) => Self::Broken("more than one SPF record".to_owned()),
            (Some(text), None) => match Record::parse(text) {
                Ok(record) => Self::Record(record),
                Err(reason) => Self::Broken(reason),
            },
        }
    }
}

/// `v=spf1`, alone or before a space (RFC 7208 §4.5).
fn is_spf(text: &[u8]) -> bool {
    text.split_at_checked(6).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(b"v=spf1") && rest.first().is_none_or(|b| *b == b' ')
    })
}

/// A record that is correct as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub(crate) directives: Box<[Directive]>,
    pub(crate) redirect: Option<MacroString>,
}

/// A mechanism with its qualifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) qualifier: SpfResult,
    pub(crate) mechanism: Mechanism,
    /// The term as published, for reasons.
    pub(crate) text: Box<str>,
}

/// RFC 7208 §5. `None` as the target is the current domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mechanism {
    All,
    Include(MacroString),
    A(Option<MacroString>, Prefix),
    Mx(Option<MacroString>, Prefix),
    Ptr(Option<MacroString>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(MacroString),
}

/// Prefix lengths for each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

impl Record {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or("record is not ASCII")?;
        let mut directives = Vec::new();
        let (mut redirect, mut explained) = (None, false);
        for term in text
            .split(' ')
            .skip(1)
            .filter(|term| !term.is_empty())
            .take(MAX_TERMS)
        {
            match modifier(term) {
                // RFC 7208 §6: each of the two at most once.
                Some(("redirect", value)) if redirect.is_none() => {
                    redirect = Some(domain_spec(value, term)?)
                }
                Some(("exp", value)) if !explained => {
                    domain_spec(value, term)?;
                    explained = true;
                }
                Some(("redirect" | "exp", _)) => return Err(broken(term)),
                // RFC 7208 §6: unknown modifiers are passed over when they are well-formed.
                Some((_, value)) => drop(MacroString::parse(value).ok_or_else(|| broken(term))?),
                None => directives.push(directive(term)?),
            }
        }
        Ok(Self {
            directives: directives.into(),
            redirect,
        })
    }
}

fn broken(term: &str) -> String {
    format!(
        "invalid term {:?}",
        term.chars().take(80).collect::<String>()
    )
}

/// `name "=" macro-string`, the name in lower case where it is one of ours.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let at = term.find([':', '/', '='])?;
    let (name, value) = term.split_at_checked(at)?;
    let value = value.strip_prefix('=')?;
    let mut letters = name.bytes();
    let valid = letters.next().is_some_and(|b| b.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    match name {
        _ if !valid => None,
        _ if name.eq_ignore_ascii_case("redirect") => Some(("redirect", value)),
        _ if name.eq_ignore_ascii_case("exp") => Some(("exp", value)),
        _ => Some((name, value)),
    }
}

fn directive(term: &str) -> Result<Directive, String> {
    let (qualifier, rest) = match term.split_at_checked(1) {
        Some(("+", rest)) => (SpfResult::Pass, rest),
        Some(("-", rest)) => (SpfResult::Fail, rest),
        Some(("~", rest)) => (SpfResult::SoftFail, rest),
        Some(("?", rest)) => (SpfResult::Neutral, rest),
        _ => (SpfResult::Pass, term),
    };
    let mechanism = mechanism(rest).ok_or_else(|| broken(term))?;
    Ok(Directive {
        qualifier,
        mechanism,
        text: term.chars().take(100).collect::<String>().into(),
    })
}

fn mechanism(text: &str) -> Option<Mechanism> {
    let (name, rest) = text.split_at_checked(text.find([':', '/']).unwrap_or(text.len()))?;
    let argument = rest.strip_prefix(':');
    let bare = rest.is_empty();
    Some(match name.to_ascii_lowercase().as_str() {
        "all" if bare => Mechanism::All,
        "include" => Mechanism::Include(MacroString::domain_spec(argument?)?),
        "exists" => Mechanism::Exists(MacroString::domain_spec(argument?)?),
        "ptr" if bare => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(MacroString::domain_spec(argument?)?)),
        "a" => target(rest).map(|(target, prefix)| Mechanism::A(target, prefix))?,
        "mx" => target(rest).map(|(target, prefix)| Mechanism::Mx(target, prefix))?,
        "ip4" => network(argument?, 32).map(|(address, length)| Mechanism::Ip4(address, length))?,
        "ip6" => {
            network(argument?, 128).map(|(address, length)| Mechanism::Ip6(address, length))?
        }
        _ => return None,
    })
}

/// `[":" domain-spec] ["/" ip4-cidr] ["//" ip6-cidr]` (RFC 7208 §5.3).
fn target(text: &str) -> Option<(Option<MacroString>, Prefix)> {
    let mut prefix = Prefix { v4: 32, v6: 128 };
    let mut rest = text;
    if let Some((before, digits)) = split_length(rest, "//") {
        (rest, prefix.v6) = (before, length(digits, 128)?);
    }
    if let Some((before, digits)) = split_length(rest, "/") {
        (rest, prefix.v4) = (before, length(digits, 32)?);
    }
    match rest.strip_prefix(':') {
        Some(spec) => Some((Some(MacroString::domain_spec(spec)?), prefix)),
        None if rest.is_empty() => Some((None, prefix)),
        None => None,
    }
}

fn split_length<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let (before, digits) = text.rsplit_once(mark)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((before, digits))
}

/// A prefix length without leading zeros (RFC 7208 §12).
fn length(digits: &str, max: u8) -> Option<u8> {
    let value: u8 = digits.parse().ok()?;
    (value <= max && (digits.len() == 1 || !digits.starts_with('0'))).then_some(value)
}

fn network<T: std::str::FromStr>(text: &str, max: u8) -> Option<(T, u8)> {
    match text.split_once('/') {
        Some((address, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((address.parse().ok()?, length(digits, max)?))
        }
        Some(_) => None,
        None => Some((text.parse().ok()?, max)),
    }
}

fn domain_spec(value: &str, term: &str) -> Result<MacroString, String> {
    MacroString::domain_spec(value).ok_or_else(|| broken(term))
}
