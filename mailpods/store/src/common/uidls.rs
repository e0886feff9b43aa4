//! Names that POP3 gives to messages.

use crate::error::{Result, StoreError};
use crate::types::Uid;

/// RFC 1939 §7: one to 70 octets from 0x21 to 0x7E.
const MAX: usize = 70;

/// Refuses names that no message may have.
pub(crate) fn check(names: &[(Uid, String)]) -> Result<()> {
    check_all(names.iter().map(|(uid, name)| (*uid, Some(name.as_str()))))
}

/// The same, where not every message has one.
pub(crate) fn check_all<'n>(mut names: impl Iterator<Item = (Uid, Option<&'n str>)>) -> Result<()> {
    let fits = |name: &str| {
        (1..=MAX).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic())
    };
    match names.find(|(_, name)| name.is_some_and(|name| !fits(name))) {
        None => Ok(()),
        Some((uid, _)) => Err(StoreError::Invalid(format!(
            "the UIDL of UID {uid} is not 1 to {MAX} printable ASCII characters without spaces"
        ))),
    }
}
