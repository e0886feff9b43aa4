//! Names of mailboxes.

use crate::error::{Result, StoreError};

/// Octets of a full name.
const MAX_NAME: usize = 1024;
/// Octets of one level.
const MAX_LEVEL: usize = 255;
/// Levels.
const MAX_DEPTH: usize = 32;

pub(crate) const INBOX: &str = "INBOX";

/// The form that is stored: `INBOX` in capitals (RFC 9051 §5.1), no `/` at the end.
pub(crate) fn canonical(name: &str) -> Result<String> {
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.len() > MAX_NAME {
        return Err(invalid(name, "is too long"));
    }
    let mut levels: Vec<&str> = name.split('/').collect();
    if levels.len() > MAX_DEPTH {
        return Err(invalid(name, "has too many levels"));
    }
    if levels
        .iter()
        .any(|level| level.is_empty() || level.len() > MAX_LEVEL)
    {
        return Err(invalid(name, "has an empty or too long level"));
    }
    // RFC 9051 §5.1: wildcards would make the name impossible to list.
    if name
        .chars()
        .any(|character| character.is_control() || matches!(character, '*' | '%'))
    {
        return Err(invalid(name, "has a control character or a wildcard"));
    }
    if let Some(first) = levels.first_mut()
        && first.eq_ignore_ascii_case(INBOX)
    {
        *first = INBOX;
    }
    Ok(levels.join("/"))
}

fn invalid(name: &str, why: &str) -> StoreError {
    let shown: String = name.chars().take(60).collect();
    StoreError::Invalid(format!("mailbox name {shown:?} {why}"))
}

/// The names above `name`, from the top.
pub(crate) fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').filter_map(|(at, _)| name.get(..at))
}
