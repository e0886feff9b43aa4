//! The selected mailbox as the client knows it, and how it learns what others changed.

use std::sync::Arc;

use mailpods_api::Rights;
use mailpods_imap_proto::sequence::compress;
use mailpods_imap_proto::{Positions, SequenceSet, Window};
use mailpods_store::acl::Reader;
use mailpods_store::mail::{Columns, Entry, MAX_KNOWN_KEYWORDS, Opened};
use mailpods_store::{MailStore, MailboxId, ModSeq, Uid};
use tokio::sync::watch;

use crate::failure::Failure;
use crate::flags;
use crate::session::Session;
use crate::sharing::{Owner, Place};

/// Entries read at once when others have changed flags.
const BATCH: usize = 500;
/// Positions between two wanted ones that are rather read and dropped than skipped with another read.
const MAX_GAP: u32 = 32;

/// What the client knows: UIDs by message number, and up to where it has been told of changes.
pub(crate) struct View {
    pub(crate) id: MailboxId,
    pub(crate) name: String,
    pub(crate) read_only: bool,
    /// What may be done in it; all, in one of the client's own.
    pub(crate) rights: Rights,
    /// Whose it is, where it is not the client's own, and the client as its reader.
    pub(crate) owner: Option<Owner>,
    pub(crate) reader: Option<Reader>,
    /// The client has been told that it may make keywords (`\*` in PERMANENTFLAGS).
    pub(crate) new_keywords: bool,
    /// UIDs, ascending; the index plus one is the message number.
    pub(crate) uids: Arc<Vec<Uid>>,
    pub(crate) changes: watch::Receiver<u64>,
    /// The result that SEARCH saved (RFC 9051 §6.4.4.1).
    pub(crate) saved: Vec<Uid>,
    /// Flags and new messages are told up to here.
    told: ModSeq,
    /// Expunges are told up to here; behind `told` while EXPUNGE is forbidden.
    told_expunged: ModSeq,
    /// Changes of this session that its answers have told already.
    own: Vec<(Uid, ModSeq)>,
    /// Ask the store at the next chance, whatever the watch says.
    look: bool,
}

impl View {
    /// The view of a mailbox that is being selected; `changes` was made before the mailbox was read, so that a change in between is told
    /// twice rather than never.
    pub(crate) fn new(
        place: &Place,
        reader: Option<Reader>,
        opened: &Opened,
        changes: watch::Receiver<u64>,
        read_only: bool,
    ) -> Self {
        let info = &opened.info;
        Self {
            id: info.id,
            name: place.info.name.clone(),
            read_only,
            rights: place.rights,
            owner: place.owner.clone(),
            reader,
            new_keywords: !read_only
                && place.rights.contains(Rights::WRITE)
                && opened.keywords.len() < MAX_KNOWN_KEYWORDS,
            uids: Arc::clone(&opened.uids),
            changes,
            saved: Vec::new(),
            told: info.highest_modseq,
            told_expunged: info.highest_modseq,
            own: Vec::new(),
            look: false,
        }
    }

    /// Plain columns, as the client has them.
    pub(crate) fn columns(&self) -> Columns {
        self.own(Columns::default())
    }

