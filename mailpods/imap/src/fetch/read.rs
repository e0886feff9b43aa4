//! Reading for a FETCH: entries in batches, and what is needed of their bodies, several together.

use std::sync::Arc;

use bytes::Bytes;
use mailpods_store::mail::{Columns, Entry};
use mailpods_store::{MailStore, MailboxId, ModSeq, StoreError, Uid};

use super::source::Octets;
use super::{FetchPlan, MessageMap, Source, section, structure};
use crate::failure::Failure;
use crate::resync::CHANGED_BATCH;

/// Entries read at once when only flags and the like are asked for.
const BATCH: usize = 1000;
/// Entries read at once with their stored facts.
const META_BATCH: usize = 512;
/// Octets of the messages that are read at once; a larger one is read alone.
const GROUP: u64 = 256 * 1024;

/// An entry and its message number.
pub(super) type Numbered = (u32, Entry);
/// What was read of a message; what fails fails for this message alone.
pub(super) type Loaded = Result<(MessageMap, Source), Failure>;

/// Reads the entries of a range, a batch at a time.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) store: Arc<dyn MailStore>,
    pub(super) mailbox: MailboxId,
    pub(super) last: Uid,
    pub(super) changed_since: ModSeq,
    pub(super) columns: Columns,
}

/// Entries, and where the next batch starts when there may be one.
type Batch = (Vec<Entry>, Option<Uid>);

impl Batches {
    /// The entries from `first` on.
    pub(super) async fn next(&self, first: Uid) -> Result<Batch, StoreError> {
        let limit = match (self.columns.meta, self.changed_since) {
            (true, _) => META_BATCH,
            (false, 0) => BATCH,
            (false, _) => CHANGED_BATCH,
        };
        let uids = first..=self.last;
        let entries = self
            .store
            .entries(self.mailbox, uids, self.changed_since, self.columns, limit)
            .await?;
        let end = entries.last().map_or(self.last, |entry| entry.uid);
        let more = entries.len() == limit && end < self.last;
        Ok((entries, more.then_some(end + 1)))
    }

    /// The next batch, where there is one: as a task of its own, for the rows of a database are taken apart there.
    pub(super) async fn ahead(&self, first: Option<Uid>) -> Result<Option<Batch>, StoreError> {
        let Some(first) = first else {
            return Ok(None);
        };
        let batches = self.clone();
        let read = tokio::spawn(async move { batches.next(first).await });
        match read.await {
            Ok(batch) => batch.map(Some),
            Err(_) => Err(StoreError::Unavailable("a read was interrupted".to_owned())),
        }
    }
}

/// Takes the messages that are read together off the start of `entries`.
pub(super) fn group(entries: &mut std::vec::IntoIter<Numbered>) -> Vec<Numbered> {
    let mut octets = 0;
    let mut fits = |(_, entry): &Numbered| {
        octets += entry.size;
        octets <= GROUP
    };
    let count = entries
        .as_slice()
        .iter()
        .take_while(|one| fits(one))
        .count();
    entries.take(count.max(1)).collect()
}

/// Whether all of it may be in memory beside another group.
pub(super) fn is_small(group: &[Numbered]) -> bool {
    group.iter().map(|(_, entry)| entry.size).sum::<u64>() <= GROUP
}

/// Reads what a plan needs of the bodies of a group, for each message.
pub(super) async fn load(
    store: &dyn MailStore,
    plan: &FetchPlan,
    group: &[Numbered],
) -> Result<Vec<Loaded>, Failure> {
    let mut maps = Vec::with_capacity(group.len());
    let mut wanted = Vec::with_capacity(group.len());
    for (_, entry) in group {
        let map = mapped(store, plan, entry).await;
        if let Ok((_, extent)) = &map
            && let Some(range) = Source::range(entry, extent)
        {
            wanted.push((entry.body, range));
        }
        maps.push(map);
    }
    let mut read = match wanted.is_empty() {
        true => Vec::new().into_iter(),
        false => store.body_ranges(wanted).await?.into_iter(),
    };
    let loaded = group.iter().zip(maps).map(|((_, entry), map)| {
        let (map, extent) = map?;
        let data = match Source::range(entry, &extent) {
            Some(_) => read.next().transpose()?.unwrap_or_default(),
            None => Bytes::new(),
        };
        Ok((map, Source::new(entry, &extent, data)))
    });
    Ok(loaded.collect())
}

/// Where the parts of a message lie, and what is needed of it.
async fn mapped(
    store: &dyn MailStore,
    plan: &FetchPlan,
    entry: &Entry,
) -> Result<(MessageMap, Octets), Failure> {
    let parts = match plan.columns.meta {
        true => structure(stored_meta(store, plan, entry).await?.as_deref())?,
        false => mailpods_message::Structure::default(),
    };
    let map = MessageMap::new(parts, entry.prefix_len, entry.size);
    section::check_encodings(&map, &plan.body)?;
    let extent = map.extent(&plan.body);
    Ok((map, extent))
}

/// The stored facts, when the plan needs them.
pub(super) async fn stored_meta(
    store: &dyn MailStore,
    plan: &FetchPlan,
    entry: &Entry,
) -> Result<Option<Bytes>, Failure> {
    match &entry.meta {
        Some(meta) => Ok(Some(meta.clone())),
        None if plan.columns.meta => Ok(Some(store.body_meta(entry.body).await?)),
        None => Ok(None),
    }
}
