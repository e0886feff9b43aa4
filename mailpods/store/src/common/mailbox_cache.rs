//! What is known of mailboxes read lately: with it a large one is opened by reading what changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::types::{MailboxId, Uid};

/// Mailboxes with fewer messages are read faster than they are remembered.
const WORTH: usize = 1_000;

/// Something that is kept of a mailbox.
pub(crate) trait Kept: Clone {
    /// Most messages kept over all mailboxes.
    const MOST: usize;

    /// Messages that it is about.
    fn weight(&self) -> usize;
}

/// The UIDs of a mailbox at a modseq.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) modseq: i64,
    pub(crate) uids: Arc<Vec<Uid>>,
}

impl Kept for Known {
    // 8 MiB.
    const MOST: usize = 2 << 20;

    fn weight(&self) -> usize {
        self.uids.len()
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
    weight: usize,
    clock: u64,
}

impl<T> Default for MailboxCache<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                known: HashMap::new(),
                weight: 0,
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
        if !(WORTH..=T::MOST).contains(&known.weight()) {
            return;
        }
        state.weight += known.weight();
        state.clock += 1;
        let clock = state.clock;
        state.known.insert(mailbox, (clock, known));
        while state.weight > T::MOST
            && let Some(oldest) = state
                .known
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(mailbox, _)| *mailbox)
        {
            state.remove(oldest);
        }
    }
}

impl<T: Kept> State<T> {
    fn remove(&mut self, mailbox: MailboxId) {
        if let Some((_, known)) = self.known.remove(&mailbox) {
            self.weight -= known.weight();
        }
    }
}
