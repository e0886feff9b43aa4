//! Leasing units to workers. When a lease ends is decided by the database's clock; `clock_shift` translates the times of callers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::due;
use crate::common::{queue, seal, unix_millis};
use crate::error::{Result, StoreError};
use crate::postgres::connection::Pipeline;
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{Effect, Kind, Tx, get, small, transact};
use crate::queue::{Destination, Lease, LeasedUnit, QueuedMessage, Wanted};
use crate::types::{BodyId, UnitId, UnixMillis};

/// Destinations looked at in one call beyond those that have something to do.
const MAX_IDLE: usize = 1_000;
/// Destinations asked for their next time in one statement.
const CHUNK: usize = 100;
/// Parts that a share is cut into for the tenants of a destination.
const TENANTS: usize = 8;
/// Turns that a call gives to destinations that have more.
const MAX_TURNS: usize = 8;

/// The time of a lease and who gets it.
pub(super) struct Term<'t> {
    pub(super) worker: &'t str,
    pub(super) now: UnixMillis,
    pub(super) until: UnixMillis,
}

/// Locks row by row, and not one more than is leased: rows that another worker is just leasing are passed over.
const LEASE: &str = "WITH clock AS MATERIALIZED (SELECT clock_shift($1) AS shift),
    picked AS MATERIALIZED (
        SELECT d.turn, u.shard, u.id, u.due FROM clock, unnest($2::text[]) WITH ORDINALITY AS d (name, turn) CROSS JOIN LATERAL (
            SELECT shard, id, due FROM unit
            WHERE destination = d.name AND due <= $3 + clock.shift AND NOT held AND (lease = 0 OR $9)
            ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED
        ) AS u LIMIT $5
    ), leased AS (
        UPDATE unit AS u SET lease = $6, worker = $7, due = $8 + clock.shift FROM picked AS p, clock
        WHERE u.shard = p.shard AND u.id = p.id
        RETURNING u.shard, u.id, u.message, u.destination, u.attempts, u.warned, u.bounce, u.next_attempt = 0 AS urgent, u.recipients, p.turn, p.due
    )
    SELECT l.id, l.message, l.destination, l.attempts::bigint, l.warned, l.bounce, l.recipients, q.body, q.size, q.created, q.info, l.urgent
    FROM leased AS l LEFT JOIN queued AS q ON q.shard = l.shard AND q.id = l.message ORDER BY l.due, l.turn, l.id";

/// The same for the tenants of each destination in turn, from a number on and from the first again: an equal share of each, so that
/// nobody waits behind all that another one has sent. From one tenant to the next nothing in between is read.
const LEASE_IN_TURN: &str = "WITH RECURSIVE clock AS MATERIALIZED (SELECT clock_shift($1) AS shift),
    found (name, turn, count, tenant) AS (
        SELECT d.name, d.turn, 1, (SELECT min(tenant) FROM unit
            WHERE destination = d.name AND destination <> 'local' AND NOT held AND tenant >= s.start)
        FROM unnest($2::text[]) WITH ORDINALITY AS d (name, turn), unnest($10::bigint[]) AS s (start)
        UNION ALL
        SELECT f.name, f.turn, f.count + 1, (SELECT min(tenant) FROM unit
            WHERE destination = f.name AND destination <> 'local' AND NOT held AND tenant > f.tenant)
        FROM found AS f WHERE f.tenant IS NOT NULL AND f.count < 32
    ), tenants AS MATERIALIZED (SELECT DISTINCT name, turn, tenant FROM found WHERE tenant IS NOT NULL),
    picked AS MATERIALIZED (
        SELECT t.turn, u.shard, u.id, u.due FROM clock, tenants AS t CROSS JOIN LATERAL (
            SELECT shard, id, due FROM unit
            WHERE destination = t.name AND destination <> 'local' AND tenant = t.tenant AND due <= $3 + clock.shift AND NOT held
                AND (lease = 0 OR $9)
            ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED
        ) AS u LIMIT $5
    ), leased AS (
        UPDATE unit AS u SET lease = $6, worker = $7, due = $8 + clock.shift FROM picked AS p, clock
        WHERE u.shard = p.shard AND u.id = p.id
        RETURNING u.shard, u.id, u.message, u.destination, u.attempts, u.warned, u.bounce, u.next_attempt = 0 AS urgent, u.recipients, p.turn, p.due
    )
    SELECT l.id, l.message, l.destination, l.attempts::bigint, l.warned, l.bounce, l.recipients, q.body, q.size, q.created, q.info, l.urgent
    FROM leased AS l LEFT JOIN queued AS q ON q.shard = l.shard AND q.id = l.message ORDER BY l.due, l.turn, l.id";

