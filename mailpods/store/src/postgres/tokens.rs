//! Counters and bans, counted in the database for all processes.
//!
//! A counter moves on to the window of now in the statement that reads it; that statement locks it too, so that nobody counts in between.
//! The arithmetic of `common::window` decides.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::Core;
use super::connection::Param;
use super::shared::Shared;
use super::tx::{Kind, Tx, get, lazily, small, transact};
use crate::common::unix_millis;
use crate::common::window::{Counter, check_key, window_millis};
use crate::error::Result;
use crate::tokens::{Ban, MAX_BANS, Take, Taken, TokenStore};
use crate::types::UnixMillis;

/// Counts that the column can hold.
const MAX_COUNT: u64 = i64::MAX.cast_unsigned();

/// Counters by key and length of window.
type Counters = BTreeMap<(String, i64), Counter>;

/// Makes counters or moves them on: the next window makes the last one out of the current one, a later one forgets both, and a clock that
/// went back a little stays in the window that it was in (as `Counter::advance`). `$5` is added.
const ADVANCE: &str = "INSERT INTO token AS t (key, length, number, current, previous, expires)
    SELECT key, length, number, $5, 0, (number + 2) * length FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS v (key, length, number)
    ON CONFLICT (key, length) DO UPDATE SET
        number = CASE WHEN excluded.number - t.number IN (-1, 0) THEN t.number ELSE excluded.number END,
        current = CASE WHEN excluded.number - t.number IN (-1, 0) THEN least(t.current, $4 - $5) ELSE 0 END + $5,
        previous = CASE excluded.number - t.number WHEN -1 THEN t.previous WHEN 0 THEN t.previous WHEN 1 THEN t.current ELSE 0 END,
        expires = CASE WHEN excluded.number - t.number IN (-1, 0) THEN t.expires ELSE excluded.expires END
    RETURNING t.key, t.length, t.number, t.current, t.previous";

/// In one order, so that two calls do not wait for each other.
const GIVE_BACK: &str = "WITH own AS (SELECT t.key, t.length, v.amount FROM token AS t
        JOIN unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS v (key, length, number, amount)
            ON t.key = v.key AND t.length = v.length AND t.number = v.number
        ORDER BY t.key, t.length FOR UPDATE OF t)
    UPDATE token AS t SET current = greatest(t.current - own.amount, 0) FROM own WHERE t.key = own.key AND t.length = own.length";

fn counter(row: &Row) -> Result<Counter> {
    Ok(Counter {
        window: get(row, 1)?,
        index: get(row, 2)?,
        current: small(row, 3)?,
        previous: small(row, 4)?,
    })
}

async fn advance(tx: &Tx<'_>, keys: &[(String, i64)], now: UnixMillis) -> Result<Counters> {
    let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
    let lengths: Vec<i64> = keys.iter().map(|(_, length)| *length).collect();
    let numbers: Vec<i64> = lengths
        .iter()
        .map(|length| now.div_euclid(*length))
        .collect();
    let rows = tx
        .query(ADVANCE, &[&names, &lengths, &numbers, &i64::MAX, &0_i64])
        .await?;
    let mut counters = Counters::new();
    for row in &rows {
        counters.insert((get(row, 0)?, get(row, 1)?), counter(row)?);
    }
    Ok(counters)
}

/// Takes all or nothing; else which one does not fit, and how long until it may.
async fn take(
    tx: &Tx<'_>,
    takes: &[Take],
    windows: &[i64],
    now: UnixMillis,
) -> Result<Option<(usize, i64)>> {
    let named = takes.iter().zip(windows);
    let mut keys: Vec<(String, i64)> = named
        .map(|(take, window)| (take.key.clone(), *window))
        .collect();
    // Each once, in one order: two calls do not wait for each other.
    keys.sort();
    keys.dedup();
    let mut counters = advance(tx, &keys, now).await?;
    for (index, (take, window)) in takes.iter().zip(windows).enumerate() {
        let Some(counter) = counters.get_mut(&(take.key.clone(), *window)) else {
            continue;
        };
        if counter.weighted(now).saturating_add(take.amount) > take.limit {
            return Ok(Some((index, counter.wait(take.amount, take.limit, now))));
        }
        counter.current = counter.current.saturating_add(take.amount).min(MAX_COUNT);
    }
    write(tx, &counters).await?;
    Ok(None)
}

