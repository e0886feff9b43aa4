//! FETCH (RFC 9051 §6.4.5): a plan of what is needed, batches of entries, and for each message what the plan needs of its
//! body. A batch is told before the next is read, so memory does not grow with the set.

mod plan;
mod preview;
mod read;
mod section;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mailpods_api::Rights;
use mailpods_imap_proto::{
    Code, FetchCommand, FetchItem, FetchWriter, Partial, Positions, Section,
};
use mailpods_message::{Meta, Structure};
use mailpods_store::mail::{Entry, FlagOp, FlagTable, Flags, SystemFlags};
use mailpods_store::{MailStore, StoreError, Uid};

use crate::failure::{Done, Failure, Reply};
use crate::flags;
use crate::heavy;
use crate::session::Session;
use crate::sieve::of_seen;
use crate::view::part_of;
use read::{Batches, Loaded, Numbered};

pub(crate) use plan::{BodyItem, FetchPlan};
pub(crate) use source::{MessageMap, Octets, Source};

/// Flags of so many messages are rather taken from a table of all that the store keeps.
const TABLE_WORTH: u32 = 500;
/// Sections above this many octets go to the socket without being gathered first.
const STREAM_ABOVE: u64 = 64 * 1024;

impl Session {
    pub(crate) async fn fetch(&mut self, command: FetchCommand) -> Done {
        let view = self.view()?;
        let mut positions = view.positions(&command.set, command.uid)?;
        if let Some(window) = command.partial {
            // RFC 9394 §3.3
            positions = part_of(&positions, window);
        }
        let reads = view.reads(&positions);
        if command.vanished {
            let since = command.changed_since.unwrap_or(0);
            self.tell_vanished_of(&command.set, since).await?;
        }
        let plan = FetchPlan::new(command);
        if plan.mod_seq {
            // RFC 7162 §3.1: asking for MODSEQ enables CONDSTORE
            self.enable_condstore();
        }
        let wanted: u32 = positions.iter().map(|range| range.end - range.start).sum();
        let view = self.view()?;
        // The table has the owner's `\Seen`.
        let table = match plan.flags_alone() && wanted >= TABLE_WORTH && view.reader.is_none() {
            true => self.mail().flags(view.id).await?,
            false => None,
        };
        let mut seen = Vec::new();
        let told = match table {
            Some(table) => Box::pin(self.fetch_flags(&plan, &positions, &table)).await,
            None => self.fetch_ranges(&plan, &positions, reads, &mut seen).await,
        };
        // Also when the rest failed: these are seen.
        if !seen.is_empty() {
            Box::pin(self.has_seen(&seen)).await?;
        }
        let told = told?;
        self.shared.deps.metrics.fetched.add((), u64::from(told));
        if told < wanted && plan.changed_since == 0 {
            // RFC 2180 §4.1.2: some are gone, and the client will hear of it
            return Ok(Reply::with(Code::ExpungeIssued, "some messages are gone"));
        }
        Ok(Reply::ok("fetched"))
    }

    /// Runs the script over messages that were unseen until now (RFC 6785 §2.2.3).
    async fn has_seen(&mut self, uids: &[Uid]) -> Result<(), Failure> {
        if let Some(runner) = self.script_of_view().await? {
            self.run_scripts(runner, of_seen(uids)).await;
            self.view_mut()?.look_closely();
        }
        Ok(())
    }

    /// Fetches the wanted ones of ranges of UIDs; returns how many there were, and adds those that are seen now to `marked`.
    async fn fetch_ranges(
        &mut self,
        plan: &FetchPlan,
        positions: &Positions,
        reads: Vec<(Uid, Uid)>,
        marked: &mut Vec<Uid>,
    ) -> Result<u32, Failure> {
        let mut told = 0;
        for range in reads {
            told += self.fetch_range(plan, positions, range, marked).await?;
        }
        Ok(told)
    }