/// The oldest unit of each of some tenants, wherever it goes, from a number on and from the first again, but for those of `$9`.
const LEASE_ONE_OF_EACH: &str = "WITH RECURSIVE clock AS MATERIALIZED (SELECT clock_shift($1) AS shift),
    found (count, tenant) AS (
        SELECT 1, (SELECT min(tenant) FROM unit WHERE destination <> 'local' AND NOT held AND tenant >= s.start)
        FROM unnest($2::bigint[]) AS s (start)
        UNION ALL
        SELECT f.count + 1, (SELECT min(tenant) FROM unit WHERE destination <> 'local' AND NOT held AND tenant > f.tenant)
        FROM found AS f WHERE f.tenant IS NOT NULL AND f.count < 128
    ), tenants AS MATERIALIZED (SELECT DISTINCT tenant FROM found WHERE tenant IS NOT NULL AND tenant <> ALL ($9::bigint[])),
    picked AS MATERIALIZED (
        SELECT u.shard, u.id, u.due FROM clock, tenants AS t CROSS JOIN LATERAL (
            SELECT shard, id, due FROM unit
            WHERE destination <> 'local' AND tenant = t.tenant AND due <= $3 + clock.shift AND NOT held AND (lease = 0 OR $8)
            ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS u LIMIT $4
    ), leased AS (
        UPDATE unit AS u SET lease = $5, worker = $6, due = $7 + clock.shift FROM picked AS p, clock
        WHERE u.shard = p.shard AND u.id = p.id
        RETURNING u.shard, u.id, u.message, u.destination, u.attempts, u.warned, u.bounce, u.next_attempt = 0 AS urgent, u.recipients, p.due
    )
    SELECT l.id, l.message, l.destination, l.attempts::bigint, l.warned, l.bounce, l.recipients, q.body, q.size, q.created, q.info, l.urgent
    FROM leased AS l LEFT JOIN queued AS q ON q.shard = l.shard AND q.id = l.message ORDER BY l.due, l.id";

/// The next time of each destination, now that some of its units are leased; and the difference of the clocks.
const EARLIEST: &str = "SELECT d.name, (SELECT min(due) FROM unit WHERE destination = d.name AND NOT held), clock_shift($2)
    FROM unnest($1::text[]) AS d (name)";

pub(super) async fn lease(
    shared: &Shared,
    wanted: &Wanted,
    term: &Term<'_>,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    let mut turn = match wanted {
        Wanted::Local => vec![Destination::local()],
        Wanted::Only(destination) => vec![destination.clone()],
        Wanted::OneOfEach { except } => return one_of_each(shared, except, term, limit).await,
        Wanted::Remote { except } => {
            due::refresh(shared).await?;
            let now = term.now + shared.shift.load(Ordering::Relaxed);
            let most = limit.saturating_add(MAX_IDLE);
            let due = shared.due.destinations(except, most, |at| at <= now);
            due.into_iter()
                .map(|(_, destination)| destination)
                .collect()
        }
    };
    let mut leased = Vec::new();
    // Each destination that has something to do gets its share, so that none keeps the others waiting. A share is half of what is
    // left at first; where there is more, the tenants of the destination have the next turn, then its oldest units again.
    let local = turn.iter().all(Destination::is_local);
    for number in 0..MAX_TURNS {
        if leased.len() >= limit || turn.is_empty() {
            break;
        }
        let pick = match number {
            _ if local => Pick::All,
            0 => Pick::Half,
            number if number % 2 == 1 => Pick::InTurn,
            _ => Pick::All,
        };
        turn = take_turn(shared, (turn, pick), term, limit, &mut leased).await?;
    }
    Ok(leased)
}

/// What a turn takes of a destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pick {
    /// Its share, oldest first.
    All,
    /// Half of its share, oldest first.
    Half,
    /// Its share, from its tenants in turn.
    InTurn,
}