async fn write(tx: &Tx<'_>, counters: &Counters) -> Result<()> {
    let names: Vec<&str> = counters.keys().map(|(key, _)| key.as_str()).collect();
    let lengths: Vec<i64> = counters.keys().map(|(_, length)| *length).collect();
    let current: Vec<i64> = counters
        .values()
        .map(|counter| counter.current.cast_signed())
        .collect();
    tx.execute(
        "UPDATE token AS t SET current = v.current FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS v (key, length, current)
         WHERE t.key = v.key AND t.length = v.length",
        &[&names, &lengths, &current],
    )
    .await
    .map(drop)
}

/// Removes what counts no longer.
pub(super) async fn sweep(shared: &Shared) -> Result<()> {
    let now = unix_millis();
    lazily(shared, "DELETE FROM token WHERE expires <= $1", &[&now]).await?;
    lazily(shared, "DELETE FROM ban WHERE until <= $1", &[&now]).await?;
    Ok(())
}

#[async_trait]
impl TokenStore for Core {
    async fn take(&self, takes: Vec<Take>, now: UnixMillis) -> Result<Taken> {
        let mut windows = Vec::with_capacity(takes.len());
        for take in &takes {
            check_key(&take.key)?;
            windows.push(window_millis(take.window)?);
        }
        let denied: Option<(usize, i64)> = transact!(&self.shared, Kind::Lazy, |tx| {
            take(&tx, &takes, &windows, now).await
        })?;
        Ok(match denied {
            None => Taken::Granted,
            Some((index, wait)) => Taken::Denied {
                index,
                retry_after: Duration::from_millis(wait.unsigned_abs()),
            },
        })
    }

    async fn give_back(&self, takes: Vec<Take>, now: UnixMillis) -> Result<()> {
        let keys: Vec<&str> = takes.iter().map(|take| take.key.as_str()).collect();
        let lengths = takes.iter().map(|take| window_millis(take.window));
        let lengths: Vec<i64> = lengths.collect::<Result<_>>()?;
        let numbers: Vec<i64> = lengths
            .iter()
            .map(|length| now.div_euclid(*length))
            .collect();
        let amounts: Vec<i64> = takes
            .iter()
            .map(|take| take.amount.min(MAX_COUNT).cast_signed())
            .collect();
        let values: [Param<'_>; 4] = [&keys, &lengths, &numbers, &amounts];
        lazily(&self.shared, GIVE_BACK, &values).await.map(drop)
    }

    async fn add(&self, key: &str, amount: u64, window: Duration, now: UnixMillis) -> Result<u64> {
        check_key(key)?;
        let amount = amount.min(MAX_COUNT).cast_signed();
        let length = window_millis(window)?;
        let (keys, lengths, numbers) = ([key], [length], [now.div_euclid(length)]);
        let values: [Param<'_>; 5] = [&&keys[..], &&lengths[..], &&numbers[..], &i64::MAX, &amount];
        let rows = lazily(&self.shared, ADVANCE, &values).await?;
        rows.first()
            .map_or(Ok(0), |row| Ok(counter(row)?.weighted(now)))
    }

    async fn forget(&self, key: &str) -> Result<()> {
        transact!(&self.shared, Kind::Lazy, |tx| {
            tx.execute("DELETE FROM token WHERE key = $1", &[&key])
                .await?;
            tx.execute("DELETE FROM ban WHERE key = $1", &[&key])
                .await
                .map(drop)
        })
    }

    async fn ban(&self, key: &str, until: UnixMillis) -> Result<()> {
        check_key(key)?;
        let connection = self.shared.pool.get().await?;
        connection
            .execute(
                "INSERT INTO ban (key, until) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET until = excluded.until",
                &[&key, &until],
            )
            .await
            .map(drop)
    }

    async fn bans(&self, now: UnixMillis) -> Result<Vec<Ban>> {
        let connection = self.shared.pool.get().await?;
        let limit = i64::try_from(MAX_BANS).unwrap_or(i64::MAX);
        let rows = connection
            .query(
                "SELECT key, until FROM ban WHERE until > $1 ORDER BY key LIMIT $2",
                &[&now, &limit],
            )
            .await?;
        let ban = |row: &Row| -> Result<Ban> {
            Ok(Ban {
                key: get(row, 0)?,
                until: get(row, 1)?,
            })
        };
        rows.iter().map(ban).collect()
    }

    async fn banned(&self, key: &str, now: UnixMillis) -> Result<Option<UnixMillis>> {
        let connection = self.shared.pool.get().await?;
        let row = connection
            .row(
                "SELECT until FROM ban WHERE key = $1 AND until > $2",
                &[&key, &now],
            )
            .await?;
        row.map(|row| get(&row, 0)).transpose()
    }
}
