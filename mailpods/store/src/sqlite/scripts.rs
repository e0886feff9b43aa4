//! Personal Sieve scripts.

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_api::MailboxAddress;
use rusqlite::{Connection, OptionalExtension as _};

use super::Core;
use super::mail::row;
use super::tx::{Effect, Tx};
use crate::common::scripts::Kept;
use crate::error::Result;
use crate::scripts::{PersonalScripts, ScriptError, ScriptInfo, ScriptRevision, ScriptStore};
use crate::types::AccountId;

/// What a change of scripts ends with: a failure of the store, or a refusal.
type Change = Result<Result<(), ScriptError>>;

fn kept(connection: &Connection, account: AccountId, name: &str) -> Result<Kept> {
    const SQL: &str = "SELECT count(*), ifnull(sum(length(source)), 0), max(length(source)) FILTER (WHERE name = ?2)
        FROM sieve_script WHERE account = ?1";
    let mut statement = connection.prepare_cached(SQL)?;
    Ok(statement.query_row((account.0, name), |row| {
        Ok(Kept {
            count: row.get(0)?,
            octets: row.get(1)?,
            old: row.get(2)?,
        })
    })?)
}

fn is_there(tx: &Tx<'_>, account: AccountId, name: &str) -> Result<bool> {
    kept(tx.connection, account, name).map(|kept| kept.old.is_some())
}

fn active(connection: &Connection, account: AccountId) -> Result<Option<(u64, Option<String>)>> {
    let mut statement =
        connection.prepare_cached("SELECT revision, active FROM sieve_owner WHERE account = ?1")?;
    let owner = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?));
    Ok(statement.query_row([account.0], owner).optional()?)
}

/// Something is about to change.
fn touch(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    const SQL: &str = "INSERT INTO sieve_owner (account, revision) VALUES (?1, 1)
        ON CONFLICT (account) DO UPDATE SET revision = revision + 1";
    tx.execute(SQL, [account.0])?;
    tx.effect(Effect::Settings(account));
    Ok(())
}

fn list(connection: &Connection, account: AccountId) -> Result<Vec<ScriptInfo>> {
    const SQL: &str = "SELECT s.name, s.name IS o.active FROM sieve_script s LEFT JOIN sieve_owner o USING (account)
        WHERE s.account = ?1 ORDER BY s.name";
    let mut statement = connection.prepare_cached(SQL)?;
    let info = |row: &rusqlite::Row<'_>| {
        Ok(ScriptInfo {
            name: row.get(0)?,
            active: row.get(1)?,
        })
    };
    Ok(statement
        .query_map([account.0], info)?
        .collect::<rusqlite::Result<_>>()?)
}

fn put(tx: &mut Tx<'_>, account: AccountId, name: &str, source: &[u8]) -> Change {
    row::usage(tx.connection, account)?;
    if let Err(refused) = kept(tx.connection, account, name)?.check(source.len() as u64) {
        return Ok(Err(refused));
    }
    touch(tx, account)?;
    let sql = "INSERT OR REPLACE INTO sieve_script (account, name, source) VALUES (?1, ?2, ?3)";
    tx.execute(sql, (account.0, name, source))?;
    Ok(Ok(()))
}

fn activate(tx: &mut Tx<'_>, account: AccountId, name: Option<&str>) -> Change {
    row::usage(tx.connection, account)?;
    if let Some(name) = name
        && !is_there(tx, account, name)?
    {
        return Ok(Err(ScriptError::NotFound));
    }
    touch(tx, account)?;
    let sql = "UPDATE sieve_owner SET active = ?2 WHERE account = ?1";
    tx.execute(sql, (account.0, name))?;
    Ok(Ok(()))
}

fn delete(tx: &mut Tx<'_>, account: AccountId, name: &str) -> Change {
    if !is_there(tx, account, name)? {
        return Ok(Err(ScriptError::NotFound));
    }
    let owner = active(tx.connection, account)?;
    if owner.is_some_and(|(_, active)| active.as_deref() == Some(name)) {
        return Ok(Err(ScriptError::Active));
    }
    touch(tx, account)?;
    let sql = "DELETE FROM sieve_script WHERE account = ?1 AND name = ?2";
    tx.execute(sql, (account.0, name))?;
    Ok(Ok(()))
}

