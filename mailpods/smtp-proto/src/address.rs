//! Paths, mailboxes and domains by the grammar of RFC 5321 §4.1.2 and §4.1.3, with UTF-8 by RFC 6531 §3.3.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest local part in octets. RFC 5321 §4.5.3.1.1 promises 64; forwarded and VERP senders in real mail are longer.
pub const MAX_LOCAL_PART: usize = 255;
/// Longest domain in octets (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;
/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// Why an address was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text does not follow the grammar.
    #[error("failed to read the address: bad syntax")]
    Syntax,
    /// The domain part does not follow the grammar.
    #[error("failed to read the address: bad domain")]
    Domain,
    /// The local part or the domain is too long.
    #[error("failed to read the address: too long")]
    TooLong,
}

/// The argument of MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a bounce or another message that must not be answered.
    Null,
    /// A sender.
    Mailbox(Mailbox),
}

/// The argument of RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
    /// A recipient.
    Mailbox(Mailbox),
}

/// A mailbox: local part in its unquoted meaning, and domain. Case is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local: String,
    domain: Domain,
}

/// What stands after the `@`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A host or mail domain, as written; U-labels only under SMTPUTF8.
    Name(String),
    /// `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `[tag:content]`.
    Literal(AddressLiteral),
}

/// An address literal (RFC 5321 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AddressLiteral {
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr),
    /// A tagged literal of another kind.
    General {
        /// The standardized tag.
        tag: String,
        /// What follows the colon.
        content: String,
    },
}

impl ReversePath {
    /// Reads `<...>` at the start of `text`; gives the path and what follows it.
    pub fn parse_prefix(text: &str) -> Result<(ReversePath, &str), AddressError> {
        if let Some(rest) = text.strip_prefix("<>") {
            return Ok((ReversePath::Null, rest));
        }
        let (mailbox, rest) = parse_path(text)?;
        Ok((ReversePath::Mailbox(mailbox), rest))
    }

    /// True for `<>`.
    pub fn is_null(&self) -> bool {
        matches!(self, ReversePath::Null)
    }

    /// The sender, unless it is null.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl ForwardPath {
    /// Reads `<...>` at the start of `text`; gives the path and what follows it.
    pub fn parse_prefix(text: &str) -> Result<(ForwardPath, &str), AddressError> {
        // RFC 5321 §4.5.1: Postmaster without a domain, in any case.
        if let Some((inner, rest)) = text.strip_prefix('<').and_then(|t| t.split_once('>'))
            && inner.eq_ignore_ascii_case("postmaster")
        {
            return Ok((ForwardPath::Postmaster, rest));
        }
        let (mailbox, rest) = parse_path(text)?;
        Ok((ForwardPath::Mailbox(mailbox), rest))
    }

    /// The recipient, unless it is the bare postmaster.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ForwardPath::Postmaster => None,
            ForwardPath::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl Mailbox {
    /// Reads a whole mailbox without angle brackets.
    pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
        let (mailbox, rest) = parse_mailbox(text)?;
        if rest.is_empty() {
            Ok(mailbox)
        } else {
            Err(AddressError::Syntax)
        }
    }

    /// The local part without quotes and backslashes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// True when neither part needs SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

impl Domain {
    /// Reads a whole domain or address literal.
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        let (domain, rest) = parse_domain(text)?;
        if rest.is_empty() {
            Ok(domain)
        } else {
            Err(AddressError::Domain)
        }
    }

    /// The name, when it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Domain::Name(name) => Some(name),
            Domain::Literal(_) => None,
        }
    }

    fn is_ascii(&self) -> bool {
        match self {
            Domain::Name(name) => name.is_ascii(),
            Domain::Literal(_) => true,
        }
    }
}

/// `"<" [ A-d-l ":" ] Mailbox ">"`.
fn parse_path(text: &str) -> Result<(Mailbox, &str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::Syntax)?;
    let inner = if inner.starts_with('@') {
        skip_source_route(inner)?
    } else {
        inner
    };
    let (mailbox, rest) = parse_mailbox(inner)?;
    let rest = rest.strip_prefix('>').ok_or(AddressError::Syntax)?;
    Ok((mailbox, rest))
}

/// RFC 5321 §4.1.1.3 and Appendix C: a source route is accepted and ignored.
fn skip_source_route(mut text: &str) -> Result<&str, AddressError> {
    loop {
        let after_at = text.strip_prefix('@').ok_or(AddressError::Syntax)?;
        let (_, rest) = parse_domain(after_at)?;
        if let Some(rest) = rest.strip_prefix(':') {
            return Ok(rest);
        }
        text = rest.strip_prefix(',').ok_or(AddressError::Syntax)?;
    }
}

