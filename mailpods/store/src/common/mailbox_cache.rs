//! What is known of mailboxes read lately: with it a large one is opened by reading what changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::types::{MailboxId, Uid};

/// Mailboxes with fewer messages are read faster than they are remembered.
const WORTH: usize = 1_000;

/// Something that is kept of a mailbox.
pub(crate) trait Kept: Clone {
    /// Most octets kept over all mailboxes.
    const MOST: usize;

    /// Messages that it is about.
    fn messages(&self) -> usize;

    /// Octets that it takes.
    fn octets(&self) -> usize;
}

/// The UIDs of a mailbox at a modseq.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) modseq: i64,
    pub(crate) uids: Arc<Vec<Uid>>,
}

impl Kept for Known {
    const MOST: usize = 8 << 20;

    fn messages(&self) -> usize {
        self.uids.len()
    }

    fn octets(&self) -> usize {
        size_of_val(self.uids.as_slice())
    }
}

impl Known {
    /// The UIDs now: without those that have `gone`, which ascend, and with `newer` ones, which ascend too.
    pub(crate) fn after(&self, gone: &[Uid], newer: impl IntoIterator<Item = Uid>) -> Vec<Uid> {
        let there = self.uids.iter().copied();
        there
            .filter(|uid| gone.binary_search(uid).is_err())
            .chain(newer)
            .collect()
    }

    /// The last UID; later ones are new.
    pub(crate) fn last(&self) -> Uid {
        self.uids.last().copied().unwrap_or(0)
    }
}

/// What is kept, by mailbox; what was not asked for the longest goes first.
pub(crate) struct MailboxCache<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    known: HashMap<MailboxId, (u64, T)>,
    octets: usize,
    clock: u64,
}

impl<T> Default for MailboxCache<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                known: HashMap::new(),
                octets: 0,
                clock: 0,
            }),
        }
    }
}

impl<T: Kept> MailboxCache<T> {
    pub(crate) fn get(&self, mailbox: MailboxId) -> Option<T> {
        let mut state = lock(&self.state);
        state.clock += 1;
        let clock = state.clock;
        let (used, known) = state.known.get_mut(&mailbox)?;
        *used = clock;
        Some(known.clone())
    }

    pub(crate) fn put(&self, mailbox: MailboxId, known: T) {
        let mut state = lock(&self.state);
        state.remove(mailbox);
        if known.messages() < WORTH || known.octets() > T::MOST {
            return;
        }
        state.octets += known.octets();
        state.clock += 1;
        let clock = state.clock;
        state.known.insert(mailbox, (clock, known));
        while state.octets > T::MOST && state.remove_oldest() {}
    }

    /// The sum of a number over all that is kept.
    pub(crate) fn sum(&self, number: impl Fn(&T) -> usize) -> usize {
        let state = lock(&self.state);
        state.known.values().map(|(_, known)| number(known)).sum()
    }

    /// Forgets what was not asked for the longest; false when nothing is kept.
    pub(crate) fn forget_oldest(&self) -> bool {
        lock(&self.state).remove_oldest()
    }
}

impl<T: Kept> State<T> {
    fn remove(&mut self, mailbox: MailboxId) {
        if let Some((_, known)) = self.known.remove(&mailbox) {
            self.octets -= known.octets();
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let oldest = self.known.iter().min_by_key(|(_, (used, _))| *used);
        let oldest = oldest.map(|(mailbox, _)| *mailbox);
        oldest.map(|mailbox| self.remove(mailbox)).is_some()
    }
}