    /// Columns with the client's own `\Seen`.
    pub(crate) fn own(&self, columns: Columns) -> Columns {
        Columns {
            reader: self.reader.map(|reader| reader.account),
            ..columns
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.uids.len() as u32
    }

    pub(crate) fn told(&self) -> ModSeq {
        self.told
    }

    pub(crate) fn look_closely(&mut self) {
        self.look = true;
    }

    /// A change of this session that the client knows from the answer.
    pub(crate) fn own_change(&mut self, uid: Uid, modseq: ModSeq) {
        self.own.push((uid, modseq));
        self.look = true;
    }

    /// The message number of a UID.
    pub(crate) fn number(&self, uid: Uid) -> Option<u32> {
        self.uids
            .binary_search(&uid)
            .ok()
            .map(|index| index as u32 + 1)
    }

    /// Entries, which ascend, at the positions wanted, with their message numbers.
    pub(crate) fn numbered(&self, entries: Vec<Entry>, wanted: &Positions) -> Vec<(u32, Entry)> {
        let (mut next, mut ranges) = (0, wanted.as_slice());
        let number = |entry: Entry| {
            // Mostly one follows the other.
            let uids = self.uids.get(next..).unwrap_or_default();
            if uids.first() != Some(&entry.uid) {
                next += uids.partition_point(|uid| *uid < entry.uid);
            }
            let position = next as u32;
            (self.uids.get(next) == Some(&entry.uid)).then_some(())?;
            next += 1;
            while let [first, rest @ ..] = ranges
                && first.end <= position
            {
                ranges = rest;
            }
            let there = ranges.first().is_some_and(|range| range.start <= position);
            there.then_some((position + 1, entry))
        };
        entries.into_iter().filter_map(number).collect()
    }

    /// The positions that a set names.
    pub(crate) fn positions(
        &self,
        set: &SequenceSet,
        by_uid: bool,
    ) -> std::result::Result<Positions, Failure> {
        Ok(match set {
            SequenceSet::Saved => self.positions_of(&self.saved),
            set if by_uid => set.by_uid(&self.uids),
            set => set.by_number(self.count())?,
        })
    }

    /// The positions of sorted UIDs; those that are gone are passed over.
    pub(crate) fn positions_of(&self, uids: &[Uid]) -> Positions {
        let mut positions = Positions::new();
        for number in uids.iter().filter_map(|uid| self.number(*uid)) {
            mailpods_imap_proto::sequence::push_range(&mut positions, number - 1..number);
        }
        positions
    }

    /// The UIDs at positions.
    pub(crate) fn uids_at(&self, positions: &Positions) -> Vec<Uid> {
        positions
            .iter()
            .filter_map(|range| self.uids.get(range.start as usize..range.end as usize))
            .flatten()
            .copied()
            .collect()
    }

    /// UID ranges that cover the positions in few reads; what lies in the gaps is to be dropped.
    pub(crate) fn reads(&self, positions: &Positions) -> Vec<(Uid, Uid)> {
        self.windows(positions, u32::MAX)
    }

    /// The same, each of at most `size` messages.
    pub(crate) fn windows(&self, positions: &Positions, size: u32) -> Vec<(Uid, Uid)> {
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for range in positions {
            match spans.last_mut() {
                Some(last) if range.start - last.1 <= MAX_GAP => last.1 = range.end,
                _ => spans.push((range.start, range.end)),
            }
        }
        let uid = |position: u32| self.uids.get(position as usize).copied();
        let parts = spans.into_iter().flat_map(|(start, end)| {
            let starts = (start..end).step_by(size as usize);
            starts.map(move |start| (start, start.saturating_add(size).min(end)))
        });
        parts
            .filter_map(|(start, end)| Some((uid(start)?, uid(end - 1)?)))
            .collect()
    }

    /// Takes UIDs, ascending, out; their message numbers come back, largest first, as they were.
    pub(crate) fn remove(&mut self, gone: &[Uid]) -> Vec<u32> {
        let mut numbers: Vec<u32> = gone.iter().filter_map(|uid| self.number(*uid)).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.dedup();
        if !numbers.is_empty() {
            Arc::make_mut(&mut self.uids).retain(|uid| gone.binary_search(uid).is_err());
        }
        numbers
    }
}

/// The positions that a window shows, of sorted ranges.
pub(crate) fn part_of(positions: &Positions, window: Window) -> Positions {
    let count: u32 = positions.iter().map(|range| range.end - range.start).sum();
    let shown = window.of(count as usize);
    let (mut before, mut part) = (0, Positions::new());
    for range in positions {
        let length = (range.end - range.start) as usize;
        let start = shown.start.saturating_sub(before).min(length) as u32;
        let end = shown.end.saturating_sub(before).min(length) as u32;
        if start < end {
            part.push(range.start + start..range.start + end);
        }
        before += length;
    }
    part
}

/// Whether a position is among sorted ranges.
pub(crate) fn contains(positions: &Positions, position: u32) -> bool {
    let next = positions.partition_point(|range| range.end <= position);
    positions
        .get(next)
        .is_some_and(|range| range.start <= position)
}

/// What is in both.
pub(crate) fn intersect(left: &Positions, right: &Positions) -> Positions {
    let (mut both, mut rest) = (Positions::new(), right.as_slice());
    for range in left {
        let begun = rest.partition_point(|other| other.end <= range.start);
        rest = rest.get(begun..).unwrap_or_default();
        let here = rest.iter().take_while(|other| other.start < range.end);
        both.extend(here.map(|other| other.start.max(range.start)..other.end.min(range.end)));
    }
    both
}

impl Session {
    /// Tells the client what has changed in the selected mailbox, through whomever. EXPUNGE only where it is allowed.
    pub(crate) async fn announce(&mut self, expunges: bool) -> std::result::Result<(), Failure> {
        let store = self.mail();
        let Some(view) = &mut self.view else {
            return Ok(());
        };
        let waiting = expunges && view.told_expunged < view.told;
        let changed = view.changes.has_changed().unwrap_or(false);
        if !(changed || view.look || waiting) {
            return Ok(());
        }
        view.changes.mark_unchanged();
        view.look = false;
        let id = view.id;
        self.look_at_rights().await?;
        let info = match store.mailbox_by_id(id).await {
            Ok(info) => info,
            Err(mailpods_store::StoreError::NotFound(_)) => {
                return Err(crate::failure::End::Bye("the selected mailbox was deleted").into());
            }
            Err(error) => return Err(error.into()),
        };
        if expunges && info.highest_modseq > self.view()?.told_expunged {
            self.announce_expunged(&*store, info.highest_modseq).await?;
        }
        if info.highest_modseq > self.view()?.told {
            self.announce_changed(&*store, info.highest_modseq).await?;
        }
        Ok(())
    }