    /// Tells flags from a table of all of them; returns of how many messages.
    async fn fetch_flags(
        &mut self,
        plan: &FetchPlan,
        positions: &Positions,
        table: &FlagTable,
    ) -> Result<u32, Failure> {
        let uids = Arc::clone(&self.view()?.uids);
        let (mut rows, mut told) = (table.rows(), 0);
        for position in positions.iter().cloned().flatten() {
            let Some(uid) = uids.get(position as usize) else {
                continue;
            };
            if rows.first().is_some_and(|row| row.uid < *uid) {
                let passed = rows.partition_point(|row| row.uid < *uid);
                rows = rows.get(passed..).unwrap_or_default();
            }
            let Some((row, after)) = rows.split_first().filter(|(row, _)| row.uid == *uid) else {
                continue;
            };
            rows = after;
            let mut fetch = self.writer().fetch(position + 1);
            for item in &plan.items {
                match item {
                    FetchItem::Uid => fetch.uid(row.uid),
                    FetchItem::ModSeq => fetch.mod_seq(row.modseq),
                    _ => fetch.flags(flags::names_of(row.system, table.keywords(row))),
                }
            }
            fetch.finish();
            told += 1;
            self.flush_if_full().await?;
        }
        Ok(told)
    }

    async fn fetch_range(
        &mut self,
        plan: &FetchPlan,
        positions: &Positions,
        (first, last): (Uid, Uid),
        marked: &mut Vec<Uid>,
    ) -> Result<u32, Failure> {
        let (store, mailbox) = (self.mail(), self.view()?.id);
        let batches = Batches {
            store: Arc::clone(&store),
            mailbox,
            last,
            changed_since: plan.changed_since,
            columns: self.view()?.own(plan.columns),
        };
        let (mut batch, mut told) = (Some(batches.next(first).await?), 0);
        while let Some((entries, next)) = batch.take() {
            let wanted = self.view()?.numbered(entries, positions);
            told += wanted.len() as u32;
            // The next entries are read while these are told.
            let ahead = batches.ahead(next);
            let batch_done = self.fetch_batch(&*store, plan, wanted, marked);
            let (ahead, done) = tokio::join!(ahead, batch_done);
            done?;
            batch = ahead?;
        }
        Ok(told)
    }

    async fn fetch_batch(
        &mut self,
        store: &dyn MailStore,
        plan: &FetchPlan,
        mut entries: Vec<Numbered>,
        marked: &mut Vec<Uid>,
    ) -> Result<(), Failure> {
        let seen = if plan.marks_seen {
            self.mark_seen(store, &mut entries).await?
        } else {
            Vec::new()
        };
        marked.extend(&seen);
        if !plan.body.is_empty() {
            return Box::pin(self.fetch_bodies(store, plan, entries, &seen)).await;
        }
        // What is in the rows is told without waiting for anything: FETCH of flags alone is what clients do most.
        let from_rows = !plan.columns.meta;
        for numbered in &entries {
            let newly_seen = seen.binary_search(&numbered.1.uid).is_ok();
            match from_rows {
                true => self.fetch_row(plan, numbered, newly_seen)?,
                false => {
                    self.fetch_message(store, plan, numbered, None, newly_seen)
                        .await?;
                }
            }
            self.flush_if_full().await?;
        }
        Ok(())
    }

    /// Tells messages with something of their bodies. Those of one group are read while those of the group before are told.
    async fn fetch_bodies(
        &mut self,
        store: &dyn MailStore,
        plan: &FetchPlan,
        entries: Vec<Numbered>,
        seen: &[Uid],
    ) -> Result<(), Failure> {
        let mut entries = entries.into_iter();
        let mut group = read::group(&mut entries);
        let mut loaded = read::load(store, plan, &group).await?;
        loop {
            let next = read::group(&mut entries);
            let telling = self.tell_group(store, plan, &group, loaded, seen);
            if read::is_small(&group) && read::is_small(&next) {
                let (ahead, told) = tokio::join!(read::load(store, plan, &next), telling);
                told?;
                loaded = ahead?;
            } else {
                telling.await?;
                loaded = read::load(store, plan, &next).await?;
            }
            if next.is_empty() {
                return Ok(());
            }
            group = next;
        }
    }

    async fn tell_group(
        &mut self,
        store: &dyn MailStore,
        plan: &FetchPlan,
        group: &[Numbered],
        loaded: Vec<Loaded>,
        seen: &[Uid],
    ) -> Result<(), Failure> {
        for (numbered, loaded) in group.iter().zip(loaded) {
            let newly_seen = seen.binary_search(&numbered.1.uid).is_ok();
            self.fetch_message(store, plan, numbered, Some(loaded?), newly_seen)
                .await?;
            self.flush_if_full().await?;
        }
        Ok(())
    }

