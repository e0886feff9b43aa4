//! When each remote destination may next have something to do, in memory.
//!
//! The times are lower bounds: a unit is never due earlier than they say. Whoever finds one too early corrects it. So a destination
//! with a million units costs no more than one with a single unit.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use crate::error::Result;
use crate::queue::Destination;
use crate::types::UnixMillis;

#[derive(Debug, Default)]
pub(in crate::sqlite) struct DueIndex {
    times: HashMap<Destination, UnixMillis>,
    order: BTreeSet<(UnixMillis, Destination)>,
}

/// The earliest unit of the first destination after `?1`: from one destination to the next without reading what lies between.
const NEXT: &str = "SELECT destination, due FROM unit WHERE destination > ?1 AND held = 0 ORDER BY destination, due LIMIT 1";

impl DueIndex {
    /// Reads the earliest time of each destination.
    pub(in crate::sqlite) fn load(connection: &Connection) -> Result<Self> {
        let mut index = Self::default();
        let mut statement = connection.prepare_cached(NEXT)?;
        let mut last = String::new();
        loop {
            let mut rows = statement.query([&last])?;
            let Some(row) = rows.next()? else {
                return Ok(index);
            };
            let (destination, due): (String, i64) = (row.get(0)?, row.get(1)?);
            index.exactly(Destination(destination.as_str().into()), Some(due));
            last = destination;
        }
    }

    /// A unit of the destination may be due at `at`.
    pub(in crate::sqlite) fn at_most(&mut self, destination: Destination, at: UnixMillis) {
        let earlier = self.times.get(&destination).is_none_or(|time| at < *time);
        if earlier {
            self.exactly(destination, Some(at));
        }
    }

    /// The next unit of the destination is due at `at`.
    pub(in crate::sqlite) fn exactly(&mut self, destination: Destination, at: Option<UnixMillis>) {
        if destination.is_local() {
            return;
        }
        if let Some(before) = self.times.remove(&destination) {
            self.order.remove(&(before, destination.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, destination.clone()));
            self.times.insert(destination, at);
        }
    }

    /// Destinations by time, but for `except`.
    pub(super) fn iter<'a>(
        &'a self,
        except: &'a [Destination],
    ) -> impl Iterator<Item = (UnixMillis, &'a Destination)> {
        let except: std::collections::HashSet<&Destination> = except.iter().collect();
        self.order
            .iter()
            .filter(move |(_, destination)| !except.contains(destination))
            .map(|(at, destination)| (*at, destination))
    }
}
