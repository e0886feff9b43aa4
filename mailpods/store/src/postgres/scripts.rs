//! Personal Sieve scripts. Whoever changes them has the row of the account locked.

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_api::MailboxAddress;

use super::Core;
use super::connection::{Connection, Pipeline};
use super::mail::rows;
use super::shard;
use super::tx::{Effect, Kind, Tx, count, get, transact};
use crate::common::scripts::Kept;
use crate::error::{Result, StoreError};
use crate::scripts::{PersonalScripts, ScriptError, ScriptInfo, ScriptRevision, ScriptStore};
use crate::types::AccountId;

/// What a change of scripts ends with: a failure of the store, or a refusal.
type Change = Result<Result<(), ScriptError>>;

async fn kept(connection: &Connection, account: AccountId, name: &str) -> Result<Kept> {
    const SQL: &str = "SELECT count(*), coalesce(sum(length(source)), 0)::bigint, max(length(source)) FILTER (WHERE name = $2)::bigint
        FROM sieve_script WHERE account = $1";
    let row = connection.row(SQL, &[&account.0, &name]).await?;
    let row = row.ok_or(StoreError::NotFound("account"))?;
    Ok(Kept {
        count: get(&row, 0)?,
        octets: get(&row, 1)?,
        old: get(&row, 2)?,
    })
}

async fn is_there(tx: &Tx<'_>, account: AccountId, name: &str) -> Result<bool> {
    Ok(kept(tx, account, name).await?.old.is_some())
}

/// Something is about to change.
async fn touch(tx: &Tx<'_>, account: AccountId) -> Result<()> {
    const SQL: &str = "INSERT INTO sieve_owner AS o (account, revision) VALUES ($1, 1)
        ON CONFLICT (account) DO UPDATE SET revision = o.revision + 1";
    tx.execute(SQL, &[&account.0]).await?;
    tx.effect(Effect::Mailbox(shard::whole_account(account)));
    Ok(())
}

async fn put(tx: &Tx<'_>, account: AccountId, name: &str, source: &[u8]) -> Change {
    const SQL: &str = "INSERT INTO sieve_script (account, name, source) VALUES ($1, $2, $3)
        ON CONFLICT (account, name) DO UPDATE SET source = excluded.source";
    rows::lock_accounts(tx, &[account.0]).await?;
    if let Err(refused) = kept(tx, account, name).await?.check(source.len() as u64) {
        return Ok(Err(refused));
    }
    touch(tx, account).await?;
    tx.execute(SQL, &[&account.0, &name, &source]).await?;
    Ok(Ok(()))
}

async fn activate(tx: &Tx<'_>, account: AccountId, name: Option<&str>) -> Change {
    rows::lock_accounts(tx, &[account.0]).await?;
    if let Some(name) = name
        && !is_there(tx, account, name).await?
    {
        return Ok(Err(ScriptError::NotFound));
    }
    touch(tx, account).await?;
    let sql = "UPDATE sieve_owner SET active = $2 WHERE account = $1";
    tx.execute(sql, &[&account.0, &name]).await?;
    Ok(Ok(()))
}

async fn delete(tx: &Tx<'_>, account: AccountId, name: &str) -> Change {
    rows::lock_accounts(tx, &[account.0]).await?;
    if !is_there(tx, account, name).await? {
        return Ok(Err(ScriptError::NotFound));
    }
    let sql = "SELECT 1 FROM sieve_owner WHERE account = $1 AND active = $2";
    if tx.row(sql, &[&account.0, &name]).await?.is_some() {
        return Ok(Err(ScriptError::Active));
    }
    touch(tx, account).await?;
    let sql = "DELETE FROM sieve_script WHERE account = $1 AND name = $2";
    tx.execute(sql, &[&account.0, &name]).await?;
    Ok(Ok(()))
}

async fn rename(tx: &Tx<'_>, account: AccountId, from: &str, to: &str) -> Change {
    rows::lock_accounts(tx, &[account.0]).await?;
    if !is_there(tx, account, from).await? {
        return Ok(Err(ScriptError::NotFound));
    }
    if is_there(tx, account, to).await? {
        return Ok(Err(ScriptError::AlreadyExists));
    }
    touch(tx, account).await?;
    for sql in [
        "UPDATE sieve_script SET name = $3 WHERE account = $1 AND name = $2",
        "UPDATE sieve_owner SET active = $3 WHERE account = $1 AND active = $2",
    ] {
        tx.execute(sql, &[&account.0, &from, &to]).await?;
    }
    Ok(Ok(()))
}