    fn fetch_row(
        &mut self,
        plan: &FetchPlan,
        (number, entry): &Numbered,
        newly_seen: bool,
    ) -> Result<(), Failure> {
        drop(self.writer().fetch(*number));
        self.tell_items(plan, entry, None, newly_seen)?;
        FetchWriter::resume(&mut self.wire.out, false, false).finish();
        Ok(())
    }

    /// RFC 9051 §6.4.5: BODY[...] sets `\Seen`. Returns whose flags have changed.
    async fn mark_seen(
        &mut self,
        store: &dyn MailStore,
        entries: &mut [Numbered],
    ) -> Result<Vec<Uid>, Failure> {
        let view = self.view()?;
        let unseen = entries
            .iter()
            .map(|(_, entry)| entry)
            .filter(|entry| !entry.flags.system.contains(SystemFlags::SEEN));
        let uids: Vec<Uid> = unseen.map(|entry| entry.uid).collect();
        // RFC 4314 §4: without `s`, `\Seen` is not set
        let may = !view.read_only && view.rights.contains(Rights::SEEN);
        if !may || uids.is_empty() {
            return Ok(Vec::new());
        }
        let flag = Flags {
            system: SystemFlags::SEEN,
            keywords: Vec::new(),
        };
        let outcome = store
            .store_flags_as(
                view.id,
                uids.clone(),
                (FlagOp::Add, flag),
                None,
                view.reader,
            )
            .await?;
        for (uid, modseq, flags) in outcome.entries {
            self.view_mut()?.own_change(uid, modseq);
            if let Ok(index) = entries.binary_search_by_key(&uid, |(_, entry)| entry.uid)
                && let Some((_, entry)) = entries.get_mut(index)
            {
                (entry.modseq, entry.flags) = (modseq, flags);
            }
        }
        Ok(uids)
    }

    /// Tells one message. What fails does so before anything of it was sent, and leaves nothing of it behind.
    async fn fetch_message(
        &mut self,
        store: &dyn MailStore,
        plan: &FetchPlan,
        (number, entry): &Numbered,
        loaded: Option<(MessageMap, Source)>,
        newly_seen: bool,
    ) -> Result<(), Failure> {
        let meta = read::stored_meta(store, plan, entry).await?;
        let start = self.wire.out.len();
        drop(self.writer().fetch(*number));
        let mut told = self.tell_items(plan, entry, meta.as_deref(), newly_seen);
        let mut first = plan.items.is_empty() && !newly_seen;
        if told.is_ok() && plan.preview {
            told = Box::pin(self.tell_preview(store, entry, meta.as_deref(), first)).await;
            first = false;
        }
        if told.is_ok()
            && let Some(loaded) = loaded
        {
            told = self.tell_body(plan, loaded, first).await;
        }
        match told {
            Ok(()) => FetchWriter::resume(&mut self.wire.out, false, false).finish(),
            Err(_) => self.wire.out.truncate(start),
        }
        told
    }

    fn tell_items(
        &mut self,
        plan: &FetchPlan,
        entry: &Entry,
        meta: Option<&[u8]>,
        newly_seen: bool,
    ) -> Result<(), Failure> {
        let (condstore, utf8) = (self.condstore, self.utf8());
        let mut fetch = FetchWriter::resume(&mut self.wire.out, utf8, true);
        for item in &plan.items {
            match item {
                FetchItem::Uid => fetch.uid(entry.uid),
                FetchItem::Flags => fetch.flags(flags::names(&entry.flags)),
                FetchItem::InternalDate => fetch.internal_date(entry.received),
                FetchItem::Size => fetch.size(entry.size),
                FetchItem::SaveDate => fetch.save_date(entry.saved),
                FetchItem::ModSeq => fetch.mod_seq(entry.modseq),
                FetchItem::EmailId => fetch.email_id(&email_id(entry)),
                FetchItem::ThreadId => fetch.thread_id(),
                FetchItem::Envelope => fetch
                    .envelope(&Meta::decode_envelope(meta.unwrap_or_default()).map_err(damaged)?),
                FetchItem::Body => fetch.body(&structure(meta)?, false),
                FetchItem::BodyStructure => fetch.body(&structure(meta)?, true),
                _ => {}
            }
        }
        if newly_seen {
            if !plan.items.contains(&FetchItem::Flags) {
                fetch.flags(flags::names(&entry.flags));
            }
            if condstore && !plan.items.contains(&FetchItem::ModSeq) {
                fetch.mod_seq(entry.modseq);
            }
        }
        Ok(())
    }

