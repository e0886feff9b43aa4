//! What becomes of leases, and when units are due. When a lease ends is decided by the database's clock. Whoever changes several units locks
//! them in the order of shard and id, so that none waits for another in a circle.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::due;
use crate::common::{lock, unix_millis};
use crate::error::Result;
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{Effect, Kind, Tx, get, transact};
use crate::queue::{Destination, Lease, Wanted};
use crate::types::{UnitId, UnixMillis};

/// Destinations whose next time is looked up in one call, at most, and in one statement.
const MAX_IDLE: usize = 1_000;
const CHUNK: usize = 100;

/// The first time after `$2` at which a unit of the destinations is due, by the caller's clock.
const NEXT: &str = "SELECT min(u.due) - max(clock.shift) FROM (SELECT clock_shift($3) AS shift) AS clock, unnest($1::text[]) AS d (name)
    CROSS JOIN LATERAL (SELECT min(due) AS due FROM unit WHERE destination = d.name AND NOT held AND due > $2 + clock.shift) AS u";

async fn earliest_after(
    shared: &Shared,
    names: &[&str],
    now: UnixMillis,
) -> Result<Option<UnixMillis>> {
    let connection = shared.pool.get().await?;
    let row = connection
        .row(NEXT, &[&names, &now, &unix_millis()])
        .await?;
    row.map_or(Ok(None), |row| get(&row, 0))
}

/// The earliest time after `now` at which a unit is due.
pub(super) async fn next_due(
    shared: &Shared,
    wanted: &Wanted,
    now: UnixMillis,
) -> Result<Option<UnixMillis>> {
    let most = match wanted {
        Wanted::Local => return earliest_after(shared, &[Destination::LOCAL], now).await,
        Wanted::Only(destination) => return earliest_after(shared, &[&*destination.0], now).await,
        Wanted::Remote { most, .. } => most.as_ref(),
        Wanted::OneOfEach { .. } => &HashMap::new(),
    };
    due::refresh(shared).await?;
    let candidates = shared.due.destinations(most, MAX_IDLE, |_| true);
    let shift = shared.shift.load(Ordering::Relaxed);
    let mut best: Option<UnixMillis> = None;
    for chunk in candidates.chunks(CHUNK) {
        // Bounds ascend: what follows cannot be earlier than the best.
        let bound = chunk.first().map_or(i64::MAX, |(at, ..)| *at);
        if best.is_some_and(|best| bound - shift >= best) {
            break;
        }
        let names: Vec<&str> = chunk.iter().map(|(_, name, _)| &*name.0).collect();
        let found = earliest_after(shared, &names, now).await?;
        best = best.into_iter().chain(found).min();
    }
    Ok(best)
}

/// The columns of `leases`, for unnest.
pub(in crate::postgres) fn columns(leases: &[Lease]) -> (Vec<i16>, Vec<i64>, Vec<i64>) {
    let ids: Vec<i64> = leases.iter().map(|lease| lease.unit.0).collect();
    let shards = ids.iter().map(|id| shard::of_id(*id)).collect();
    let tokens = leases.iter().map(|lease| lease.token).collect();
    (shards, ids, tokens)
}

pub(super) async fn extend(
    shared: &Shared,
    leases: Vec<Lease>,
    until: UnixMillis,
) -> Result<Vec<Lease>> {
    const SQL: &str = "UPDATE unit AS u SET due = $4 + clock.shift
        FROM (SELECT u.shard, u.id FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (shard, id, lease)
            JOIN unit AS u ON u.shard = v.shard AND u.id = v.id AND u.lease = v.lease ORDER BY u.shard, u.id FOR UPDATE OF u
        ) AS v, (SELECT clock_shift($5) AS shift) AS clock WHERE u.shard = v.shard AND u.id = v.id RETURNING u.id, u.lease";
    let (shards, ids, tokens) = columns(&leases);
    let connection = shared.pool.get().await?;
    let rows = connection
        .query(SQL, &[&shards, &ids, &tokens, &until, &unix_millis()])
        .await?;
    let mut kept = HashSet::with_capacity(rows.len());
    for row in &rows {
        kept.insert(Lease {
            unit: UnitId(get(row, 0)?),
            token: get(row, 1)?,
        });
    }
    Ok(leases
        .into_iter()
        .filter(|lease| !kept.contains(lease))
        .collect())
}

