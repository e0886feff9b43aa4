//! One connection: statements are prepared once, several are sent before the first is answered, and every answer has a time limit.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
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

/// How statements with a COMMIT behind them failed.
pub(super) enum Unfinished {
    /// Nothing was committed.
    Undone(StoreError),
    /// Nobody knows; the connection was lost, or the COMMIT itself failed.
    Doubtful(StoreError),
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
        let statements = self.statements(pipeline).await?;
        let answers = async { Ok(join_all(self.send(pipeline, &statements)).await) };
        let mut rows = Vec::with_capacity(statements.len());
        for answer in self.within(answers).await? {
            rows.push(answer.map_err(|error| self.failed(error))?);
        }
        Ok(rows)
    }

    /// The same with a COMMIT behind them, sent at once with them: a statement that fails makes a ROLLBACK of it.
    pub(super) async fn run_and_commit(&self, pipeline: &Pipeline<'_>) -> Result<(), Unfinished> {
        let statements = self.statements(pipeline).await;
        let statements = statements.map_err(Unfinished::Undone)?;
        let all = async {
            let answers = join_all(self.send(pipeline, &statements));
            // Polled, and so sent, in this order.
            Ok(join(answers, self.client.batch_execute("COMMIT")).await)
        };
        let (answers, committed) = self.within(all).await.map_err(Unfinished::Doubtful)?;
        for answer in answers {
            let Err(error) = answer else { continue };
            // Answers come in order: what the database itself refuses here stands before the COMMIT.
            let refused = error.as_db_error().is_some();
            let error = self.failed(error);
            return Err(match refused {
                true => Unfinished::Undone(error),
                false => Unfinished::Doubtful(error),
            });
        }
        committed.map_err(|error| Unfinished::Doubtful(self.failed(error)))
    }

    async fn statements(&self, pipeline: &Pipeline<'_>) -> Result<Vec<Statement>> {
        debug_assert!(pipeline.steps.len() <= MAX_STEPS);
        let mut statements = Vec::with_capacity(pipeline.steps.len());
        for (sql, _) in &pipeline.steps {
            statements.push(self.prepared(sql).await?);
        }
        Ok(statements)
    }

    /// What sends the statements, in order, when it is polled.
    fn send<'a>(
        &'a self,
        pipeline: &'a Pipeline<'_>,
        statements: &'a [Statement],
    ) -> impl Iterator<Item = impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + 'a>
    {
        let steps = pipeline.steps.iter().zip(statements);
        steps.map(|((_, params), statement)| self.client.query(statement, params))
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
