//! URLs of messages on this server (RFC 5092 §6, `imap:` without scheme and host).

use crate::command::{Partial, Section};
use crate::parse::section_of;
use crate::pattern::{MAX_NAME, canonical_name};

/// Longest URL that is read, in octets.
pub const MAX_URL: usize = 4096;

/// A message, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUrl {
    /// The mailbox, in UTF-8.
    pub mailbox: String,
    /// UIDVALIDITY, if the URL says it.
    pub validity: Option<u32>,
    /// The message.
    pub uid: u32,
    /// What of it; all of it when there is no SECTION.
    pub section: Section,
    /// Which octets of that.
    pub partial: Option<Partial>,
}

impl MessageUrl {
    /// Reads `/mailbox;UIDVALIDITY=1/;UID=2/;SECTION=1.2/;PARTIAL=0.1024`. `None` for anything else: URLs with a host, and those that
    /// need an authorization of their own, are no matter of a session.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_prefix('/').filter(|_| text.len() <= MAX_URL)?;
        // RFC 5092 §4: `//` would start a host. No encoded mailbox has `/;` in it.
        let mut parts = path.split("/;");
        let (mailbox, validity) = mailbox(parts.next()?)?;
        let uid = number(value(parts.next()?, "UID")?)?;
        let mut url = Self {
            mailbox,
            validity,
            uid,
            section: Section::default(),
            partial: None,
        };
        let mut next = parts.next();
        if let Some(section) = next.and_then(|part| value(part, "SECTION")) {
            url.section = section_of(&decode(section)?)?;
            next = parts.next();
        }
        if let Some(range) = next.and_then(|part| value(part, "PARTIAL")) {
            url.partial = Some(partial(range)?);
            next = parts.next();
        }
        next.is_none().then_some(url)
    }
}

/// `name;UIDVALIDITY=number`
fn mailbox(text: &str) -> Option<(String, Option<u32>)> {
    let (name, validity) = match text.split_once(';') {
        Some((name, rest)) => (name, Some(number(value(rest, "UIDVALIDITY")?)?)),
        None => (text, None),
    };
    let name = canonical_name(&decode(name)?);
    let fits = !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('/');
    fits.then_some((name, validity))
}

/// What stands behind `name=`, in any case.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = text.split_once('=')?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

/// RFC 5092 §11, `partial-range`: `origin.length`, or all from `origin` on.
fn partial(text: &str) -> Option<Partial> {
    let (origin, length) = match text.split_once('.') {
        Some((origin, length)) => (origin, number(length)?),
        None => (text, u32::MAX),
    };
    let digits = !origin.is_empty() && origin.bytes().all(|octet| octet.is_ascii_digit());
    Some(Partial {
        origin: origin.parse().ok().filter(|_| digits)?,
        length,
    })
}

/// RFC 3986 §2.1
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        if *octet != b'%' {
            octets.push(*octet);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let hex = digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| hex)?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    let text = String::from_utf8(octets).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}
