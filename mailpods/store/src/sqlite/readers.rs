//! A small pool of reading connections, used on blocking threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection;
use crate::common::lock;
use crate::error::{Result, StoreError};

pub(super) struct Readers {
    dir: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(dir: PathBuf, most: usize) -> Self {
        Self {
            dir,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(most.max(1))),
        }
    }

    /// Runs `query` in one snapshot.
    pub(super) async fn run<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (dir, idle) = (self.dir.clone(), Arc::clone(&self.idle));
        let run = move || {
            let _permit = permit;
            let reused = lock(&idle).pop();
            let connection = reused.map_or_else(|| connection::open_reader(&dir), Ok)?;
            let result = in_snapshot(&connection, query);
            // After a failure the connection may be in any state: the next one starts anew.
            if !matches!(
                result,
                Err(StoreError::Unavailable(_) | StoreError::Corrupt(_))
            ) {
                lock(&idle).push(connection);
            }
            result
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|_| StoreError::Unavailable("a read was interrupted".to_owned()))?
    }

    /// Closes the connections; later reads fail.
    pub(super) fn clear(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    query: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = query(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
