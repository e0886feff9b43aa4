//! Reading what is searched: windows of the mailbox side by side, of each the rows in batches, and of messages on which rows and stored
//! facts are silent what they are made of, several together.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mailpods_imap_proto::Positions;
use mailpods_store::mail::{Columns, Entry};
use mailpods_store::{MailStore, ModSeq, Uid};

use super::Found;
use super::compile::Key;
use super::evaluate::{Cost, Facts, judge, learn};
use crate::failure::Failure;
use crate::heavy::{self, Heavy};
use crate::view::View;

/// Windows that are worked on at once; the readers of a store serve others, too.
const AT_ONCE: usize = 2;
/// Messages of a window: some full reads.
const WINDOW: u32 = 4 * META_BATCH as u32;
/// Entries read at once.
const BATCH: usize = 500;
const META_BATCH: usize = 512;
/// Where runs of candidates are shorter than this on average, they are read one by one.
const SHORT: usize = 16;
/// Octets of the messages that are read and judged together; a larger one is read in steps, alone.
const GROUP: u64 = 256 * 1024;

/// Which messages are read.
enum Window {
    /// All between two UIDs.
    All(Uid, Uid),
    /// These.
    These(Vec<Uid>),
}

/// A message that was found: its position and modification sequence.
type Hit = (u32, ModSeq);

/// A search whose key has to be judged message by message.
pub(super) struct Search<'a> {
    pub(super) store: Arc<dyn MailStore>,
    pub(super) heavy: &'a Heavy,
    pub(super) view: &'a View,
    pub(super) key: &'a Arc<Key>,
    pub(super) candidates: &'a Positions,
}

impl Search<'_> {
    /// Judges all candidates.
    pub(super) async fn run(&self) -> Result<Found, Failure> {
        let windows = self.windows().into_iter().map(|window| self.window(window));
        let mut parts = stream::iter(windows).buffered(AT_ONCE);
        let mut found = Found::default();
        while let Some(hits) = parts.next().await {
            for (position, mod_seq) in hits? {
                found.positions.push(position);
                found.mod_seq = found.mod_seq.max(mod_seq);
            }
        }
        Ok(found)
    }

    fn windows(&self) -> Vec<Window> {
        let ranges = self.view.windows(self.candidates, WINDOW);
        let wanted = self
            .candidates
            .iter()
            .map(|range| range.len())
            .sum::<usize>();
        if ranges.len() > 1 && wanted < ranges.len() * SHORT {
            let uids = self.view.uids_at(self.candidates);
            let some = uids.chunks(META_BATCH);
            return some.map(|uids| Window::These(uids.to_vec())).collect();
        }
        let all = ranges.into_iter();
        all.map(|(first, last)| Window::All(first, last)).collect()
    }

    /// What is found in a window, ascending.
    async fn window(&self, window: Window) -> Result<Vec<Hit>, Failure> {
        let needs_meta = self.key.cost() > Cost::Row;
        let columns = Columns {
            prefix: self.key.cost() > Cost::Meta,
            meta: needs_meta,
            reader: None,
        };
        let columns = self.view.own(columns);
        let (mut first, last) = match window {
            Window::All(first, last) => (first, last),
            Window::These(uids) => {
                let entries = self.store.entries_of(self.view.id, uids, columns).await?;
                return self.judged(entries).await;
            }
        };
        let limit = if needs_meta { META_BATCH } else { BATCH };
        let mut hits = Vec::new();
        loop {
            let uids = first..=last;
            let entries = self
                .store
                .entries(self.view.id, uids, 0, columns, limit)
                .await?;
            let end = entries.last().map_or(last, |entry| entry.uid);
            let full = entries.len() == limit;
            hits.extend(self.judged(entries).await?);
            if !full || end >= last {
                return Ok(hits);
            }
            first = end + 1;
        }
    }

    async fn judged(&self, entries: Vec<Entry>) -> Result<Vec<Hit>, Failure> {
        let (mut hits, mut silent) = (Vec::new(), Vec::new());
        for (number, entry) in self.view.numbered(entries, self.candidates) {
            let (position, mod_seq) = (number - 1, entry.modseq);
            let mut facts = Facts::of(entry);
            match self.by_facts(position, &mut facts).await? {
                Some(true) => hits.push((position, mod_seq)),
                Some(false) => {}
                None => silent.push((position, facts)),
            }
        }
        let mut silent = silent.into_iter();
        loop {
            let mut octets = 0;
            let mut fits = |(_, facts): &(u32, Facts)| {
                octets += facts.size();
                octets <= GROUP
            };
            let count = silent.as_slice().iter().take_while(|one| fits(one)).count();
            let group: Vec<_> = silent.by_ref().take(count.max(1)).collect();
            match group.len() {
                0 => break,
                1 => hits.extend(Box::pin(self.alone(group)).await?),
                _ => hits.extend(self.together(group).await?),
            }
        }
        hits.sort_unstable();
        Ok(hits)
    }

    /// The answer of the row and of the stored facts; `None` when more must be known.
    async fn by_facts(&self, position: u32, facts: &mut Facts) -> Result<Option<bool>, Failure> {
        for cost in [Cost::Row, Cost::Meta] {
            learn(&*self.store, cost, self.key, facts).await?;
            if let Some(answer) = judge(self.key, position, facts) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Small messages: read at once, judged on a thread for long work.
    async fn together(&self, mut group: Vec<(u32, Facts)>) -> Result<Vec<Hit>, Failure> {
        let _turn = self.heavy.turn().await?;
        let whole = self.key.cost() == Cost::Body;
        let mut wanted = Vec::with_capacity(group.len());
        for (_, facts) in &mut group {
            wanted.extend(facts.wanted(whole)?);
        }
        let mut read = self.store.body_ranges(wanted).await?.into_iter();
        for (_, facts) in &mut group {
            let octets = match facts.wanted(whole)? {
                Some(_) => read.next().transpose()?.unwrap_or_default(),
                None => Bytes::new(),
            };
            facts.put(octets, whole)?;
        }
        let key = Arc::clone(self.key);
        let found = move || {
            let all = group.into_iter();
            let there = all.filter(|(position, facts)| judge(&key, *position, facts) == Some(true));
            there
                .map(|(position, facts)| (position, facts.mod_seq()))
                .collect()
        };
        Ok(heavy::run(true, found).await?)
    }

    /// One by itself: its header first, its body where that is needed.
    async fn alone(&self, group: Vec<(u32, Facts)>) -> Result<Option<Hit>, Failure> {
        let Some((position, facts)) = group.into_iter().next() else {
            return Ok(None);
        };
        let hit = (position, facts.mod_seq());
        Ok(self.in_steps(position, facts).await?.then_some(hit))
    }

    async fn in_steps(&self, position: u32, mut facts: Facts) -> Result<bool, Failure> {
        let large = facts.size() > heavy::INLINE;
        // A message may be much: few at once, and not on the threads that all sessions share.
        let _turn = match large {
            true => Some(self.heavy.turn().await?),
            false => None,
        };
        for cost in [Cost::Header, Cost::Body] {
            learn(&*self.store, cost, self.key, &mut facts).await?;
            let key = Arc::clone(self.key);
            let judged = move || (judge(&key, position, &facts), facts);
            let (answer, back) = heavy::run(large, judged).await?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            facts = back;
        }
        Ok(false)
    }
}
