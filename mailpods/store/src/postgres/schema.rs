//! Versions of the schema. Old and new programs run side by side during a roll-out, so a step never breaks the programs before it:
//!
//! - *Expand*: a step adds tables, columns with a default, indexes. Programs of the version before go on; they name their columns, so
//!   that they do not see new ones. `oldest_reader` stays.
//! - *Contract*: what no program reads any more is removed by a step of a later release, which sets `oldest_reader` to the first version
//!   that did without it. An older program that starts (or asks again, see `Options::poll`) refuses to go on.
//!
//! Each step is one transaction under an advisory lock; pods that start together wait for the first.

use super::Options;
use super::pool::Pool;
use crate::error::{Result, StoreError};

struct Step {
    sql: &'static str,
    /// The oldest version that works with the schema after this step.
    oldest_reader: i32,
}

/// Each step takes the schema from the version of its position to the next.
const STEPS: &[Step] = &[
    Step {
        sql: include_str!("schema_1.sql"),
        oldest_reader: 1,
    },
    Step {
        sql: include_str!("schema_2.sql"),
        oldest_reader: 1,
    },
    Step {
        sql: include_str!("schema_3.sql"),
        oldest_reader: 1,
    },
    Step {
        sql: include_str!("schema_4.sql"),
        oldest_reader: 1,
    },
    Step {
        sql: include_str!("schema_5.sql"),
        oldest_reader: 1,
    },
    Step {
        sql: include_str!("schema_6.sql"),
        oldest_reader: 1,
    },
];

/// The version that this program writes.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// Key of the lock under which a schema is changed; the second half tells schemas apart.
const LOCK: i32 = 0x6d70_6f64;

/// Brings the schema up to [`VERSION`] and returns its name. Newer ones stay as they are.
pub(super) async fn migrate(pool: &Pool, options: &Options) -> Result<String> {
    let connection = pool.get().await?;
    let row = connection.row("SELECT current_schema()", &[]).await?;
    let schema: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    let schema = schema.ok_or_else(|| {
        StoreError::Invalid("the database has no schema that search_path leads to".to_owned())
    })?;
    loop {
        let sql =
            format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}, hashtext(current_schema()))");
        connection.begins();
        connection.batch(&sql).await?;
        connection
            .batch("CREATE TABLE IF NOT EXISTS schema_version (one boolean PRIMARY KEY CHECK (one), version integer NOT NULL, oldest_reader integer NOT NULL)")
            .await?;
        let found = version(&connection).await?;
        let Some(step) = usize::try_from(found)
            .ok()
            .and_then(|found| STEPS.get(found))
        else {
            connection.batch("COMMIT").await?;
            connection.ended();
            return Ok(schema);
        };
        let next = found + 1;
        connection.batch(step.sql).await?;
        connection
            .execute(
                "INSERT INTO schema_version VALUES (true, $1, $2)
                 ON CONFLICT (one) DO UPDATE SET version = $1, oldest_reader = $2",
                &[&next, &step.oldest_reader],
            )
            .await?;
        connection.batch("COMMIT").await?;
        connection.ended();
        tracing::info!(
            version = next,
            schema,
            name = options.name,
            "store schema migrated"
        );
    }
}

/// Looks whether this program may still use the schema, or may again.
pub(super) async fn look(pool: &Pool) -> Result<()> {
    let found = version(&*pool.get_anyway().await?).await;
    match found {
        Ok(_) => pool.refuse(None),
        Err(StoreError::Invalid(why)) => pool.refuse(Some(why)),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The version found; an error when this program is too old for it.
async fn version(connection: &super::connection::Connection) -> Result<i32> {
    let row = connection
        .row("SELECT version, oldest_reader FROM schema_version", &[])
        .await?;
    let Some(row) = row else {
        return Ok(0);
    };
    let (found, oldest): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    if oldest > VERSION {
        return Err(StoreError::Invalid(format!(
            "the store has schema version {found}, which programs of version {oldest} and later can use; this one knows {VERSION}: run the newer program"
        )));
    }
    Ok(found)
}
