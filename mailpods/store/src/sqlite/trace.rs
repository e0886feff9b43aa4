//! Trace events: buffered, written in batches, pruned by age and number.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use super::Core;
use super::tx::Tx;
use crate::common::trace::{cut, known_reason, stage, stage_number};
use crate::error::Result;
use crate::trace::{TraceEvent, TraceQuery, TraceStore};
use crate::types::UnixMillis;

const PRUNE_STEP: u64 = 500;
pub(super) fn insert(tx: &Tx<'_>, events: &[TraceEvent]) -> Result<()> {
    let mut statement =
        tx.prepare("INSERT INTO trace (at, id, stage, reason, sender, recipient, peer, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for event in events {
        statement.execute((
            event.at,
            cut(&event.id),
            stage_number(event.stage),
            event.reason,
            cut(&event.sender),
            cut(&event.recipient),
            cut(&event.peer),
            cut(&event.text),
        ))?;
    }
    Ok(())
}

/// Removes a step of what is too old or too much; whether there may be more.
pub(super) fn prune(tx: &Tx<'_>, oldest: UnixMillis, rows: u64) -> Result<bool> {
    let bounds = tx.row("SELECT min(seq), max(seq) FROM trace", [], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let Some((Some(first), Some(last))) = bounds else {
        return Ok(false);
    };
    let surplus = (last - first + 1).saturating_sub(i64::try_from(rows).unwrap_or(i64::MAX));
    let step = i64::try_from(PRUNE_STEP).unwrap_or(i64::MAX);
    // Events are written about in the order of their time.
    let removed = tx.execute(
        "DELETE FROM trace WHERE seq BETWEEN ?1 AND ?2 AND (seq < ?3 OR at < ?4)",
        (first, first + step - 1, first + surplus.max(0), oldest),
    )?;
    Ok(removed as u64 == PRUNE_STEP)
}

fn event(row: &Row<'_>) -> rusqlite::Result<TraceEvent> {
    Ok(TraceEvent {
        at: row.get(0)?,
        id: row.get(1)?,
        stage: stage(row.get(2)?),
        reason: known_reason(&row.get::<_, String>(3)?),
        sender: row.get(4)?,
        recipient: row.get(5)?,
        peer: row.get(6)?,
        text: row.get(7)?,
    })
}

fn find(
    connection: &Connection,
    query: &TraceQuery,
    since: UnixMillis,
    limit: usize,
) -> Result<Vec<TraceEvent>> {
    let (condition, value) = match query {
        TraceQuery::Id(value) => ("id = ?1", value),
        TraceQuery::Sender(value) => ("sender = ?1 COLLATE NOCASE", value),
        TraceQuery::Recipient(value) => ("recipient = ?1 COLLATE NOCASE", value),
        TraceQuery::Domain(value) => (
            "('@' || ?1 = substr(sender, -1 - length(?1)) COLLATE NOCASE OR '@' || ?1 = substr(recipient, -1 - length(?1)) COLLATE NOCASE)",
            value,
        ),
        TraceQuery::Any(value) => (
            "(id = ?1 OR sender = ?1 COLLATE NOCASE OR recipient = ?1 COLLATE NOCASE)",
            value,
        ),
    };
    let sql = format!(
        "SELECT at, id, stage, reason, sender, recipient, peer, text FROM trace WHERE {condition} AND at >= ?2 AND seq >= ?3
         ORDER BY seq DESC LIMIT ?4"
    );
    let first = first_since(connection, since)?;
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        (
            value,
            since,
            first,
            i64::try_from(limit).unwrap_or(i64::MAX),
        ),
        event,
    )?;
    let mut events = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    events.reverse();
    Ok(events)
}

/// The first row that can be as young as `since`: rows are in about the order of their time, so a search by halves finds it.
fn first_since(connection: &Connection, since: UnixMillis) -> Result<i64> {
    const SLACK: UnixMillis = 60_000;
    let (mut low, mut high): (i64, i64) = connection.query_row(
        "SELECT ifnull(min(seq), 0), ifnull(max(seq), 0) FROM trace",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut statement =
        connection.prepare_cached("SELECT at FROM trace WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let at: Option<i64> = statement.query_row([middle], |row| row.get(0)).optional()?;
        if at.is_some_and(|at| at < since.saturating_sub(SLACK)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[async_trait]
impl TraceStore for Core {
    fn record(&self, event: TraceEvent) {
        self.shared.trace.put(event);
    }

    async fn events(
        &self,
        query: &TraceQuery,
        since: UnixMillis,
        limit: usize,
    ) -> Result<Vec<TraceEvent>> {
        // Events that are still in the buffer are written first, so that a tool sees what has just happened.
        while let Some(events) = self.shared.trace.take() {
            self.write_lazily(move |tx| insert(tx, &events)).await?;
        }
        let query = query.clone();
        self.read(move |connection| find(connection, &query, since, limit))
            .await
    }
}
