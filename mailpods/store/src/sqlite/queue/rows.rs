//! The rows of the queue.

use std::sync::Arc;

use rusqlite::Row;

use super::super::tx::Tx;
use crate::common::queue;
use crate::error::{Result, StoreError};
use crate::queue::QueuedMessage;
use crate::types::BodyId;

/// A message's row.
pub(super) struct MessageRow {
    pub(super) id: String,
    pub(super) first_unit: i64,
    pub(super) units: i64,
    pub(super) units_left: i64,
    pub(super) body: BodyId,
    pub(super) size: u64,
    pub(super) created: i64,
    info: Vec<u8>,
}

pub(super) const MESSAGE: &str =
    "SELECT id, first_unit, units, units_left, body, size, created, info FROM queued WHERE id = ?1";

impl MessageRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            first_unit: row.get(1)?,
            units: row.get(2)?,
            units_left: row.get(3)?,
            body: BodyId(row.get(4)?),
            size: row.get::<_, i64>(5)?.cast_unsigned(),
            created: row.get(6)?,
            info: row.get(7)?,
        })
    }

    pub(super) fn decode(&self) -> Result<QueuedMessage> {
        queue::decode_message(&self.id, self.body, self.size, self.created, &self.info)
    }
}

/// A unit's row.
pub(super) struct UnitRow {
    pub(super) id: i64,
    pub(super) message: String,
    pub(super) destination: Arc<str>,
    pub(super) due: i64,
    pub(super) held: bool,
    pub(super) lease: i64,
    pub(super) next_attempt: i64,
    pub(super) attempts: u32,
    pub(super) warned: bool,
    pub(super) bounce: bool,
    pub(super) error: Option<String>,
    pub(super) recipients: Vec<u8>,
    pub(super) suspended: bool,
    pub(super) class: Option<String>,
}

pub(super) const UNIT_COLUMNS: &str = "u.id, u.message, u.destination, u.due, u.held, u.lease, u.next_attempt, u.attempts, u.warned, u.bounce, u.error, u.recipients, u.suspended, u.class";

impl UnitRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            message: row.get(1)?,
            destination: row.get(2)?,
            due: row.get(3)?,
            held: row.get(4)?,
            lease: row.get(5)?,
            next_attempt: row.get(6)?,
            attempts: row.get(7)?,
            warned: row.get(8)?,
            bounce: row.get(9)?,
            error: row.get(10)?,
            recipients: row.get(11)?,
            suspended: row.get(12)?,
            class: row.get(13)?,
        })
    }

    /// Whether a worker has it now.
    pub(super) const fn is_leased(&self, now: i64) -> bool {
        self.lease != 0 && self.due > now
    }
}

impl Tx<'_> {
    pub(super) fn message_row(&self, id: &str) -> Result<MessageRow> {
        self.row(MESSAGE, [id], MessageRow::read)?
            .ok_or_else(|| StoreError::Corrupt("a unit without its message".to_owned()))
    }

    pub(super) fn unit_row(&self, id: i64) -> Result<Option<UnitRow>> {
        const SQL: &str = "SELECT id, message, destination, due, held, lease, next_attempt, attempts, warned, bounce, error, recipients, suspended, class
             FROM unit WHERE id = ?1";
        self.row(SQL, [id], UnitRow::read)
    }

    /// Removes a unit; with the last one goes the message. Returns the change of references to its body.
    pub(super) fn remove_unit(&self, unit: i64, message: &MessageRow) -> Result<i64> {
        self.execute("DELETE FROM unit WHERE id = ?1", [unit])?;
        if message.units_left > 1 {
            self.execute(
                "UPDATE queued SET units_left = units_left - 1 WHERE id = ?1",
                [&message.id],
            )?;
            return Ok(0);
        }
        self.execute("DELETE FROM queued WHERE id = ?1", [&message.id])?;
        Ok(-1)
    }
}
