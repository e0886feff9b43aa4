//! QRESYNC (RFC 7162 §3.2): what a client that comes back has missed.

use mailpods_imap_proto::sequence::compress;
use mailpods_imap_proto::{Resync, SequenceSet};
use mailpods_store::{ModSeq, Uid};

use crate::failure::Failure;
use crate::session::Session;
use crate::view::View;

/// Entries read at once: the store looks through all changes for each read.
pub(crate) const CHANGED_BATCH: usize = 4000;

/// Inclusive ranges of UIDs, sorted.
type Ranges = Vec<(Uid, Uid)>;

impl Session {
    /// What has happened to the mailbox that was just selected, since the client knew it.
    pub(crate) async fn resync(&mut self, resync: &Resync, validity: u32) -> Result<(), Failure> {
        // RFC 7162 §3.2.5.1: what was known of another UIDVALIDITY says nothing
        if resync.validity != validity {
            return Ok(());
        }
        let known = match &resync.known {
            Some(set) => set.normalise(0),
            None => vec![(1, Uid::MAX)],
        };
        let agreed = match &resync.matched {
            Some((numbers, uids)) => agreed(self.view()?, numbers, uids),
            None => 0,
        };
        // RFC 7162 §3.2.5.2: VANISHED stands before the FETCHes
        self.tell_vanished(resync.mod_seq, &known, agreed).await?;
        self.tell_changed(resync.mod_seq, &known).await
    }

    /// VANISHED (EARLIER) for UID FETCH (RFC 7162 §3.2.6).
    pub(crate) async fn tell_vanished_of(
        &mut self,
        set: &SequenceSet,
        since: ModSeq,
    ) -> Result<(), Failure> {
        if !self.qresync {
            return Err(Failure::Bad("VANISHED needs ENABLE QRESYNC"));
        }
        let next = self.mail().mailbox_by_id(self.view()?.id).await?.uid_next;
        self.tell_vanished(since, &set.normalise(next.saturating_sub(1)), 0)
            .await
    }

    /// What the view still has goes by VANISHED without EARLIER, once it may.
    async fn tell_vanished(
        &mut self,
        since: ModSeq,
        within: &Ranges,
        above: Uid,
    ) -> Result<(), Failure> {
        let gone = self.mail().vanished(self.view()?.id, since).await?;
        let view = self.view()?;
        let gone = gone
            .into_iter()
            .filter(|uid| *uid > above && in_ranges(within, *uid) && view.number(*uid).is_none());
        let gone = compress(gone);
        if !gone.is_empty() {
            self.writer().vanished(true, &gone);
        }
        Ok(())
    }

    async fn tell_changed(&mut self, since: ModSeq, within: &Ranges) -> Result<(), Failure> {
        let (store, id, columns) = (self.mail(), self.view()?.id, self.view()?.columns());
        let mut first = 1;
        loop {
            let range = first..=Uid::MAX;
            let entries = store
                .entries(id, range, since, columns, CHANGED_BATCH)
                .await?;
            let last = entries.last().map_or(Uid::MAX, |entry| entry.uid);
            let full = entries.len() == CHANGED_BATCH;
            for entry in entries.iter().filter(|entry| in_ranges(within, entry.uid)) {
                self.tell_flags(entry)?;
                self.flush_if_full().await?;
            }
            if !full || last == Uid::MAX {
                return Ok(());
            }
            first = last + 1;
        }
    }
}

/// The last UID up to which client and server count the same messages; 0 for none. Message numbers that still have the UIDs that the
/// client knows prove that it has heard of all that went below them (RFC 7162 §3.2.5.2).
fn agreed(view: &View, numbers: &SequenceSet, uids: &SequenceSet) -> Uid {
    let each = |set: &SequenceSet| {
        let ranges = set.normalise(0).into_iter();
        ranges.flat_map(|(from, to)| from..=to)
    };
    each(numbers)
        .zip(each(uids))
        .take_while(|(number, uid)| view.number(*uid) == Some(*number))
        .last()
        .map_or(0, |pair| pair.1)
}

fn in_ranges(ranges: &Ranges, uid: Uid) -> bool {
    let next = ranges.partition_point(|range| range.1 < uid);
    ranges.get(next).is_some_and(|range| range.0 <= uid)
}
