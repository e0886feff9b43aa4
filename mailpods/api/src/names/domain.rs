//! Domain names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{NameError, string_value};

/// Longest domain name in octets (RFC 5321 §4.5.3.1.2, RFC 1035 §2.3.4).
const MAX_OCTETS: usize = 253;

/// Longest text that is handed to IDNA; longer cannot become a name of 253 octets.
const MAX_INPUT: usize = 1024;

/// ASCII that no name has: all but letters, digits, hyphen, dot and the underscore that is found in real host names.
const DENIED: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// A domain name: lower-case A-labels, no final dot, at most 253 octets in labels of at most 63.
///
/// U-labels are accepted and converted by UTS #46. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Reads a name; a final dot is dropped.
    ///
    /// # Errors
    /// When the text is not a domain name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_INPUT {
            return Err(NameError::TooLong { limit: MAX_OCTETS });
        }
        let ascii = Uts46::new()
            .to_ascii(text.as_bytes(), DENIED, Hyphens::Allow, DnsLength::Ignore)
            .map_err(|_| NameError::Invalid(text.to_owned()))?;
        check_labels(&ascii).map(|()| Self(Arc::from(&*ascii)))
    }

    /// The A-label form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for people: U-labels where the name has them.
    #[must_use]
    pub fn unicode(&self) -> String {
        Uts46::new()
            .to_unicode(self.0.as_bytes(), DENIED, Hyphens::Allow)
            .0
            .into_owned()
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name without its first label; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0
            .split_once('.')
            .map(|(_, rest)| Self(Arc::from(rest)))
    }

    /// Whether this is `other` or a name below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0
            .strip_suffix(&*other.0)
            .is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }

    /// The name `label.self`.
    ///
    /// # Errors
    /// When `label` is no label, or the whole is too long.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{label}.{self}"))
    }
}

fn check_labels(ascii: &str) -> Result<(), NameError> {
    if ascii.is_empty() {
        return Err(NameError::Empty);
    }
    if ascii.len() > MAX_OCTETS {
        return Err(NameError::TooLong { limit: MAX_OCTETS });
    }
    let good = |label: &str| {
        // RFC 1035 §2.3.4: 63 octets; RFC 952 and RFC 1123 §2.1: no hyphen at either end.
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    match ascii.split('.').all(good) {
        true => Ok(()),
        false => Err(NameError::Invalid(ascii.to_owned())),
    }
}

impl FromStr for DomainName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for DomainName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DomainName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for DomainName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for DomainName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

// Letters, digits, hyphen, underscore and all beyond ASCII; what IDNA says of those is checked by the type.
string_value!(
    DomainName,
    253,
    r"^[^\x00-,./:-@\[-\x5e\x60\x7b-\x7f]+(\.[^\x00-,./:-@\[-\x5e\x60\x7b-\x7f]+)*$"
);
