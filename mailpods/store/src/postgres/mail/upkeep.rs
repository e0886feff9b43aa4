//! What is done for all accounts beside their mail.

use std::time::Duration;

use async_trait::async_trait;
use mailpods_api::DomainName;
use tokio_postgres::Row;

use super::super::Core;
use super::{messages, rows, transfer};
use crate::error::{Result, StoreError};
use crate::mail::AccountInfo;
use crate::postgres::connection::Connection;
use crate::postgres::shard;
use crate::postgres::tx::{Kind, Tx, get, small, transact};
use crate::types::{AccountId, MailboxId, Uid, UnixSeconds, Usage};
use crate::upkeep::{Holding, UpkeepStore};

#[async_trait]
impl UpkeepStore for Core {
    async fn accounts_after(&self, after: &str, limit: usize) -> Result<Vec<Holding>> {
        const SQL: &str = "SELECT a.id, a.address, a.octets, a.messages, coalesce(t.percent, 0)::smallint FROM account AS a
            LEFT JOIN quota_told AS t ON t.account = a.id WHERE a.address > $1 ORDER BY a.address LIMIT $2";
        let connection = self.shared.pool.get().await?;
        let rows = connection.query(SQL, &[&after, &number(limit)]).await?;
        let holding = |row: &Row| {
            Ok(Holding {
                account: AccountInfo {
                    id: AccountId(get(row, 0)?),
                    address: get(row, 1)?,
                    usage: rows::usage(row, 2)?,
                },
                told: u8::try_from(get::<i16>(row, 4)?).unwrap_or(0),
            })
        };
        rows.iter().map(holding).collect()
    }

    async fn set_told(&self, account: AccountId, percent: u8) -> Result<()> {
        const SQL: &str =
            "INSERT INTO quota_told (account, percent) SELECT id, $2 FROM account WHERE id = $1
            ON CONFLICT (account) DO UPDATE SET percent = excluded.percent";
        transact!(&self.shared, Kind::Durable, |tx| {
            tx.execute(SQL, &[&account.0, &i16::from(percent)])
                .await
                .map(drop)
        })
    }

    async fn domain_usage(&self, domain: &DomainName, max_age: Duration) -> Result<Usage> {
        // The expression is that of the index.
        const SQL: &str = "SELECT coalesce(sum(octets), 0)::bigint, coalesce(sum(messages), 0)::bigint FROM account
            WHERE \"substring\"(address, '[^@]*$') = $1";
        let domain = domain.to_string();
        if let Some(known) = self.shared.totals.get(&domain, max_age) {
            return Ok(known);
        }
        let connection = self.shared.pool.get().await?;
        let row = connection.row(SQL, &[&domain]).await?;
        let usage = rows::usage(&row.ok_or(StoreError::NotFound("domain"))?, 0)?;
        self.shared.totals.put(domain, usage);
        Ok(usage)
    }

    async fn saved_before(
        &self,
        mailbox: MailboxId,
        before: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Uid>> {
        let connection = self.shared.pool.get().await?;
        saved_before(&connection, mailbox, before, limit).await
    }

    async fn expunge_saved_before(
        &self,
        mailbox: MailboxId,
        before: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Uid>> {
        transact!(&self.shared, Kind::Durable, |tx| {
            expunge(&tx, mailbox, before, limit).await
        })
    }
}

fn number(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

async fn expunge(
    tx: &Tx<'_>,
    mailbox: MailboxId,
    before: UnixSeconds,
    limit: usize,
) -> Result<Vec<Uid>> {
    rows::lock_accounts(tx, &[shard::account_of(mailbox)]).await?;
    rows::locked(tx, mailbox).await?;
    let uids = saved_before(tx, mailbox, before, limit).await?;
    let bodies = messages::remove(tx, mailbox, &uids).await?;
    transfer::unrefer(tx, &bodies).await?;
    Ok(uids)
}

async fn saved_before(
    connection: &Connection,
    mailbox: MailboxId,
    before: UnixSeconds,
    limit: usize,
) -> Result<Vec<Uid>> {
    const SQL: &str = "SELECT uid FROM (
            SELECT uid, coalesce(saved, greatest(received, (SELECT at FROM expiry_start))) AS since FROM mail
            WHERE account = $1 AND mailbox = $2 ORDER BY uid LIMIT $4
        ) AS first WHERE since < $3 ORDER BY uid";
    let account = shard::account_of(mailbox);
    let rows = connection
        .query(SQL, &[&account, &mailbox.0, &before, &number(limit)])
        .await?;
    rows.iter().map(|row| small(row, 0)).collect()
}
