//! A bounded pool of connections. Waiting for one has a limit; a database that is away is asked again after growing pauses, and calls
//! in between fail at once. One that has no room for more connections is used by those that are open, in turns.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client};

use super::Options;
use super::connection::Connection;
use super::uri::{Source, Target};
use crate::common::{closed, lock, seal};
use crate::error::{Result, StoreError};

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    /// How the database is reached; what the file says now, when it could not be.
    target: ArcSwap<Target>,
    source: Source,
    idle: Mutex<Vec<Arc<Connection>>>,
    permits: Arc<Semaphore>,
    /// Longest wait for a connection.
    wait: Duration,
    statement_timeout: Duration,
    breaker: Mutex<Breaker>,
    /// When the database was reached again after it could not be; `None`: it always could.
    back: Mutex<Option<Instant>>,
    /// Connections there are, in use or idle, and who waits for one to come free or to go.
    open: Arc<Opened>,
    /// Why the database must not be used.
    refused: Mutex<Option<String>>,
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
    /// The database answers, but it has no room.
    crowded: bool,
    /// When the database was reached last.
    reached: Option<Instant>,
}

impl Breaker {
    /// Whether the database was not there when it was tried last.
    fn away(&self) -> bool {
        self.until.is_some() && !self.crowded
    }
}

/// Why there is no new connection.
struct Unreachable {
    error: StoreError,
    /// The database answers, but it has no room.
    crowded: bool,
}

#[derive(Default)]
struct Opened {
    count: AtomicUsize,
    freed: Notify,
}

/// Counts a connection for as long as it is there.
pub(super) struct Open(Arc<Opened>);

impl Open {
    fn new(opened: &Arc<Opened>) -> Self {
        opened.count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(opened))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}

