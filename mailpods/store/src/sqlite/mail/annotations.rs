//! Annotations of mailboxes and accounts.

use bytes::Bytes;
use rusqlite::Connection;

use super::super::tx::{Effect, Tx};
use super::row;
use crate::common::annotation;
use crate::error::{Result, StoreError};
use crate::mail::Annotation;
use crate::types::{AccountId, MailboxId};

pub(super) fn all(
    connection: &Connection,
    account: AccountId,
    mailbox: Option<MailboxId>,
) -> Result<Vec<Annotation>> {
    let mut statement = connection.prepare_cached(
        "SELECT entry, value FROM annotation WHERE account = ?1 AND mailbox = ?2 ORDER BY entry",
    )?;
    let rows = statement.query_map((account.0, annotation::column(mailbox)), |row| {
        Ok(Annotation {
            entry: row.get(0)?,
            value: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Those of the account and of all its mailboxes.
pub(super) fn everywhere(
    connection: &Connection,
    account: AccountId,
) -> Result<Vec<(Option<MailboxId>, Annotation)>> {
    let mut statement = connection.prepare_cached(
        "SELECT mailbox, entry, value FROM annotation WHERE account = ?1 ORDER BY mailbox, entry",
    )?;
    let rows = statement.query_map([account.0], |row| {
        let annotation = Annotation {
            entry: row.get(1)?,
            value: Bytes::from(row.get::<_, Vec<u8>>(2)?),
        };
        Ok((annotation::mailbox(row.get(0)?), annotation))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn change(
    tx: &mut Tx<'_>,
    account: AccountId,
    mailbox: Option<MailboxId>,
    changes: &[(String, Option<Bytes>)],
) -> Result<()> {
    row::usage(tx.connection, account)?;
    if let Some(mailbox) = mailbox
        && row::by_id(tx.connection, mailbox)?.account != account.0
    {
        return Err(StoreError::NotFound("mailbox"));
    }
    let column = annotation::column(mailbox);
    for (entry, value) in changes {
        match value {
            Some(value) => tx.execute(
                "INSERT OR REPLACE INTO annotation (account, mailbox, entry, value) VALUES (?1, ?2, ?3, ?4)",
                (account.0, column, entry, &value[..]),
            )?,
            None => tx.execute(
                "DELETE FROM annotation WHERE account = ?1 AND mailbox = ?2 AND entry = ?3",
                (account.0, column, entry),
            )?,
        };
    }
    const TOTAL: &str =
        "SELECT count(*), ifnull(sum(length(value)), 0) FROM annotation WHERE account = ?1";
    let total = tx.row(TOTAL, [account.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (count, octets) = total.unwrap_or_default();
    tx.effect(Effect::Settings(account));
    annotation::check(count, octets)
}
