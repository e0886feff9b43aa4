//! Versions of the schema.

use rusqlite::{Connection, TransactionBehavior};

use crate::common::unix_millis;
use crate::error::{Result, StoreError};

/// Each step takes the schema from the version of its position to the next.
const STEPS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

/// The version that this program writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings the schema up to [`VERSION`]; each step is one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    while version(connection)? < VERSION {
        step(connection)?;
    }
    Ok(())
}

fn step(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let found = version(&transaction)?;
    if let Some(sql) = usize::try_from(found)
        .ok()
        .and_then(|found| STEPS.get(found))
    {
        let next = found + 1;
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO migration VALUES (?1, ?2)",
            (next, unix_millis()),
        )?;
        transaction.pragma_update(None, "user_version", next)?;
        tracing::info!(version = next, "store schema migrated");
    }
    Ok(transaction.commit()?)
}

/// The version found; an error when it is newer than this program.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if (0..=VERSION).contains(&found) {
        return Ok(found);
    }
    Err(StoreError::Invalid(format!(
        "the store has schema version {found}, this program knows versions up to {VERSION}: run the newer program, or restore a backup"
    )))
}
