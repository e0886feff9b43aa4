//! What a job sees of the transaction that it runs in.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use super::body::file::NewFile;
use super::shared::Shared;
use crate::common::repeat;
use crate::error::{Result, StoreError};
use crate::queue::Destination;
use crate::types::{AccountId, BodyId, MailboxId, UnixMillis};

/// Ids given out so far: the `counter` row, read and written once in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    pub(super) body: i64,
    pub(super) unit: i64,
    pub(super) lease: i64,
    pub(super) mailbox: i64,
    pub(super) uid_validity: i64,
}

impl Counters {
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        let mut statement = connection
            .prepare_cached("SELECT body, unit, lease, mailbox, uid_validity FROM counter")?;
        Ok(statement.query_row([], |row| {
            Ok(Self {
                body: row.get(0)?,
                unit: row.get(1)?,
                lease: row.get(2)?,
                mailbox: row.get(3)?,
                uid_validity: row.get(4)?,
            })
        })?)
    }

    pub(super) fn write(self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "UPDATE counter SET body = ?1, unit = ?2, lease = ?3, mailbox = ?4, uid_validity = ?5",
        )?;
        statement.execute((
            self.body,
            self.unit,
            self.lease,
            self.mailbox,
            self.uid_validity,
        ))?;
        Ok(())
    }
}

/// What is done once a transaction is on the disk, in the order of the jobs.
pub(super) enum Effect {
    /// A mailbox changed.
    Mailbox(MailboxId),
    /// A mailbox of an account changed, or which there are, or what it subscribes to.
    OfAccount(i64),
    /// Annotations or scripts of an account changed.
    Settings(AccountId),
    /// A unit may be due at that time.
    Due(Destination, UnixMillis),
    /// The next time that a unit of the destination is due is known.
    DueExactly(Destination, Option<UnixMillis>),
    /// A body was written.
    Written(BodyId, Bytes, Option<Bytes>),
    /// A file now has its row.
    Keep(NewFile),
    /// A body has gone, and its file.
    Removed(BodyId, Option<String>),
    /// An account was deleted.
    AccountGone(String),
    /// An account was made or found.
    Account(Arc<str>, i64),
}

/// The transaction of a group, as one job sees it.
pub(super) struct Tx<'c> {
    pub(super) connection: &'c Connection,
    pub(super) counters: Counters,
    pub(super) effects: Vec<Effect>,
    pub(super) shared: &'c Shared,
    /// Why SQLite rolled the whole transaction back, when it did (a full disk, for one).
    pub(super) lost: Option<StoreError>,
}

impl<'c> Tx<'c> {
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'c>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.prepare(sql)?.execute(params)?)
    }

    /// The first row, if there is one.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.prepare(sql)?.query_row(params, map).optional()?)
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Runs `part` so that it takes effect whole or not at all, whatever becomes of the rest of the job.
    pub(super) fn atomically<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(cause) = &self.lost {
            return Err(repeat(cause));
        }
        self.execute("SAVEPOINT part", [])?;
        let effects = self.effects.len();
        let result = part(self);
        if let Err(error) = &result {
            self.effects.truncate(effects);
            if self.connection.is_autocommit() {
                self.lost = Some(repeat(error));
                return result;
            }
            self.execute("ROLLBACK TO part", [])?;
        }
        self.execute("RELEASE part", [])?;
        result
    }
}
