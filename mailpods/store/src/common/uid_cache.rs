//! UIDs of mailboxes read lately: with them a large mailbox is opened by reading what changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::types::{MailboxId, Uid};

/// Mailboxes smaller than this are read faster than they are remembered.
const WORTH: usize = 1_000;
/// Most UIDs kept over all mailboxes: 8 MiB.
const MAX_UIDS: usize = 2 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) modseq: i64,
    pub(crate) uids: Arc<[Uid]>,
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

#[derive(Default)]
pub(crate) struct UidCache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<MailboxId, (u64, Known)>,
    uids: usize,
    clock: u64,
}

impl UidCache {
    pub(crate) fn get(&self, mailbox: MailboxId) -> Option<Known> {
        let mut state = lock(&self.state);
        state.clock += 1;
        let clock = state.clock;
        let (used, known) = state.known.get_mut(&mailbox)?;
        *used = clock;
        Some(known.clone())
    }

    pub(crate) fn put(&self, mailbox: MailboxId, known: Known) {
        let mut state = lock(&self.state);
        state.remove(mailbox);
        if !(WORTH..=MAX_UIDS).contains(&known.uids.len()) {
            return;
        }
        state.uids += known.uids.len();
        state.clock += 1;
        let clock = state.clock;
        state.known.insert(mailbox, (clock, known));
        while state.uids > MAX_UIDS
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

impl State {
    fn remove(&mut self, mailbox: MailboxId) {
        if let Some((_, known)) = self.known.remove(&mailbox) {
            self.uids -= known.uids.len();
        }
    }
}
