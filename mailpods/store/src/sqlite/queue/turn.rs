//! The turns of tenants: at a destination that has more than is leased at once, and among all.

use std::collections::HashSet;

use super::super::tx::Tx;
use super::rows::{UNIT_COLUMNS, UnitRow};
use crate::error::Result;
use crate::queue::Destination;
use crate::types::UnixMillis;

/// Tenants that get a turn in one lease.
const TENANTS: usize = 32;

/// Tenants looked at for [`one_of_each`] in one call.
const LOOKED_AT: usize = 256;

/// From one tenant to the next without reading what lies between.
const NEXT: &str = "SELECT tenant FROM unit WHERE destination = ?1 AND destination <> 'local' AND held = 0 AND lease = 0 AND tenant >= ?2 ORDER BY tenant LIMIT 1";

/// Up to `limit` due units, an equal share of each tenant. Who begins differs from lease to lease.
pub(super) fn units(
    tx: &Tx<'_>,
    destination: &Destination,
    now: UnixMillis,
    limit: usize,
) -> Result<Vec<UnitRow>> {
    let next = |from| tx.row(NEXT, (&destination.0, from), |row| row.get(0));
    let tenants = walk(start(tx.counters.lease), limit.min(TENANTS), next)?;
    let share = limit.checked_div(tenants.len()).unwrap_or(0).max(1);
    let sql = format!(
        "SELECT {UNIT_COLUMNS} FROM unit u WHERE u.destination = ?1 AND u.destination <> 'local' AND u.tenant = ?2 AND u.due <= ?3 AND u.held = 0 AND u.lease = 0
         ORDER BY u.due LIMIT ?4"
    );
    let mut units = Vec::new();
    for tenant in tenants {
        let room = limit.saturating_sub(units.len()).min(share);
        let mut statement = tx.prepare(&sql)?;
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let rows = statement.query_map((&destination.0, tenant, now, room), UnitRow::read)?;
        for row in rows {
            units.push(row?);
        }
    }
    Ok(units)
}

/// The same for all destinations.
const NEXT_OF_ALL: &str = "SELECT tenant FROM unit WHERE destination <> 'local' AND held = 0 AND lease = 0 AND tenant >= ?1 ORDER BY tenant LIMIT 1";

/// The oldest due unit of each tenant, wherever it goes, but for those of `except`; at most `limit`. Who begins differs from call to call.
pub(super) fn one_of_each(
    tx: &Tx<'_>,
    except: &HashSet<i64>,
    now: UnixMillis,
    limit: usize,
) -> Result<Vec<UnitRow>> {
    let next = |from| tx.row(NEXT_OF_ALL, [from], |row| row.get(0));
    let tenants = walk(start(now), LOOKED_AT, next)?;
    let sql = format!(
        "SELECT {UNIT_COLUMNS} FROM unit u WHERE u.tenant = ?1 AND u.due <= ?2 AND u.held = 0 AND u.lease = 0 AND u.destination <> 'local' ORDER BY u.due LIMIT 1"
    );
    let mut units = Vec::new();
    for tenant in tenants {
        if units.len() >= limit {
            break;
        }
        if !except.contains(&tenant) {
            units.extend(tx.row(&sql, (tenant, now), UnitRow::read)?);
        }
    }
    Ok(units)
}

/// Up to `most` tenants from a number on, and from the first again.
fn walk(start: i64, most: usize, find: impl Fn(i64) -> Result<Option<i64>>) -> Result<Vec<i64>> {
    let mut tenants = Vec::new();
    for (mut from, end) in [(start, i64::MAX), (i64::MIN, start.saturating_sub(1))] {
        while tenants.len() < most {
            let Some(tenant) = find(from)?.filter(|tenant| *tenant <= end) else {
                break;
            };
            tenants.push(tenant);
            let Some(after) = tenant.checked_add(1) else {
                break;
            };
            from = after;
        }
    }
    Ok(tenants)
}

/// Spreads a counter over all numbers (the multiplier of a Fibonacci hash).
const fn start(counter: i64) -> i64 {
    counter.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())
}
