//! Annotations: their bounds.

use crate::error::{Result, StoreError};
use crate::mail::{MAX_ANNOTATION_OCTETS, MAX_ANNOTATIONS};
use crate::types::MailboxId;

/// The mailbox as a column has it.
pub(crate) fn column(mailbox: Option<MailboxId>) -> i64 {
    mailbox.map_or(0, |mailbox| mailbox.0)
}

/// The mailbox of a column.
pub(crate) fn mailbox(column: i64) -> Option<MailboxId> {
    (column != 0).then_some(MailboxId(column))
}

/// Whether an account may have so many.
pub(crate) fn check(count: i64, octets: i64) -> Result<()> {
    let above =
        |number: i64, most: usize| usize::try_from(number).is_ok_and(|number| number > most);
    if above(count, MAX_ANNOTATIONS) || above(octets, MAX_ANNOTATION_OCTETS) {
        return Err(StoreError::Invalid(format!(
            "an account has at most {MAX_ANNOTATIONS} annotations with {MAX_ANNOTATION_OCTETS} octets together"
        )));
    }
    Ok(())
}
