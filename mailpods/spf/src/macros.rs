//! Macros (RFC 7208 §7).

use std::fmt::Write as _;
use std::net::IpAddr;

use super::Identity;

/// Pieces of one macro-string.
const MAX_PIECES: usize = 256;
/// Octets of one expansion before it is cut to a domain name.
const MAX_EXPANSION: usize = 4096;

/// A parsed macro-string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MacroString(Box<[Piece]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Macro(Macro),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Macro {
    /// One of `slodiph v`, lower case.
    letter: u8,
    /// Right-hand parts to keep.
    keep: Option<usize>,
    reverse: bool,
    delimiters: Box<str>,
    escape: bool,
}

/// What macros stand for.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) identity: &'a Identity<'a>,
    /// The current domain.
    pub(crate) domain: &'a str,
    /// The validated name of the client, `unknown` without one.
    pub(crate) validated: &'a str,
}

impl MacroString {
    /// Any macro-string.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            literal.push_str(visible(rest.get(..at)?)?);
            rest = rest.get(at + 1..)?;
            let plain = match rest.bytes().next()? {
                b'%' => "%",
                b'_' => " ",
                b'-' => "%20",
                b'{' => {
                    let end = rest.find('}')?;
                    push_literal(&mut pieces, &mut literal);
                    pieces.push(Piece::Macro(Macro::parse(rest.get(1..end)?)?));
                    rest = rest.get(end + 1..)?;
                    continue;
                }
                _ => return None,
            };
            literal.push_str(plain);
            rest = rest.get(1..)?;
        }
        literal.push_str(visible(rest)?);
        push_literal(&mut pieces, &mut literal);
        (pieces.len() <= MAX_PIECES).then(|| Self(pieces.into()))
    }

    /// A macro-string that ends like a domain name: in a macro or a top label (RFC 7208 §7.1 domain-end).
    pub(crate) fn domain_spec(text: &str) -> Option<Self> {
        let parsed = Self::parse(text)?;
        match parsed.0.last()? {
            Piece::Macro(_) => Some(parsed),
            Piece::Literal(_)
                if text.ends_with("%%") || text.ends_with("%_") || text.ends_with("%-") =>
            {
                None
            }
            Piece::Literal(literal) => {
                ends_in_top_label(literal, parsed.0.len() > 1).then_some(parsed)
            }
        }
    }

    /// Whether `%{p}` occurs, which asks DNS.
    pub(crate) fn needs_validated_name(&self) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Macro(item) if item.letter == b'p'))
    }

    /// The domain name that results, cut from the left to 253 octets (RFC 7208 §7.3).
    pub(crate) fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Macro(item) => item.expand(values, &mut out),
            }
            if out.len() > MAX_EXPANSION {
                break;
            }
        }
        shorten(out)
    }
}

/// Literal characters: visible ASCII (RFC 7208 §7.1).
fn visible(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_graphic()).then_some(text)
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
}

fn ends_in_top_label(literal: &str, after_macro: bool) -> bool {
    let name = literal.strip_suffix('.').unwrap_or(literal);
    let Some((_, label)) = name.rsplit_once('.') else {
        return !after_macro && is_top_label(name);
    };
    is_top_label(label)
}

fn is_top_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes.iter().any(|b| !b.is_ascii_digit())
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn shorten(name: String) -> String {
    let mut rest = name.strip_suffix('.').unwrap_or(&name);
    while rest.len() > 253 {
        match rest.split_once('.') {
            Some((_, right)) => rest = right,
            None => break,
        }
    }
    rest.to_ascii_lowercase()
}

impl Macro {
    /// The inside of `%{...}`. The letters `c`, `r` and `t` belong to explanations alone (RFC 7208 §7.2).
    fn parse(text: &str) -> Option<Self> {
        let letter = text.bytes().next()?;
        let lower = letter.to_ascii_lowercase();
        if !b"slodiphv".contains(&lower) {
            return None;
        }
        let rest = text.get(1..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let keep = match rest.get(..digits)? {
            "" => None,
            // RFC 7208 §7.1: zero parts is an error; more than there can be is all of them.
            number => Some(number.parse::<usize>().unwrap_or(usize::MAX))
                .filter(|n| *n > 0)
                .map(Some)?,
        };
        let rest = rest.get(digits..)?;
        let (reverse, rest) = match rest.strip_prefix(['r', 'R']) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        rest.bytes().all(|b| b".-+,/_=".contains(&b)).then(|| Self {
            letter: lower,
            keep,
            reverse,
            delimiters: if rest.is_empty() {
                ".".into()
            } else {
                rest.into()
            },
            escape: letter.is_ascii_uppercase(),
        })
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let value = self.transform(&self.value(values));
        if self.escape {
            escape(&value, out)
        } else {
            out.push_str(&value)
        }
    }

    fn value(&self, values: &Values<'_>) -> String {
        let identity = values.identity;
        let local = if identity.local.is_empty() {
            "postmaster"
        } else {
            identity.local
        };
        match self.letter {
            b's' => format!("{local}@{}", identity.domain),
            b'l' => local.to_owned(),
            b'o' => identity.domain.to_owned(),
            b'd' => values.domain.to_owned(),
            b'i' => dotted(identity.client_ip),
            b'p' => values.validated.to_owned(),
            b'h' => identity.helo.to_owned(),
            _ if identity.client_ip.is_ipv4() => "in-addr".to_owned(),
            _ => "ip6".to_owned(),
        }
    }

    fn transform(&self, value: &str) -> String {
        if self.keep.is_none() && !self.reverse && &*self.delimiters == "." {
            return value.to_owned();
        }
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.reverse {
            parts.reverse();
        }
        let skip = self.keep.map_or(0, |keep| parts.len().saturating_sub(keep));
        parts.get(skip..).unwrap_or_default().join(".")
    }
}

/// `%{i}`: dotted quad, or nibbles with dots (RFC 7208 §7.3).
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().flat_map(|b| [b >> 4, b & 15]);
            nibbles
                .map(|nibble| format!("{nibble:x}"))
                .collect::<Vec<_>>()
                .join(".")
        }
    }
}

/// URL escapes for everything but the unreserved set of RFC 3986 (RFC 7208 §7.3).
fn escape(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
