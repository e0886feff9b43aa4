//! Changes of watched mailboxes by other processes.

use rusqlite::{Connection, OptionalExtension};

use crate::common::watch::Watchers;
use crate::error::Result;

/// Wakes those who watch a mailbox that another process has changed.
pub(super) fn mailboxes_changed_outside(
    watchers: &Watchers,
    connection: &Connection,
) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT modseq FROM mailbox WHERE id = ?1 AND account > 0")?;
    let mut found = Vec::new();
    for mailbox in watchers.watched() {
        let modseq: Option<i64> = statement
            .query_row([mailbox.0], |row| row.get(0))
            .optional()?;
        found.push((mailbox, modseq.unwrap_or(-1)));
    }
    watchers.compare(found);
    Ok(())
}
