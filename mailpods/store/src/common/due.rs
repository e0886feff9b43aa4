//! When each remote destination may next have something to do, in memory.
//!
//! The times are lower bounds: a unit is never due earlier than they say. Whoever finds one too early corrects it. So a destination
//! with a million units costs no more than one with a single unit.

use std::collections::{BTreeSet, HashMap};

use crate::queue::Destination;
use crate::types::UnixMillis;

#[derive(Debug, Default)]
pub(crate) struct DueIndex {
    times: HashMap<Destination, UnixMillis>,
    order: BTreeSet<(UnixMillis, Destination)>,
}

impl DueIndex {
    /// A unit of the destination may be due at `at`.
    pub(crate) fn at_most(&mut self, destination: Destination, at: UnixMillis) {
        let earlier = self.times.get(&destination).is_none_or(|time| at < *time);
        if earlier {
            self.exactly(destination, Some(at));
        }
    }

    /// The next unit of the destination is due at `at`.
    pub(crate) fn exactly(&mut self, destination: Destination, at: Option<UnixMillis>) {
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

    /// Destinations by time, but for those of which no unit is wanted.
    pub(crate) fn iter<'a>(
        &'a self,
        most: &'a HashMap<Destination, usize>,
    ) -> impl Iterator<Item = (UnixMillis, &'a Destination)> {
        self.order
            .iter()
            .filter(move |(_, destination)| most.get(destination) != Some(&0))
            .map(|(at, destination)| (*at, destination))
    }
}
