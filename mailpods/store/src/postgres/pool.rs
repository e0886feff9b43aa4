//! A bounded pool of connections. Waiting for one has a limit; a database that is away is asked again after growing pauses, and calls
//! in between fail at once.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{AsyncMessage, Client};

use super::Options;
use super::connection::Connection;
use super::uri::Target;
use crate::common::{closed, lock, seal};
use crate::error::{Result, StoreError};

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    target: Target,
    idle: Mutex<Vec<Arc<Connection>>>,
    permits: Arc<Semaphore>,
    /// Longest wait for a connection.
    wait: Duration,
    statement_timeout: Duration,
    breaker: Mutex<Breaker>,
    /// Why the database is not used any more.
    refused: OnceLock<String>,
    pub(super) stats: PoolStats,
}

/// What the pool has done so far.
#[derive(Default)]
pub(super) struct PoolStats {
    pub(super) opened: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) waited: AtomicU64,
}

/// Keeps callers from a database that did not answer.
#[derive(Default)]
struct Breaker {
    until: Option<Instant>,
    pause: Duration,
    why: String,
}

impl Pool {
    pub(super) fn new(target: Target, options: &Options) -> Self {
        Self {
            target,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(options.max_connections.max(1))),
            wait: options.wait,
            statement_timeout: options.statement_timeout,
            breaker: Mutex::default(),
            refused: OnceLock::new(),
            stats: PoolStats::default(),
        }
    }

    /// A connection, for this call alone.
    pub(super) async fn get(&self) -> Result<Pooled<'_>> {
        if let Some(why) = self.refused.get() {
            return Err(StoreError::Unavailable(why.clone()));
        }
        let permit = self.permit().await?;
        let reused = {
            let mut idle = lock(&self.idle);
            std::iter::from_fn(|| idle.pop()).find(|connection| connection.is_usable())
        };
        let connection = match reused {
            Some(connection) => connection,
            None => Arc::new(self.open().await?),
        };
        Ok(Pooled {
            connection,
            pool: self,
            _permit: permit,
        })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permits = Arc::clone(&self.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            return Ok(permit);
        }
        self.stats.waited.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(self.wait, permits.acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| closed()),
            Err(_) => Err(StoreError::Unavailable(format!(
                "no connection to the database was free for {} s",
                self.wait.as_secs()
            ))),
        }
    }

    async fn open(&self) -> Result<Connection> {
        let (client, driver) = self.connect().await?;
        tokio::spawn(async move {
            // Whoever uses the connection is told, too.
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        });
        let connection = Connection::new(client, self.statement_timeout);
        connection.batch(&self.settings()).await?;
        Ok(connection)
    }

    /// Rows are found by their keys: a plan that was made while a table was empty must not stay with reading all of it.
    fn settings(&self) -> String {
        let millis = self.statement_timeout.as_millis();
        format!(
            "SET statement_timeout = {millis}; SET lock_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis};
             SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning"
        )
    }

    /// A bare connection and what must be polled for it to live.
    pub(super) async fn connect(
        &self,
    ) -> Result<(
        Client,
        tokio_postgres::Connection<tokio_postgres::Socket, super::tls::Encrypted>,
    )> {
        self.check_breaker()?;
        let attempt = self.target.config.connect(self.target.tls.clone());
        let result = match tokio::time::timeout(self.wait, attempt).await {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(StoreError::Unavailable(
                "connecting to the database took too long".to_owned(),
            )),
        };
        match result {
            Ok(connected) => {
                *lock(&self.breaker) = Breaker::default();
                self.stats.opened.fetch_add(1, Ordering::Relaxed);
                Ok(connected)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn check_breaker(&self) -> Result<()> {
        let breaker = lock(&self.breaker);
        match breaker.until {
            Some(until) if Instant::now() < until => {
                Err(StoreError::Unavailable(breaker.why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Every failure to connect may pass: also a password that is being changed.
    fn failed(&self, error: StoreError) -> StoreError {
        self.stats.failed.fetch_add(1, Ordering::Relaxed);
        let why = match error {
            StoreError::Unavailable(why) => why,
            other => other.to_string(),
        };
        let mut breaker = lock(&self.breaker);
        let now = Instant::now();
        // Attempts that failed together count once.
        if breaker.until.is_none_or(|until| until <= now) {
            tracing::warn!(%why, "the database cannot be reached");
            breaker.pause = (breaker.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            breaker.until = Some(now + jitter(breaker.pause));
            breaker.why.clone_from(&why);
        }
        StoreError::Unavailable(why)
    }

    /// Connections in use, and those that wait for use.
    pub(super) fn sizes(&self, most: usize) -> (usize, usize) {
        let used = most.saturating_sub(self.permits.available_permits());
        (used, lock(&self.idle).len())
    }

    /// Gives no more connections: this program must not go on with the database.
    pub(super) fn refuse(&self, why: &str) {
        if self.refused.set(why.to_owned()).is_ok() {
            tracing::error!(why, "the store is not used any more");
        }
    }

    /// Closes the idle connections; later calls fail.
    pub(super) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

/// From three quarters of the pause to all of it, so that pods do not come back all at once.
fn jitter(pause: Duration) -> Duration {
    let random = seal::random::<1>().map_or(0, |[octet]| u32::from(octet));
    pause - pause / 4 * random / 256
}

/// A connection in use; goes back to the pool when dropped.
pub(super) struct Pooled<'p> {
    connection: Arc<Connection>,
    pool: &'p Pool,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        self.connection.clean();
        if self.connection.is_usable() && !self.pool.permits.is_closed() {
            lock(&self.pool.idle).push(Arc::clone(&self.connection));
        }
    }
}

/// A notification, or the end of the connection.
pub(super) async fn next_message(
    connection: &mut tokio_postgres::Connection<tokio_postgres::Socket, super::tls::Encrypted>,
) -> Result<AsyncMessage> {
    let message = std::future::poll_fn(|context| connection.poll_message(context)).await;
    match message {
        Some(message) => Ok(message?),
        None => Err(StoreError::Unavailable(
            "the connection to the database ended".to_owned(),
        )),
    }
}