    async fn tell_preview(
        &mut self,
        store: &dyn MailStore,
        entry: &Entry,
        meta: Option<&[u8]>,
        first: bool,
    ) -> Result<(), Failure> {
        let text = preview::preview(store, entry, structure(meta)?).await?;
        let utf8 = self.utf8();
        FetchWriter::resume(&mut self.wire.out, utf8, first).preview(&text);
        Ok(())
    }

    /// Tells the sections.
    async fn tell_body(
        &mut self,
        plan: &FetchPlan,
        read: (MessageMap, Source),
        mut first: bool,
    ) -> Result<(), Failure> {
        let read = Arc::new(read);
        for item in &plan.body {
            // Nothing fails from here on but the connection. Items may repeat, and each may be the whole message.
            self.flush_if_full().await?;
            let first = std::mem::take(&mut first);
            let part = section::stream(&read.0, &read.1, item, STREAM_ABOVE);
            if part.is_none() && read.0.octets(item) > heavy::INLINE {
                Box::pin(self.tell_large(&read, item, first)).await?;
                continue;
            }
            let utf8 = self.utf8();
            let mut fetch = FetchWriter::resume(&mut self.wire.out, utf8, first);
            let Some(part) = part else {
                section::tell(&read.0, &read.1, item, &mut fetch);
                continue;
            };
            fetch.section_start(&part.section, part.origin, part.octets);
            for piece in &part.pieces {
                self.send(piece).await?;
            }
        }
        Ok(())
    }

    /// Tells a section that takes long to make.
    async fn tell_large(
        &mut self,
        read: &Arc<(MessageMap, Source)>,
        item: &BodyItem,
        first: bool,
    ) -> Result<(), Failure> {
        let _turn = self.shared.heavy.turn().await?;
        let (read, item, utf8) = (Arc::clone(read), item.clone(), self.utf8());
        let mut out = std::mem::take(&mut self.wire.out);
        let tell = move || {
            let mut fetch = FetchWriter::resume(&mut out, utf8, first);
            section::tell(&read.0, &read.1, &item, &mut fetch);
            drop(fetch);
            out
        };
        self.wire.out = heavy::run(true, tell).await?;
        Ok(())
    }
}

fn structure(meta: Option<&[u8]>) -> Result<Structure, Failure> {
    Meta::decode_structure(meta.unwrap_or_default()).map_err(damaged)
}

/// The octets of a section, for those who do not tell them; `None` when there is no such part. NO [TOOBIG] for more than `most`.
pub(crate) async fn part_octets(
    store: &dyn MailStore,
    entry: &Entry,
    (section, partial): (Section, Option<Partial>),
    most: u64,
) -> Result<Option<bytes::Bytes>, Failure> {
    let stored = match &entry.meta {
        Some(meta) => meta.clone(),
        None => store.body_meta(entry.body).await?,
    };
    let map = MessageMap::new(structure(Some(&stored))?, entry.prefix_len, entry.size);
    let item = [BodyItem::Section {
        section: section.clone(),
        partial,
        name: None,
    }];
    if item.iter().any(|item| map.octets(item) > most) {
        return Err(Failure::no(Code::TooBig, "the message is too large"));
    }
    let source = Source::load(store, entry, map.extent(&item)).await?;
    Ok(section::section_octets(&map, &source, &section, partial))
}

/// RFC 8474 §5.1: the same for all that have the same octets, so for copies. Made of the shared body and of what stands before it in
/// this copy, which must have been read.
pub(crate) fn email_id(entry: &Entry) -> String {
    match entry.prefix.as_deref().unwrap_or_default() {
        [] => format!("E{}", entry.body),
        prefix => format!("E{}-{:016x}", entry.body, fnv(prefix)),
    }
}

/// FNV-1a: it is in ids that clients keep, so it never changes.
fn fnv(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(crate) fn damaged(error: mailpods_message::meta::DecodeError) -> Failure {
    StoreError::Corrupt(format!("stored facts of a message: {error}")).into()
}
