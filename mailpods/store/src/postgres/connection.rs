//! One connection: statements are prepared once, several are sent before the first is answered, and every answer has a time limit.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::task::AbortHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::error::is_conflict;
use super::pool::Open;
use crate::common::lock;
use crate::error::{Result, StoreError};

/// A value of a statement.
pub(super) type Param<'p> = &'p (dyn ToSql + Sync);

/// Most statements in a [`Pipeline`]: so many are sent in their order.
const MAX_STEPS: usize = 30;
/// How much longer than the database itself a statement may take.
const GRACE: Duration = Duration::from_secs(5);

/// Statements to send at once, in their order.
#[derive(Default)]
pub(super) struct Pipeline<'p> {
    steps: Vec<(&'p str, Vec<Param<'p>>)>,
}

impl<'p> Pipeline<'p> {
    /// Adds a statement; returns its position among the answers.
    pub(super) fn add(&mut self, sql: &'p str, params: &[Param<'p>]) -> usize {
        self.steps.push((sql, params.to_vec()));
        self.steps.len() - 1
    }
}

pub(super) struct Connection {
    client: Client,
    /// What polls the socket.
    driver: AbortHandle,
    /// One of the open connections of its pool.
    _open: Open,
    statements: Mutex<HashMap<String, Statement>>,
    patience: Duration,
    /// Not to be used again.
    broken: AtomicBool,
    /// A statement lost against another transaction.
    conflict: AtomicBool,
    in_transaction: AtomicBool,
}

impl Connection {
    pub(super) fn new(
        client: Client,
        driver: AbortHandle,
        open: Open,
        statement_timeout: Duration,
    ) -> Self {
        Self {
            client,
            driver,
            _open: open,
            statements: Mutex::default(),
            patience: statement_timeout + GRACE,
            // Until it is set up.
            broken: AtomicBool::new(true),
            conflict: AtomicBool::new(false),
            in_transaction: AtomicBool::new(false),
        }
    }

    /// Makes the session's settings; without them it is not used.
    pub(super) async fn set_up(&self, settings: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(settings).await?;
        self.broken.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether another call may use the connection.
    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed() && !self.broken.load(Ordering::Relaxed)
    }

    /// Whether a statement lost against another transaction since the last time this was asked.
    pub(super) fn take_conflict(&self) -> bool {
        self.conflict.swap(false, Ordering::Relaxed)
    }

    pub(super) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let statement = self.prepared(sql).await?;
        self.within(self.client.query(&statement, params)).await
    }

    pub(super) async fn row(&self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    pub(super) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let statement = self.prepared(sql).await?;
        self.within(self.client.execute(&statement, params)).await
    }

    /// Runs statements without values.
    pub(super) async fn batch(&self, sql: &str) -> Result<()> {
        self.within(self.client.batch_execute(sql)).await
    }

    /// Sends all statements of `pipeline` and gives the rows of each; or the first error, after which the database passes over the
    /// others if they are in a transaction.
    pub(super) async fn run(&self, pipeline: &Pipeline<'_>) -> Result<Vec<Vec<Row>>> {
        debug_assert!(pipeline.steps.len() <= MAX_STEPS);
        let mut statements = Vec::with_capacity(pipeline.steps.len());
        for (sql, _) in &pipeline.steps {
            statements.push(self.prepared(sql).await?);
        }
        let answers = pipeline.steps.iter().zip(&statements);
        let answers = answers.map(|((_, params), statement)| self.client.query(statement, params));
        let all = async { Ok(join_all(answers).await) };
        let mut rows = Vec::with_capacity(statements.len());
        for answer in self.within(all).await? {
            rows.push(answer.map_err(|error| self.failed(error))?);
        }
        Ok(rows)
    }

    async fn prepared(&self, sql: &str) -> Result<Statement> {
        if let Some(known) = lock(&self.statements).get(sql) {
            return Ok(known.clone());
        }
        let statement = self.within(self.client.prepare(sql)).await?;
        lock(&self.statements).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(result) => result.map_err(|error| self.failed(error)),
            Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                let waited = self.patience.as_secs();
                Err(StoreError::Unavailable(format!(
                    "the database did not answer within {waited} s"
                )))
            }
        }
    }

    fn failed(&self, error: tokio_postgres::Error) -> StoreError {
        if is_conflict(&error) {
            self.conflict.store(true, Ordering::Relaxed);
        }
        // The server became a standby: another one takes writes now.
        if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            self.broken.store(true, Ordering::Relaxed);
        }
        StoreError::from(error)
    }

    /// What follows is one transaction until [`Self::ended`]. The caller sends BEGIN.
    pub(super) fn begins(&self) {
        self.in_transaction.store(true, Ordering::Relaxed);
    }

    /// The transaction has ended.
    pub(super) fn ended(&self) {
        self.in_transaction.store(false, Ordering::Relaxed);
    }

    /// Leaves a transaction that was given up half-way, so that the next call finds none. Does not wait: what is sent next waits.
    pub(super) fn clean(&self) {
        if self.in_transaction.swap(false, Ordering::Relaxed) && self.is_usable() {
            // The first poll sends it.
            let sent = self.client.batch_execute("ROLLBACK").now_or_never();
            if matches!(sent, Some(Err(_))) {
                self.broken.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // One that did not answer may never do, and its socket would stay open for as long.
        if self.broken.load(Ordering::Relaxed) {
            self.driver.abort();
        }
    }
}
