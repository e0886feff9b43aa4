//! The store of a pod.

use std::fs::File;
use std::path::PathBuf;

use mailpods_process::{LockError, take_folder};
use mailpods_store::sqlite::{self, SqliteStore};
use mailpods_store::{Store, StoreError};
use mailpods_telemetry::metrics::{MetricsError, Registry};

/// Which store.
#[derive(Debug, Clone)]
pub enum StoreOptions {
    /// The embedded one, in a folder of this pod's own: all roles in one process.
    Embedded {
        /// The folder.
        data: PathBuf,
    },
    /// PostgreSQL, shared by the pods of a cluster.
    Postgres {
        /// File with the connection URI.
        uri_file: PathBuf,
        /// File with the key that seals secrets.
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
    /// A metric's name is taken.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
    /// This build has no PostgreSQL back end.
    #[error(
        "--store-uri-file names a PostgreSQL store, which this release cannot use; `mailpods all --data DIR` has a store of its own"
    )]
    NoPostgres,
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
    /// None.
    None,
}

impl Opened {
    /// Opens it.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn open(options: &StoreOptions, registry: &Registry) -> Result<Self, StorageError> {
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
            StoreOptions::Postgres { .. } => Err(StorageError::NoPostgres),
            StoreOptions::None => Ok(Self::None),
        }
    }

    /// Its concerns.
    #[must_use]
    pub fn store(&self) -> Option<Store> {
        match self {
            Self::Embedded { sqlite, .. } => Some(sqlite.store()),
            Self::None => None,
        }
    }

    /// Takes back leases of a process that did not end well, where nobody else can hold any.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn reclaim(&self) -> Result<(), StorageError> {
        if let Self::Embedded { sqlite, .. } = self {
            sqlite.reclaim().await?;
        }
        Ok(())
    }

    /// Ends it, with all that was written on disk.
    ///
    /// # Errors
    /// When the last writes fail.
    pub async fn close(self) -> Result<(), StorageError> {
        if let Self::Embedded { sqlite, .. } = self {
            sqlite.close().await?;
        }
        Ok(())
    }
}
