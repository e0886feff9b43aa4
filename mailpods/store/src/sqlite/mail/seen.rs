//! `\Seen` of those who read a mailbox of another account.

use rusqlite::Connection;

use super::super::tx::Tx;
use crate::error::Result;
use crate::types::{AccountId, MailboxId, Uid};

/// Whether a reader has seen a message, and when that changed; 0 when it never has.
pub(super) fn of(tx: &Tx<'_>, mailbox: i64, uid: Uid, reader: AccountId) -> Result<(bool, i64)> {
    const SQL: &str =
        "SELECT seen, modseq FROM reader_seen WHERE mailbox = ?1 AND uid = ?2 AND reader = ?3";
    let found = tx.row(SQL, (mailbox, uid, reader.0), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found.unwrap_or((false, 0)))
}

pub(super) fn set(
    tx: &Tx<'_>,
    (mailbox, uid): (i64, Uid),
    reader: AccountId,
    seen: bool,
    modseq: i64,
) -> Result<()> {
    const SQL: &str = "INSERT OR REPLACE INTO reader_seen (mailbox, uid, reader, modseq, seen) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.execute(SQL, (mailbox, uid, reader.0, modseq, seen))
        .map(drop)
}

/// A message has got another mailbox and UID: what readers have of it goes along, and is new to them there.
pub(super) fn follow(tx: &Tx<'_>, from: (i64, Uid), to: (i64, Uid), modseq: i64) -> Result<()> {
    const SQL: &str = "UPDATE reader_seen SET mailbox = ?3, uid = ?4, modseq = ?5 WHERE mailbox = ?1 AND uid = ?2";
    tx.execute(SQL, (from.0, from.1, to.0, to.1, modseq))
        .map(drop)
}

/// The message has gone.
pub(super) fn forget(tx: &Tx<'_>, mailbox: i64, uid: Uid) -> Result<()> {
    let sql = "DELETE FROM reader_seen WHERE mailbox = ?1 AND uid = ?2";
    tx.execute(sql, (mailbox, uid)).map(drop)
}

/// How many messages a reader has seen, in those mailboxes where there are any.
pub(super) fn counts(
    connection: &Connection,
    reader: AccountId,
    mailboxes: &[MailboxId],
) -> Result<Vec<(MailboxId, u32)>> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM reader_seen WHERE reader = ?1 AND mailbox = ?2 AND seen = 1",
    )?;
    let mut counts = Vec::new();
    for mailbox in mailboxes {
        let count: u32 = statement.query_row([reader.0, mailbox.0], |row| row.get(0))?;
        counts.extend((count > 0).then_some((*mailbox, count)));
    }
    Ok(counts)
}
