//! Short texts with an alphabet of their own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{NameError, string_value};

/// A DKIM selector: one or more labels (RFC 6376 §3.1), lower-case, at most 63 octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector(Arc<str>);

impl Selector {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Selector {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > 63 {
            return Err(NameError::TooLong { limit: 63 });
        }
        let good = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        match text.split('.').all(good) {
            true => Ok(Self(Arc::from(text.to_ascii_lowercase()))),
            false => Err(NameError::Invalid(text.to_owned())),
        }
    }
}

/// Identifies a queued message: 1 to 32 ASCII letters and digits. Case counts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(Arc<str>);

impl QueueId {
    /// A new id: nine characters of time, so that ids sort by it, and eight of the given randomness (40 bits are used), in Crockford's base 32.
    #[must_use]
    pub fn from_parts(unix_millis: u64, random: u64) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let digit = |value: u64| char::from(DIGITS[(value & 31) as usize]);
        let time = (0..9).rev().map(|place| digit(unix_millis >> (5 * place)));
        let rest = (0..8).rev().map(|place| digit(random >> (5 * place)));
        Self(Arc::from(time.chain(rest).collect::<String>()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.len() {
            0 => Err(NameError::Empty),
            33.. => Err(NameError::TooLong { limit: 32 }),
            _ if text.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(Self(Arc::from(text))),
            _ => Err(NameError::Invalid(text.to_owned())),
        }
    }
}

/// Prints the text itself, in quotes for `Debug`.
macro_rules! shown_as_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

shown_as_text!(Selector);
shown_as_text!(QueueId);

string_value!(
    Selector,
    63,
    r"^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$"
);
string_value!(QueueId, 32, r"^[0-9A-Za-z]+$");
