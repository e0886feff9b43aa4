//! What operators see and do.

use tokio_postgres::Row;

use super::lease::due_again;
use crate::common::{queue, unix_millis};
use crate::error::Result;
use crate::postgres::body;
use crate::postgres::connection::Param;
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{Effect, Kind, Tx, get, small, transact};
use crate::queue::{Destination, QueueAction, QueueFilter, QueueItem, QueueTotals};
use crate::types::{BodyId, UnitId, UnixMillis};

/// Units acted on in one transaction, and read in one statement.
const STEP: usize = 1_000;

/// What a page is asked for: only the conditions that are given are in the statement, so that the database's plan fits them.
struct Question<'f> {
    conditions: String,
    values: Vec<Param<'f>>,
}

impl<'f> Question<'f> {
    fn add(&mut self, condition: &str, value: Param<'f>) {
        self.values.push(value);
        let place = format!("${}", self.values.len());
        self.conditions += &format!(" AND {}", condition.replace('?', &place));
    }

    /// Units of some shards in the order of their ids: of each shard no more than are wanted.
    fn statement(&self, shards: &[i16]) -> String {
        let of_shard = |shard: &i16| {
            let conditions = self.conditions.replace("SHARD", &shard.to_string());
            format!("(SELECT * FROM unit WHERE shard = {shard}{conditions} ORDER BY id LIMIT $2)")
        };
        let all: Vec<String> = shards.iter().map(of_shard).collect();
        format!(
            "SELECT u.id, u.destination, u.recipients, u.attempts::bigint, u.next_attempt, u.error, u.held,
                u.lease <> 0 AND u.due > clock.now, q.id, q.body, q.size, q.created, q.info, u.suspended, u.class
            FROM (SELECT $1::bigint + clock_shift($1) AS now) AS clock, (SELECT * FROM ({}) AS u ORDER BY id LIMIT $2) AS u
            JOIN queued AS q ON q.shard = u.shard AND q.id = u.message ORDER BY u.id",
            all.join(" UNION ALL ")
        )
    }
}

/// Units looked at, and those of them that match.
struct Page {
    items: Vec<QueueItem>,
    /// The last one looked at, if there may be more.
    last: Option<i64>,
}

async fn page(shared: &Shared, filter: &QueueFilter, after: i64, step: usize) -> Result<Page> {
    let connection = shared.pool.get().await?;
    let shards: Vec<i16> = match &filter.id {
        Some(id) => vec![shard::of_text(id)],
        None => (0..shard::SHARDS).collect(),
    };
    let (now, step_rows) = (unix_millis(), i64::try_from(step).unwrap_or(i64::MAX));
    let tenant = filter.account.as_deref().map(queue::number);
    let mut question = Question {
        conditions: String::new(),
        values: vec![&now, &step_rows],
    };
    question.add("id > ?", &after);
    if let Some(id) = &filter.id {
        question.add(
            "id BETWEEN (SELECT first_unit FROM queued WHERE queued.shard = SHARD AND queued.id = ?)
                AND (SELECT last_unit FROM queued WHERE queued.shard = SHARD AND queued.id = ?) AND message = ?",
            id,
        );
    }
    if let Some(destination) = &filter.destination {
        question.add("destination = ?", destination);
    }
    match filter.held {
        Some(true) => question.conditions += " AND held",
        Some(false) => question.conditions += " AND NOT held",
        None => {}
    }
    if let Some(tenant) = &tenant {
        question.add("tenant = ?", tenant);
    }
    let sql = question.statement(&shards);
    let rows = connection.query(&sql, &question.values).await?;
    let last = match rows.last() {
        Some(row) if rows.len() >= step => Some(get(row, 0)?),
        _ => None,
    };
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let item = item(row)?;
        let before = filter.created_before;
        if before.is_none_or(|before| item.message.created < before)
            && queue::matches(filter, &item.message, &item.recipients)
        {
            items.push(item);
        }
    }
    Ok(Page { items, last })
}

