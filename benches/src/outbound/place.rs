//! A store that is filled first and served later.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use mailpods_store::postgres::{self, PostgresStore};
use mailpods_store::sqlite::{self, SqliteStore};
use mailpods_store::{QueueStore, Store};
use mailpods_test_postgres::Server as Postgres;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::Kind;
use crate::goals::Report;
use crate::stack::{Bench, Setup, Stack, cluster, mailpods};

/// The store of a server that is still to be started, or its folder.
pub struct Place {
    folder: TempDir,
    database: Option<(Postgres, String)>,
}

/// The store, open in this process.
pub enum Open {
    /// Embedded.
    Sqlite(SqliteStore),
    /// In a database.
    Postgres(PostgresStore),
}

impl Place {
    /// An empty store.
    ///
    /// # Errors
    /// When there is no room or no database.
    pub async fn new(bench: &Bench, kind: Kind) -> Result<Self> {
        let folder = bench.folder()?;
        let path = folder.path().to_owned();
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => {
                Some(tokio::task::spawn_blocking(move || cluster::database(&path)).await??)
            }
        };
        Ok(Self { folder, database })
    }

    /// Opens the store, as a tool does; a server may run.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self) -> Result<Open> {
        let uri = self.database.as_ref().map(|(_, uri)| uri.as_str());
        open(self.folder.path(), uri).await
    }

    /// Starts the server.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn serve(self, bench: &Bench, setup: Setup) -> Result<Served> {
        let uri = self.database.as_ref().map(|(_, uri)| uri.clone());
        let stack = match self.database {
            None => mailpods::start_in(bench, setup, self.folder).await?,
            Some(database) => cluster::start_on(bench, setup, self.folder, database).await?,
        };
        Ok(Served { stack, uri })
    }
}

/// A server on a store.
pub struct Served {
    /// Its processes.
    pub stack: Stack,
    uri: Option<String>,
}

impl Served {
    /// Opens the store beside the server, as a tool does.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self) -> Result<Open> {
        open(self.stack.folder(), self.uri.as_deref()).await
    }
}

async fn open(folder: &std::path::Path, uri: Option<&str>) -> Result<Open> {
    Ok(match uri {
        None => Open::Sqlite(SqliteStore::open(
            &mailpods::data(folder),
            sqlite::Options::default(),
        )?),
        Some(uri) => {
            let options = postgres::Options::new(uri, Zeroizing::new(cluster::SEAL_KEY));
            Open::Postgres(PostgresStore::connect(options).await?)
        }
    })
}

impl Open {
    fn store(&self) -> Store {
        match self {
            Self::Sqlite(store) => store.store(),
            Self::Postgres(store) => store.store(),
        }
    }

    /// The queue.
    pub fn queue(&self) -> Arc<dyn QueueStore> {
        self.store().queue
    }

    /// Closes it; everything is on the disk then.
    ///
    /// # Errors
    /// When that fails.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.close().await?,
            Self::Postgres(store) => store.close().await,
        }
        Ok(())
    }
}

/// Opens the store once more, and tells how long that took.
///
/// # Errors
/// As [`Place::open`].
pub async fn reopen(place: &Place, name: &str, report: &mut Report) -> Result<Open> {
    let begin = Instant::now();
    let open = place.open().await?;
    let took = begin.elapsed().as_secs_f64() * 1_000.0;
    report.note(&format!("{name}: opening the store"), "ms", took);
    Ok(open)
}
