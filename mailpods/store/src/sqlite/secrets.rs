//! Sealed secrets and saved credentials: ChaCha20-Poly1305 with a key that lies beside the database.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use async_trait::async_trait;
use mailpods_api::MailboxAddress;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Core, connection};
use crate::error::{Result, StoreError};
use crate::secrets::{DirectoryStore, SavedCredential, SecretStore};

/// Name of the file with the key.
pub(super) const KEY_FILE: &str = "seal.key";
const KEY_LEN: usize = 32;
const MAX_NAME: usize = 512;
const MAX_SECRET: usize = 1 << 20;

/// Seals and opens.
pub(super) struct Seal {
    key: LessSafeKey,
}

impl Seal {
    /// Reads the key of the store in `dir`, making one if there is none.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(KEY_FILE);
        if !path.exists() {
            make_key(dir, &path)?;
        }
        let key = Zeroizing::new(
            fs::read(&path)
                .map_err(|error| connection::io_error("failed to read the sealing key", &error))?,
        );
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|_| {
            StoreError::Corrupt(format!("{KEY_FILE} is not a key of {KEY_LEN} octets"))
        })?;
        Ok(Self {
            key: LessSafeKey::new(key),
        })
    }

    /// Nonce and sealed octets. `context` must be the same for opening, so that rows cannot be exchanged.
    fn seal(&self, context: &str, value: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(value.to_vec());
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .map_err(|_| unsealable())?;
        Ok([&nonce, sealed.as_slice(), tag.as_ref()].concat())
    }

    fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(unsealable)?;
        let mut value = Zeroizing::new(rest.to_vec());
        let length = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                &mut value,
            )
            .map_err(|_| unsealable())?
            .len();
        value.truncate(length);
        Ok(value)
    }
}

fn unsealable() -> StoreError {
    StoreError::Corrupt(format!(
        "a sealed secret does not open: {KEY_FILE} may belong to another store"
    ))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut octets = [0; N];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| StoreError::Unavailable("the system gives no random octets".to_owned()))?;
    Ok(octets)
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

fn sealed_value(connection: &Connection, sql: &str, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(connection
        .prepare_cached(sql)?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

const SELECT_SECRET: &str = "SELECT sealed FROM secret WHERE name = ?1";
const SELECT_CREDENTIAL: &str = "SELECT sealed FROM credential WHERE address = ?1";

fn check_secret(name: &str, value: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME || value.len() > MAX_SECRET {
        return Err(StoreError::Invalid(format!(
            "a secret needs a name of 1 to {MAX_NAME} octets and at most {MAX_SECRET} octets"
        )));
    }
    Ok(())
}

fn secret_context(name: &str) -> String {
    format!("secret/{name}")
}

#[async_trait]
impl SecretStore for Core {
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let key = name.to_owned();
        let sealed = self
            .read(move |connection| sealed_value(connection, SELECT_SECRET, &key))
            .await?;
        sealed
            .map(|sealed| self.seal.unseal(&secret_context(name), &sealed))
            .transpose()
    }

    async fn secret_or_put(
        &self,
        name: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        check_secret(name, &value)?;
        let (key, sealed) = (
            name.to_owned(),
            self.seal.seal(&secret_context(name), &value)?,
        );
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
        self.seal.unseal(&secret_context(name), &kept)
    }

    async fn put_secret(&self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<()> {
        check_secret(name, &value)?;
        let (key, sealed) = (
            name.to_owned(),
            self.seal.seal(&secret_context(name), &value)?,
        );
        self.write(move |tx| {
            tx.execute(
                "INSERT OR REPLACE INTO secret (name, sealed) VALUES (?1, ?2)",
                (key, sealed),
            )
            .map(drop)
        })
        .await
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

#[derive(Serialize, Deserialize)]
struct CredentialRow {
    source: [u8; 32],
    hash: Option<String>,
    scram: Option<String>,
}

fn credential_context(address: &str) -> String {
    format!("credential/{address}")
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
        let opened = self.seal.unseal(&credential_context(&address), &sealed)?;
        let row: CredentialRow = serde_json::from_slice(&opened)
            .map_err(|error| StoreError::Corrupt(format!("a saved credential: {error}")))?;
        Ok(Some(SavedCredential {
            source: row.source,
            hash: row.hash.map(Zeroizing::new),
            scram: row.scram.map(Zeroizing::new),
        }))
    }

    async fn save_credential(
        &self,
        account: &MailboxAddress,
        credential: SavedCredential,
    ) -> Result<()> {
        let address = account.to_string();
        let text =
            |text: &Option<Zeroizing<String>>| text.as_ref().map(|text| text.as_str().to_owned());
        let row = CredentialRow {
            source: credential.source,
            hash: text(&credential.hash),
            scram: text(&credential.scram),
        };
        let encoded =
            serde_json::to_vec(&row).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let sealed = self
            .seal
            .seal(&credential_context(&address), &Zeroizing::new(encoded))?;
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
