//! Trace events on their way into the store.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mailpods_policy::Reason;

use super::lock;
use crate::trace::{Stage, TraceEvent};

const BUFFER: usize = 10_000;
const BATCH: usize = 1_000;
/// Octets of a text that are kept.
const MAX_TEXT: usize = 500;

#[derive(Default)]
pub(crate) struct TraceBuffer {
    events: Mutex<VecDeque<TraceEvent>>,
    dropped: AtomicU64,
}

impl TraceBuffer {
    /// Takes an event, or drops it when there are too many.
    pub(crate) fn put(&self, event: TraceEvent) {
        let mut events = lock(&self.events);
        if events.len() < BUFFER {
            events.push_back(event);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Some of the events, oldest first.
    pub(crate) fn take(&self) -> Option<Vec<TraceEvent>> {
        let mut events = lock(&self.events);
        let count = events.len().min(BATCH);
        (count > 0).then(|| events.drain(..count).collect())
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The part of a text that is kept.
pub(crate) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or(text)
}

/// The number of a stage in rows.
pub(crate) const fn stage_number(stage: Stage) -> u8 {
    match stage {
        Stage::Session => 0,
        Stage::Accept => 1,
        Stage::Deliver => 2,
        Stage::Notify => 3,
        Stage::Login => 4,
        Stage::Operator => 5,
    }
}

/// The stage of a number.
pub(crate) const fn stage(number: u8) -> Stage {
    match number {
        0 => Stage::Session,
        1 => Stage::Accept,
        2 => Stage::Deliver,
        3 => Stage::Notify,
        4 => Stage::Login,
        _ => Stage::Operator,
    }
}

/// The reason of a name. One that this version does not know was written by another one.
pub(crate) fn known_reason(name: &str) -> &'static str {
    Reason::from_name(name).map_or("unknown", Reason::as_str)
}
