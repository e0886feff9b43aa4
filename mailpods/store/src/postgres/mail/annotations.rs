//! Annotations of mailboxes and accounts.

use bytes::Bytes;
use tokio_postgres::Row;

use super::rows;
use crate::common::annotation;
use crate::error::{Result, StoreError};
use crate::mail::Annotation;
use crate::postgres::connection::Connection;
use crate::postgres::shard;
use crate::postgres::tx::{Effect, Tx, get};
use crate::types::{AccountId, MailboxId};

pub(super) async fn all(
    connection: &Connection,
    account: AccountId,
    mailbox: Option<MailboxId>,
) -> Result<Vec<Annotation>> {
    const SQL: &str =
        "SELECT entry, value FROM annotation WHERE account = $1 AND mailbox = $2 ORDER BY entry";
    let rows = connection
        .query(SQL, &[&account.0, &annotation::column(mailbox)])
        .await?;
    rows.iter().map(read).collect()
}

/// Those of the account and of all its mailboxes.
pub(super) async fn everywhere(
    connection: &Connection,
    account: AccountId,
) -> Result<Vec<(Option<MailboxId>, Annotation)>> {
    const SQL: &str =
        "SELECT entry, value, mailbox FROM annotation WHERE account = $1 ORDER BY mailbox, entry";
    let rows = connection.query(SQL, &[&account.0]).await?;
    rows.iter()
        .map(|row| Ok((annotation::mailbox(get(row, 2)?), read(row)?)))
        .collect()
}

fn read(row: &Row) -> Result<Annotation> {
    Ok(Annotation {
        entry: get(row, 0)?,
        value: Bytes::copy_from_slice(get(row, 1)?),
    })
}

/// The account is locked, so that two changes at once do not exceed its bounds.
pub(super) async fn change(
    tx: &Tx<'_>,
    account: AccountId,
    mailbox: Option<MailboxId>,
    changes: &[(String, Option<Bytes>)],
) -> Result<()> {
    rows::lock_accounts(tx, &[account.0]).await?;
    if let Some(mailbox) = mailbox {
        if shard::account_of(mailbox) != account.0 {
            return Err(StoreError::NotFound("mailbox"));
        }
        rows::by_id(tx, mailbox).await?;
    }
    let column = annotation::column(mailbox);
    for (entry, value) in changes {
        match value {
            Some(value) => {
                const PUT: &str = "INSERT INTO annotation (account, mailbox, entry, value) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (account, mailbox, entry) DO UPDATE SET value = excluded.value";
                tx.execute(PUT, &[&account.0, &column, entry, &&value[..]])
                    .await?;
            }
            None => {
                const REMOVE: &str =
                    "DELETE FROM annotation WHERE account = $1 AND mailbox = $2 AND entry = $3";
                tx.execute(REMOVE, &[&account.0, &column, entry]).await?;
            }
        }
    }
    const TOTAL: &str = "SELECT count(*), coalesce(sum(length(value)), 0)::bigint FROM annotation WHERE account = $1";
    let total = tx.row(TOTAL, &[&account.0]).await?;
    tx.effect(Effect::Mailbox(shard::whole_account(account)));
    let total = total.ok_or(StoreError::NotFound("account"))?;
    annotation::check(get(&total, 0)?, get(&total, 1)?)
}
