//! Building tables of flags.

use std::collections::HashMap;
use std::sync::Arc;

use super::keywords;
use super::mailbox_cache::Kept;
use crate::mail::{FlagRow, FlagTable, SystemFlags};
use crate::types::{ModSeq, Uid};

/// Most messages of a mailbox that has a table; as many are kept over all mailboxes: 8 MiB.
pub(crate) const MAX_ROWS: usize = 512 << 10;

/// Most octets of all different sets of keywords of a table.
const MAX_SET_OCTETS: usize = 256 << 10;

impl Kept for Arc<FlagTable> {
    const MOST: usize = MAX_ROWS;

    fn weight(&self) -> usize {
        self.rows.len()
    }
}

/// Rows on their way into a table.
pub(crate) struct Builder {
    modseq: i64,
    rows: Vec<FlagRow>,
    sets: Vec<Vec<String>>,
    /// Where the keywords of a stored text are among the sets.
    known: HashMap<Box<str>, u16>,
    /// Octets of the keywords of all sets.
    octets: usize,
}

impl Builder {
    /// For a mailbox at a modseq; set 0 is that without keywords.
    pub(crate) fn new(modseq: i64) -> Self {
        Self {
            modseq,
            rows: Vec::new(),
            sets: vec![Vec::new()],
            known: HashMap::new(),
            octets: 0,
        }
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
        self.rows.len() <= MAX_ROWS
    }

    fn set(&mut self, stored: &str) -> Option<u16> {
        if let Some(index) = self.known.get(stored) {
            return Some(*index);
        }
        let index = u16::try_from(self.sets.len()).ok()?;
        self.octets += stored.len();
        if self.octets > MAX_SET_OCTETS {
            return None;
        }
        self.sets.push(keywords::decode(Some(stored)));
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
        self.rows.len() <= MAX_ROWS
    }

    pub(crate) fn finish(mut self) -> Arc<FlagTable> {
        self.rows.sort_unstable_by_key(|row| row.uid);
        self.rows.shrink_to_fit();
        Arc::new(FlagTable {
            modseq: self.modseq,
            rows: self.rows,
            sets: self.sets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_takes_the_place_of_what_was() {
        let mut first = Builder::new(4);
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
        let mut second = Builder::new(6);
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
}