fn item(row: &Row) -> Result<QueueItem> {
    let body = BodyId(get(row, 9)?);
    Ok(QueueItem {
        unit: UnitId(get(row, 0)?),
        message: queue::decode_message(
            get(row, 8)?,
            body,
            small(row, 10)?,
            get(row, 11)?,
            get(row, 12)?,
        )?,
        destination: Destination(get::<&str>(row, 1)?.into()),
        recipients: queue::decode_recipients(get(row, 2)?)?,
        attempts: small(row, 3)?,
        next_attempt: get(row, 4)?,
        last_error: get(row, 5)?,
        class: get(row, 14)?,
        held: get(row, 6)?,
        suspended: get(row, 13)?,
        leased: get(row, 7)?,
    })
}

pub(super) async fn list(
    shared: &Shared,
    filter: &QueueFilter,
    after: Option<UnitId>,
    limit: usize,
) -> Result<Vec<QueueItem>> {
    let mut after = after.map_or(0, |unit| unit.0);
    let mut items = Vec::new();
    while items.len() < limit {
        let found = page(shared, filter, after, STEP.min(limit.max(1))).await?;
        items.extend(found.items);
        match found.last {
            Some(last) => after = last,
            None => break,
        }
    }
    items.truncate(limit);
    Ok(items)
}

pub(super) async fn act(
    shared: &Shared,
    filter: &QueueFilter,
    action: QueueAction,
    now: UnixMillis,
) -> Result<u64> {
    let filter = filter.for_action(action);
    let (mut after, mut changed) = (0, 0);
    loop {
        let found = page(shared, &filter, after, STEP).await?;
        let mut ids: Vec<i64> = found.items.iter().map(|item| item.unit.0).collect();
        // The order in which everybody locks.
        ids.sort_unstable_by_key(|id| (shard::of_id(*id), *id));
        changed += match action {
            QueueAction::Delete => delete(shared, &ids, filter.held, now).await?,
            _ => change(shared, &ids, (action, filter.held), now).await?,
        };
        match found.last {
            Some(last) => after = last,
            None => return Ok(changed),
        }
    }
}

fn shards(ids: &[i64]) -> Vec<i16> {
    ids.iter().map(|id| shard::of_id(*id)).collect()
}

/// Another one may have held or released a unit since it was looked for.
const STILL: &str = "($5::boolean IS NULL OR u.held = $5)";

/// The statement of an action; a unit counts as leased by the database's clock.
fn statement(action: QueueAction) -> String {
    let (set, condition) = match action {
        // What an operator holds stays so when the suspension of its sender is over.
        QueueAction::Hold | QueueAction::Delete => (
            "held = true, suspended = false",
            "(NOT u.held OR u.suspended)",
        ),
        QueueAction::Suspend => ("held = true, suspended = true", "NOT u.held"),
        QueueAction::Release => ("held = false, suspended = false", "u.held"),
        QueueAction::Resume => ("held = false, suspended = false", "u.suspended"),
        QueueAction::Retry => (
            "lease = 0, due = v.now, next_attempt = 0",
            "NOT u.held AND NOT (u.lease <> 0 AND u.due > v.now)",
        ),
        QueueAction::Bounce => (
            "held = false, suspended = false, bounce = true, next_attempt = v.now,
             lease = CASE WHEN u.lease <> 0 AND u.due > v.now THEN u.lease ELSE 0 END,
             due = CASE WHEN u.lease <> 0 AND u.due > v.now THEN u.due ELSE v.now END",
            "true",
        ),
    };
    format!(
        "UPDATE unit AS u SET {set} FROM (
            SELECT shard, id, $3 + clock.shift AS now FROM unnest($1::smallint[], $2::bigint[]) AS i (shard, id), (SELECT clock_shift($4) AS shift) AS clock
         ) AS v WHERE u.shard = v.shard AND u.id = v.id AND {condition} AND {STILL} RETURNING u.destination, least(u.due, v.now)"
    )
}

async fn change(
    shared: &Shared,
    ids: &[i64],
    (action, held): (QueueAction, Option<bool>),
    now: UnixMillis,
) -> Result<u64> {
    let (sql, shards) = (statement(action), shards(ids));
    transact!(shared, Kind::Durable, |tx| {
        let rows = tx
            .query(&sql, &[&shards, &ids, &now, &unix_millis(), &held])
            .await?;
        due_again(&tx, &rows)?;
        Ok(rows.len() as u64)
    })
}