/// Takes an equal share from each destination; returns those that have more.
async fn take_turn(
    shared: &Shared,
    (turn, pick): (Vec<Destination>, Pick),
    term: &Term<'_>,
    limit: usize,
    leased: &mut Vec<LeasedUnit>,
) -> Result<Vec<Destination>> {
    let left = limit.saturating_sub(leased.len());
    let share = match pick {
        Pick::Half => (left / turn.len()).div_ceil(2).max(1),
        Pick::All | Pick::InTurn => (left / turn.len()).max(1),
    };
    let clock = shared.due.clock();
    let (units, next) = take(shared, (&turn, pick), term, (share, left)).await?;
    let full = units.len() >= left;
    let enough = if pick == Pick::InTurn { 1 } else { share };
    let mut counts: HashMap<Destination, usize> = HashMap::new();
    for unit in &units {
        *counts.entry(unit.destination.clone()).or_default() += 1;
    }
    leased.extend(units);
    let mut more = Vec::new();
    for (destination, at) in next {
        // One that gave less than its share has no more, or others are at it.
        if !full
            && counts
                .get(&destination)
                .is_some_and(|count| *count >= enough)
        {
            more.push(destination.clone());
        }
        shared.due.correct(destination, at, clock);
    }
    Ok(more)
}

type Next = Vec<(Destination, Option<UnixMillis>)>;

/// One transaction, sent at once. What is delivered here is settled in the database alone: if a crash undoes such a lease, nothing is done
/// twice. What goes out to others must not be leased again, so that lease is on the disk first.
async fn take(
    shared: &Shared,
    (destinations, pick): (&[Destination], Pick),
    term: &Term<'_>,
    (share, limit): (usize, usize),
) -> Result<(Vec<LeasedUnit>, Next)> {
    let local = destinations.iter().all(Destination::is_local);
    let kind = if local { Kind::Lazy } else { Kind::Durable };
    let names: Vec<&str> = destinations.iter().map(|name| &*name.0).collect();
    let clock = unix_millis();
    let in_turn = pick == Pick::InTurn;
    // A tenant's share is small, so that many have one.
    let share = if in_turn {
        share.div_ceil(TENANTS)
    } else {
        share
    };
    let (share, limit) = (rows(share), rows(limit));
    let token = token()?;
    let starts = [i64::from_le_bytes(seal::random()?), i64::MIN];
    let starts = starts.as_slice();
    let connection = shared.pool.get().await?;
    let takes_over = shared.pool.in_touch_for(shared.options.takeover_wait);
    let mut pipeline = Pipeline::default();
    kind.begin(&mut pipeline);
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &clock,
        &names,
        &term.now,
        &share,
        &limit,
        &token,
        &term.worker,
        &term.until,
        &takes_over,
        &starts,
    ];
    let leased = match in_turn {
        true => pipeline.add(LEASE_IN_TURN, &parameters),
        false => pipeline.add(LEASE, parameters.get(..9).unwrap_or_default()),
    };
    let earliest = pipeline.add(EARLIEST, &[&names, &clock]);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await?;
    connection.ended();
    let mut next = Vec::with_capacity(destinations.len());
    for row in &answers[earliest] {
        next.push((Destination(get::<&str>(row, 0)?.into()), get(row, 1)?));
        shared.shift.store(get(row, 2)?, Ordering::Relaxed);
    }
    drop(connection);
    Ok((decode(shared, &answers[leased], token).await?, next))
}

/// Bounds of destinations stay as they are: they are too early at most.
async fn one_of_each(
    shared: &Shared,
    except: &[String],
    term: &Term<'_>,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    let except: Vec<i64> = except.iter().map(|tenant| queue::number(tenant)).collect();
    let token = token()?;
    let starts = [i64::from_le_bytes(seal::random()?), i64::MIN];
    let tx = Tx::begin(shared, Kind::Durable).await?;
    let takes_over = shared.pool.in_touch_for(shared.options.takeover_wait);
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &unix_millis(),
        &starts.as_slice(),
        &term.now,
        &rows(limit),
        &token,
        &term.worker,
        &term.until,
        &takes_over,
        &except,
    ];
    let leased = tx.query(LEASE_ONE_OF_EACH, &parameters).await?;
    tx.commit().await?;
    decode(shared, &leased, token).await
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A token that no lease has had.
fn token() -> Result<i64> {
    Ok((i64::from_le_bytes(seal::random()?) & i64::MAX).max(1))
}

