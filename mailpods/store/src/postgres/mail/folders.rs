//! Making, deleting, renaming and subscribing mailboxes.

use std::sync::atomic::Ordering;

use mailpods_api::MailboxAddress;
use tokio_postgres::Row;

use super::{acl, rows, transfer};
use crate::common::mailbox::{
    DEFAULTS, MAX_MAILBOXES, MAX_SUBSCRIPTIONS, MailboxRow, special_use_number,
};
use crate::common::names::{self, INBOX};
use crate::common::unix_millis;
use crate::error::{Result, StoreError};
use crate::mail::{AccountInfo, MailboxInfo, SpecialUse, Transfer};
use crate::postgres::connection::Connection;
use crate::postgres::scripts;
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{Effect, Kind, Tx, get, transact};
use crate::types::{AccountId, MailboxId};

/// Messages of deleted mailboxes removed in one transaction.
const REAP_STEP: i64 = 500;

/// The account of an address, made if it is not there.
pub(super) async fn account(shared: &Shared, address: &MailboxAddress) -> Result<AccountId> {
    let address = address.to_string();
    if let Some(known) = shared.known_account(&address) {
        return Ok(known);
    }
    let found = find_account(&*shared.pool.get().await?, &address).await?;
    let id = match found {
        Some(id) => id,
        None => transact!(shared, Kind::Durable, |tx| {
            create_account(&tx, &address).await
        })?,
    };
    shared.remember_account(&address, AccountId(id));
    Ok(AccountId(id))
}

pub(super) async fn find_account(connection: &Connection, address: &str) -> Result<Option<i64>> {
    let row = connection
        .row("SELECT id FROM account WHERE address = $1", &[&address])
        .await?;
    row.map(|row| get(&row, 0)).transpose()
}

async fn create_account(tx: &Tx<'_>, address: &str) -> Result<i64> {
    let made = tx
        .row(
            "INSERT INTO account (address) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id",
            &[&address],
        )
        .await?;
    let Some(made) = made else {
        // Another one was faster, and has committed.
        let found = find_account(tx, address).await?;
        return found.ok_or(StoreError::NotFound("account"));
    };
    let id: i64 = get(&made, 0)?;
    insert(tx, id, &DEFAULTS).await?;
    let names: Vec<&str> = DEFAULTS.iter().map(|(name, _)| *name).collect();
    tx.execute(
        "INSERT INTO subscription (account, name) SELECT $1, unnest($2::text[])",
        &[&id, &names],
    )
    .await?;
    Ok(id)
}

/// Adds mailboxes of names that are free. Numbers and UIDVALIDITY come from the account's row, which this locks.
async fn insert(
    connection: &Connection,
    account: i64,
    new: &[(&str, Option<SpecialUse>)],
) -> Result<Vec<MailboxRow>> {
    // RFC 9051 §2.3.1.1: greater than that of any mailbox before it in this account, whatever the clock says.
    const NUMBERS: &str = "UPDATE account SET next_mailbox = next_mailbox + $2, uid_validity = greatest(uid_validity + 1, $3) + $2 - 1
        WHERE id = $1 RETURNING next_mailbox, uid_validity";
    let count = new.len() as i64;
    let row = connection
        .row(NUMBERS, &[&account, &count, &(unix_millis() / 1000)])
        .await?;
    let row = row.ok_or(StoreError::NotFound("account"))?;
    let (number, validity): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
    let mut made = Vec::with_capacity(new.len());
    for (back, (name, special_use)) in (0..count).rev().zip(new) {
        let id = shard::mailbox(AccountId(account), number - back);
        let uid_validity = u32::try_from(validity - back).ok();
        let (Some(id), Some(uid_validity)) = (id, uid_validity) else {
            let why = "the account has no more numbers for mailboxes";
            return Err(StoreError::Invalid(why.to_owned()));
        };
        made.push(MailboxRow {
            id,
            account,
            name: (*name).to_owned(),
            special_use: special_use_number(*special_use),
            uid_validity,
            uid_next: 1,
            modseq: 1,
            messages: 0,
            unseen: 0,
            deleted: 0,
            octets: 0,
        });
    }
    write(connection, &made).await?;
    Ok(made)
}

