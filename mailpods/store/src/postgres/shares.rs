//! Shares in limits. The row of a limit is locked while its shares are computed, so that no two processes take the same part. Times are
//! those of the database.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use mailpods_policy::outbound::share::{Claim, grant};

use super::Core;
use super::shared::Shared;
use super::tx::{Kind, Tx, get, lazily, small, transact};
use crate::common::window::check_key;
use crate::error::{Result, StoreError};
use crate::shares::{Ask, MAX_ASKS, Share, ShareStore};

/// How long a limit is remembered that nobody asks for, in milliseconds.
const REMEMBER: i64 = 3_600_000;
/// How long what cannot be divided stays with somebody, in milliseconds.
const TURN: i64 = 10_000;

const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Makes limits or changes them, locks them, and tells the time.
const LIMITS: &str = "INSERT INTO shared_limit AS l (key, level, expires)
    SELECT key, least(greatest(first * factor, 1), ceiling), NOW + $5
    FROM unnest($1::text[], $2::double precision[], $3::double precision[], $4::double precision[]) AS v (key, first, factor, ceiling) ORDER BY key
    ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, level = (
        SELECT least(greatest(CASE WHEN l.expires > NOW THEN l.level * v.factor ELSE excluded.level END, 1), v.ceiling)
        FROM unnest($1::text[], $3::double precision[], $4::double precision[]) AS v (key, factor, ceiling) WHERE v.key = l.key)
    RETURNING key, level, NOW";

/// Locks limits that are there, so that what was asked before has been done or never is.
const LOCK: &str = "SELECT key FROM shared_limit WHERE key = ANY ($1) ORDER BY key FOR UPDATE";

const OWN: &str = "SELECT key, until FROM limit_share WHERE key = ANY ($1) AND worker = $2";

/// A lease that ends later than any does is of a time before the clock was set back.
const SHARES: &str = "SELECT key, worker, wanted, held FROM limit_share
    WHERE key = ANY ($1) AND until > $2 AND until <= $3 ORDER BY key, worker";

const KEEP: &str = "INSERT INTO limit_share (key, worker, wanted, held, until)
    SELECT key, $2, wanted, held, $5 FROM unnest($1::text[], $3::bigint[], $4::bigint[]) AS v (key, wanted, held)
    ON CONFLICT (key, worker) DO UPDATE SET wanted = excluded.wanted, held = excluded.held, until = excluded.until";

/// The factors that count: one whose question was not answered may have been counted already.
async fn factors(tx: &Tx<'_>, worker: &str, asks: &[Ask]) -> Result<Vec<f64>> {
    let again: Vec<&str> = asks
        .iter()
        .filter(|ask| ask.again.is_some())
        .map(|ask| ask.key.as_str())
        .collect();
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    if !again.is_empty() {
        tx.query(LOCK, &[&again]).await?;
        for row in &tx.query(OWN, &[&again, &worker]).await? {
            ends.insert(get(row, 0)?, get(row, 1)?);
        }
    }
    let factor = |ask: &Ask| match (ask.again, ends.get(&ask.key)) {
        (Some(heard), Some(end)) if *end != heard => 1.0,
        _ => ask.factor,
    };
    Ok(asks.iter().map(factor).collect())
}

/// The levels by key, and the time.
async fn levels(tx: &Tx<'_>, worker: &str, asks: &[Ask]) -> Result<(BTreeMap<String, f64>, i64)> {
    let factors = factors(tx, worker, asks).await?;
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    let firsts: Vec<f64> = asks.iter().map(|ask| ask.first).collect();
    let ceilings: Vec<f64> = asks.iter().map(|ask| ask.ceiling.max(1).into()).collect();
    let sql = LIMITS.replace("NOW", NOW);
    let rows = tx
        .query(&sql, &[&keys, &firsts, &factors, &ceilings, &REMEMBER])
        .await?;
    let (mut levels, mut now) = (BTreeMap::new(), 0);
    for row in &rows {
        levels.insert(get(row, 0)?, get(row, 1)?);
        now = now.max(get(row, 2)?);
    }
    Ok((levels, now))
}

/// The claims on each key by worker.
type Claims = BTreeMap<String, BTreeMap<String, Claim>>;

async fn claims(tx: &Tx<'_>, asks: &[Ask], now: i64, hold: i64) -> Result<Claims> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    // Twice: a clock that is a little behind takes nobody's share.
    let latest = now.saturating_add(hold).saturating_add(hold);
    let rows = tx.query(SHARES, &[&keys, &now, &latest]).await?;
    let mut claims = Claims::new();
    for row in &rows {
        let claim = Claim {
            wanted: small(row, 2)?,
            held: small(row, 3)?,
        };
        let of_key = claims.entry(get(row, 0)?).or_default();
        of_key.insert(get(row, 1)?, claim);
    }
    Ok(claims)
}

async fn share(tx: &Tx<'_>, worker: &str, asks: &[Ask], hold: i64) -> Result<Vec<Share>> {
    let (levels, now) = levels(tx, worker, asks).await?;
    let until = now.saturating_add(hold);
    let mut claims = claims(tx, asks, now, hold).await?;
    let (mut shares, mut held) = (Vec::with_capacity(asks.len()), Vec::new());
    for ask in asks {
        let level = levels.get(&ask.key).copied().unwrap_or(1.0);
        let of_key = claims.entry(ask.key.clone()).or_default();
        let own = Claim {
            wanted: ask.wanted.max(ask.used),
            held: ask.used,
        };
        of_key.insert(worker.to_owned(), own);
        let me = of_key.keys().position(|name| name == worker).unwrap_or(0);
        let all: Vec<Claim> = of_key.values().copied().collect();
        let granted = grant(whole(level), &all, me, (now / TURN).unsigned_abs());
        held.push(i64::from(granted.max(ask.used)));
        shares.push(Share {
            granted,
            level,
            until,
        });
    }
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    let wanted: Vec<i64> = asks.iter().map(|ask| ask.wanted.into()).collect();
    tx.execute(KEEP, &[&keys, &worker, &wanted, &held, &until])
        .await?;
    Ok(shares)
}

fn whole(level: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between one and the ceiling"
    )]
    let limit = level as u32;
    limit.max(1)
}

/// Removes what has ended, and what the clock had not come to when it was set back.
pub(super) async fn sweep(shared: &Shared) -> Result<()> {
    for (table, column) in [("limit_share", "until"), ("shared_limit", "expires")] {
        let sql = format!(
            "DELETE FROM {table} WHERE {column} <= {NOW} OR {column} > {NOW} + 2 * {REMEMBER}"
        );
        lazily(shared, &sql, &[]).await?;
    }
    Ok(())
}

#[async_trait]
impl ShareStore for Core {
    async fn share(&self, worker: &str, asks: Vec<Ask>, hold: Duration) -> Result<Vec<Share>> {
        if asks.len() > MAX_ASKS {
            let text = format!("{} limits at once (most: {MAX_ASKS})", asks.len());
            return Err(StoreError::Invalid(text));
        }
        for ask in &asks {
            check_key(&ask.key)?;
        }
        let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
        transact!(&self.shared, Kind::Lazy, |tx| {
            share(&tx, worker, &asks, hold).await
        })
    }

    async fn give_back(&self, worker: &str) -> Result<()> {
        let sql = "DELETE FROM limit_share WHERE worker = $1";
        lazily(&self.shared, sql, &[&worker]).await.map(drop)
    }
}
