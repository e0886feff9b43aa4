//! Leasing units to workers.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Params};

use super::super::shared::Shared;
use super::super::tx::{Effect, Tx};
use super::rows::{UNIT_COLUMNS, UnitRow};
use super::turn;
use crate::common::{lock, queue};
use crate::error::{Result, StoreError};
use crate::queue::{Destination, Lease, LeasedUnit, QueuedMessage, Wanted};
use crate::types::{UnitId, UnixMillis};

/// Destinations looked at in one call beyond those that have something to do.
const MAX_IDLE: usize = 1_000;
/// Ended leases of a destination that are taken back in one call.
const MAX_ENDED: i64 = 1_000;

/// Messages decoded in this call, for their other units.
type Messages = HashMap<String, Arc<QueuedMessage>>;

/// The time of a lease.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) now: UnixMillis,
    pub(super) until: UnixMillis,
}

pub(super) fn lease(
    tx: &mut Tx<'_>,
    wanted: &Wanted,
    term: Term,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    let mut messages = HashMap::new();
    let destinations = match wanted {
        Wanted::Local => vec![Destination::local()],
        Wanted::Only(destination) => vec![destination.clone()],
        Wanted::Remote { most, each } => return lease_remote(tx, (most, *each), term, limit),
        Wanted::OneOfEach { except } => return lease_one_of_each(tx, except, term, limit),
    };
    let mut leased = Vec::new();
    for destination in &destinations {
        take(tx, destination, term, limit, &mut messages, &mut leased)?;
    }
    Ok(leased)
}

/// What is found of a destination that is not asked again for its next time: the bound of it stays, and is too early at most.
fn lease_one_of_each(
    tx: &mut Tx<'_>,
    except: &[String],
    term: Term,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    let except = except.iter().map(|tenant| queue::number(tenant)).collect();
    let rows = turn::one_of_each(tx, &except, term.now, limit)?;
    let (mut messages, mut leased) = (HashMap::new(), Vec::new());
    take_rows(tx, rows, term, &mut messages, &mut leased)?;
    Ok(leased)
}

/// A destination that may have something to do, and most units of it that are leased.
struct Candidate {
    destination: Destination,
    most: usize,
}

/// Each destination that has something to do gets its share, so that none keeps the others waiting.
fn lease_remote(
    tx: &mut Tx<'_>,
    (most, each): (&HashMap<Destination, usize>, usize),
    term: Term,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    let found = limit.saturating_add(MAX_IDLE);
    let due: Vec<Candidate> = lock(&tx.shared.due)
        .iter(most)
        .take_while(|(at, _)| *at <= term.now)
        .map(|(_, destination)| Candidate {
            most: most.get(destination).copied().unwrap_or(each),
            destination: destination.clone(),
        })
        .take(found)
        .collect();
    let (mut messages, mut leased) = (HashMap::new(), Vec::new());
    let mut turn = due;
    while leased.len() < limit && !turn.is_empty() {
        turn = take_turn(tx, turn, term, limit, &mut messages, &mut leased)?;
    }
    Ok(leased)
}

/// Takes an equal share from each destination; returns those that have more.
fn take_turn(
    tx: &mut Tx<'_>,
    turn: Vec<Candidate>,
    term: Term,
    limit: usize,
    messages: &mut Messages,
    leased: &mut Vec<LeasedUnit>,
) -> Result<Vec<Candidate>> {
    let share = (limit.saturating_sub(leased.len()) / turn.len()).max(1);
    let mut more = Vec::new();
    for Candidate { destination, most } in turn {
        if leased.len() >= limit {
            break;
        }
        let (share, before) = (share.min(most), leased.len());
        take(tx, &destination, term, share, messages, leased)?;
        let next = earliest(tx.connection, &destination)?;
        tx.effect(Effect::DueExactly(destination.clone(), next));
        let most = most.saturating_sub(leased.len() - before);
        if most > 0 && next.is_some_and(|next| next <= term.now) {
            more.push(Candidate { destination, most });
        }
    }
    Ok(more)
}

