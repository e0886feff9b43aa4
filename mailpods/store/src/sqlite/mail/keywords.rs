//! Keywords: kept as one text with spaces between them; each mailbox remembers those it has seen.

use rusqlite::Connection;

use super::super::tx::Tx;
use crate::error::{Result, StoreError};
use crate::mail::{Flags, MAX_KNOWN_KEYWORDS};
use crate::types::MailboxId;

/// Most keywords of a message.
const MAX_KEYWORDS: usize = 100;
/// Longest keyword, in octets.
const MAX_LENGTH: usize = 100;
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
    let words = union(&[], &flags.keywords);
    if words.len() > MAX_KEYWORDS || !words.iter().all(|word| is_keyword(word)) {
        return Err(StoreError::Invalid(format!(
            "a message has at most {MAX_KEYWORDS} keywords of at most {MAX_LENGTH} octets"
        )));
    }
    for word in &words {
        make_known(tx, mailbox, word)?;
    }
    Ok(Some(words.join(" ")))
}

/// RFC 9051 §9: `flag-keyword` is an atom; here also what others stored in UTF-8.
fn is_keyword(word: &str) -> bool {
    (1..=MAX_LENGTH).contains(&word.len())
        && !word.contains(|c: char| c.is_whitespace() || c.is_control() || "(){%*\"\\]".contains(c))
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

pub(super) fn decode(stored: Option<&str>) -> Vec<String> {
    stored
        .map(|text| text.split(' ').map(str::to_owned).collect())
        .unwrap_or_default()
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|other| other.eq_ignore_ascii_case(word))
}

/// Both lists without doubles; the first spelling stays.
pub(super) fn union(one: &[String], other: &[String]) -> Vec<String> {
    let mut words: Vec<String> = Vec::with_capacity(one.len() + other.len());
    for word in one.iter().chain(other) {
        if !has(&words, word) {
            words.push(word.clone());
        }
    }
    words
}

pub(super) fn without(one: &[String], other: &[String]) -> Vec<String> {
    one.iter()
        .filter(|word| !has(other, word))
        .cloned()
        .collect()
}

/// Whether both have the same flags.
pub(super) fn same(one: &Flags, other: &Flags) -> bool {
    let covers =
        |one: &Flags, other: &Flags| other.keywords.iter().all(|word| has(&one.keywords, word));
    one.system == other.system && covers(one, other) && covers(other, one)
}

pub(super) fn in_mailbox(connection: &Connection, mailbox: MailboxId) -> Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM keyword WHERE mailbox = ?1 ORDER BY name")?;
    Ok(statement
        .query_map([mailbox.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}
