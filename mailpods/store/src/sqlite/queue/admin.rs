//! What operators see and do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::super::tx::{Effect, Tx};
use super::rows::{MESSAGE, MessageRow, UNIT_COLUMNS, UnitRow};
use crate::common::queue;
use crate::common::unix_millis;
use crate::error::Result;
use crate::queue::{
    Destination, QueueAction, QueueFilter, QueueItem, QueueTotals, QueuedMessage, QueuedRecipient,
};
use crate::types::{UnitId, UnixMillis};

/// Units looked for at once to be acted on.
const STEP: usize = 4_000;
/// How long a transaction acts on units: others wait for the writer meanwhile, and whoever acts on many waits for it after each.
const TERM: Duration = Duration::from_millis(60);

/// A unit that matches, decoded.
struct Found {
    unit: UnitRow,
    message: QueuedMessage,
    recipients: Vec<QueuedRecipient>,
}

/// The units after `after` that match, by id, at most `limit`.
fn find(
    connection: &Connection,
    filter: &QueueFilter,
    after: i64,
    limit: usize,
) -> Result<Vec<Found>> {
    let (first, last) = match &filter.id {
        None => (after + 1, i64::MAX),
        Some(id) => match units_of(connection, id)? {
            Some((first, last)) => (first.max(after + 1), last),
            None => return Ok(Vec::new()),
        },
    };
    // Only the conditions that are given are in the statement: by a sender, or what is on hold, units are found in an index.
    let tenant = filter.account.as_deref().map(queue::number);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":first", &first), (":last", &last)];
    let mut conditions = "u.id BETWEEN :first AND :last".to_owned();
    if let Some(destination) = &filter.destination {
        // Not by its index, which has another order.
        conditions += " AND +u.destination = :destination";
        values.push((":destination", destination));
    }
    match filter.held {
        Some(true) => conditions += " AND u.held = 1",
        Some(false) => conditions += " AND +u.held = 0",
        None => {}
    }
    if let Some(tenant) = &tenant {
        conditions += " AND u.tenant = :tenant";
        values.push((":tenant", tenant));
    }
    let sql = format!("SELECT {UNIT_COLUMNS} FROM unit u WHERE {conditions} ORDER BY u.id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::new();
    for unit in statement.query_map(values.as_slice(), UnitRow::read)? {
        found.extend(examine(connection, filter, unit?)?);
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

fn units_of(connection: &Connection, id: &str) -> Result<Option<(i64, i64)>> {
    let row = connection
        .prepare_cached(MESSAGE)?
        .query_row([id], MessageRow::read)
        .optional()?;
    Ok(row.map(|row| (row.first_unit, row.first_unit + row.units - 1)))
}

/// The rest of the filter: what only the message's row and the recipients tell.
fn examine(connection: &Connection, filter: &QueueFilter, unit: UnitRow) -> Result<Option<Found>> {
    let Some(row) = connection
        .prepare_cached(MESSAGE)?
        .query_row([&unit.message], MessageRow::read)
        .optional()?
    else {
        return Ok(None);
    };
    if filter
        .created_before
        .is_some_and(|before| row.created >= before)
    {
        return Ok(None);
    }
    let (message, recipients) = (row.decode()?, queue::decode_recipients(&unit.recipients)?);
    let matches = queue::matches(filter, &message, &recipients);
    Ok(matches.then_some(Found {
        unit,
        message,
        recipients,
    }))
}

pub(super) fn list(
    connection: &Connection,
    filter: &QueueFilter,
    after: Option<UnitId>,
    limit: usize,
) -> Result<Vec<QueueItem>> {
    let now = unix_millis();
    let found = find(connection, filter, after.map_or(0, |unit| unit.0), limit)?;
    Ok(found.into_iter().map(|found| item(found, now)).collect())
}

fn item(found: Found, now: UnixMillis) -> QueueItem {
    let Found {
        unit,
        message,
        recipients,
    } = found;
    QueueItem {
        unit: UnitId(unit.id),
        leased: unit.is_leased(now),
        message,
        destination: Destination(unit.destination),
        recipients,
        attempts: unit.attempts,
        next_attempt: unit.next_attempt,
        last_error: unit.error,
        class: unit.class,
        held: unit.held,
        suspended: unit.suspended,
    }
}

/// The units after `after` that an action may change, some at a time. They are looked for beside the writer, so that nobody waits for that.
pub(super) fn candidates(
    connection: &Connection,
    filter: &QueueFilter,
    after: i64,
) -> Result<Vec<i64>> {
    let found = find(connection, filter, after, STEP)?;
    Ok(found.iter().map(|found| found.unit.id).collect())
}

/// What an action did in one transaction.
#[derive(Default)]
pub(super) struct Acted {
    /// Units looked at, one at least.
    pub(super) looked_at: usize,
    /// Units changed.
    pub(super) changed: u64,
}

/// Acts on units for a while. Those that another one has held or released since they were looked for are left alone where `held` is asked for.
pub(super) fn act(
    tx: &mut Tx<'_>,
    units: &[i64],
    held: Option<bool>,
    action: QueueAction,
    now: UnixMillis,
) -> Result<Acted> {
    let (mut acted, begun) = (Acted::default(), Instant::now());
    for unit in units {
        if acted.looked_at > 0 && begun.elapsed() >= TERM {
            break;
        }
        acted.looked_at += 1;
        let unit = tx.unit_row(*unit)?;
        if let Some(unit) = unit.filter(|unit| held.is_none_or(|held| held == unit.held)) {
            acted.changed += u64::from(act_on(tx, &unit, action, now)?);
        }
    }
    Ok(acted)
}

const RELEASE: &str = "UPDATE unit SET held = 0, suspended = 0 WHERE id = ?1";

fn act_on(tx: &mut Tx<'_>, unit: &UnitRow, action: QueueAction, now: UnixMillis) -> Result<bool> {
    let leased = unit.is_leased(now);
    let changed = match action {
        // What an operator holds stays so when the suspension of its sender is over.
        QueueAction::Hold if !unit.held || unit.suspended => tx.execute("UPDATE unit SET held = 1, suspended = 0 WHERE id = ?1", [unit.id])?,
        QueueAction::Suspend if !unit.held => tx.execute("UPDATE unit SET held = 1, suspended = 1 WHERE id = ?1", [unit.id])?,
        QueueAction::Release if unit.held => tx.execute(RELEASE, [unit.id])?,
        QueueAction::Resume if unit.suspended => tx.execute(RELEASE, [unit.id])?,
        QueueAction::Retry if !leased && !unit.held => {
            tx.execute("UPDATE unit SET lease = 0, due = ?2, next_attempt = 0 WHERE id = ?1", (unit.id, now))?
        }
        QueueAction::Bounce if leased => tx.execute("UPDATE unit SET held = 0, suspended = 0, bounce = 1, next_attempt = ?2 WHERE id = ?1", (unit.id, now))?,
        QueueAction::Bounce => {
            tx.execute("UPDATE unit SET held = 0, suspended = 0, bounce = 1, lease = 0, due = ?2, next_attempt = ?2 WHERE id = ?1", (unit.id, now))?
        }
        QueueAction::Delete if !leased => return delete(tx, unit),
        _ => 0,
    };
    if changed > 0 {
        tx.effect(Effect::Due(
            Destination(Arc::clone(&unit.destination)),
            unit.due.min(now),
        ));
    }
    Ok(changed > 0)
}

fn delete(tx: &mut Tx<'_>, unit: &UnitRow) -> Result<bool> {
    let message = tx.message_row(&unit.message)?;
    let refs = tx.remove_unit(unit.id, &message)?;
    tx.add_refs(message.body, refs)?;
    Ok(true)
}

pub(super) fn totals(connection: &Connection, now: UnixMillis) -> Result<QueueTotals> {
    // From indexes alone: of the units themselves only those are read that are leased or held.
    const SQL: &str = "SELECT count(*), ifnull(sum(due <= ?1), 0),
            (SELECT count(*) FROM unit WHERE lease <> 0 AND held = 0), (SELECT count(*) FROM unit WHERE held = 1 AND suspended = 0),
            (SELECT count(*) FROM unit WHERE held = 1 AND suspended = 1)
        FROM unit WHERE held = 0 AND lease = 0";
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    let [free, due, leased, held, suspended] =
        connection.prepare_cached(SQL)?.query_row([now], |row| {
            let all = [
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ];
            Ok(all.map(count))
        })?;
    let ready = due + leased;
    let deferred = free.saturating_sub(due);
    // Units have ids that rise.
    let oldest = connection
        .prepare_cached("SELECT q.created FROM unit AS u JOIN queued AS q ON q.id = u.message WHERE u.held = 0 ORDER BY u.id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(QueueTotals {
        ready,
        deferred,
        held,
        suspended,
        oldest: oldest.unwrap_or(0),
    })
}
