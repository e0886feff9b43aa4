//! Building tables of flags.

use std::collections::HashMap;
use std::sync::Arc;

use super::budget::{Budget, Share};
use super::keywords;
use super::mailbox_cache::{Kept, MailboxCache};
use crate::mail::{FlagRow, FlagTable, SystemFlags};
use crate::types::{MailboxId, ModSeq, Uid};

/// Most messages of a mailbox that has a table.
pub(crate) const MAX_ROWS: usize = 512 << 10;

/// Most octets of all different sets of keywords of a table, as they are in memory.
const MAX_SET_OCTETS: usize = 1 << 20;
/// Octets of all tables of a process: of those that are kept, of those that are told to somebody, and of those that are built. The
/// largest one can always be built when nobody holds another.
const MAX_OCTETS: usize = 48 << 20;
/// Octets of a row while a table is built: what a database sends of it, its columns, and the row.
const BUILDING: usize = 64;
/// Rows that may have come since the messages were counted.
const MORE: usize = 1_000;

impl Kept for Arc<FlagTable> {
    const MOST: usize = 16 << 20;

    fn messages(&self) -> usize {
        self.rows.len()
    }

    fn octets(&self) -> usize {
        self.octets
    }
}

/// The tables of a process.
pub(crate) struct FlagTables {
    kept: MailboxCache<Arc<FlagTable>>,
    budget: Budget,
}

impl Default for FlagTables {
    fn default() -> Self {
        Self::new(MAX_OCTETS)
    }
}

impl FlagTables {
    fn new(octets: usize) -> Self {
        Self {
            kept: MailboxCache::default(),
            budget: Budget::new(octets),
        }
    }

    pub(crate) fn get(&self, mailbox: MailboxId) -> Option<Arc<FlagTable>> {
        self.kept.get(mailbox)
    }

    pub(crate) fn put(&self, mailbox: MailboxId, table: Arc<FlagTable>) {
        self.kept.put(mailbox, table);
    }

    /// Begins a table of about so many messages, of a mailbox at a modseq. `None` when it would be too large, or when others take all
    /// the memory there is for tables.
    pub(crate) fn build(&self, modseq: i64, messages: usize) -> Option<Builder> {
        if messages > MAX_ROWS {
            return None;
        }
        let most = messages + MORE;
        let octets = most * BUILDING + MAX_SET_OCTETS;
        // Those that somebody holds take their memory even when they are forgotten.
        let unheld = |table: &Arc<FlagTable>| match Arc::strong_count(table) {
            1 => table.octets,
            _ => 0,
        };
        if self.budget.left() + self.kept.sum(unheld) < octets {
            return None;
        }
        loop {
            if let Some(share) = self.budget.take(octets) {
                return Some(Builder::new(modseq, most, share));
            }
            if !self.kept.forget_oldest() {
                return None;
            }
        }
    }
}

/// Rows on their way into a table.
pub(crate) struct Builder {
    modseq: i64,
    rows: Vec<FlagRow>,
    /// Most rows.
    most: usize,
    sets: Vec<Vec<String>>,
    /// Where the keywords of a stored text are among the sets.
    known: HashMap<Box<str>, u16>,
    /// Octets of all sets.
    octets: usize,
    share: Share,
}

impl Builder {
    /// Set 0 is that without keywords.
    fn new(modseq: i64, most: usize, share: Share) -> Self {
        Self {
            modseq,
            rows: Vec::new(),
            most,
            sets: vec![Vec::new()],
            known: HashMap::new(),
            octets: size_of::<Vec<String>>(),
            share,
        }
    }

    /// Of which moment it is, where that is known only now.
    pub(crate) fn at(self, modseq: i64) -> Self {
        Self { modseq, ..self }
    }

    /// Adds a row, with keywords as they are stored. False when there are too many rows or sets of keywords for a table.
    pub(crate) fn add(
        &mut self,
        (uid, modseq): (Uid, ModSeq),
        system: SystemFlags,
        stored: Option<&str>,
    ) -> bool {
        let Some(keywords) = stored.map_or(Some(0), |text| self.set(text)) else {
            return false;
        };
        self.rows.push(FlagRow {
            modseq,
            uid,
            keywords,
            system,
        });
        self.rows.len() <= self.most
    }

    fn set(&mut self, stored: &str) -> Option<u16> {
        if let Some(index) = self.known.get(stored) {
            return Some(*index);
        }
        let index = u16::try_from(self.sets.len()).ok()?;
        let set = keywords::decode(Some(stored));
        self.octets += size_of_val(&set) + size_of_val(set.as_slice()) + 2 * stored.len();
        if self.octets > MAX_SET_OCTETS {
            return None;
        }
        self.sets.push(set);
        self.known.insert(stored.into(), index);
        Some(index)
    }

