//! What SORT compares of all messages of a large mailbox, and their order by it. None of it ever changes, so it is kept: the next SORT reads
//! the messages that have come since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailpods_imap_proto::sequence::push_range;
use mailpods_imap_proto::{Positions, SortCriterion, SortKey};
use mailpods_store::{MailboxId, Uid};

use super::columns::{Column, Columns};
use super::too_many;
use crate::failure::Failure;
use crate::heavy;
use crate::session::Session;

/// Octets of all that is kept.
const MOST: usize = 16 << 20;
/// Octets of each message besides its text: its UID, its place, its rank, and the end of its text or a number.
const EACH: usize = 20;

/// The messages of a mailbox by one key.
pub(super) struct Keys {
    /// Ascending; also of messages that are gone.
    uids: Vec<Uid>,
    values: Column,
    /// Indices by value.
    order: Vec<u32>,
    /// By index: how many different values are smaller.
    ranks: Vec<u32>,
}

impl Keys {
    /// With the messages of `added`, by positions among `uids`, which are behind those `before`.
    pub(super) fn after(before: Option<&Self>, uids: &[Uid], added: Columns) -> Option<Self> {
        let (positions, added) = added.into_first()?;
        let new = positions
            .iter()
            .filter_map(|position| uids.get(*position as usize));
        let mut keys = match before {
            Some(before) => Self {
                uids: before.uids.clone(),
                values: before.values.clone(),
                order: before.order.clone(),
                ranks: Vec::new(),
            },
            None => Self {
                uids: Vec::new(),
                values: added.empty(),
                order: Vec::new(),
                ranks: Vec::new(),
            },
        };
        keys.uids.extend(new);
        keys.values.append(&added);
        keys.arrange();
        Some(keys)
    }

    /// Finds the places of those that were added.
    fn arrange(&mut self) {
        let values = &self.values;
        let by_value = |a: u32, b: u32| values.compare(a as usize, b as usize).then(a.cmp(&b));
        let mut added: Vec<u32> = (self.order.len() as u32..self.uids.len() as u32).collect();
        added.sort_unstable_by(|a, b| by_value(*a, *b));
        let mut added = added.into_iter().peekable();
        let mut order = Vec::with_capacity(self.uids.len());
        for known in &self.order {
            while let Some(new) = added.next_if(|new| by_value(*new, *known).is_lt()) {
                order.push(new);
            }
            order.push(*known);
        }
        order.extend(added);
        self.ranks.resize(order.len(), 0);
        let (mut rank, mut before) = (0, None);
        for index in order.iter().map(|index| *index as usize) {
            let is_equal = |before| values.compare(before, index).is_eq();
            rank += u32::from(!before.is_none_or(is_equal));
            before = Some(index);
            if let Some(slot) = self.ranks.get_mut(index) {
                *slot = rank;
            }
        }
        self.order = order;
    }

    fn last(&self) -> Uid {
        self.uids.last().copied().unwrap_or(0)
    }

    fn octets(&self) -> usize {
        self.uids.len() * EACH + self.values.text_octets()
    }

    /// The ranks of UIDs, which ascend; `None` for one that is not there.
    fn ranks_of(&self, uids: impl Iterator<Item = Uid>) -> Vec<Option<u32>> {
        let mut at = 0;
        let rank = |uid: Uid| {
            // Mostly one follows the other.
            let rest = self.uids.get(at..).unwrap_or_default();
            if rest.first().is_some_and(|first| *first < uid) {
                at += rest.partition_point(|known| *known < uid);
            }
            let there = self.uids.get(at) == Some(&uid);
            there.then(|| self.ranks.get(at).copied()).flatten()
        };
        uids.map(rank).collect()
    }
}

/// Positions among `uids`, which ascend, in their order by some keys, by each forwards or backwards; equal ones in that of the mailbox
/// (RFC 5256 §3). What the keys do not have is gone.
pub(super) fn order(uids: &[Uid], positions: &[u32], by: &[(Arc<Keys>, bool)]) -> Vec<u32> {
    let uid = |position: &u32| uids.get(*position as usize).copied().unwrap_or(0);
    let mut order: Vec<u32> = (0..positions.len() as u32).collect();
    // By the last key first; what is equal by the one before it stays in that order.
    for (keys, reverse) in by.iter().rev() {
        let ranks = keys.ranks_of(positions.iter().map(uid));
        let ranked = order.iter().zip(0_u64..).filter_map(|(index, place)| {
            let rank = (*ranks.get(*index as usize)?)?;
            let rank = if *reverse { u32::MAX - rank } else { rank };
            Some(u64::from(rank) << 32 | place)
        });
        let mut ranked: Vec<u64> = ranked.collect();
        ranked.sort_unstable();
        let index = |ranked: u64| order.get(ranked as u32 as usize).copied();
        order = ranked.into_iter().filter_map(index).collect();
    }
    let position = |index: u32| positions.get(index as usize).copied();
    order.into_iter().filter_map(position).collect()
}