async fn write(connection: &Connection, made: &[MailboxRow]) -> Result<()> {
    const SQL: &str = "INSERT INTO mailbox (account, id, name, special_use, uid_validity, uid_next, modseq, messages, unseen, deleted, octets)
        SELECT account, id, name, special_use, uid_validity, 1, 1, 0, 0, 0, 0
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[], $5::bigint[]) AS v (account, id, name, special_use, uid_validity)";
    let accounts: Vec<i64> = made.iter().map(|row| row.account).collect();
    let ids: Vec<i64> = made.iter().map(|row| row.id).collect();
    let names: Vec<&str> = made.iter().map(|row| row.name.as_str()).collect();
    let uses: Vec<i16> = made.iter().map(|row| i16::from(row.special_use)).collect();
    let validities: Vec<i64> = made.iter().map(|row| i64::from(row.uid_validity)).collect();
    connection
        .execute(SQL, &[&accounts, &ids, &names, &uses, &validities])
        .await
        .map(drop)
}

/// The mailbox of a canonical name and those above it, as far as they are not there, made. The account is locked, so that nobody makes
/// them meanwhile.
pub(in crate::postgres) async fn make(
    connection: &Connection,
    account: i64,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<Vec<MailboxRow>> {
    rows::lock_accounts(connection, &[account]).await?;
    let all: Vec<&str> = names::above(name).chain([name]).collect();
    let rows = connection
        .query(
            "SELECT m.name, m.id FROM unnest($2::text[]) AS v (name) JOIN mailbox AS m ON m.account = $1 AND m.name = v.name",
            &[&account, &all],
        )
        .await?;
    let there = rows
        .iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect::<Result<Vec<(&str, i64)>>>()?;
    let new: Vec<(&str, Option<SpecialUse>)> = all
        .into_iter()
        .filter(|one| !there.iter().any(|(name, _)| name == one))
        .map(|one| (one, special_use.filter(|_| one == name)))
        .collect();
    check_count(connection, account, new.len()).await?;
    let made = insert(connection, account, &new).await?;
    // From the top down: the last of those that were there already is above all that are made.
    if let Some((_, above)) = there.iter().max_by_key(|(name, _)| name.len()) {
        let ids: Vec<i64> = made.iter().map(|row| row.id).collect();
        acl::inherit(connection, account, *above, &ids).await?;
    }
    Ok(made)
}

async fn check_count(connection: &Connection, account: i64, more: usize) -> Result<()> {
    let row = connection
        .row(
            "SELECT count(*) FROM mailbox WHERE account = $1 AND name IS NOT NULL",
            &[&account],
        )
        .await?;
    let count: i64 = row.map_or(Ok(0), |row| get(&row, 0))?;
    if count + more as i64 > MAX_MAILBOXES {
        return Err(StoreError::Invalid(format!(
            "an account has at most {MAX_MAILBOXES} mailboxes"
        )));
    }
    Ok(())
}

pub(super) async fn accounts(connection: &Connection) -> Result<Vec<AccountInfo>> {
    let rows = connection
        .query(
            "SELECT id, address, octets, messages FROM account ORDER BY address",
            &[],
        )
        .await?;
    let info = |row: &Row| {
        Ok(AccountInfo {
            id: AccountId(get(row, 0)?),
            address: get(row, 1)?,
            usage: rows::usage(row, 2)?,
        })
    };
    rows.iter().map(info).collect()
}

pub(super) fn info(row: &Row) -> Result<MailboxInfo> {
    Ok(rows::mailbox(row)?.info(get(row, 11)?))
}

/// Mailboxes of the account `$1` with whether they are subscribed, by name; `condition` may select some.
fn select(condition: &str) -> String {
    select_with("NULL", condition)
}

/// The same with more columns.
fn select_with(more: &str, condition: &str) -> String {
    format!(
        "SELECT m.id, m.account, m.name, m.special_use, m.uid_validity, m.uid_next, m.modseq, m.messages, m.unseen, m.deleted, m.octets, s.name IS NOT NULL, {more}
         FROM mailbox AS m LEFT JOIN subscription AS s ON s.account = m.account AND s.name = m.name
         WHERE m.account = $1 AND m.name IS NOT NULL{condition} ORDER BY m.name"
    )
}

pub(super) async fn all(connection: &Connection, account: AccountId) -> Result<Vec<MailboxInfo>> {
    let rows = connection.query(&select(""), &[&account.0]).await?;
    rows.iter().map(info).collect()
}

pub(super) async fn named(
    connection: &Connection,
    account: AccountId,
    name: &str,
) -> Result<Option<MailboxInfo>> {
    let sql = select(" AND m.name = $2");
    let row = connection.row(&sql, &[&account.0, &name]).await?;
    row.as_ref().map(info).transpose()
}

/// One mailbox by account and id, with more columns from the twelfth on.
pub(super) fn by_id_sql(more: &str) -> String {
    select_with(more, " AND m.id = $2")
}

pub(super) async fn by_id(connection: &Connection, mailbox: MailboxId) -> Result<MailboxInfo> {
    let account = shard::account_of(mailbox);
    let row = connection
        .row(&by_id_sql("NULL"), &[&account, &mailbox.0])
        .await?;
    info(&row.ok_or(StoreError::NotFound("mailbox"))?)
}

pub(super) async fn subscriptions(
    connection: &Connection,
    account: AccountId,
) -> Result<Vec<String>> {
    let rows = connection
        .query(
            "SELECT name FROM subscription WHERE account = $1 ORDER BY name",
            &[&account.0],
        )
        .await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

pub(super) async fn create(
    tx: &Tx<'_>,
    account: AccountId,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<MailboxId> {
    let made = make(tx, account.0, name, special_use).await?;
    tx.effect(Effect::Mailbox(shard::whole_account(account)));
    match made.into_iter().find(|row| row.name == name) {
        Some(row) => Ok(MailboxId(row.id)),
        None => Err(StoreError::AlreadyExists("mailbox")),
    }
}

async fn named_locked(tx: &Tx<'_>, account: AccountId, name: &str) -> Result<MailboxRow> {
    let found = named(tx, account, name).await?;
    let found = found.ok_or(StoreError::NotFound("mailbox"))?;
    rows::locked(tx, found.id).await
}

/// The name is free at once; the housekeeper removes the messages.
pub(super) async fn delete(tx: &Tx<'_>, account: AccountId, name: &str) -> Result<()> {
    if name == INBOX {
        return Err(StoreError::Invalid("INBOX cannot be deleted".to_owned()));
    }
    rows::lock_accounts(tx, &[account.0]).await?;
    let row = named_locked(tx, account, name).await?;
    let (octets, messages) = row.usage();
    rows::add_usage(tx, account.0, -octets, -messages).await?;
    tx.execute(
        "DELETE FROM annotation WHERE account = $1 AND mailbox = $2",
        &[&account.0, &row.id],
    )
    .await?;
    acl::forget(tx, account.0, Some(row.id)).await?;
    tx.execute(
        "UPDATE mailbox SET name = NULL WHERE account = $1 AND id = $2",
        &[&account.0, &row.id],
    )
    .await?;
    tx.effect(Effect::Mailbox(MailboxId(row.id)));
    Ok(())
}

/// The address is free at once; the housekeeper removes the messages.
pub(super) async fn delete_account(tx: &Tx<'_>, account: AccountId) -> Result<()> {
    rows::lock_accounts(tx, &[account.0]).await?;
    let gone = tx
        .query(
            "UPDATE mailbox SET name = NULL WHERE account = $1 AND name IS NOT NULL RETURNING id",
            &[&account.0],
        )
        .await?;
    for table in ["subscription", "annotation", "quota_told", "kept_validity"] {
        let sql = format!("DELETE FROM {table} WHERE account = $1");
        tx.execute(&sql, &[&account.0]).await?;
    }
    let sql = "DELETE FROM credential USING account WHERE account.id = $1 AND credential.address = account.address";
    tx.execute(sql, &[&account.0]).await?;
    scripts::forget(tx, account).await?;
    acl::forget(tx, account.0, None).await?;
    acl::forget_person(tx, account).await?;
    tx.execute("DELETE FROM account WHERE id = $1", &[&account.0])
        .await?;
    for row in &gone {
        tx.effect(Effect::Mailbox(MailboxId(get(row, 0)?)));
    }
    tx.effect(Effect::Mailbox(shard::whole_account(account)));
    Ok(())
}

/// Removes some messages of deleted mailboxes; whether there may be more.
pub(in crate::postgres) async fn reap(shared: &Shared) -> Result<bool> {
    transact!(shared, Kind::Lazy, |tx| reap_step(&tx).await)
}

async fn reap_step(tx: &Tx<'_>) -> Result<bool> {
    const GONE: &str = "SELECT account, id FROM mailbox WHERE name IS NULL ORDER BY account, id LIMIT 1 FOR UPDATE SKIP LOCKED";
    const MAILS: &str = "DELETE FROM mail WHERE account = $1 AND mailbox = $2 AND uid IN (
            SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 ORDER BY uid LIMIT $3
        ) RETURNING body";
    const SEEN: &str = "DELETE FROM reader_seen WHERE account = $1 AND mailbox = $2 AND uid IN (
            SELECT uid FROM reader_seen WHERE account = $1 AND mailbox = $2 ORDER BY uid LIMIT $3
        )";
    let Some(mailbox) = tx.row(GONE, &[]).await? else {
        return Ok(false);
    };
    let (account, id): (i64, i64) = (get(&mailbox, 0)?, get(&mailbox, 1)?);
    let rows = tx.query(MAILS, &[&account, &id, &REAP_STEP]).await?;
    tx.execute(SEEN, &[&account, &id, &REAP_STEP]).await?;
    let bodies = rows
        .iter()
        .map(|row| get(row, 0))
        .collect::<Result<Vec<i64>>>()?;
    transfer::unrefer(tx, &bodies).await?;
    if rows.is_empty() {
        super::migrations::forget_mailbox(tx, account, id).await?;
        for table in ["expunged", "keyword", "pop3_uidl", "reader_seen"] {
            let sql = format!("DELETE FROM {table} WHERE account = $1 AND mailbox = $2");
            tx.execute(&sql, &[&account, &id]).await?;
        }
        tx.execute(
            "DELETE FROM mailbox WHERE account = $1 AND id = $2",
            &[&account, &id],
        )
        .await?;
    }
    Ok(true)
}

pub(super) async fn rename(tx: &Tx<'_>, account: AccountId, from: &str, to: &str) -> Result<()> {
    rows::lock_accounts(tx, &[account.0]).await?;
    let source = named_locked(tx, account, from).await?;
    if named(tx, account, to).await?.is_some() {
        return Err(StoreError::AlreadyExists("mailbox"));
    }
    if from == INBOX {
        return rename_inbox(tx, account, &source, to).await;
    }
    if to
        .strip_prefix(from)
        .is_some_and(|rest| rest.starts_with('/'))
    {
        return Err(StoreError::Invalid(
            "a mailbox cannot be renamed to below itself".to_owned(),
        ));
    }
    let moved = renamed(tx, account, from, to).await?;
    if let Some((above, _)) = to.rsplit_once('/') {
        make(tx, account.0, above, None).await?;
    }
    for (id, target) in moved {
        if named(tx, account, &target).await?.is_some() {
            return Err(StoreError::AlreadyExists("mailbox"));
        }
        tx.execute(
            "UPDATE mailbox SET name = $3 WHERE account = $1 AND id = $2",
            &[&account.0, &id, &target],
        )
        .await?;
        tx.effect(Effect::Mailbox(MailboxId(id)));
    }
    Ok(())
}

/// A mailbox and those below it, from the top, with their new names. `0` is the character after `/`.
async fn renamed(
    tx: &Tx<'_>,
    account: AccountId,
    from: &str,
    to: &str,
) -> Result<Vec<(i64, String)>> {
    const SQL: &str = "SELECT id, name FROM mailbox WHERE account = $1 AND (name = $2 OR (name >= $2 || '/' AND name < $2 || '0')) ORDER BY name";
    let mut renamed = Vec::new();
    for row in tx.query(SQL, &[&account.0, &from]).await? {
        let name: &str = get(&row, 1)?;
        let rest = name.get(from.len()..).unwrap_or_default();
        renamed.push((get(&row, 0)?, names::canonical(&format!("{to}{rest}"))?));
    }
    Ok(renamed)
}

/// RFC 9051 §6.3.6: the messages move; INBOX stays, and so do those below it.
async fn rename_inbox(tx: &Tx<'_>, account: AccountId, inbox: &MailboxRow, to: &str) -> Result<()> {
    let target = create(tx, account, to, None).await?;
    let inbox = MailboxId(inbox.id);
    let uids = super::read::scan(tx, inbox).await?;
    transfer::transfer(tx, &Transfer::within(inbox, uids, target))
        .await
        .map(drop)
}

pub(super) async fn subscribe(tx: &Tx<'_>, account: AccountId, name: &str, on: bool) -> Result<()> {
    tx.effect(Effect::Mailbox(shard::whole_account(account)));
    if !on {
        let sql = "DELETE FROM subscription WHERE account = $1 AND name = $2";
        return tx.execute(sql, &[&account.0, &name]).await.map(drop);
    }
    rows::lock_accounts(tx, &[account.0]).await?;
    let row = tx
        .row(
            "SELECT count(*) FROM subscription WHERE account = $1",
            &[&account.0],
        )
        .await?;
    let count: i64 = row.map_or(Ok(0), |row| get(&row, 0))?;
    if count >= MAX_SUBSCRIPTIONS {
        return Err(StoreError::Invalid(format!(
            "an account has at most {MAX_SUBSCRIPTIONS} subscriptions"
        )));
    }
    tx.execute(
        "INSERT INTO subscription (account, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[&account.0, &name],
    )
    .await
    .map(drop)
}

/// Mailboxes were deleted: the housekeeper has something to do.
pub(super) fn reap_soon(shared: &Shared) {
    shared.reap.store(true, Ordering::Release);
}
