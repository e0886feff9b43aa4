//! Moving in: the rules that both back ends share.

use super::mailbox::MailboxRow;
use crate::error::{Result, StoreError};
use crate::migrations::{MAX_KEPT_UID, MAX_ORIGIN_NAME, MAX_ORIGINS, Uids};
use crate::types::Uid;

/// As a column has it.
pub(crate) const fn column(uids: Uids) -> i64 {
    match uids {
        Uids::Mapped => 0,
        Uids::Kept => 1,
        Uids::KeptOnce => 2,
    }
}

/// Of a column.
pub(crate) const fn uids(column: i64) -> Uids {
    match column {
        1 => Uids::Kept,
        2 => Uids::KeptOnce,
        _ => Uids::Mapped,
    }
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    if (1..=MAX_ORIGIN_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "the name of an origin has {} octets: 1 to {MAX_ORIGIN_NAME} are allowed",
        name.len()
    )))
}

pub(crate) fn check_count(count: i64) -> Result<()> {
    match usize::try_from(count) {
        Ok(count) if count < MAX_ORIGINS => Ok(()),
        _ => Err(StoreError::Invalid(format!(
            "an account has mail from at most {MAX_ORIGINS} folders elsewhere"
        ))),
    }
}

/// Seconds that a UIDVALIDITY may be ahead of the clock: stores that follow the clock are when they make many mailboxes at once. Those
/// that are given out later are greater, and a source cannot use them up.
const AHEAD: i64 = 24 * 3600;

/// Whether a mailbox may take over a UIDVALIDITY: it never had a message, so that no client remembers any of it.
pub(crate) fn may_keep(row: &MailboxRow, uid_validity: u32, now_seconds: i64) -> bool {
    row.uid_next == 1 && uid_validity > 0 && i64::from(uid_validity) <= now_seconds + AHEAD
}

/// Makes `source` the next UID where it is free; whether it is.
pub(crate) fn keep(row: &mut MailboxRow, source: Uid) -> bool {
    let free = source >= row.uid_next && source <= MAX_KEPT_UID;
    if free {
        row.uid_next = source;
    }
    free
}