/// Leases up to `limit` due units of a destination: all in their order, or, where it has more, half of them from its tenants in
/// turn, so that nobody waits behind all that another one has sent.
fn take(
    tx: &mut Tx<'_>,
    destination: &Destination,
    term: Term,
    limit: usize,
    messages: &mut Messages,
    leased: &mut Vec<LeasedUnit>,
) -> Result<()> {
    take_back(tx, destination, term.now)?;
    let most = if destination.is_local() {
        limit
    } else {
        limit.saturating_add(1)
    };
    let mut rows = due_units(tx, destination, term.now, most)?;
    if rows.len() <= limit {
        return take_rows(tx, rows, term, messages, leased);
    }
    // With room for one, the oldest and the tenants take turns.
    let share = limit / 2 + limit % 2 * usize::from(tx.counters.lease % 2 == 0);
    let before = leased.len();
    take_rows(
        tx,
        turn::units(tx, destination, term.now, share)?,
        term,
        messages,
        leased,
    )?;
    let left = limit.saturating_sub(leased.len() - before);
    rows = due_units(tx, destination, term.now, left)?;
    take_rows(tx, rows, term, messages, leased)
}

fn take_rows(
    tx: &mut Tx<'_>,
    rows: Vec<UnitRow>,
    term: Term,
    messages: &mut Messages,
    leased: &mut Vec<LeasedUnit>,
) -> Result<()> {
    for row in rows {
        let id = row.id;
        match take_one(tx, row, term, messages) {
            Ok(unit) => leased.push(unit),
            Err(error @ StoreError::Corrupt(_)) => {
                // Others must not wait behind a unit that cannot be read.
                tracing::error!(unit = id, %error, "a unit of the queue is damaged and put on hold");
                tx.execute("UPDATE unit SET held = 1 WHERE id = ?1", [id])?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn take_one(
    tx: &mut Tx<'_>,
    row: UnitRow,
    term: Term,
    messages: &mut Messages,
) -> Result<LeasedUnit> {
    let recipients = queue::decode_recipients(&row.recipients)?;
    let message = match messages.get(&row.message) {
        Some(message) => Arc::clone(message),
        None => {
            let message = Arc::new(tx.message_row(&row.message)?.decode()?);
            messages.insert(row.message.clone(), Arc::clone(&message));
            message
        }
    };
    tx.counters.lease += 1;
    let token = tx.counters.lease;
    tx.execute(
        "UPDATE unit SET lease = ?2, due = ?3 WHERE id = ?1",
        (row.id, token, term.until),
    )?;
    Ok(LeasedUnit {
        lease: Lease {
            unit: UnitId(row.id),
            token,
        },
        message,
        destination: Destination(row.destination),
        recipients,
        attempts: row.attempts,
        warned: row.warned,
        bounce: row.bounce,
        urgent: row.next_attempt == 0,
    })
}

/// Makes units free whose lease has ended.
fn take_back(tx: &mut Tx<'_>, destination: &Destination, now: UnixMillis) -> Result<()> {
    const ENDED: &str = "SELECT id, lease FROM unit WHERE destination = ?1 AND lease <> 0 AND due <= ?2 AND held = 0 ORDER BY due LIMIT ?3";
    let ended = leases(tx, ENDED, (&destination.0, now, MAX_ENDED))?;
    hand_back(tx, &ended)
}

fn leases(tx: &Tx<'_>, sql: &str, params: impl Params) -> Result<Vec<Lease>> {
    let mut statement = tx.prepare(sql)?;
    let lease = |row: &rusqlite::Row<'_>| {
        Ok(Lease {
            unit: UnitId(row.get(0)?),
            token: row.get(1)?,
        })
    };
    Ok(statement
        .query_map(params, lease)?
        .collect::<rusqlite::Result<_>>()?)
}

fn due_units(
    tx: &Tx<'_>,
    destination: &Destination,
    now: UnixMillis,
    limit: usize,
) -> Result<Vec<UnitRow>> {
    let sql = format!(
        "SELECT {UNIT_COLUMNS} FROM unit u WHERE u.destination = ?1 AND u.due <= ?2 AND u.held = 0 AND u.lease = 0 ORDER BY u.due LIMIT ?3"
    );
    let mut statement = tx.prepare(&sql)?;
    let rows = statement.query_map(
        (
            &destination.0,
            now,
            i64::try_from(limit).unwrap_or(i64::MAX),
        ),
        UnitRow::read,
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// When a destination's next unit is due, be it past or to come; one that is leased is so when its lease ends.
fn earliest(connection: &Connection, destination: &Destination) -> Result<Option<UnixMillis>> {
    earliest_after(connection, destination, i64::MIN)
}

fn earliest_after(
    connection: &Connection,
    destination: &Destination,
    now: UnixMillis,
) -> Result<Option<UnixMillis>> {
    let [mut free, mut leased] = [
        connection.prepare_cached(
            "SELECT min(due) FROM unit WHERE destination = ?1 AND held = 0 AND lease = 0 AND due > ?2",
        )?,
        connection.prepare_cached(
            "SELECT min(due) FROM unit WHERE destination = ?1 AND held = 0 AND lease <> 0 AND due > ?2",
        )?,
    ];
    let [free, leased]: [Option<UnixMillis>; 2] = [
        free.query_row((&destination.0, now), |row| row.get(0))?,
        leased.query_row((&destination.0, now), |row| row.get(0))?,
    ];
    Ok(free.into_iter().chain(leased).min())
}

/// The earliest time after `now` at which a unit is due.
pub(super) fn next_due(
    connection: &Connection,
    shared: &Shared,
    wanted: &Wanted,
    now: UnixMillis,
) -> Result<Option<UnixMillis>> {
    let most = match wanted {
        Wanted::Local => return earliest_after(connection, &Destination::local(), now),
        Wanted::Only(destination) => return earliest_after(connection, destination, now),
        Wanted::Remote { most, .. } => most.as_ref(),
        Wanted::OneOfEach { .. } => &HashMap::new(),
    };
    let candidates: Vec<(UnixMillis, Destination)> = lock(&shared.due)
        .iter(most)
        .take(MAX_IDLE)
        .map(|(at, destination)| (at, destination.clone()))
        .collect();
    let mut best: Option<UnixMillis> = None;
    for (bound, destination) in candidates {
        // Bounds ascend: what follows cannot be earlier than the best.
        if best.is_some_and(|best| bound >= best) {
            break;
        }
        let found = earliest_after(connection, &destination, now)?;
        best = best.into_iter().chain(found).min();
    }
    Ok(best)
}

pub(super) fn extend(tx: &Tx<'_>, leases: &[Lease], until: UnixMillis) -> Result<Vec<Lease>> {
    let mut lost = Vec::new();
    for lease in leases {
        if tx.execute(
            "UPDATE unit SET due = ?3 WHERE id = ?1 AND lease = ?2",
            (lease.unit.0, lease.token, until),
        )? == 0
        {
            lost.push(*lease);
        }
    }
    Ok(lost)
}

/// Hands back every lease there is, and says how many.
pub(in crate::sqlite) fn hand_back_all(tx: &mut Tx<'_>) -> Result<usize> {
    let leases = leases(tx, "SELECT id, lease FROM unit WHERE lease <> 0", [])?;
    hand_back(tx, &leases)?;
    Ok(leases.len())
}

pub(super) fn hand_back(tx: &mut Tx<'_>, leases: &[Lease]) -> Result<()> {
    // Not by RETURNING: such a statement has a savepoint of its own, and to end one takes the longer the more the transaction has changed.
    const FIND: &str = "SELECT destination, next_attempt FROM unit WHERE id = ?1 AND lease = ?2";
    const FREE: &str = "UPDATE unit SET due = next_attempt, lease = 0 WHERE id = ?1";
    for lease in leases {
        let found = tx.row(FIND, (lease.unit.0, lease.token), |row| {
            Ok((row.get::<_, Arc<str>>(0)?, row.get(1)?))
        })?;
        if let Some((destination, due)) = found {
            tx.execute(FREE, [lease.unit.0])?;
            tx.effect(Effect::Due(Destination(destination), due));
        }
    }
    Ok(())
}
