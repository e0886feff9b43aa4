//! Keywords: kept as one text with spaces between them; each mailbox remembers those it has seen.

use rusqlite::Connection;

use super::super::tx::Tx;
use crate::common::keywords;
use crate::error::{Result, StoreError};
use crate::mail::{Flags, MAX_KNOWN_KEYWORDS};
use crate::types::MailboxId;

const MAX_KNOWN: i64 = MAX_KNOWN_KEYWORDS as i64;

/// The stored form; checks each keyword and makes it known to the mailbox.
pub(in crate::sqlite) fn encode(
    tx: &Tx<'_>,
    mailbox: i64,
    flags: &Flags,
) -> Result<Option<String>> {
    if flags.keywords.is_empty() {
        return Ok(None);
    }
    let words = keywords::checked(&flags.keywords)?;
    for word in &words {
        make_known(tx, mailbox, word)?;
    }
    Ok(Some(words.join(" ")))
}

fn make_known(tx: &Tx<'_>, mailbox: i64, word: &str) -> Result<()> {
    let is_new = tx.execute(
        "INSERT OR IGNORE INTO keyword (mailbox, name) VALUES (?1, ?2)",
        (mailbox, word),
    )? > 0;
    if is_new && known(tx, mailbox)? > MAX_KNOWN {
        forget_unused(tx, mailbox, word)?;
        if known(tx, mailbox)? > MAX_KNOWN {
            return Err(StoreError::Invalid(format!(
                "a mailbox has at most {MAX_KNOWN} keywords"
            )));
        }
    }
    Ok(())
}

fn known(tx: &Tx<'_>, mailbox: i64) -> Result<i64> {
    Ok(tx
        .row(
            "SELECT count(*) FROM keyword WHERE mailbox = ?1",
            [mailbox],
            |row| row.get(0),
        )?
        .unwrap_or(0))
}

fn forget_unused(tx: &Tx<'_>, mailbox: i64, but: &str) -> Result<()> {
    let mut statement = tx.prepare(
        "SELECT DISTINCT keywords FROM mail WHERE mailbox = ?1 AND keywords IS NOT NULL",
    )?;
    let texts: Vec<String> = statement
        .query_map([mailbox], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    tx.execute("DELETE FROM keyword WHERE mailbox = ?1", [mailbox])?;
    let used = texts.iter().flat_map(|text| text.split(' ')).chain([but]);
    for word in used {
        tx.execute(
            "INSERT OR IGNORE INTO keyword (mailbox, name) VALUES (?1, ?2)",
            (mailbox, word),
        )?;
    }
    Ok(())
}

pub(super) fn in_mailbox(connection: &Connection, mailbox: MailboxId) -> Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM keyword WHERE mailbox = ?1 ORDER BY name")?;
    Ok(statement
        .query_map([mailbox.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}