async fn delete(shared: &Shared, ids: &[i64], held: Option<bool>, now: UnixMillis) -> Result<u64> {
    let sql = format!(
        "WITH gone AS (
            DELETE FROM unit AS u USING unnest($1::smallint[], $2::bigint[]) AS v (shard, id), (SELECT $3 + clock_shift($4) AS now) AS clock
            WHERE u.shard = v.shard AND u.id = v.id AND NOT (u.lease <> 0 AND u.due > clock.now) AND {STILL} RETURNING u.shard, u.message
        ) SELECT shard, message, count(*) FROM gone GROUP BY shard, message ORDER BY shard, message"
    );
    let shards = shards(ids);
    transact!(shared, Kind::Durable, |tx| {
        let rows = tx
            .query(&sql, &[&shards, &ids, &now, &unix_millis(), &held])
            .await?;
        let mut deleted = 0;
        let mut bodies = Vec::new();
        for row in &rows {
            let count: i64 = get(row, 2)?;
            deleted += count.unsigned_abs();
            bodies.extend(units_gone(&tx, row, count).await?);
        }
        let changes = bodies.into_iter().map(|body| (body, -1)).collect();
        for gone in body::change_refs(&tx, changes).await? {
            tx.effect(Effect::Removed(gone));
        }
        Ok(deleted)
    })
}

/// Counts units out of their message; its body when the message has gone with them.
async fn units_gone(tx: &Tx<'_>, row: &Row, count: i64) -> Result<Option<i64>> {
    let (shard, message): (i16, &str) = (get(row, 0)?, get(row, 1)?);
    let left = tx
        .row(
            "UPDATE queued SET units_left = units_left - $3::integer WHERE shard = $1 AND id = $2 RETURNING units_left, body",
            &[&shard, &message, &i32::try_from(count).unwrap_or(i32::MAX)],
        )
        .await?;
    let Some(left) = left else {
        return Ok(None);
    };
    if get::<i32>(&left, 0)? > 0 {
        return Ok(None);
    }
    tx.execute(
        "DELETE FROM queued WHERE shard = $1 AND id = $2",
        &[&shard, &message],
    )
    .await?;
    get(&left, 1).map(Some)
}

pub(super) async fn totals(shared: &Shared, now: UnixMillis) -> Result<QueueTotals> {
    // From indexes alone, but for what is held. Units have ids that rise: the first of each shard is its oldest.
    const SQL: &str = "SELECT a.due + l.leased, a.all - a.due - l.leased, (SELECT count(*) FROM unit WHERE held AND NOT suspended),
            (SELECT count(*) FROM unit WHERE held AND suspended),
            (SELECT coalesce(min(q.created), 0) FROM generate_series(0, $3::integer) AS s (shard)
                CROSS JOIN LATERAL (SELECT queued.created FROM unit JOIN queued ON queued.shard = unit.shard AND queued.id = unit.message
                    WHERE unit.shard = s.shard AND NOT unit.held ORDER BY unit.id LIMIT 1) AS q)
        FROM (SELECT $1 + clock_shift($2) AS now) AS clock
            CROSS JOIN LATERAL (SELECT count(*) AS all, count(*) FILTER (WHERE due <= clock.now) AS due FROM unit WHERE NOT held) AS a
            CROSS JOIN LATERAL (SELECT count(*) AS leased FROM unit WHERE lease <> 0 AND due > clock.now AND NOT held) AS l";
    let connection = shared.pool.get().await?;
    let values: [Param<'_>; 3] = [&now, &unix_millis(), &i32::from(shard::SHARDS - 1)];
    let Some(row) = connection.row(SQL, &values).await? else {
        return Ok(QueueTotals::default());
    };
    Ok(QueueTotals {
        ready: small(&row, 0)?,
        deferred: small(&row, 1)?,
        held: small(&row, 2)?,
        suspended: small(&row, 3)?,
        oldest: get(&row, 4)?,
    })
}