    /// Takes over the rows of a table from before that have not `gone`, which ascends, and have not been added anew.
    pub(crate) fn keep(&mut self, before: &FlagTable, gone: &[Uid]) -> bool {
        let mut added: Vec<Uid> = self.rows.iter().map(|row| row.uid).collect();
        added.sort_unstable();
        let stays = |row: &&FlagRow| {
            gone.binary_search(&row.uid).is_err() && added.binary_search(&row.uid).is_err()
        };
        let mut sets: Vec<Option<u16>> = vec![None; before.sets.len()];
        for row in before.rows.iter().filter(stays) {
            let at = usize::from(row.keywords);
            let moved = match sets.get(at).copied().flatten() {
                Some(moved) => Some(moved),
                None if at == 0 => Some(0),
                None => self.set(&before.keywords(row).join(" ")),
            };
            let Some(keywords) = moved else { return false };
            if let Some(slot) = sets.get_mut(at) {
                *slot = Some(keywords);
            }
            self.rows.push(FlagRow { keywords, ..*row });
        }
        self.rows.len() <= self.most
    }

    pub(crate) fn finish(mut self) -> Arc<FlagTable> {
        self.rows.sort_unstable_by_key(|row| row.uid);
        self.rows.shrink_to_fit();
        let octets = size_of_val(self.rows.as_slice()) + self.octets;
        self.share.shrink(octets);
        Arc::new(FlagTable {
            modseq: self.modseq,
            rows: self.rows,
            sets: self.sets,
            octets,
            _share: self.share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_takes_the_place_of_what_was() {
        let tables = FlagTables::default();
        let mut first = tables.build(4, 4).unwrap();
        for (uid, stored) in [
            (1, None),
            (2, Some("a b")),
            (3, Some("c")),
            (5, Some("a b")),
        ] {
            assert!(first.add((uid, 4), SystemFlags::SEEN, stored));
        }
        let before = first.finish();
        assert_eq!(before.sets.len(), 3);
        let mut second = tables.build(6, 4).unwrap();
        assert!(second.add((6, 6), SystemFlags::default(), Some("d")));
        assert!(second.add((2, 5), SystemFlags::FLAGGED, None));
        assert!(second.keep(&before, &[3]));
        let table = second.finish();
        let rows: Vec<_> = table
            .rows()
            .iter()
            .map(|row| {
                (
                    row.uid,
                    row.modseq,
                    row.system,
                    table.keywords(row).join(" "),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                (1, 4, SystemFlags::SEEN, String::new()),
                (2, 5, SystemFlags::FLAGGED, String::new()),
                (5, 4, SystemFlags::SEEN, "a b".to_owned()),
                (6, 6, SystemFlags::default(), "d".to_owned()),
            ]
        );
    }

    #[test]
    fn tables_that_somebody_holds_count_until_they_are_dropped() {
        let octets = |rows: usize| (rows + MORE) * BUILDING + MAX_SET_OCTETS;
        let table = |tables: &FlagTables, rows: u32| {
            let mut builder = tables.build(1, rows as usize)?;
            let mut all = 1..=rows;
            assert!(all.all(|uid| builder.add((uid, 1), SystemFlags::SEEN, None)));
            Some(builder.finish())
        };
        let tables = FlagTables::new(octets(20_100));
        let held = table(&tables, 20_000).unwrap();
        tables.put(MailboxId(1), Arc::clone(&held));
        assert!(table(&tables, 20_000).is_none());
        drop(held);
        // What is kept alone makes room.
        let held = table(&tables, 19_000).unwrap();
        tables.put(MailboxId(2), Arc::clone(&held));
        drop(held);
        assert!(table(&tables, 20_000).is_some());
        assert!(tables.get(MailboxId(1)).is_none() && tables.get(MailboxId(2)).is_none());
    }

    #[test]
    fn nothing_is_forgotten_where_it_makes_too_little_room() {
        let octets = (20_000 + MORE) * BUILDING + MAX_SET_OCTETS;
        let tables = FlagTables::new(octets);
        let table = |rows: u32| {
            let mut builder = tables.build(1, rows as usize).unwrap();
            let mut all = 1..=rows;
            assert!(all.all(|uid| builder.add((uid, 1), SystemFlags::SEEN, None)));
            builder.finish()
        };
        let held = table(2_000);
        tables.put(MailboxId(1), Arc::clone(&held));
        tables.put(MailboxId(2), table(2_000));
        assert!(tables.build(1, 20_000).is_none());
        assert!(tables.get(MailboxId(1)).is_some() && tables.get(MailboxId(2)).is_some());
        drop(held);
        assert!(tables.build(1, 19_900).is_some());
        assert!(tables.get(MailboxId(1)).is_none() && tables.get(MailboxId(2)).is_none());
    }

    #[test]
    fn keywords_weigh_what_they_take() {
        let tables = FlagTables::default();
        let mut builder = tables.build(1, 2_000).unwrap();
        let words = |from: u32| {
            let words = (from..from + 90).map(|word| word.to_string());
            words.collect::<Vec<String>>().join(" ")
        };
        let fits = |uid: &u32| builder.add((*uid, 1), SystemFlags::SEEN, Some(&words(*uid)));
        let sets = (1..2_000).take_while(fits).count();
        // Each set has 90 words, of which each takes a String.
        assert!(
            sets > 100 && sets * 90 * size_of::<String>() <= MAX_SET_OCTETS,
            "{sets}"
        );
    }
}