impl Pool {
    pub(super) fn new(target: Target, options: &Options) -> Self {
        Self {
            target: ArcSwap::from_pointee(target),
            source: Source::of(options),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(options.max_connections.max(1))),
            wait: options.wait,
            statement_timeout: options.statement_timeout,
            breaker: Mutex::default(),
            back: Mutex::default(),
            open: Arc::default(),
            refused: Mutex::default(),
            stats: PoolStats::default(),
        }
    }

    /// A connection, for this call alone.
    pub(super) async fn get(&self) -> Result<Pooled<'_>> {
        if let Some(why) = &*lock(&self.refused) {
            return Err(StoreError::Unavailable(why.clone()));
        }
        self.get_anyway().await
    }

    /// The same although the database must not be used: to look whether that has changed.
    pub(super) async fn get_anyway(&self) -> Result<Pooled<'_>> {
        let permit = self.permit().await?;
        let connection = match self.idle_one() {
            Some(connection) => connection,
            None => self.open_or_wait().await?,
        };
        Ok(Pooled {
            connection,
            pool: self,
            _permit: permit,
        })
    }

    fn idle_one(&self) -> Option<Arc<Connection>> {
        let mut idle = lock(&self.idle);
        std::iter::from_fn(|| idle.pop()).find(|connection| connection.is_usable())
    }

    /// A new connection; where the database has no room for it, one that another call gives back.
    async fn open_or_wait(&self) -> Result<Arc<Connection>> {
        let Unreachable { error, crowded } = match self.open().await {
            Ok(connection) => return Ok(Arc::new(connection)),
            Err(unreachable) => unreachable,
        };
        let deadline = tokio::time::Instant::now() + self.wait;
        loop {
            let freed = self.open.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(connection) = self.idle_one() {
                return Ok(connection);
            }
            let nobody = self.open.count.load(Ordering::Acquire) == 0;
            if nobody || !crowded {
                return Err(error);
            }
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(error);
            }
        }
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

    async fn open(&self) -> Result<Connection, Unreachable> {
        self.attempt(async {
            let target = self.target.load_full();
            let (client, driver) = target.config.connect(target.tls.clone()).await?;
            let driver = tokio::spawn(async move {
                // Whoever uses the connection is told, too.
                if let Err(error) = driver.await {
                    tracing::debug!(%error, "a connection to the database ended");
                }
            });
            let open = Open::new(&self.open);
            let (driver, patience) = (driver.abort_handle(), self.statement_timeout);
            let connection = Connection::new(client, driver, open, patience);
            connection.set_up(&self.settings()).await?;
            Ok(connection)
        })
        .await
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
        let target = self.target.load_full();
        let connect = target.config.connect(target.tls.clone());
        self.attempt(connect)
            .await
            .map_err(|unreachable| unreachable.error)
    }

    /// Tries to reach the database, unless that was tried in vain just now.
    async fn attempt<T>(
        &self,
        attempt: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Unreachable> {
        self.check_breaker()?;
        let started = Instant::now();
        let (error, crowded) = match tokio::time::timeout(self.wait, attempt).await {
            Ok(Ok(connected)) => {
                self.reached();
                self.stats.opened.fetch_add(1, Ordering::Relaxed);
                return Ok(connected);
            }
            Ok(Err(error)) => {
                let crowded = error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS);
                (error.into(), crowded)
            }
            Err(_) => {
                let why = "connecting to the database took too long".to_owned();
                (StoreError::Unavailable(why), false)
            }
        };
        if !crowded {
            self.read_again().await;
        }
        Err(self.failed(error, crowded, started))
    }

    fn reached(&self) {
        let now = Instant::now();
        let closed = Breaker {
            reached: Some(now),
            ..Breaker::default()
        };
        if std::mem::replace(&mut *lock(&self.breaker), closed).away() {
            *lock(&self.back) = Some(now);
        }
    }

    /// A password may have been replaced, or the database may have moved.
    async fn read_again(&self) {
        match self.source.read().await {
            Ok(Some(target)) => self.target.store(Arc::new(target)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the database's URI cannot be read again"),
        }
    }

    fn check_breaker(&self) -> Result<(), Unreachable> {
        let breaker = lock(&self.breaker);
        match breaker.until {
            Some(until) if Instant::now() < until => Err(Unreachable {
                error: StoreError::Unavailable(breaker.why.clone()),
                crowded: breaker.crowded,
            }),
            _ => Ok(()),
        }
    }

    /// Every failure to connect may pass: also a password that is being changed.
    fn failed(&self, error: StoreError, crowded: bool, started: Instant) -> Unreachable {
        self.stats.failed.fetch_add(1, Ordering::Relaxed);
        let why = match error {
            StoreError::Unavailable(why) => why,
            other => other.to_string(),
        };
        let mut breaker = lock(&self.breaker);
        let now = Instant::now();
        // Attempts that failed together count once, and one that another has overtaken tells nothing new.
        let overtaken = breaker.reached.is_some_and(|reached| reached >= started);
        if !overtaken && breaker.until.is_none_or(|until| until <= now) {
            tracing::warn!(%why, "the database cannot be reached");
            breaker.pause = (breaker.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            breaker.until = Some(now + jitter(breaker.pause));
            breaker.why.clone_from(&why);
            breaker.crowded = crowded;
        }
        Unreachable {
            error: StoreError::Unavailable(why),
            crowded,
        }
    }

    /// Whether the database could be reached for so long without a failure.
    pub(super) fn in_touch_for(&self, time: Duration) -> bool {
        let away = lock(&self.breaker).away();
        let back = *lock(&self.back);
        !away && back.is_none_or(|back| back.elapsed() >= time)
    }

    /// Connections in use, and those that wait for use.
    pub(super) fn sizes(&self, most: usize) -> (usize, usize) {
        let used = most.saturating_sub(self.permits.available_permits());
        (used, lock(&self.idle).len())
    }

    /// Gives no more connections, because this program must not go on with the database; or gives them again.
    pub(super) fn refuse(&self, why: Option<String>) {
        let mut refused = lock(&self.refused);
        match (&*refused, &why) {
            (None, Some(why)) => tracing::error!(why, "the store is not used any more"),
            (Some(_), None) => tracing::warn!("the store is used again"),
            _ => {}
        }
        *refused = why;
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
            self.pool.open.freed.notify_waiters();
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
