//! A transaction, and what is done once it is on the disk.

use std::ops::Deref;
use std::sync::Mutex;

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::connection::{Connection, Param, Pipeline};
use super::pool::Pooled;
use super::shared::Shared;
use crate::common::lock;
use crate::error::{Result, StoreError};
use crate::queue::Destination;
use crate::types::{BodyId, MailboxId, UnixMillis};

/// What is done once a transaction is on the disk.
pub(super) enum Effect {
    /// A mailbox changed.
    Mailbox(MailboxId),
    /// A unit may be due at that time.
    Due(Destination, UnixMillis),
    /// A body was written.
    Written(BodyId, Bytes, Option<Bytes>),
    /// A body has gone.
    Removed(BodyId),
}

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// On the disk before it is answered.
    Durable,
    /// A crash of the database may undo it: counters, traces, leases of what is delivered here.
    Lazy,
}

impl Kind {
    /// The statements that begin it.
    pub(super) fn begin<'p>(self, pipeline: &mut Pipeline<'p>) {
        pipeline.add("BEGIN", &[]);
        if self == Self::Lazy {
            pipeline.add("SET LOCAL synchronous_commit = off", &[]);
        }
    }
}

/// One statement in a transaction of its own that a crash of the database may undo; sent at once.
pub(super) async fn lazily(shared: &Shared, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
    let connection = shared.pool.get().await?;
    let mut pipeline = Pipeline::default();
    Kind::Lazy.begin(&mut pipeline);
    let step = pipeline.add(sql, params);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let mut answers = connection.run(&pipeline).await?;
    connection.ended();
    Ok(answers.swap_remove(step))
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
pub(super) struct Tx<'s> {
    connection: Pooled<'s>,
    shared: &'s Shared,
    effects: Mutex<Vec<Effect>>,
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl<'s> Tx<'s> {
    pub(super) async fn begin(shared: &'s Shared, kind: Kind) -> Result<Self> {
        let connection = shared.pool.get().await?;
        let mut pipeline = Pipeline::default();
        kind.begin(&mut pipeline);
        connection.take_conflict();
        connection.begins();
        connection.run(&pipeline).await?;
        Ok(Self {
            connection,
            shared,
            effects: Mutex::default(),
        })
    }

    pub(super) fn effect(&self, effect: Effect) {
        lock(&self.effects).push(effect);
    }

    /// Commits, and tells who waits.
    pub(super) async fn commit(self) -> Result<()> {
        self.connection.batch("COMMIT").await?;
        self.connection.ended();
        let effects = self.effects.into_inner().unwrap_or_default();
        self.shared.apply(effects);
        Ok(())
    }
}

/// Tries of a transaction that loses against others.
pub(super) const TRIES: u32 = 4;

/// Runs the block in a transaction and commits it; again when it lost against another one (a deadlock, for one).
macro_rules! transact {
    ($shared:expr, $kind:expr, |$tx:ident| $body:expr) => {{
        let mut tries = 1;
        loop {
            let $tx = $crate::postgres::tx::Tx::begin($shared, $kind).await?;
            let result: $crate::error::Result<_> = async { $body }.await;
            let conflict = $tx.take_conflict();
            match result {
                Ok(value) => break $tx.commit().await.map(|()| value),
                Err(_) if conflict && tries < $crate::postgres::tx::TRIES => tries += 1,
                Err(error) => break Err(error),
            }
        }
    }};
}
pub(super) use transact;

/// A column of a row.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T> {
    Ok(row.try_get(at)?)
}

/// A column that cannot be negative.
pub(super) fn count(row: &Row, at: usize) -> Result<u64> {
    Ok(u64::try_from(get::<i64>(row, at)?).unwrap_or(0))
}

/// A column with a number that is small.
pub(super) fn small<T: TryFrom<i64>>(row: &Row, at: usize) -> Result<T> {
    let value: i64 = get(row, at)?;
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("a number that cannot be: {value}")))
}