    async fn announce_expunged(
        &mut self,
        store: &dyn MailStore,
        now: ModSeq,
    ) -> std::result::Result<(), Failure> {
        let view = self.view_mut()?;
        let gone = store.vanished(view.id, view.told_expunged).await?;
        view.told_expunged = now;
        self.expunged(&gone)
    }

    /// Takes messages out of the view and tells the client.
    pub(crate) fn expunged(&mut self, gone: &[Uid]) -> std::result::Result<(), Failure> {
        let view = self.view()?;
        let known = compress(
            gone.iter()
                .copied()
                .filter(|uid| view.number(*uid).is_some()),
        );
        let numbers = self.view_mut()?.remove(gone);
        let qresync = self.qresync;
        let mut writer = self.writer();
        if qresync && !known.is_empty() {
            // RFC 7162 §3.2.10: once QRESYNC is enabled, no EXPUNGE any more
            writer.vanished(false, &known);
            return Ok(());
        }
        numbers
            .into_iter()
            .for_each(|number| writer.expunge(number));
        Ok(())
    }

    async fn announce_changed(
        &mut self,
        store: &dyn MailStore,
        now: ModSeq,
    ) -> std::result::Result<(), Failure> {
        let view = self.view_mut()?;
        let columns = view.columns();
        let (id, since, mut own) = (view.id, view.told, std::mem::take(&mut view.own));
        own.sort_unstable();
        view.told = now;
        let mut first = 1;
        loop {
            let entries = store
                .entries(id, first..=Uid::MAX, since, columns, BATCH)
                .await?;
            let last = entries.last().map_or(Uid::MAX, |entry| entry.uid);
            let full = entries.len() == BATCH;
            self.tell_entries(entries, &own)?;
            self.flush_if_full().await?;
            if !full || last == Uid::MAX {
                return Ok(());
            }
            first = last + 1;
        }
    }

    /// New messages become EXISTS, known ones FETCH FLAGS.
    fn tell_entries(
        &mut self,
        entries: Vec<Entry>,
        own: &[(Uid, ModSeq)],
    ) -> std::result::Result<(), Failure> {
        let view = self.view_mut()?;
        let before = view.count();
        let largest = view.uids.last().copied().unwrap_or(0);
        Arc::make_mut(&mut view.uids).extend(
            entries
                .iter()
                .map(|entry| entry.uid)
                .filter(|uid| *uid > largest),
        );
        let count = view.count();
        if count > before {
            self.writer().exists(count);
        }
        let hidden = self.notifying.as_ref().is_some_and(|n| n.hides_flags());
        for entry in entries.iter().filter(|entry| {
            !hidden
                && entry.uid <= largest
                && own.binary_search(&(entry.uid, entry.modseq)).is_err()
        }) {
            self.tell_flags(entry)?;
        }
        Ok(())
    }

    /// `* n FETCH (FLAGS ...)`
    pub(crate) fn tell_flags(&mut self, entry: &Entry) -> std::result::Result<(), Failure> {
        let (condstore, rev2) = (self.condstore, self.rev2);
        let Some(number) = self.view()?.number(entry.uid) else {
            return Ok(());
        };
        let mut fetch = self.writer().fetch(number);
        // RFC 9051 §7.5.2: FETCH that nobody asked for tells the UID; RFC 7162 §3.2 lets it stand in any
        if rev2 || condstore {
            fetch.uid(entry.uid);
        }
        fetch.flags(flags::names(&entry.flags));
        if condstore {
            fetch.mod_seq(entry.modseq);
        }
        fetch.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::intersect;

    #[test]
    fn what_is_in_both_is_found() {
        let (left, right) = (vec![0..5, 7..9, 20..30], vec![1..2, 4..8, 22..23, 25..40]);
        assert_eq!(intersect(&left, &right), [1..2, 4..5, 7..8, 22..23, 25..30]);
        assert_eq!(intersect(&right, &left), [1..2, 4..5, 7..8, 22..23, 25..30]);
        assert!(intersect(&left, &Vec::new()).is_empty());
    }
}