pub(super) async fn hand_back(shared: &Shared, leases: &[Lease]) -> Result<()> {
    const SQL: &str = "UPDATE unit AS u SET due = u.next_attempt, lease = 0
        FROM (SELECT u.shard, u.id FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (shard, id, lease)
            JOIN unit AS u ON u.shard = v.shard AND u.id = v.id AND u.lease = v.lease ORDER BY u.shard, u.id FOR UPDATE OF u
        ) AS v WHERE u.shard = v.shard AND u.id = v.id RETURNING u.destination, u.due";
    let (shards, ids, tokens) = columns(leases);
    transact!(shared, Kind::Lazy, |tx| {
        let rows = tx.query(SQL, &[&shards, &ids, &tokens]).await?;
        due_again(&tx, &rows)
    })
}

/// Leases of which no answer came: whether they were committed is not known, and nobody works on them if they were.
#[derive(Default)]
pub(in crate::postgres) struct Doubtful(Mutex<Doubts>);

#[derive(Default)]
struct Doubts {
    /// Tokens, and when leases by them have run out anyway.
    tokens: Vec<(i64, Instant)>,
    looked: Option<Instant>,
}

/// Leases in doubt at once; those beyond run out by themselves.
const MAX_DOUBTS: usize = 256;
/// How often they are looked for: a commit may still be under way when its connection has gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Doubtful {
    /// No answer came to a lease by that token, which lasts for `term`.
    pub(super) fn add(&self, token: i64, term: Duration) {
        let mut doubts = lock(&self.0);
        if doubts.tokens.len() < MAX_DOUBTS {
            doubts.tokens.push((token, Instant::now() + term));
        }
    }

    /// What is to be looked for now.
    fn due(&self) -> Vec<i64> {
        let (mut doubts, now) = (lock(&self.0), Instant::now());
        doubts.tokens.retain(|(_, until)| *until > now);
        let rests = |last| now.duration_since(last) < LOOK_AGAIN;
        if doubts.tokens.is_empty() || doubts.looked.is_some_and(rests) {
            return Vec::new();
        }
        doubts.looked = Some(now);
        doubts.tokens.iter().map(|(token, _)| *token).collect()
    }

    fn found(&self, found: &HashSet<i64>) {
        let tokens = &mut lock(&self.0).tokens;
        tokens.retain(|(token, _)| !found.contains(token));
    }
}

/// Hands back leases of which no answer came, now that they are seen.
pub(super) async fn resolve(shared: &Shared, worker: &str) -> Result<()> {
    const SQL: &str = "UPDATE unit AS u SET due = u.next_attempt, lease = 0
        FROM (SELECT shard, id, lease FROM unit WHERE worker = $1 AND lease <> 0 AND lease = ANY ($2) ORDER BY shard, id FOR UPDATE) AS v
        WHERE u.shard = v.shard AND u.id = v.id RETURNING u.destination, u.due, v.lease";
    let tokens = shared.doubtful.due();
    if tokens.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row> = transact!(shared, Kind::Lazy, |tx| {
        let rows = tx.query(SQL, &[&worker, &tokens]).await?;
        due_again(&tx, &rows)?;
        Ok(rows)
    })?;
    let mut found = HashSet::new();
    for row in &rows {
        found.insert(get(row, 2)?);
    }
    if !rows.is_empty() {
        tracing::info!(
            units = rows.len(),
            "handed back leases of which no answer had come"
        );
    }
    shared.doubtful.found(&found);
    Ok(())
}

/// Hands back every lease of a worker, and says how many.
pub(in crate::postgres) async fn hand_back_all(shared: &Shared, worker: &str) -> Result<usize> {
    const SQL: &str = "UPDATE unit AS u SET due = u.next_attempt, lease = 0
        FROM (SELECT shard, id FROM unit WHERE worker = $1 AND lease <> 0 ORDER BY shard, id FOR UPDATE) AS v
        WHERE u.shard = v.shard AND u.id = v.id RETURNING u.destination, u.due";
    let tx = Tx::begin(shared, Kind::Durable).await?;
    let rows = tx.query(SQL, &[&worker]).await?;
    due_again(&tx, &rows)?;
    tx.commit().await?;
    Ok(rows.len())
}

/// Tells of the destinations and times of `rows`.
pub(super) fn due_again(tx: &Tx<'_>, rows: &[Row]) -> Result<()> {
    for row in rows {
        let destination = Destination(get::<&str>(row, 0)?.into());
        tx.effect(Effect::Due(destination, get(row, 1)?));
    }
    Ok(())
}

/// Measures the difference of the clocks.
pub(in crate::postgres) async fn measure_shift(shared: &Shared) -> Result<()> {
    let connection = shared.pool.get().await?;
    let row = connection
        .row("SELECT clock_shift($1)", &[&unix_millis()])
        .await?;
    if let Some(row) = row {
        shared.shift.store(get(&row, 0)?, Ordering::Relaxed);
    }
    Ok(())
}
