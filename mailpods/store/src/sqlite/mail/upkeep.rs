//! What is done for all accounts beside their mail.

use std::time::Duration;

use async_trait::async_trait;
use mailpods_api::DomainName;
use rusqlite::{Connection, Row};

use super::super::Core;
use super::super::tx::Tx;
use super::messages::remove;
use crate::error::Result;
use crate::mail::AccountInfo;
use crate::types::{AccountId, MailboxId, Uid, UnixSeconds, Usage};
use crate::upkeep::{Holding, UpkeepStore};

#[async_trait]
impl UpkeepStore for Core {
    async fn accounts_after(&self, after: &str, limit: usize) -> Result<Vec<Holding>> {
        let after = after.to_owned();
        self.read(move |connection| accounts_after(connection, &after, limit))
            .await
    }

    async fn set_told(&self, account: AccountId, percent: u8) -> Result<()> {
        self.write(move |tx| set_told(tx, account, percent)).await
    }

    async fn domain_usage(&self, domain: &DomainName, max_age: Duration) -> Result<Usage> {
        let domain = domain.to_string();
        if let Some(known) = self.shared.totals.get(&domain, max_age) {
            return Ok(known);
        }
        let name = domain.clone();
        let usage = self
            .read(move |connection| domain_usage(connection, &name))
            .await?;
        self.shared.totals.put(domain, usage);
        Ok(usage)
    }

    async fn saved_before(
        &self,
        mailbox: MailboxId,
        before: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Uid>> {
        self.read(move |connection| saved_before(connection, mailbox, before, limit))
            .await
    }

    async fn expunge_saved_before(
        &self,
        mailbox: MailboxId,
        before: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Uid>> {
        self.write(move |tx| {
            let uids = saved_before(tx.connection, mailbox, before, limit)?;
            for body in remove(tx, mailbox, &uids)? {
                tx.add_refs(body, -1)?;
            }
            Ok(uids)
        })
        .await
    }
}

fn usage(row: &Row<'_>, at: usize) -> rusqlite::Result<Usage> {
    let number = |at| {
        row.get::<_, i64>(at)
            .map(|value| u64::try_from(value).unwrap_or(0))
    };
    Ok(Usage {
        octets: number(at)?,
        messages: number(at + 1)?,
    })
}

fn accounts_after(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Holding>> {
    const SQL: &str = "SELECT a.id, a.address, a.octets, a.messages, coalesce(t.percent, 0) FROM account AS a
         LEFT JOIN quota_told AS t ON t.account = a.id WHERE a.address > ?1 ORDER BY a.address LIMIT ?2";
    let mut statement = connection.prepare_cached(SQL)?;
    let rows = statement.query_map((after, limit as i64), |row| {
        Ok(Holding {
            account: AccountInfo {
                id: AccountId(row.get(0)?),
                address: row.get(1)?,
                usage: usage(row, 2)?,
            },
            told: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn set_told(tx: &Tx<'_>, account: AccountId, percent: u8) -> Result<()> {
    const SQL: &str =
        "INSERT INTO quota_told (account, percent) SELECT id, ?2 FROM account WHERE id = ?1
         ON CONFLICT (account) DO UPDATE SET percent = excluded.percent";
    tx.execute(SQL, (account.0, percent)).map(drop)
}

fn domain_usage(connection: &Connection, domain: &str) -> Result<Usage> {
    // The expression is that of the index.
    const SQL: &str = "SELECT coalesce(sum(octets), 0), coalesce(sum(messages), 0) FROM account
         WHERE replace(address, rtrim(address, replace(address, '@', '')), '') = ?1";
    let mut statement = connection.prepare_cached(SQL)?;
    Ok(statement.query_row([domain], |row| usage(row, 0))?)
}

fn saved_before(
    connection: &Connection,
    mailbox: MailboxId,
    before: UnixSeconds,
    limit: usize,
) -> Result<Vec<Uid>> {
    const SQL: &str = "SELECT uid FROM (
             SELECT uid, coalesce(saved, max(received, (SELECT at FROM expiry_start))) AS since FROM mail WHERE mailbox = ?1 ORDER BY uid LIMIT ?3
         ) WHERE since < ?2 ORDER BY uid";
    let mut statement = connection.prepare_cached(SQL)?;
    let rows = statement.query_map((mailbox.0, before, limit as i64), |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