async fn decode(shared: &Shared, rows: &[Row], token: i64) -> Result<Vec<LeasedUnit>> {
    let mut messages = HashMap::new();
    let mut leased = Vec::with_capacity(rows.len());
    for row in rows {
        match unit(row, token, &mut messages) {
            Ok(unit) => leased.push(unit),
            Err(error) => hold(shared, get(row, 0)?, &error).await?,
        }
    }
    Ok(leased)
}

/// Others must not wait behind a unit that cannot be read.
async fn hold(shared: &Shared, unit: i64, error: &StoreError) -> Result<()> {
    tracing::error!(unit, %error, "a unit of the queue is damaged and put on hold");
    let connection = shared.pool.get().await?;
    connection
        .execute(
            "UPDATE unit SET held = true, lease = 0 WHERE shard = $1 AND id = $2",
            &[&shard::of_id(unit), &unit],
        )
        .await
        .map(drop)
}

fn unit(
    row: &Row,
    token: i64,
    messages: &mut HashMap<String, Arc<QueuedMessage>>,
) -> Result<LeasedUnit> {
    let id: &str = get(row, 1)?;
    let message = match messages.get(id) {
        Some(message) => Arc::clone(message),
        None => {
            let message = Arc::new(message(row, id)?);
            messages.insert(id.to_owned(), Arc::clone(&message));
            message
        }
    };
    Ok(LeasedUnit {
        lease: Lease {
            unit: UnitId(get(row, 0)?),
            token,
        },
        message,
        destination: Destination(get::<&str>(row, 2)?.into()),
        attempts: small(row, 3)?,
        warned: get(row, 4)?,
        bounce: get(row, 5)?,
        urgent: get(row, 11)?,
        recipients: queue::decode_recipients(get(row, 6)?)?,
    })
}

fn message(row: &Row, id: &str) -> Result<QueuedMessage> {
    let body: Option<i64> = get(row, 7)?;
    let body = body.ok_or_else(|| StoreError::Corrupt("a unit without its message".to_owned()))?;
    queue::decode_message(
        id,
        BodyId(body),
        small(row, 8)?,
        get(row, 9)?,
        get(row, 10)?,
    )
}

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
    let except = match wanted {
        Wanted::Local => return earliest_after(shared, &[Destination::LOCAL], now).await,
        Wanted::Only(destination) => return earliest_after(shared, &[&*destination.0], now).await,
        Wanted::Remote { except } => except,
        Wanted::OneOfEach { .. } => &Vec::new(),
    };
    due::refresh(shared).await?;
    let candidates = shared.due.destinations(except, MAX_IDLE, |_| true);
    let shift = shared.shift.load(Ordering::Relaxed);
    let mut best: Option<UnixMillis> = None;
    for chunk in candidates.chunks(CHUNK) {
        // Bounds ascend: what follows cannot be earlier than the best.
        let bound = chunk.first().map_or(i64::MAX, |(at, _)| *at);
        if best.is_some_and(|best| bound - shift >= best) {
            break;
        }
        let names: Vec<&str> = chunk.iter().map(|(_, name)| &*name.0).collect();
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
        FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (shard, id, lease), (SELECT clock_shift($5) AS shift) AS clock
        WHERE u.shard = v.shard AND u.id = v.id AND u.lease = v.lease RETURNING u.id, u.lease";
    let (shards, ids, tokens) = columns(&leases);
    let connection = shared.pool.get().await?;
    let rows = connection
        .query(SQL, &[&shards, &ids, &tokens, &until, &unix_millis()])
        .await?;
    let mut kept = std::collections::HashSet::with_capacity(rows.len());
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
        FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (shard, id, lease)
        WHERE u.shard = v.shard AND u.id = v.id AND u.lease = v.lease RETURNING u.destination, u.due";
    let (shards, ids, tokens) = columns(leases);
    // Others lock the same rows in another order: the heartbeat, for one.
    transact!(shared, Kind::Lazy, |tx| {
        let rows = tx.query(SQL, &[&shards, &ids, &tokens]).await?;
        due_again(&tx, &rows)
    })
}

/// Hands back every lease of a worker, and says how many.
pub(in crate::postgres) async fn hand_back_all(shared: &Shared, worker: &str) -> Result<usize> {
    const SQL: &str = "UPDATE unit SET due = next_attempt, lease = 0 WHERE lease <> 0 AND worker = $1 RETURNING destination, due";
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
