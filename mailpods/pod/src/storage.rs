//! The store of a pod.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailpods_process::{LockError, take_folder};
use mailpods_store::postgres::{self, PostgresStore};
use mailpods_store::sqlite::{self, SqliteStore};
use mailpods_store::{ErrorClass, Store, StoreError};
use mailpods_telemetry::error_chain;
use mailpods_telemetry::metrics::{MetricsError, Registry};
use zeroize::Zeroizing;

use crate::remote::{RemoteError, read_file};
use crate::state::State;
use crate::wait::Backoff;

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Octets of a file with a URI.
const MAX_URI_OCTETS: usize = 16 * 1024;
const KEY_OCTETS: usize = 32;

/// Which store.
#[derive(Debug, Clone)]
pub enum StoreOptions {
    /// The embedded one, in a folder of this pod's own: all roles in one process. Its sealing key lies in the folder.
    Embedded {
        /// The folder.
        data: PathBuf,
    },
    /// PostgreSQL, shared by the pods of a cluster.
    Postgres {
        /// File with the connection URI.
        uri_file: PathBuf,
        /// File with the key that seals secrets: 32 octets, raw or base64.
        seal_key: PathBuf,
    },
    /// None: a filter that asks its operator at each start.
    None,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another server has the folder.
    #[error("failed to take the data folder")]
    Lock(#[from] LockError),
    /// It cannot be opened or closed.
    #[error("failed to open the store")]
    Store(#[from] StoreError),
    /// A file that leads to it cannot be read.
    #[error("failed to read what leads to the store")]
    File(#[from] RemoteError),
    /// The key is none.
    #[error("{} holds no sealing key: 32 octets are expected, raw or base64", path.display())]
    SealKey {
        /// The file.
        path: PathBuf,
    },
    /// The URI is none.
    #[error("{} holds no URI: it is not UTF-8", path.display())]
    Uri {
        /// The file.
        path: PathBuf,
    },
    /// A metric's name is taken.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
}

/// An open store.
pub enum Opened {
    /// The embedded one, with the lock of its folder.
    Embedded {
        /// The store.
        sqlite: SqliteStore,
        /// Held as long as the store is open.
        _lock: File,
    },
    /// PostgreSQL.
    Postgres(PostgresStore),
    /// None.
    None,
}

impl Opened {
    /// Opens it. A database that does not answer is waited for, which `state` tells.
    ///
    /// # Errors
    /// When it cannot be opened as it is.
    pub async fn open(
        options: &StoreOptions,
        pod: &str,
        state: &State,
        registry: &Registry,
    ) -> Result<Self, StorageError> {
        match options {
            StoreOptions::Embedded { data } => {
                let lock = take_folder(data)?;
                let sqlite = SqliteStore::open(data, sqlite::Options::default())?;
                sqlite.register_metrics(registry)?;
                Ok(Self::Embedded {
                    sqlite,
                    _lock: lock,
                })
            }
            StoreOptions::Postgres { uri_file, seal_key } => {
                let postgres = connect(uri_file, seal_key, pod, state).await?;
                postgres.register_metrics(registry)?;
                Ok(Self::Postgres(postgres))
            }
            StoreOptions::None => Ok(Self::None),
        }
    }

    /// Its concerns.
    #[must_use]
    pub fn store(&self) -> Option<Store> {
        match self {
            Self::Embedded { sqlite, .. } => Some(sqlite.store()),
            Self::Postgres(postgres) => Some(postgres.store()),
            Self::None => None,
        }
    }

    /// Takes back leases of a process of this name that did not end well: nobody works on them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn reclaim(&self, pod: &str) -> Result<(), StorageError> {
        match self {
            Self::Embedded { sqlite, .. } => sqlite.reclaim().await.map(drop)?,
            Self::Postgres(postgres) => postgres.reclaim(pod).await.map(drop)?,
            Self::None => {}
        }
        Ok(())
    }

    /// Ends it, with all that was written on disk.
    ///
    /// # Errors
    /// When the last writes fail.
    pub async fn close(self) -> Result<(), StorageError> {
        match self {
            Self::Embedded { sqlite, .. } => sqlite.close().await?,
            Self::Postgres(postgres) => postgres.close().await,
            Self::None => {}
        }
        Ok(())
    }
}

async fn connect(
    uri_file: &Path,
    seal_key: &Path,
    pod: &str,
    state: &State,
) -> Result<PostgresStore, StorageError> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        // Read each time: a password may be replaced while we wait.
        let options = postgres_options(uri_file, seal_key, pod).await?;
        match PostgresStore::connect(options).await {
            Ok(store) => return Ok(store),
            Err(error) if error.class() == ErrorClass::Transient => {
                let text = error_chain(&error);
                tracing::warn!(error = text, "the store does not answer; trying again");
                state.store(Err(text));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// How to reach the PostgreSQL store, by the file with its URI and the one with the sealing key. `name` is that of the process.
///
/// # Errors
/// When a file cannot be read, or is not what it should be.
pub async fn postgres_options(
    uri_file: &Path,
    seal_key: &Path,
    name: &str,
) -> Result<postgres::Options, StorageError> {
    let uri = read_file(uri_file, MAX_URI_OCTETS).await?;
    let uri = std::str::from_utf8(&uri).map_err(|_| StorageError::Uri {
        path: uri_file.to_owned(),
    })?;
    Ok(postgres::Options {
        name: name.to_owned(),
        uri_file: Some(uri_file.to_owned()),
        ..postgres::Options::new(uri.trim(), key(seal_key).await?)
    })
}

async fn key(path: &Path) -> Result<Zeroizing<[u8; KEY_OCTETS]>, StorageError> {
    let text = read_file(path, 2 * KEY_OCTETS).await?;
    let bad = || StorageError::SealKey {
        path: path.to_owned(),
    };
    if let Ok(raw) = <[u8; KEY_OCTETS]>::try_from(text.as_slice()) {
        return Ok(Zeroizing::new(raw));
    }
    let decoded = STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
    let decoded = decoded.map_err(|_| bad())?;
    let raw = <[u8; KEY_OCTETS]>::try_from(decoded.as_slice()).map_err(|_| bad())?;
    Ok(Zeroizing::new(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_raw_or_base64_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let raw: Vec<u8> = (100..132).collect();
        let coded = STANDARD.encode(&raw) + "\n";
        for good in [raw.as_slice(), coded.as_bytes()] {
            std::fs::write(&path, good).unwrap();
            assert_eq!(key(&path).await.unwrap().as_slice(), raw);
        }
        for bad in [&b""[..], &raw[1..], b"c2hvcnQ=", &[b'A'; 100]] {
            std::fs::write(&path, bad).unwrap();
            assert!(key(&path).await.is_err(), "{bad:?}");
        }
    }
}