/// The account is deleted.
pub(super) async fn forget(tx: &Tx<'_>, account: AccountId) -> Result<()> {
    for table in ["sieve_script", "sieve_owner"] {
        let sql = format!("DELETE FROM {table} WHERE account = $1");
        tx.execute(&sql, &[&account.0]).await?;
    }
    Ok(())
}

/// The owner and the scripts, of one moment.
async fn all(connection: &Connection, account: AccountId) -> Result<Option<PersonalScripts>> {
    let mut pipeline = Pipeline::default();
    pipeline.add("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &[]);
    let owner = "SELECT revision, active FROM sieve_owner WHERE account = $1";
    let owner = pipeline.add(owner, &[&account.0]);
    let scripts = "SELECT name, source FROM sieve_script WHERE account = $1 ORDER BY name";
    let scripts = pipeline.add(scripts, &[&account.0]);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await?;
    connection.ended();
    let Some(row) = answers[owner].first() else {
        return Ok(None);
    };
    let script = |row| Ok((get(row, 0)?, Bytes::copy_from_slice(get(row, 1)?)));
    Ok(Some(PersonalScripts {
        account,
        revision: count(row, 0)?,
        active: get(row, 1)?,
        scripts: answers[scripts].iter().map(script).collect::<Result<_>>()?,
    }))
}

#[async_trait]
impl ScriptStore for Core {
    async fn scripts(&self, account: AccountId) -> Result<Vec<ScriptInfo>> {
        const SQL: &str =
            "SELECT s.name, s.name IS NOT DISTINCT FROM o.active FROM sieve_script AS s
            LEFT JOIN sieve_owner AS o USING (account) WHERE s.account = $1 ORDER BY s.name";
        let connection = self.shared.pool.get().await?;
        let rows = connection.query(SQL, &[&account.0]).await?;
        let info = |row| {
            Ok(ScriptInfo {
                name: get(row, 0)?,
                active: get(row, 1)?,
            })
        };
        rows.iter().map(info).collect()
    }

    async fn script(&self, account: AccountId, name: &str) -> Result<Option<Bytes>> {
        let connection = self.shared.pool.get().await?;
        let sql = "SELECT source FROM sieve_script WHERE account = $1 AND name = $2";
        let row = connection.row(sql, &[&account.0, &name]).await?;
        row.map(|row| Ok(Bytes::copy_from_slice(get(&row, 0)?)))
            .transpose()
    }

    async fn room_for_script(
        &self,
        account: AccountId,
        name: &str,
        octets: u64,
    ) -> Result<(), ScriptError> {
        let connection = self.shared.pool.get().await?;
        kept(&connection, account, name).await?.check(octets)
    }

    async fn put_script(
        &self,
        account: AccountId,
        name: &str,
        source: Bytes,
    ) -> Result<(), ScriptError> {
        let done: Change = transact!(&self.shared, Kind::Durable, |tx| {
            put(&tx, account, name, &source).await
        });
        done?
    }

    async fn activate_script(
        &self,
        account: AccountId,
        name: Option<&str>,
    ) -> Result<(), ScriptError> {
        let done: Change = transact!(&self.shared, Kind::Durable, |tx| {
            activate(&tx, account, name).await
        });
        done?
    }

    async fn delete_script(&self, account: AccountId, name: &str) -> Result<(), ScriptError> {
        let done: Change = transact!(&self.shared, Kind::Durable, |tx| {
            delete(&tx, account, name).await
        });
        done?
    }

    async fn rename_script(
        &self,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<(), ScriptError> {
        let done: Change = transact!(&self.shared, Kind::Durable, |tx| {
            rename(&tx, account, from, to).await
        });
        done?
    }

    async fn script_revisions(&self, addresses: &[MailboxAddress]) -> Result<Vec<ScriptRevision>> {
        const SQL: &str = "SELECT v.number, a.id, o.revision FROM unnest($1::text[]) WITH ORDINALITY AS v (address, number)
            JOIN account AS a ON a.address = v.address JOIN sieve_owner AS o ON o.account = a.id";
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let connection = self.shared.pool.get().await?;
        let rows = connection.query(SQL, &[&names]).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let number = usize::try_from(count(row, 0)?).unwrap_or(0);
            let Some(address) = number.checked_sub(1).and_then(|at| addresses.get(at)) else {
                continue;
            };
            found.push(ScriptRevision {
                address: address.clone(),
                account: AccountId(get(row, 1)?),
                revision: count(row, 2)?,
            });
        }
        Ok(found)
    }

    async fn personal_scripts(&self, account: AccountId) -> Result<Option<PersonalScripts>> {
        all(&*self.shared.pool.get().await?, account).await
    }
}
