//! Trace events: buffered, written in batches, pruned by age and number.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::Core;
use super::shard;
use super::shared::Shared;
use super::tx::{get, lazily};
use crate::common::trace::{cut, known_reason, stage, stage_number};
use crate::common::unix_millis;
use crate::error::{Result, StoreError};
use crate::trace::{TraceEvent, TraceQuery, TraceStore};
use crate::types::UnixMillis;

/// Events removed in one transaction, and transactions in one sweep.
const PRUNE_STEP: i64 = 2_000;
const PRUNE_STEPS: usize = 50;
const PRUNE: &str = "DELETE FROM trace AS t USING (SELECT shard, seq FROM trace WHERE at < $1 ORDER BY at, seq LIMIT $2) AS old
    WHERE t.shard = old.shard AND t.seq = old.seq RETURNING 1";

/// The part of a text that is kept, in characters that PostgreSQL takes.
fn text(value: &str) -> String {
    cut(value).replace('\0', "\u{fffd}")
}

/// Writes what is in the buffer.
pub(super) async fn flush(shared: &Shared) -> Result<()> {
    // One at a time: whoever searches then finds what another one has just taken out.
    let _turn = shared.trace_turn.lock().await;
    while let Some(events) = shared.trace.take() {
        match insert(shared, &events).await {
            // It may be written later.
            Err(error @ StoreError::Unavailable(_)) => {
                shared.trace.give_back(events);
                return Err(error);
            }
            written => written?,
        }
    }
    Ok(())
}

async fn insert(shared: &Shared, events: &[TraceEvent]) -> Result<()> {
    const SQL: &str = "INSERT INTO trace (shard, at, id, stage, reason, sender, recipient, peer, text)
        SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])";
    let column = |of: fn(&TraceEvent) -> &str| -> Vec<String> {
        events.iter().map(|event| text(of(event))).collect()
    };
    let ids = column(|event| &event.id);
    let shards: Vec<i16> = ids.iter().map(|id| shard::of_text(id)).collect();
    let at: Vec<i64> = events.iter().map(|event| event.at).collect();
    let stages: Vec<i16> = events
        .iter()
        .map(|event| i16::from(stage_number(event.stage)))
        .collect();
    let reasons = column(|event| event.reason);
    let (senders, recipients) = (
        column(|event| &event.sender),
        column(|event| &event.recipient),
    );
    let (peers, texts) = (column(|event| &event.peer), column(|event| &event.text));
    lazily(
        shared,
        SQL,
        &[
            &shards,
            &at,
            &ids,
            &stages,
            &reasons,
            &senders,
            &recipients,
            &peers,
            &texts,
        ],
    )
    .await
    .map(drop)
}

/// Removes what is too old or too much, some at a time.
pub(super) async fn prune(shared: &Shared) -> Result<()> {
    let age = i64::try_from(shared.options.trace_age.as_millis()).unwrap_or(i64::MAX);
    let oldest = unix_millis().saturating_sub(age);
    let cut = oldest.max(surplus(shared).await?);
    for _ in 0..PRUNE_STEPS {
        let removed = lazily(shared, PRUNE, &[&cut, &PRUNE_STEP]).await?;
        if removed.len() < PRUNE_STEP as usize {
            break;
        }
    }
    Ok(())
}

/// The time of the oldest event that may stay.
async fn surplus(shared: &Shared) -> Result<UnixMillis> {
    let rows = i64::try_from(shared.options.trace_rows).unwrap_or(i64::MAX);
    let connection = shared.pool.get().await?;
    let row = connection
        .row(
            "SELECT at FROM trace ORDER BY at DESC, seq DESC OFFSET $1 LIMIT 1",
            &[&rows],
        )
        .await?;
    row.map_or(Ok(i64::MIN), |row| get::<i64>(&row, 0).map(|at| at + 1))
}

fn event(row: &Row) -> Result<TraceEvent> {
    let number: i16 = get(row, 2)?;
    Ok(TraceEvent {
        at: get(row, 0)?,
        id: get(row, 1)?,
        stage: stage(u8::try_from(number).unwrap_or(u8::MAX)),
        reason: known_reason(get(row, 3)?),
        sender: get(row, 4)?,
        recipient: get(row, 5)?,
        peer: get(row, 6)?,
        text: get(row, 7)?,
    })
}

/// Read from the newest back. The columns' collation folds ASCII letters alone.
fn sql(query: &TraceQuery) -> String {
    let condition = match query {
        TraceQuery::Id(_) => "id = $1",
        TraceQuery::Sender(_) => "lower(sender) = lower($1 COLLATE \"C\")",
        TraceQuery::Recipient(_) => "lower(recipient) = lower($1 COLLATE \"C\")",
        TraceQuery::Domain(_) => {
            "('@' || lower($1 COLLATE \"C\") IN (right(lower(sender), length($1) + 1), right(lower(recipient), length($1) + 1)))"
        }
        TraceQuery::Any(_) => {
            "(id = $1 OR lower(sender) = lower($1 COLLATE \"C\") OR lower(recipient) = lower($1 COLLATE \"C\"))"
        }
    };
    format!(
        "SELECT at, id, stage, reason, sender, recipient, peer, text FROM trace WHERE {condition} AND at >= $2 ORDER BY at DESC, seq DESC LIMIT $3"
    )
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
        flush(&self.shared).await?;
        let (TraceQuery::Id(value)
        | TraceQuery::Sender(value)
        | TraceQuery::Recipient(value)
        | TraceQuery::Domain(value)
        | TraceQuery::Any(value)) = query;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let connection = self.shared.pool.get().await?;
        let rows = connection
            .query(&sql(query), &[value, &since, &limit])
            .await?;
        rows.iter().rev().map(event).collect()
    }
}
