//! Sealed secrets and saved credentials: ChaCha20-Poly1305 with a key that lies beside the database.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use async_trait::async_trait;
use mailpods_api::MailboxAddress;
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::{Core, connection};
use crate::common::seal::{KEY_LEN, Seal, credential_context, random, secret_context};
use crate::error::{Result, StoreError};
use crate::secrets::{DirectoryStore, SavedCredential, SecretStore};

/// Name of the file with the key.
pub(super) const KEY_FILE: &str = "seal.key";

/// Reads the key of the store in `dir`. One is made for a store in which nothing is sealed; else a key that is gone is an
/// error, because a new one would open nothing.
pub(super) fn open_seal(dir: &Path, connection: &Connection) -> Result<Seal> {
    if let Some(seal) = find_seal(dir)? {
        return Ok(seal);
    }
    // In this order: another process makes the key before it seals.
    let sealed = sealed_count(connection)?;
    if let Some(seal) = find_seal(dir)? {
        return Ok(seal);
    }
    if sealed > 0 {
        return Err(lost(sealed));
    }
    make_key(dir, &dir.join(KEY_FILE))?;
    find_seal(dir)?.ok_or(StoreError::NotFound("sealing key"))
}

/// The key of the store in `dir`, if it has one.
fn find_seal(dir: &Path) -> Result<Option<Seal>> {
    let key = match fs::read(dir.join(KEY_FILE)) {
        Ok(key) => Zeroizing::new(key),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(connection::io_error(
                "failed to read the sealing key",
                &error,
            ));
        }
    };
    let seal = Seal::new(&key)
        .map_err(|_| StoreError::Corrupt(format!("{KEY_FILE} is not a key of {KEY_LEN} octets")));
    seal.map(Some)
}

/// Several processes may do this at once: the first link wins.
fn make_key(dir: &Path, path: &Path) -> Result<()> {
    let failed =
        |error: std::io::Error| connection::io_error("failed to write the sealing key", &error);
    let key = Zeroizing::new(random::<KEY_LEN>()?);
    let draft = dir.join(format!("{KEY_FILE}.{:016x}", u64::from_le_bytes(random()?)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    let written = file
        .write_all(key.as_slice())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(failed)?;
    connection::sync_folder(dir)
}

fn sealed_count(connection: &Connection) -> Result<i64> {
    let sql = "SELECT (SELECT count(*) FROM secret) + (SELECT count(*) FROM credential)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

fn lost(sealed: i64) -> StoreError {
    StoreError::Corrupt(format!(
        "{KEY_FILE} is missing, and {sealed} secrets are sealed with it; put it back from a backup, or see `mailpods fsck`"
    ))
}

/// Fails for a store whose key is gone although something is sealed with it: a copy of it would be worth nothing.
pub(super) fn check_key(dir: &Path, connection: &Connection) -> Result<()> {
    match (find_seal(dir)?, sealed_count(connection)?) {
        (None, sealed) if sealed > 0 => Err(lost(sealed)),
        _ => Ok(()),
    }
}

/// Something sealed that the key does not open.
pub(super) enum Unopened {
    /// By name.
    Secret(String),
    /// By address.
    Credential(String),
}

impl Unopened {
    /// Takes it out of the store.
    pub(super) fn forget(&self, connection: &Connection) -> Result<()> {
        let (sql, key) = match self {
            Self::Secret(name) => ("DELETE FROM secret WHERE name = ?1", name),
            Self::Credential(address) => ("DELETE FROM credential WHERE address = ?1", address),
        };
        connection.execute(sql, [key])?;
        Ok(())
    }
}

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(name) => f.write_str(name),
            Self::Credential(address) => write!(f, "saved credential of {address}"),
        }
    }
}

/// Tries to open everything that is sealed; all of it fails while there is no key, or one that is none.
pub(super) fn unopened(dir: &Path, connection: &Connection) -> Result<Vec<Unopened>> {
    let seal = match find_seal(dir) {
        Err(StoreError::Corrupt(_)) => None,
        other => other?,
    };
    let opens = |context: &str, sealed: &[u8]| {
        seal.as_ref()
            .is_some_and(|seal| seal.unseal(context, sealed).is_ok())
    };
    let mut closed = Vec::new();
    for (name, sealed) in sealed_rows(connection, "SELECT name, sealed FROM secret ORDER BY name")?
    {
        if !opens(&secret_context(&name), &sealed) {
            closed.push(Unopened::Secret(name));
        }
    }
    let sql = "SELECT address, sealed FROM credential ORDER BY address";
    for (address, sealed) in sealed_rows(connection, sql)? {
        if !opens(&credential_context(&address), &sealed) {
            closed.push(Unopened::Credential(address));
        }
    }
    Ok(closed)
}

