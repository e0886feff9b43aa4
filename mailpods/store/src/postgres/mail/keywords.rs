//! Keywords: each mailbox remembers those it has seen.

use std::collections::BTreeMap;

use crate::common::keywords;
use crate::error::{Result, StoreError};
use crate::mail::{Flags, MAX_KNOWN_KEYWORDS};
use crate::postgres::connection::Connection;
use crate::postgres::shard;
use crate::postgres::tx::get;
use crate::types::MailboxId;

/// The stored form; checks each keyword and makes it known to the mailbox. In a transaction.
pub(in crate::postgres) async fn known(
    connection: &Connection,
    mailbox: MailboxId,
    flags: &Flags,
) -> Result<Option<String>> {
    if flags.keywords.is_empty() {
        return Ok(None);
    }
    let words = keywords::checked(&flags.keywords)?;
    if remember(connection, mailbox, &words).await? > 0
        && count(connection, mailbox).await? > MAX_KNOWN_KEYWORDS
    {
        forget_unused(connection, mailbox, &words).await?;
        if count(connection, mailbox).await? > MAX_KNOWN_KEYWORDS {
            return Err(StoreError::Invalid(format!(
                "a mailbox has at most {MAX_KNOWN_KEYWORDS} keywords"
            )));
        }
    }
    Ok(Some(words.join(" ")))
}

/// Returns how many of the words were new.
async fn remember(connection: &Connection, mailbox: MailboxId, words: &[String]) -> Result<u64> {
    // In one order, each once: two transactions do not wait for each other.
    let folded: BTreeMap<String, &str> = words
        .iter()
        .rev()
        .map(|word| (word.to_ascii_lowercase(), word.as_str()))
        .collect();
    let (folded, words): (Vec<String>, Vec<&str>) = folded.into_iter().unzip();
    connection
        .execute(
            "INSERT INTO keyword (account, mailbox, folded, name) SELECT $1, $2, folded, name FROM unnest($3::text[], $4::text[]) AS v (folded, name)
             ON CONFLICT DO NOTHING",
            &[&shard::account_of(mailbox), &mailbox.0, &folded, &words],
        )
        .await
}

async fn count(connection: &Connection, mailbox: MailboxId) -> Result<usize> {
    let row = connection
        .row(
            "SELECT count(*) FROM keyword WHERE account = $1 AND mailbox = $2",
            &[&shard::account_of(mailbox), &mailbox.0],
        )
        .await?;
    let count: i64 = row.map_or(Ok(0), |row| get(&row, 0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

async fn forget_unused(connection: &Connection, mailbox: MailboxId, but: &[String]) -> Result<()> {
    let account = shard::account_of(mailbox);
    let rows = connection
        .query(
            "SELECT DISTINCT keywords FROM mail WHERE account = $1 AND mailbox = $2 AND keywords IS NOT NULL",
            &[&account, &mailbox.0],
        )
        .await?;
    connection
        .execute(
            "DELETE FROM keyword WHERE account = $1 AND mailbox = $2",
            &[&account, &mailbox.0],
        )
        .await?;
    let mut used: Vec<String> = Vec::new();
    for row in &rows {
        let text: &str = get(row, 0)?;
        used.extend(text.split(' ').map(str::to_owned));
    }
    used.extend_from_slice(but);
    remember(connection, mailbox, &used).await.map(drop)
}

pub(super) async fn in_mailbox(connection: &Connection, mailbox: MailboxId) -> Result<Vec<String>> {
    let rows = connection
        .query(
            "SELECT name FROM keyword WHERE account = $1 AND mailbox = $2 ORDER BY folded",
            &[&shard::account_of(mailbox), &mailbox.0],
        )
        .await?;
    rows.iter().map(|row| get(row, 0)).collect()
}