fn parse_mailbox(text: &str) -> Result<(Mailbox, &str), AddressError> {
    let (local, rest) = if text.starts_with('"') {
        parse_quoted(text)?
    } else {
        parse_dot_string(text)?
    };
    if local.len() > MAX_LOCAL_PART {
        return Err(AddressError::TooLong);
    }
    let rest = rest.strip_prefix('@').ok_or(AddressError::Syntax)?;
    let (domain, rest) = parse_domain(rest)?;
    Ok((Mailbox { local, domain }, rest))
}

fn parse_dot_string(text: &str) -> Result<(String, &str), AddressError> {
    let end = text
        .find(|c: char| !is_atext(c) && c != '.')
        .unwrap_or(text.len());
    let (local, rest) = text.split_at(end);
    if is_dot_string(local) {
        Ok((local.to_owned(), rest))
    } else {
        Err(AddressError::Syntax)
    }
}

fn is_dot_string(local: &str) -> bool {
    !local.is_empty()
        && local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// RFC 5322 §3.2.3, with UTF8-non-ascii by RFC 6531 §3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// RFC 5321 §4.1.2 Quoted-string, read into its meaning.
fn parse_quoted(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok((local, text.get(index + 1..).unwrap_or(""))),
            '\\' => match chars.next() {
                Some((_, c @ ' '..='~')) => local.push(c),
                _ => return Err(AddressError::Syntax),
            },
            c if c == ' ' || !(c.is_control() || c.is_ascii_whitespace()) => local.push(c),
            _ => return Err(AddressError::Syntax),
        }
    }
    Err(AddressError::Syntax)
}

fn parse_domain(text: &str) -> Result<(Domain, &str), AddressError> {
    if let Some(inner) = text.strip_prefix('[') {
        let (literal, rest) = inner.split_once(']').ok_or(AddressError::Domain)?;
        return Ok((Domain::Literal(parse_literal(literal)?), rest));
    }
    let end = text
        .find(|c: char| !(is_domain_char(c) || c == '.'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.len() > MAX_DOMAIN {
        return Err(AddressError::TooLong);
    }
    if name.is_empty() || !name.split('.').all(is_label) {
        return Err(AddressError::Domain);
    }
    Ok((Domain::Name(name.to_owned()), rest))
}

fn is_domain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || (!c.is_ascii() && !c.is_control())
}

/// RFC 5321 §4.1.2 sub-domain; a U-label's length counts in its own octets.
fn is_label(label: &str) -> bool {
    let long = label.is_ascii() && label.len() > MAX_LABEL;
    !label.is_empty() && !long && !label.starts_with('-') && !label.ends_with('-')
}

fn parse_literal(text: &str) -> Result<AddressLiteral, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(AddressLiteral::V4(address));
    }
    let (tag, content) = text.split_once(':').ok_or(AddressError::Domain)?;
    if tag.eq_ignore_ascii_case("ipv6") {
        return content
            .parse()
            .map(AddressLiteral::V6)
            .map_err(|_| AddressError::Domain);
    }
    // RFC 5321 §4.1.3 Standardized-tag ":" 1*dcontent.
    let tag_ok = !tag.is_empty()
        && is_label(tag)
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let content_ok = (1..=MAX_DOMAIN).contains(&content.len())
        && content
            .bytes()
            .all(|b| matches!(b, b'!'..=b'Z' | b'^'..=b'~'));
    if !(tag_ok && content_ok) {
        return Err(AddressError::Domain);
    }
    Ok(AddressLiteral::General {
        tag: tag.to_owned(),
        content: content.to_owned(),
    })
}

impl fmt::Display for ReversePath {
    /// Without angle brackets: empty for the null path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

impl fmt::Display for ForwardPath {
    /// Without angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("postmaster"),
            ForwardPath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

impl fmt::Display for Mailbox {
    /// The wire form: the local part is quoted when it must be (RFC 5321 §4.1.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Name(name) => f.write_str(name),
            Domain::Literal(AddressLiteral::V4(address)) => write!(f, "[{address}]"),
            Domain::Literal(AddressLiteral::V6(address)) => write!(f, "[IPv6:{address}]"),
            Domain::Literal(AddressLiteral::General { tag, content }) => {
                write!(f, "[{tag}:{content}]")
            }
        }
    }
}