fn sealed_rows(connection: &Connection, sql: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut statement = connection.prepare(sql)?;
    Ok(statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?)
}

fn sealed_value(connection: &Connection, sql: &str, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(connection
        .prepare_cached(sql)?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

const SELECT_SECRET: &str = "SELECT sealed FROM secret WHERE name = ?1";
const SELECT_CREDENTIAL: &str = "SELECT sealed FROM credential WHERE address = ?1";

#[async_trait]
impl SecretStore for Core {
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let key = name.to_owned();
        let sealed = self
            .read(move |connection| sealed_value(connection, SELECT_SECRET, &key))
            .await?;
        sealed
            .map(|sealed| self.seal.open_secret(name, &sealed))
            .transpose()
    }

    async fn secret_or_put(
        &self,
        name: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let (key, sealed) = (name.to_owned(), self.seal.seal_secret(name, &value)?);
        let kept = self
            .write(move |tx| {
                tx.execute(
                    "INSERT OR IGNORE INTO secret (name, sealed) VALUES (?1, ?2)",
                    (&key, &sealed),
                )?;
                sealed_value(tx.connection, SELECT_SECRET, &key)?
                    .ok_or(StoreError::NotFound("secret"))
            })
            .await?;
        self.seal.open_secret(name, &kept)
    }

    async fn put_secret(&self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<()> {
        let (key, sealed) = (name.to_owned(), self.seal.seal_secret(name, &value)?);
        self.write(move |tx| {
            tx.execute(
                "INSERT OR REPLACE INTO secret (name, sealed) VALUES (?1, ?2)",
                (key, sealed),
            )
            .map(drop)
        })
        .await
    }

    async fn swap_secret(
        &self,
        name: &str,
        before: Option<&[u8]>,
        after: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<bool> {
        let new = after.map(|value| self.seal.seal_secret(name, &value));
        let new = new.transpose()?;
        let key = name.to_owned();
        let old = self
            .read(move |connection| sealed_value(connection, SELECT_SECRET, &key))
            .await?;
        let there = old.as_ref().map(|old| self.seal.open_secret(name, old));
        let there = there.transpose()?;
        if there.as_ref().map(|there| there.as_slice()) != before {
            return Ok(false);
        }
        let key = name.to_owned();
        // What was sealed anew has other octets, so that these tell whether it is still the same.
        let changed = self.write(move |tx| match (&old, &new) {
            (None, None) => Ok(1),
            (None, Some(new)) => {
                let sql = "INSERT OR IGNORE INTO secret (name, sealed) VALUES (?1, ?2)";
                tx.execute(sql, (&key, new))
            }
            (Some(old), Some(new)) => {
                let sql = "UPDATE secret SET sealed = ?3 WHERE name = ?1 AND sealed = ?2";
                tx.execute(sql, (&key, old, new))
            }
            (Some(old), None) => {
                let sql = "DELETE FROM secret WHERE name = ?1 AND sealed = ?2";
                tx.execute(sql, (&key, old))
            }
        });
        Ok(changed.await? > 0)
    }

    async fn secret_names(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT name FROM secret WHERE name >= ?1 ORDER BY name")?;
            let names = statement.query_map([&prefix], |row| row.get::<_, String>(0))?;
            Ok(names
                .take_while(|name| name.as_ref().map_or(true, |name| name.starts_with(&prefix)))
                .collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn delete_secret(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write(move |tx| {
            tx.execute("DELETE FROM secret WHERE name = ?1", [name])
                .map(drop)
        })
        .await
    }
}

#[async_trait]
impl DirectoryStore for Core {
    async fn saved_credential(&self, account: &MailboxAddress) -> Result<Option<SavedCredential>> {
        let address = account.to_string();
        let key = address.clone();
        let Some(sealed) = self
            .read(move |connection| sealed_value(connection, SELECT_CREDENTIAL, &key))
            .await?
        else {
            return Ok(None);
        };
        self.seal.open_credential(&address, &sealed).map(Some)
    }

    async fn save_credential(
        &self,
        account: &MailboxAddress,
        credential: SavedCredential,
    ) -> Result<()> {
        let address = account.to_string();
        let sealed = self.seal.seal_credential(&address, &credential)?;
        self.write(move |tx| {
            tx.execute(
                "INSERT OR REPLACE INTO credential (address, sealed) VALUES (?1, ?2)",
                (address, sealed),
            )
            .map(drop)
        })
        .await
    }
}
