//! Picking the units that a worker gets. Times are those of the database's clock; `clock_shift` translates the times of callers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_postgres::Row;

use super::{due, lease};
use crate::common::{queue, seal, unix_millis};
use crate::error::{Result, StoreError};
use crate::postgres::connection::{Param, Pipeline};
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{Kind, Tx, get, small};
use crate::queue::{Destination, Lease, LeasedUnit, QueuedMessage, Wanted};
use crate::types::{BodyId, UnitId, UnixMillis};

/// Destinations that one call finds beyond as many as it may lease units.
const MAX_IDLE: usize = 1_000;
/// Transactions of one call.
const MAX_LOOKS: usize = 8;
/// Destinations looked at in the first one; in each that follows twice as many, since those before had nothing.
const FIRST_LOOK: usize = 16;

/// The time of a lease and who gets it.
pub(super) struct Term<'t> {
    pub(super) worker: &'t str,
    pub(super) now: UnixMillis,
    pub(super) until: UnixMillis,
}

impl Term<'_> {
    /// Remembers a lease whose answer did not come.
    fn unanswered(&self, shared: &Shared, token: i64) {
        let millis = self.until.saturating_sub(self.now).max(0);
        let term = Duration::from_millis(millis.unsigned_abs());
        shared.doubtful.add(token, term);
    }
}

