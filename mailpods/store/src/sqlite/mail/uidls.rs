//! Names that POP3 gives to messages, where they came with the message.

use rusqlite::Connection;

use super::super::tx::Tx;
use crate::error::Result;
use crate::types::{MailboxId, Uid};

pub(super) fn all(connection: &Connection, mailbox: MailboxId) -> Result<Vec<(Uid, String)>> {
    let mut statement = connection
        .prepare_cached("SELECT uid, uidl FROM pop3_uidl WHERE mailbox = ?1 ORDER BY uid")?;
    Ok(statement
        .query_map([mailbox.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?)
}

/// Names of messages that are not there are passed over.
pub(super) fn set(tx: &Tx<'_>, mailbox: MailboxId, names: &[(Uid, String)]) -> Result<()> {
    const SQL: &str = "INSERT OR REPLACE INTO pop3_uidl (mailbox, uid, uidl)
        SELECT mailbox, uid, ?3 FROM mail WHERE mailbox = ?1 AND uid = ?2";
    for (uid, name) in names {
        tx.execute(SQL, (mailbox.0, uid, name))?;
    }
    Ok(())
}

/// The message has gone.
pub(super) fn forget(tx: &Tx<'_>, mailbox: i64, uid: Uid) -> Result<()> {
    let sql = "DELETE FROM pop3_uidl WHERE mailbox = ?1 AND uid = ?2";
    tx.execute(sql, (mailbox, uid)).map(drop)
}
