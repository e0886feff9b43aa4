//! Making, deleting, renaming and subscribing mailboxes.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Row};

use super::super::scripts;
use super::super::tx::{Effect, Tx};
use super::row::{self, COLUMNS};
use super::{acl, transfer};
use crate::common::mailbox::{MAX_SUBSCRIPTIONS, MailboxRow};
use crate::common::names::{self, INBOX};
use crate::error::{Result, StoreError};
use crate::mail::{AccountInfo, MailboxInfo, SpecialUse, Transfer};
use crate::types::{AccountId, MailboxId, Usage};

/// Messages of deleted mailboxes removed in one transaction.
const REAP_STEP: i64 = 500;

pub(super) fn accounts(connection: &Connection) -> Result<Vec<AccountInfo>> {
    let mut statement = connection
        .prepare_cached("SELECT id, address, octets, messages FROM account ORDER BY address")?;
    let rows = statement.query_map([], |row| {
        let number = |at| {
            row.get::<_, i64>(at)
                .map(|value| u64::try_from(value).unwrap_or(0))
        };
        Ok(AccountInfo {
            id: AccountId(row.get(0)?),
            address: row.get(1)?,
            usage: Usage {
                octets: number(2)?,
                messages: number(3)?,
            },
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn find_account(connection: &Connection, address: &str) -> Result<Option<AccountId>> {
    let mut statement = connection.prepare_cached("SELECT id FROM account WHERE address = ?1")?;
    Ok(statement
        .query_row([address], |row| row.get(0).map(AccountId))
        .optional()?)
}

fn info(found: &Row<'_>) -> rusqlite::Result<MailboxInfo> {
    Ok(row::read(found)?.info(found.get(11)?))
}

/// The mailboxes that meet `condition`, with whether they are subscribed.
fn select(
    connection: &Connection,
    condition: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<MailboxInfo>> {
    let sql = format!(
        "SELECT {COLUMNS}, s.name IS NOT NULL FROM mailbox m LEFT JOIN subscription s ON s.account = m.account AND s.name = m.name
         WHERE m.account > 0 AND {condition} ORDER BY m.name"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement
        .query_map(params, info)?
        .collect::<rusqlite::Result<_>>()?)
}

pub(super) fn all(connection: &Connection, account: AccountId) -> Result<Vec<MailboxInfo>> {
    select(connection, "m.account = ?1", [account.0])
}

pub(super) fn named(
    connection: &Connection,
    account: AccountId,
    name: &str,
) -> Result<Option<MailboxInfo>> {
    Ok(select(
        connection,
        "m.account = ?1 AND m.name = ?2",
        (account.0, name),
    )?
    .pop())
}

pub(super) fn by_id(connection: &Connection, mailbox: MailboxId) -> Result<MailboxInfo> {
    select(connection, "m.id = ?1", [mailbox.0])?
        .pop()
        .ok_or(StoreError::NotFound("mailbox"))
}

pub(super) fn subscriptions(connection: &Connection, account: AccountId) -> Result<Vec<String>> {
    let mut statement = connection
        .prepare_cached("SELECT name FROM subscription WHERE account = ?1 ORDER BY name")?;
    Ok(statement
        .query_map([account.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}

pub(super) fn create(
    tx: &mut Tx<'_>,
    account: AccountId,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<MailboxId> {
    super::row::usage(tx.connection, account)?;
    if tx.mailbox_named(account.0, name)?.is_some() {
        return Err(StoreError::AlreadyExists("mailbox"));
    }
    tx.mailbox_or_new(account.0, name, special_use)
        .map(|row| MailboxId(row.id))
}

/// The name is free at once; the housekeeper removes the messages.
pub(super) fn delete(tx: &mut Tx<'_>, account: AccountId, name: &str) -> Result<()> {
    if name == INBOX {
        return Err(StoreError::Invalid("INBOX cannot be deleted".to_owned()));
    }
    let row = tx
        .mailbox_named(account.0, name)?
        .ok_or(StoreError::NotFound("mailbox"))?;
    let (octets, messages) = row.usage();
    tx.add_usage(account.0, -octets, -messages)?;
    tx.execute(
        "DELETE FROM annotation WHERE account = ?1 AND mailbox = ?2",
        (account.0, row.id),
    )?;
    acl::forget(tx, row.id)?;
    tx.execute(
        "UPDATE mailbox SET account = 0, name = ?2 WHERE id = ?1",
        (row.id, row.id.to_string()),
    )?;
    tx.shared.reap.store(true, Ordering::Release);
    tx.effect(Effect::Mailbox(MailboxId(row.id)));
    tx.effect(Effect::OfAccount(account.0));
    Ok(())
}

/// The address is free at once; the housekeeper removes the messages.
pub(super) fn delete_account(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    let sql = "DELETE FROM account WHERE id = ?1 RETURNING address";
    let address: String = tx
        .row(sql, [account.0], |row| row.get(0))?
        .ok_or(StoreError::NotFound("account"))?;
    let mut statement = tx.prepare(
        "UPDATE mailbox SET account = 0, name = CAST(id AS TEXT) WHERE account = ?1 RETURNING id",
    )?;
    let mailboxes: Vec<i64> = statement
        .query_map([account.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    tx.execute("DELETE FROM subscription WHERE account = ?1", [account.0])?;
    tx.execute("DELETE FROM annotation WHERE account = ?1", [account.0])?;
    tx.execute("DELETE FROM quota_told WHERE account = ?1", [account.0])?;
    tx.execute("DELETE FROM credential WHERE address = ?1", [&address])?;
    tx.execute("DELETE FROM kept_validity WHERE account = ?1", [account.0])?;
    scripts::forget(tx, account)?;
    acl::forget_person(tx, account, &address)?;
    for mailbox in &mailboxes {
        acl::forget(tx, *mailbox)?;
    }
    tx.shared.reap.store(true, Ordering::Release);
    for mailbox in mailboxes {
        tx.effect(Effect::Mailbox(MailboxId(mailbox)));
    }
    tx.effect(Effect::AccountGone(address));
    tx.effect(Effect::Settings(account));
    Ok(())
}

/// Removes some messages of deleted mailboxes; whether there may be more.
pub(in crate::sqlite) fn reap(tx: &mut Tx<'_>) -> Result<bool> {
    let Some(mailbox) = tx.row(
        "SELECT id FROM mailbox WHERE account = 0 LIMIT 1",
        [],
        |row| row.get::<_, i64>(0),
    )?
    else {
        return Ok(false);
    };
    let mut statement = tx.prepare("SELECT uid, body FROM mail WHERE mailbox = ?1 LIMIT ?2")?;
    let rows: Vec<(i64, i64)> = statement
        .query_map([mailbox, REAP_STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (uid, body) in &rows {
        tx.execute(
            "DELETE FROM mail WHERE mailbox = ?1 AND uid = ?2",
            [mailbox, *uid],
        )?;
        tx.add_refs(crate::types::BodyId(*body), -1)?;
        tx.execute(
            "DELETE FROM reader_seen WHERE mailbox = ?1 AND uid = ?2",
            [mailbox, *uid],
        )?;
    }
    if rows.is_empty() {
        tx.execute("DELETE FROM expunged WHERE mailbox = ?1", [mailbox])?;
        tx.execute("DELETE FROM keyword WHERE mailbox = ?1", [mailbox])?;
        tx.execute("DELETE FROM pop3_uidl WHERE mailbox = ?1", [mailbox])?;
        super::migrations::forget_mailbox(tx, mailbox)?;
        tx.execute("DELETE FROM mailbox WHERE id = ?1", [mailbox])?;
    }
    Ok(true)
}

pub(super) fn rename(tx: &mut Tx<'_>, account: AccountId, from: &str, to: &str) -> Result<()> {
    let source = tx
        .mailbox_named(account.0, from)?
        .ok_or(StoreError::NotFound("mailbox"))?;
    if tx.mailbox_named(account.0, to)?.is_some() {
        return Err(StoreError::AlreadyExists("mailbox"));
    }
    if from == INBOX {
        return rename_inbox(tx, &source, to);
    }
    if to
        .strip_prefix(from)
        .is_some_and(|rest| rest.starts_with('/'))
    {
        return Err(StoreError::Invalid(
            "a mailbox cannot be renamed to below itself".to_owned(),
        ));
    }
    let below = below(tx, account.0, from)?;
    tx.create_above(account.0, to)?;
    for (id, name) in below {
        let target = names::canonical(&format!(
            "{to}{}",
            name.get(from.len()..).unwrap_or_default()
        ))?;
        if tx.mailbox_named(account.0, &target)?.is_some() {
            return Err(StoreError::AlreadyExists("mailbox"));
        }
        tx.execute("UPDATE mailbox SET name = ?2 WHERE id = ?1", (id, target))?;
        tx.effect(Effect::Mailbox(MailboxId(id)));
    }
    tx.effect(Effect::OfAccount(account.0));
    Ok(())
}

/// A mailbox and those below it, from the top. `0` is the character after `/`.
fn below(tx: &Tx<'_>, account: i64, name: &str) -> Result<Vec<(i64, String)>> {
    let mut statement =
        tx.prepare("SELECT id, name FROM mailbox WHERE account = ?1 AND (name = ?2 OR (name >= ?2 || '/' AND name < ?2 || '0')) ORDER BY name")?;
    Ok(statement
        .query_map((account, name), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?)
}

/// RFC 9051 §6.3.6: the messages move; INBOX stays, and so do those below it.
fn rename_inbox(tx: &mut Tx<'_>, inbox: &MailboxRow, to: &str) -> Result<()> {
    let target = tx.mailbox_or_new(inbox.account, to, None)?;
    let mut statement = tx.prepare("SELECT uid FROM mail WHERE mailbox = ?1 ORDER BY uid")?;
    let uids: Vec<u32> = statement
        .query_map([inbox.id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let moved = Transfer::within(MailboxId(inbox.id), uids, MailboxId(target.id));
    transfer::transfer(tx, &moved).map(drop)
}

pub(super) fn subscribe(tx: &mut Tx<'_>, account: AccountId, name: &str, on: bool) -> Result<()> {
    tx.effect(Effect::OfAccount(account.0));
    if !on {
        return tx
            .execute(
                "DELETE FROM subscription WHERE account = ?1 AND name = ?2",
                (account.0, name),
            )
            .map(drop);
    }
    super::row::usage(tx.connection, account)?;
    let count: i64 = tx
        .row(
            "SELECT count(*) FROM subscription WHERE account = ?1",
            [account.0],
            |row| row.get(0),
        )?
        .unwrap_or(0);
    if count >= MAX_SUBSCRIPTIONS {
        return Err(StoreError::Invalid(format!(
            "an account has at most {MAX_SUBSCRIPTIONS} subscriptions"
        )));
    }
    tx.execute(
        "INSERT OR IGNORE INTO subscription (account, name) VALUES (?1, ?2)",
        (account.0, name),
    )
    .map(drop)
}
