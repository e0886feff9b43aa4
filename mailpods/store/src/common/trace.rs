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

    /// Takes back events that could not be written; those that no longer fit are dropped, the oldest first.
    pub(crate) fn give_back(&self, events: Vec<TraceEvent>) {
        let mut waiting = lock(&self.events);
        let room = BUFFER.saturating_sub(waiting.len());
        let surplus = events.len().saturating_sub(room);
        self.dropped.fetch_add(surplus as u64, Ordering::Relaxed);
        for event in events.into_iter().skip(surplus).rev() {
            waiting.push_front(event);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64) -> TraceEvent {
        TraceEvent {
            at,
            id: String::new(),
            stage: Stage::Accept,
            reason: "accepted",
            sender: String::new(),
            recipient: String::new(),
            peer: String::new(),
            text: String::new(),
        }
    }

    #[test]
    fn what_is_given_back_comes_first_as_far_as_it_fits() {
        let buffer = TraceBuffer::default();
        (0..BATCH as i64).for_each(|at| buffer.put(event(at)));
        let taken = buffer.take().unwrap();
        (0..BUFFER as i64 - 10).for_each(|at| buffer.put(event(BATCH as i64 + at)));
        buffer.give_back(taken);
        assert_eq!(buffer.dropped(), BATCH as u64 - 10);
        assert_eq!(buffer.take().unwrap()[0].at, BATCH as i64 - 10);
    }
}
