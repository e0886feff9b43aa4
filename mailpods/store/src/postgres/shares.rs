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

const SHARES: &str = "SELECT key, worker, wanted, held FROM limit_share WHERE key = ANY ($1) AND until > $2 ORDER BY key, worker";

const KEEP: &str = "INSERT INTO limit_share (key, worker, wanted, held, until)
    SELECT key, $2, wanted, held, $5 FROM unnest($1::text[], $3::bigint[], $4::bigint[]) AS v (key, wanted, held)
    ON CONFLICT (key, worker) DO UPDATE SET wanted = excluded.wanted, held = excluded.held, until = excluded.until";

/// The levels by key, and the time.
async fn levels(tx: &Tx<'_>, asks: &[Ask]) -> Result<(BTreeMap<String, f64>, i64)> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    let firsts: Vec<f64> = asks.iter().map(|ask| ask.first).collect();
    let factors: Vec<f64> = asks.iter().map(|ask| ask.factor).collect();
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

async fn claims(tx: &Tx<'_>, asks: &[Ask], now: i64) -> Result<Claims> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    let rows = tx.query(SHARES, &[&keys, &now]).await?;
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
    let (levels, now) = levels(tx, asks).await?;
    let mut claims = claims(tx, asks, now).await?;
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
        shares.push(Share { granted, level });
    }
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    let wanted: Vec<i64> = asks.iter().map(|ask| ask.wanted.into()).collect();
    let until = now.saturating_add(hold);
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

/// Removes what has ended.
pub(super) async fn sweep(shared: &Shared) -> Result<()> {
    for (table, column) in [("limit_share", "until"), ("shared_limit", "expires")] {
        lazily(
            shared,
            &format!("DELETE FROM {table} WHERE {column} <= {NOW}"),
            &[],
        )
        .await?;
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