/// Locks row by row, and not one more than is leased: rows that another worker is just leasing are passed over.
const LEASE: &str = "WITH clock AS MATERIALIZED (SELECT clock_shift($1) AS shift),
    picked AS MATERIALIZED (
        SELECT d.turn, u.shard, u.id, u.due
        FROM clock, unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS d (name, share, turn) CROSS JOIN LATERAL (
            SELECT shard, id, due FROM unit
            WHERE destination = d.name AND due <= $4 + clock.shift AND NOT held AND (lease = 0 OR $9)
            ORDER BY due LIMIT d.share FOR UPDATE SKIP LOCKED
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
    found (name, share, turn, walk, count, tenant) AS (
        SELECT d.name, d.share, d.turn, s.walk, 1, (SELECT min(tenant) FROM unit
            WHERE destination = d.name AND destination <> 'local' AND NOT held AND tenant >= s.start)
        FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS d (name, share, turn),
            unnest($10::bigint[]) WITH ORDINALITY AS s (start, walk) WHERE d.share > 0
        UNION ALL
        SELECT f.name, f.share, f.turn, f.walk, f.count + 1, (SELECT min(tenant) FROM unit
            WHERE destination = f.name AND destination <> 'local' AND NOT held AND tenant > f.tenant)
        FROM found AS f WHERE f.tenant IS NOT NULL AND f.count < least(f.share, 32)
    ), once AS (
        SELECT name, share, turn, tenant, row_number() OVER (PARTITION BY turn ORDER BY min(walk), min(count)) AS place
        FROM found WHERE tenant IS NOT NULL GROUP BY name, share, turn, tenant
    ), tenants AS MATERIALIZED (
        SELECT name, share, turn, tenant, place, count(*) OVER (PARTITION BY turn) AS of FROM once WHERE place <= share
    ), picked AS MATERIALIZED (
        SELECT t.turn, u.shard, u.id, u.due FROM clock, tenants AS t CROSS JOIN LATERAL (
            SELECT shard, id, due FROM unit
            WHERE destination = t.name AND destination <> 'local' AND tenant = t.tenant AND due <= $4 + clock.shift AND NOT held
                AND (lease = 0 OR $9)
            ORDER BY due LIMIT t.share / t.of + (t.place <= t.share % t.of)::integer FOR UPDATE SKIP LOCKED
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
const EARLIEST: &str =
    "SELECT (SELECT min(due) FROM unit WHERE destination = d.name AND NOT held), clock_shift($2)
    FROM unnest($1::text[]) WITH ORDINALITY AS d (name, turn) ORDER BY d.turn";

pub(super) async fn lease(
    shared: &Shared,
    wanted: &Wanted,
    term: &Term<'_>,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    lease::resolve(shared, term.worker).await?;
    let mut waiting = match wanted {
        Wanted::Local => VecDeque::from([Candidate::unknown(Destination::local())]),
        Wanted::Only(destination) => VecDeque::from([Candidate::unknown(destination.clone())]),
        Wanted::OneOfEach { except } => return one_of_each(shared, except, term, limit).await,
        Wanted::Remote { most, each } => {
            due::refresh(shared).await?;
            due_now(shared, (most, *each), term.now, limit)
        }
    };
    let mut leased: Vec<LeasedUnit> = Vec::new();
    // A few more are not worth another transaction.
    let enough = limit - limit / 4;
    for look in 0..MAX_LOOKS {
        if leased.len() >= enough || waiting.is_empty() {
            break;
        }
        let left = limit - leased.len();
        let looked_at = left.max(FIRST_LOOK << look).min(waiting.len());
        let looked_at: Vec<Candidate> = waiting.drain(..looked_at).collect();
        match take(shared, looked_at, term, left).await {
            Ok((units, more)) => {
                leased.extend(units);
                waiting.extend(more);
            }
            // What is leased by now must not wait for the end of its lease.
            Err(error) if !leased.is_empty() => {
                tracing::warn!(%error, "failed to lease as much as was asked for");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(leased)
}

/// A destination that may have something to do.
struct Candidate {
    destination: Destination,
    /// Most units that are leased.
    most: usize,
    /// It had more than was leased when it was looked at last: then its tenants take turns.
    backlog: bool,
}

impl Candidate {
    fn unknown(destination: Destination) -> Self {
        Self {
            backlog: !destination.is_local(),
            destination,
            most: usize::MAX,
        }
    }

    /// Of a share: what goes to the tenants in turn, and what to the oldest units. With room for one they take turns.
    fn parts(&self, share: usize, coin: bool) -> (i64, i64) {
        let share = share.min(self.most);
        let in_turn = match self.backlog {
            true => share / 2 + share % 2 * usize::from(coin),
            false => 0,
        };
        (rows(in_turn), rows(share - in_turn))
    }
}

/// The destinations that may have something to do, those that have waited longest first.
fn due_now(
    shared: &Shared,
    (most, each): (&HashMap<Destination, usize>, usize),
    now: UnixMillis,
    limit: usize,
) -> VecDeque<Candidate> {
    let now = now + shared.shift.load(Ordering::Relaxed);
    let found = limit.saturating_add(MAX_IDLE);
    let found = shared.due.destinations(most, found, |at| at <= now);
    let due = found.into_iter().map(|(_, destination, behind)| Candidate {
        most: most.get(&destination).copied().unwrap_or(each),
        backlog: behind,
        destination,
    });
    due.collect()
}

/// Takes an equal share from each destination, in one transaction, sent at once; also gives those that have more.
///
/// What is delivered here is settled in the database alone: if a crash undoes such a lease, nothing is done twice. What goes out to others
/// must not be leased again, so that lease is on the disk first.
async fn take(
    shared: &Shared,
    looked_at: Vec<Candidate>,
    term: &Term<'_>,
    left: usize,
) -> Result<(Vec<LeasedUnit>, Vec<Candidate>)> {
    let local = looked_at.iter().all(|due| due.destination.is_local());
    let kind = if local { Kind::Lazy } else { Kind::Durable };
    let share = (left / looked_at.len()).max(1);
    let random: [u8; 8] = seal::random()?;
    let coin = random[0] & 1 == 1;
    let names: Vec<&str> = looked_at.iter().map(|due| &*due.destination.0).collect();
    let parts = looked_at.iter().map(|due| due.parts(share, coin));
    let (in_turn, oldest): (Vec<i64>, Vec<i64>) = parts.unzip();
    let limit_in_turn = in_turn_of(left, &in_turn, &oldest);
    let limit_oldest = (rows(left) - limit_in_turn).min(oldest.iter().sum());
    let starts = [i64::from_le_bytes(random), i64::MIN];
    let (starts, clock, token) = (starts.as_slice(), unix_millis(), token()?);
    let (before, connection) = (shared.due.clock(), shared.pool.get().await?);
    let takes_over = shared.pool.in_touch_for(shared.options.takeover_wait);
    let mut pipeline = Pipeline::default();
    kind.begin(&mut pipeline);
    let mut parameters: Vec<Param<'_>> = vec![
        &clock,
        &names,
        &in_turn,
        &term.now,
        &limit_in_turn,
        &token,
        &term.worker,
        &term.until,
        &takes_over,
        &starts,
    ];
    let mut steps = Vec::with_capacity(2);
    if limit_in_turn > 0 {
        steps.push(pipeline.add(LEASE_IN_TURN, &parameters));
    }
    parameters.truncate(9);
    (parameters[2], parameters[4]) = (&oldest, &limit_oldest);
    if limit_oldest > 0 {
        steps.push(pipeline.add(LEASE, &parameters));
    }
    let earliest = pipeline.add(EARLIEST, &[&names, &clock]);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await;
    let answers = answers.inspect_err(|_| term.unanswered(shared, token))?;
    connection.ended();
    drop(connection);
    let mut units = Vec::new();
    for step in steps {
        units.extend(decode(shared, &answers[step], token).await?);
    }
    let next = (answers[earliest].as_slice(), before, term.now);
    let more = correct(shared, looked_at, next, &units)?;
    Ok((units, more))
}

/// How many of `left` units go to tenants in turn, so that destinations which have waited longer are not passed over for others' tenants.
fn in_turn_of(left: usize, in_turn: &[i64], oldest: &[i64]) -> i64 {
    let mut room = rows(left);
    let given = in_turn.iter().zip(oldest).map(|(in_turn, oldest)| {
        let given = room.min(in_turn + oldest);
        room -= given;
        given.min(*in_turn)
    });
    given.sum()
}

/// Takes over the next times of destinations that a statement found which began at the time `before` of the index; gives those that have
/// more now. One that gave nothing is not among them: others are at it.
fn correct(
    shared: &Shared,
    looked_at: Vec<Candidate>,
    (next, before, now): (&[Row], u64, UnixMillis),
    units: &[LeasedUnit],
) -> Result<Vec<Candidate>> {
    let mut counts: HashMap<&Destination, usize> = HashMap::new();
    for unit in units {
        *counts.entry(&unit.destination).or_default() += 1;
    }
    let mut more = Vec::new();
    for (candidate, row) in looked_at.into_iter().zip(next) {
        let (at, shift): (Option<UnixMillis>, i64) = (get(row, 0)?, get(row, 1)?);
        shared.shift.store(shift, Ordering::Relaxed);
        let destination = candidate.destination.clone();
        let count = counts.get(&destination).copied().unwrap_or(0);
        let has_more = at.is_some_and(|at| at <= now + shift);
        shared.due.has_more(&destination, has_more);
        // What went to tenants in turn may have met those alone that have nothing now: then the oldest units are looked at.
        let unlucky = count == 0 && candidate.backlog;
        if (count > 0 && count < candidate.most || unlucky) && has_more {
            more.push(Candidate {
                most: candidate.most - count,
                backlog: !unlucky && !destination.is_local(),
                ..candidate
            });
        }
        shared.due.correct(destination, at, before);
    }
    Ok(more)
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
    let parameters: [Param<'_>; 9] = [
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
    let committed = tx.commit().await;
    committed.inspect_err(|_| term.unanswered(shared, token))?;
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
            Err(error) => hold(shared, get(row, 0)?, &error).await,
        }
    }
    Ok(leased)
}

/// Others must not wait behind a unit that cannot be read.
async fn hold(shared: &Shared, unit: i64, error: &StoreError) {
    const SQL: &str = "UPDATE unit SET held = true, lease = 0 WHERE shard = $1 AND id = $2";
    tracing::error!(unit, %error, "a unit of the queue is damaged and put on hold");
    let held = async {
        let connection = shared.pool.get().await?;
        connection.execute(SQL, &[&shard::of_id(unit), &unit]).await
    };
    // The others that were leased with it are not forgotten for its sake; it is found again when its lease has ended.
    if let Err(error) = held.await {
        tracing::warn!(unit, %error, "failed to put a damaged unit on hold");
    }
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
