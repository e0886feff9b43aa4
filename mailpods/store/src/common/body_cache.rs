//! Bodies written lately, for deliveries that follow at once.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;

use super::lock;
use crate::types::BodyId;

/// A body in memory. Ids are never used again, so it stays true.
#[derive(Debug, Clone)]
pub(crate) struct Cached {
    pub(crate) octets: Bytes,
    pub(crate) meta: Option<Bytes>,
}

impl Cached {
    fn weight(&self) -> usize {
        self.octets.len() + self.meta.as_ref().map_or(0, Bytes::len) + 128
    }
}

/// What of `range` there is.
pub(crate) fn cut(octets: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(octets.len());
    let (start, end) = (at(range.start), at(range.end));
    octets.slice(start.min(end)..end)
}

pub(crate) struct BodyCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bodies: HashMap<BodyId, Cached>,
    /// Oldest first; may name bodies that have gone.
    order: VecDeque<BodyId>,
    octets: usize,
}

impl BodyCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, id: BodyId) -> Option<Cached> {
        lock(&self.state).bodies.get(&id).cloned()
    }

    /// Octets of `range`, cut at the body's end.
    pub(crate) fn part(&self, id: BodyId, range: &Range<u64>) -> Option<Bytes> {
        Some(cut(&self.get(id)?.octets, range))
    }

    pub(crate) fn put(&self, id: BodyId, octets: Bytes, meta: Option<Bytes>) {
        let cached = Cached { octets, meta };
        let mut state = lock(&self.state);
        state.octets += cached.weight();
        state.order.push_back(id);
        if let Some(before) = state.bodies.insert(id, cached) {
            state.octets -= before.weight();
        }
        while state.octets > self.limit
            && let Some(oldest) = state.order.pop_front()
        {
            state.drop_body(oldest);
        }
        state.shorten();
    }

    pub(crate) fn remove(&self, id: BodyId) {
        lock(&self.state).drop_body(id);
    }

    /// Adds what was computed later.
    pub(crate) fn set_meta(&self, id: BodyId, meta: &Bytes) {
        let mut state = lock(&self.state);
        let Some(cached) = state.bodies.get_mut(&id) else {
            return;
        };
        let before = cached.weight();
        cached.meta = Some(meta.clone());
        let after = cached.weight();
        state.octets = state.octets + after - before;
    }
}

impl State {
    fn drop_body(&mut self, id: BodyId) {
        if let Some(body) = self.bodies.remove(&id) {
            self.octets -= body.weight();
        }
    }

    /// Forgets names of bodies that have gone before they outnumber those that are there.
    fn shorten(&mut self) {
        if self.order.len() > 2 * self.bodies.len() + 64 {
            let bodies = &self.bodies;
            self.order.retain(|id| bodies.contains_key(id));
        }
    }
}