fn rename(tx: &mut Tx<'_>, account: AccountId, from: &str, to: &str) -> Change {
    if !is_there(tx, account, from)? {
        return Ok(Err(ScriptError::NotFound));
    }
    if is_there(tx, account, to)? {
        return Ok(Err(ScriptError::AlreadyExists));
    }
    touch(tx, account)?;
    for sql in [
        "UPDATE sieve_script SET name = ?3 WHERE account = ?1 AND name = ?2",
        "UPDATE sieve_owner SET active = ?3 WHERE account = ?1 AND active = ?2",
    ] {
        tx.execute(sql, (account.0, from, to))?;
    }
    Ok(Ok(()))
}

/// The account is deleted.
pub(super) fn forget(tx: &Tx<'_>, account: AccountId) -> Result<()> {
    for table in ["sieve_script", "sieve_owner"] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE account = ?1"),
            [account.0],
        )?;
    }
    Ok(())
}

fn revision_of(connection: &Connection, address: MailboxAddress) -> Result<Option<ScriptRevision>> {
    const SQL: &str =
        "SELECT a.id, o.revision FROM account a JOIN sieve_owner o ON o.account = a.id
        WHERE a.address = ?1";
    let mut statement = connection.prepare_cached(SQL)?;
    let found = statement.query_row([address.to_string()], |row| {
        Ok(ScriptRevision {
            account: AccountId(row.get(0)?),
            revision: row.get::<_, i64>(1)?.cast_unsigned(),
            address,
        })
    });
    Ok(found.optional()?)
}

fn all(connection: &Connection, account: AccountId) -> Result<Option<PersonalScripts>> {
    let Some((revision, active)) = active(connection, account)? else {
        return Ok(None);
    };
    let mut statement = connection
        .prepare_cached("SELECT name, source FROM sieve_script WHERE account = ?1 ORDER BY name")?;
    let script = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?.into()));
    let scripts = statement
        .query_map([account.0], script)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(PersonalScripts {
        account,
        revision,
        active,
        scripts,
    }))
}

#[async_trait]
impl ScriptStore for Core {
    async fn scripts(&self, account: AccountId) -> Result<Vec<ScriptInfo>> {
        self.read(move |connection| list(connection, account)).await
    }

    async fn script(&self, account: AccountId, name: &str) -> Result<Option<Bytes>> {
        let name = name.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT source FROM sieve_script WHERE account = ?1 AND name = ?2",
            )?;
            let source = statement.query_row((account.0, name), |row| row.get::<_, Vec<u8>>(0));
            Ok(source.optional()?.map(Bytes::from))
        })
        .await
    }

    async fn room_for_script(
        &self,
        account: AccountId,
        name: &str,
        octets: u64,
    ) -> Result<(), ScriptError> {
        let name = name.to_owned();
        let kept = self.read(move |connection| kept(connection, account, &name));
        kept.await?.check(octets)
    }

    async fn put_script(
        &self,
        account: AccountId,
        name: &str,
        source: Bytes,
    ) -> Result<(), ScriptError> {
        let name = name.to_owned();
        self.write(move |tx| put(tx, account, &name, &source))
            .await?
    }

    async fn activate_script(
        &self,
        account: AccountId,
        name: Option<&str>,
    ) -> Result<(), ScriptError> {
        let name = name.map(str::to_owned);
        self.write(move |tx| activate(tx, account, name.as_deref()))
            .await?
    }

    async fn delete_script(&self, account: AccountId, name: &str) -> Result<(), ScriptError> {
        let name = name.to_owned();
        self.write(move |tx| delete(tx, account, &name)).await?
    }

    async fn rename_script(
        &self,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<(), ScriptError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.write(move |tx| rename(tx, account, &from, &to))
            .await?
    }

    async fn script_revisions(&self, addresses: &[MailboxAddress]) -> Result<Vec<ScriptRevision>> {
        let addresses = addresses.to_vec();
        self.read(move |connection| {
            let found = addresses.into_iter();
            found
                .filter_map(|address| revision_of(connection, address).transpose())
                .collect()
        })
        .await
    }

    async fn personal_scripts(&self, account: AccountId) -> Result<Option<PersonalScripts>> {
        self.read(move |connection| all(connection, account)).await
    }
}
