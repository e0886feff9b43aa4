//! Mailbox addresses.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use super::{DomainName, NameError, string_value};

/// Longest local part in octets (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// Longest address: a path of 256 octets without its angle brackets (RFC 5321 §4.5.3.1.3).
const MAX_ADDRESS: usize = 254;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@` with something on both sides.
    #[error("address has no local part and domain around an @")]
    NoAt,
    /// The local part has more than 64 octets, or the whole more than 254.
    #[error("address is longer than {limit} octets")]
    TooLong {
        /// The limit, octets.
        limit: usize,
    },
    /// A character or a form that RFC 5321 and RFC 6531 do not have.
    #[error("{0:?} is not a valid local part")]
    LocalPart(String),
    /// What follows the `@` is not a domain name.
    #[error("address has no valid domain")]
    Domain(#[from] NameError),
}

/// `local@domain`, in the form that look-ups use: ASCII letters lower-case, Unicode NFC, quotes only where needed.
///
/// Equality, order, hash and `Display` are of that form; [`written`](Self::written) has the local part as it was given,
/// because only the receiving host may read it (RFC 5321 §2.4). Cloning is cheap.
#[derive(Clone)]
pub struct MailboxAddress {
    local: Arc<str>,
    written: Option<Arc<str>>,
    domain: DomainName,
}

impl MailboxAddress {
    /// Reads `local@domain`; the local part may be a quoted string.
    ///
    /// # Errors
    /// When the text is not such an address. Address literals (`@[192.0.2.1]`) are none.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::NoAt);
        }
        Self::new(local, DomainName::parse(domain)?)
    }

    /// Joins a local part, as it stands in SMTP, and a domain.
    ///
    /// # Errors
    /// When the local part is not valid, or the whole is too long.
    pub fn new(local: &str, domain: DomainName) -> Result<Self, AddressError> {
        let content = unquote(local)?;
        if content.is_empty() {
            return Err(AddressError::NoAt);
        }
        let given: String = content.nfc().collect();
        let canonical = given.to_ascii_lowercase();
        check_length(&canonical, &domain)?;
        let written = (given != canonical).then(|| Arc::from(given));
        Ok(Self {
            local: Arc::from(canonical),
            written,
            domain,
        })
    }

    /// The local part for look-ups, without quotes.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// The address with its local part in the letter case it was given in, for the host that it belongs to.
    #[must_use]
    pub fn written(&self) -> String {
        join(self.written.as_deref().unwrap_or(&self.local), &self.domain)
    }

    /// Whether both are equal, and the local part was given in the same letter case.
    #[must_use]
    pub fn is_written_as(&self, other: &Self) -> bool {
        self == other && self.written == other.written
    }

    /// The same local part in another domain.
    #[must_use]
    pub fn with_domain(&self, domain: DomainName) -> Self {
        Self {
            domain,
            ..self.clone()
        }
    }

    /// The address in look-up form alone; what was written is forgotten.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self {
            written: None,
            ..self.clone()
        }
    }

    /// Whether an octet beyond ASCII is in it, so that a next hop must know SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// Splits plus addressing: `alice+tag` at the first of `separators` becomes `alice` and `tag`.
    ///
    /// `None` when no separator is there, or nothing stands before it.
    #[must_use]
    pub fn split_detail(&self, separators: &[char]) -> Option<(Self, String)> {
        let (base, detail) = self.local.split_once(separators)?;
        if base.is_empty() {
            return None;
        }
        let address = Self {
            local: Arc::from(base),
            written: None,
            domain: self.domain.clone(),
        };
        Some((address, detail.to_owned()))
    }
}

fn check_length(local: &str, domain: &DomainName) -> Result<(), AddressError> {
    if local.len() > MAX_LOCAL {
        return Err(AddressError::TooLong { limit: MAX_LOCAL });
    }
    if local.len() + 1 + domain.as_str().len() > MAX_ADDRESS {
        return Err(AddressError::TooLong { limit: MAX_ADDRESS });
    }
    Ok(())
}

/// The content of a local part: a dot-string as it is, a quoted string without quotes and backslashes.
fn unquote(local: &str) -> Result<String, AddressError> {
    let invalid = || AddressError::LocalPart(local.chars().take(MAX_LOCAL).collect());
    let Some(rest) = local.strip_prefix('"') else {
        return if is_dot_string(local) {
            Ok(local.to_owned())
        } else {
            Err(invalid())
        };
    };
    let inner = rest.strip_suffix('"').ok_or_else(invalid)?;
    let mut content = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        // RFC 5321 §4.1.2: qtextSMTP and quoted-pairSMTP are printable ASCII and space; RFC 6531 §3.3 adds UTF-8.
        let character = match character {
            '"' => return Err(invalid()),
            '\\' => characters
                .next()
                .filter(char::is_ascii)
                .ok_or_else(invalid)?,
            other => other,
        };
        if character.is_control() {
            return Err(invalid());
        }
        content.push(character);
    }
    Ok(content)
}

/// Dot-string of RFC 5321 §4.1.2, with the UTF-8 of RFC 6531 §3.3.
fn is_dot_string(local: &str) -> bool {
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character)
    } else {
        !character.is_control() && !character.is_whitespace()
    }
}

fn join(local: &str, domain: &DomainName) -> String {
    if is_dot_string(local) {
        return format!("{local}@{domain}");
    }
    let mut text = String::with_capacity(local.len() + domain.as_str().len() + 4);
    text.push('"');
    for character in local.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push_str("\"@");
    text.push_str(domain.as_str());
    text
}

impl PartialEq for MailboxAddress {
    fn eq(&self, other: &Self) -> bool {
        self.local == other.local && self.domain == other.domain
    }
}

impl Eq for MailboxAddress {}

impl std::hash::Hash for MailboxAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.local.hash(state);
        self.domain.hash(state);
    }
}

impl PartialOrd for MailboxAddress {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MailboxAddress {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.domain, &self.local).cmp(&(&other.domain, &other.local))
    }
}

impl FromStr for MailboxAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for MailboxAddress {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl fmt::Display for MailboxAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&join(&self.local, &self.domain))
    }
}

impl fmt::Debug for MailboxAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&join(&self.local, &self.domain), f)
    }
}

string_value!(
    MailboxAddress,
    254,
    r"^[^\x00-\x1f\x7f]+@[^\x00-\x20\x7f@\[\]]+$"
);