/// Keys of mailboxes that were sorted lately; what was not asked for the longest goes first.
#[derive(Default)]
pub(crate) struct SortKeys(Mutex<State>);

/// A mailbox, and what it was sorted by.
type Of = (MailboxId, SortKey);

#[derive(Default)]
struct State {
    /// When they were asked for last, and what they are; `None`: too large to be kept.
    kept: HashMap<Of, (u64, Option<Arc<Keys>>)>,
    octets: usize,
    clock: u64,
}

/// Most mailboxes and keys, whatever they take.
const MOST_KEPT: usize = 10_000;

impl SortKeys {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: not known; `Some(None)`: too large.
    fn get(&self, of: Of) -> Option<Option<Arc<Keys>>> {
        let mut state = self.state();
        state.clock += 1;
        let clock = state.clock;
        let (used, keys) = state.kept.get_mut(&of)?;
        *used = clock;
        Some(keys.clone())
    }

    fn put(&self, of: Of, keys: Option<Arc<Keys>>) {
        let mut state = self.state();
        state.clock += 1;
        state.remove(of);
        state.octets += keys.as_ref().map_or(0, |keys| keys.octets());
        let clock = state.clock;
        state.kept.insert(of, (clock, keys));
        while state.octets > MOST || state.kept.len() > MOST_KEPT {
            let oldest = state.kept.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(of, _)| *of) else {
                return;
            };
            state.remove(oldest);
        }
    }
}

impl State {
    fn remove(&mut self, of: Of) {
        let keys = self.kept.remove(&of).and_then(|(_, keys)| keys);
        self.octets -= keys.map_or(0, |keys| keys.octets());
    }
}

impl Session {
    /// The order of most messages of the mailbox; `None` when they are too many to be kept.
    pub(super) async fn sorted_by_keys(
        &self,
        positions: &[u32],
        criteria: &[SortCriterion],
    ) -> Result<Option<Vec<u32>>, Failure> {
        let mut by = Vec::with_capacity(criteria.len());
        for criterion in criteria {
            match self.keys(criterion.key).await? {
                Some(keys) => by.push((keys, criterion.reverse)),
                None => return Ok(None),
            }
        }
        let (uids, positions) = (Arc::clone(&self.view()?.uids), positions.to_vec());
        let ordered = heavy::run(true, move || order(&uids, &positions, &by)).await?;
        Ok(Some(ordered))
    }

    /// The keys of all messages of the mailbox.
    async fn keys(&self, key: SortKey) -> Result<Option<Arc<Keys>>, Failure> {
        let (view, kept) = (self.view()?, &self.shared.sort_keys);
        let known = match kept.get((view.id, key)) {
            Some(None) => return Ok(None),
            known => known.flatten(),
        };
        // Where most of what is kept is gone, it is made anew.
        let known = known.filter(|known| known.uids.len() / 2 <= view.uids.len());
        let last = known.as_ref().map_or(0, |known| known.last());
        let from = view.uids.partition_point(|uid| *uid <= last) as u32;
        if from == view.count() && known.is_some() {
            return Ok(known);
        }
        let mut added = Columns::new(vec![SortCriterion {
            reverse: false,
            key,
        }]);
        let (mut wanted, needed) = (Positions::new(), added.needed());
        push_range(&mut wanted, from..view.count());
        let mut large = false;
        let scanned = self.scan(&wanted, needed, |position, entry| {
            added.add(position, entry)?;
            large = added.octets() > MOST;
            if large { Err(too_many()) } else { Ok(()) }
        });
        match scanned.await {
            // What was asked for may be less.
            Err(_) if large => {
                kept.put((view.id, key), None);
                return Ok(None);
            }
            scanned => scanned?,
        }
        let uids = Arc::clone(&view.uids);
        let arranged = move || Keys::after(known.as_deref(), &uids, added);
        let keys = heavy::run(true, arranged).await?;
        let keys = keys.filter(|keys| keys.octets() <= MOST).map(Arc::new);
        kept.put((view.id, key), keys.clone());
        Ok(keys)
    }
}
