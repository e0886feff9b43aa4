//! When each remote destination may next have something to do, in memory: lower bounds, corrected by whoever finds one too early.
//!
//! Other processes tell what they add (`notify`). A correction counts only if nothing was told since the statement that found it began:
//! else what came in between would be forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::due::DueIndex;
use crate::common::lock;
use crate::error::Result;
use crate::postgres::shared::Shared;
use crate::postgres::tx::get;
use crate::queue::Destination;
use crate::types::UnixMillis;

#[derive(Default)]
pub(in crate::postgres) struct Due {
    state: Mutex<State>,
    stale: AtomicBool,
}

#[derive(Default)]
struct State {
    index: DueIndex,
    /// Grows with everything told.
    clock: u64,
    /// When a destination was told of last; forgotten with its correction.
    told: HashMap<Destination, u64>,
    /// Destinations that had more than was leased when they were looked at last.
    behind: HashSet<Destination>,
}

impl Due {
    /// A unit of the destination may be due at `at`.
    pub(in crate::postgres) fn at_most(&self, destination: Destination, at: UnixMillis) {
        if destination.is_local() {
            return;
        }
        let mut state = lock(&self.state);
        state.clock += 1;
        let clock = state.clock;
        state.told.insert(destination.clone(), clock);
        state.index.at_most(destination, at);
    }

    /// The time now, for [`Self::correct`].
    pub(super) fn clock(&self) -> u64 {
        lock(&self.state).clock
    }

    /// What a statement begun at `clock` found: the next time of a destination.
    pub(super) fn correct(&self, destination: Destination, at: Option<UnixMillis>, clock: u64) {
        let mut state = lock(&self.state);
        if state
            .told
            .get(&destination)
            .is_some_and(|told| *told > clock)
        {
            return;
        }
        state.told.remove(&destination);
        state.index.exactly(destination, at);
    }

    /// Whether a destination has more than was leased.
    pub(super) fn has_more(&self, destination: &Destination, more: bool) {
        let mut state = lock(&self.state);
        if more {
            state.behind.insert(destination.clone());
        } else {
            state.behind.remove(destination);
        }
    }

    /// Destinations by time, and whether they had more when they were looked at last, but for those of which no unit is wanted, as long as `keep` holds and at most `count`.
    pub(super) fn destinations(
        &self,
        most: &HashMap<Destination, usize>,
        count: usize,
        keep: impl Fn(UnixMillis) -> bool,
    ) -> Vec<(UnixMillis, Destination, bool)> {
        let state = lock(&self.state);
        let found = state.index.iter(most).take_while(|(at, _)| keep(*at));
        found
            .take(count)
            .map(|(at, destination)| (at, destination.clone(), state.behind.contains(destination)))
            .collect()
    }

    /// Something was missed: the next look reads anew.
    pub(in crate::postgres) fn stale(&self) {
        self.stale.store(true, Ordering::Release);
    }
}

/// From one destination to the next without reading what lies between.
const ALL: &str = "WITH RECURSIVE walk AS (
        (SELECT destination, due FROM unit WHERE NOT held ORDER BY destination, due LIMIT 1)
        UNION ALL
        SELECT next.destination, next.due FROM walk CROSS JOIN LATERAL (
            SELECT destination, due FROM unit WHERE destination > walk.destination AND NOT held ORDER BY destination, due LIMIT 1
        ) AS next
    ) SELECT destination, due FROM walk";

/// Reads the earliest time of each destination.
pub(in crate::postgres) async fn load(shared: &Shared) -> Result<()> {
    let clock = shared.due.clock();
    let connection = shared.pool.get().await?;
    for row in connection.query(ALL, &[]).await? {
        let destination: &str = get(&row, 0)?;
        shared
            .due
            .correct(Destination(destination.into()), Some(get(&row, 1)?), clock);
    }
    Ok(())
}

/// Reads anew where something was missed.
pub(super) async fn refresh(shared: &Shared) -> Result<()> {
    if shared.due.stale.swap(false, Ordering::AcqRel) {
        let loaded = load(shared).await;
        if loaded.is_err() {
            shared.due.stale();
        }
        return loaded;
    }
    Ok(())
}
