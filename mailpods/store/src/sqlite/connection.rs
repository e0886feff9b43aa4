//! Opening connections, and SQLite's errors in the store's words.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{DATABASE_FILE, Options};
use crate::error::{Result, StoreError};

/// How often a connection tries to get what another process has locked, and how often at most: about ten seconds. SQLite's own pauses grow
/// to a tenth of a second, in which a server that writes all the time locks and lets go many times: a tool beside it would wait for long.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
const BUSY_TRIES: i32 = 9_000;
const STATEMENTS: usize = 128;

/// Makes the store's folder, readable by its owner alone.
pub(super) fn make_folder(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| io_error("failed to make the store's folder", &error))
}

/// Fails unless there is a store in `dir`: `NotFound` only when there is none, not when one cannot be looked at.
pub(super) fn require(dir: &Path) -> Result<()> {
    match std::fs::metadata(dir.join(DATABASE_FILE)) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(StoreError::Corrupt(format!("{DATABASE_FILE} is no file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(StoreError::NotFound("store"))
        }
        Err(error) => Err(io_error("failed to look for the database", &error)),
    }
}

/// Opens the connection that writes.
pub(super) fn open_writer(dir: &Path, options: &Options) -> Result<Connection> {
    let connection = open(dir)?;
    connection.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; PRAGMA cell_size_check = ON;",
    )?;
    connection.pragma_update(
        None,
        "journal_size_limit",
        i64::try_from(options.checkpoint_octets).unwrap_or(i64::MAX),
    )?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    sync_folder(dir)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(dir: &Path) -> Result<Connection> {
    let connection = open_existing(dir)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;",
    )?;
    Ok(connection)
}

/// Opens a connection to a database that is there, for maintenance.
pub(super) fn open_existing(dir: &Path) -> Result<Connection> {
    open_with(dir, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Makes the database's file, if it is not there, for its owner alone; SQLite gives its other files the same rights.
pub(super) fn make_database(dir: &Path) -> Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.join(DATABASE_FILE))
        .map(drop)
        .map_err(|error| io_error("failed to make the database", &error))
}

fn open(dir: &Path) -> Result<Connection> {
    make_database(dir)?;
    open_with(
        dir,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
}

fn open_with(dir: &Path, flags: OpenFlags) -> Result<Connection> {
    let mut connection = Connection::open_with_flags(
        dir.join(DATABASE_FILE),
        flags | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // A plan is of the statement alone: else each that has a value after LIMIT is prepared anew for every call.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_handler(Some(|tries| {
        std::thread::sleep(BUSY_PAUSE);
        tries < BUSY_TRIES
    }))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_error("failed to sync a folder", &error))
}

/// An error of a file in the store's words.
pub(super) fn io_error(what: &str, error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Unavailable(format!("{what}: {error}")),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt(error.to_string())
            }
            Some(_) => Self::Unavailable(error.to_string()),
            None => Self::Corrupt(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_store_in_an_open_folder_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let connection = open_writer(dir.path(), &Options::default()).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", entry.file_name());
        }
    }
}
