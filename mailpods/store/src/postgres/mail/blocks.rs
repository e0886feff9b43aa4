//! Large mailboxes that are read whole, again and again: what stays as it is of each message (all but flags) is kept compressed, in blocks
//! of messages that follow each other, and the database is asked for what has changed alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes};

use super::read;
use crate::common::mailbox::Query;
use crate::common::{frame, lock};
use crate::error::{Result, StoreError};
use crate::mail::{Entry, FlagRow, FlagTable, Flags};
use crate::postgres::shared::Shared;
use crate::types::{BodyId, MailboxId, Uid};

/// Messages of a block; whoever reads fewer than that has nothing of it.
const BLOCK: usize = 512;
/// Smaller mailboxes are read fast enough.
const WORTH: usize = 2 * BLOCK;
/// Messages of a block whose facts are too large to be in it.
const MOST_LARGE: usize = 8;
/// Octets of all blocks of a process.
const MOST: usize = 24 << 20;

/// Messages from the first UID of a block, which is its key, to `last`.
#[derive(Clone)]
struct Block {
    last: Uid,
    count: usize,
    /// Octets of `stored` when it is unpacked.
    size: u64,
    stored: Arc<[u8]>,
}

impl Block {
    fn octets(&self) -> usize {
        self.stored.len() + size_of::<Self>()
    }
}

/// What is kept, by mailbox; what was not asked for the longest goes first.
#[derive(Default)]
pub(in crate::postgres) struct Blocks(Mutex<State>);

#[derive(Default)]
struct State {
    mailboxes: HashMap<MailboxId, Kept>,
    octets: usize,
    clock: u64,
}

#[derive(Default)]
struct Kept {
    used: u64,
    octets: usize,
    blocks: BTreeMap<Uid, Block>,
    /// All of this mailbox is too much; nothing of it is kept.
    full: bool,
}

impl Blocks {
    /// The block that a UID is in.
    fn get(&self, mailbox: MailboxId, uid: Uid) -> Option<Block> {
        let mut state = lock(&self.0);
        state.clock += 1;
        let clock = state.clock;
        let kept = state.mailboxes.get_mut(&mailbox)?;
        kept.used = clock;
        let (_, block) = kept.blocks.range(..=uid).next_back()?;
        (block.last >= uid).then(|| block.clone())
    }

    /// Where the block that ends with `uid` starts, if there is room in it for more.
    fn ending_with(&self, mailbox: MailboxId, uid: Uid) -> Option<Uid> {
        let state = lock(&self.0);
        let blocks = &state.mailboxes.get(&mailbox)?.blocks;
        let (first, block) = blocks.range(..=uid).next_back()?;
        (block.last == uid && block.count < BLOCK / 2).then_some(*first)
    }

    fn has_room(&self, mailbox: MailboxId) -> bool {
        let state = lock(&self.0);
        state.mailboxes.get(&mailbox).is_none_or(|kept| !kept.full)
    }

    /// Keeps a block in place of those that have some of its messages.
    fn put(&self, mailbox: MailboxId, first: Uid, block: Block) {
        let mut state = lock(&self.0);
        let state = &mut *state;
        state.clock += 1;
        let (octets, last) = (block.octets(), block.last);
        let kept = state.mailboxes.entry(mailbox).or_default();
        kept.used = state.clock;
        let mut freed = 0;
        while let Some((start, other)) = kept.blocks.range(..=last).next_back()
            && other.last >= first
        {
            let start = *start;
            freed += kept.blocks.remove(&start).map_or(0, |other| other.octets());
        }
        kept.blocks.insert(first, block);
        kept.octets = kept.octets + octets - freed;
        state.octets = state.octets + octets - freed;
        if kept.octets > MOST {
            // What is only partly there is read whole each time: it would be of no use, and others would lose theirs for it.
            state.octets -= kept.octets;
            (kept.octets, kept.full) = (0, true);
            return kept.blocks.clear();
        }
        while state.octets > MOST {
            let others = state.mailboxes.iter().filter(|(id, _)| **id != mailbox);
            let oldest = others.min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id);
            let Some(gone) = oldest.and_then(|oldest| state.mailboxes.remove(&oldest)) else {
                return;
            };
            state.octets -= gone.octets;
        }
    }
}

/// Answers a query by flags and blocks; `None` where neither helps.
pub(super) async fn entries(shared: &Shared, query: &Query) -> Result<Option<Vec<Entry>>> {
    let columns = query.columns;
    let whole = columns.meta && !columns.prefix && columns.reader.is_none();
    let span = u64::from(*query.uids.end()).saturating_sub(u64::from(*query.uids.start())) + 1;
    let large = query.limit >= BLOCK && span >= BLOCK as u64;
    if !whole || query.changed_since > 0 || !large || !shared.blocks.has_room(query.mailbox) {
        return Ok(None);
    }
    let Some(table) = read::flags_of_many(shared, query.mailbox, WORTH).await? else {
        return Ok(None);
    };
    let rows = table.rows();
    let start = rows.partition_point(|row| row.uid < *query.uids.start());
    let end = rows.partition_point(|row| row.uid <= *query.uids.end());
    let end = end.min(start.saturating_add(query.limit)).max(start);
    let mut entries = Vec::with_capacity(end - start);
    let mut at = start;
    while let Some(row) = rows.get(at).filter(|_| at < end) {
        let before = at.checked_sub(1).and_then(|before| rows.get(before));
        let (last, facts) = facts(shared, query, row.uid, before).await?;
        let stop = rows
            .partition_point(|row| row.uid <= last)
            .clamp(at + 1, end);
        join(
            &table,
            rows.get(at..stop).unwrap_or_default(),
            facts,
            &mut entries,
        );
        at = stop;
    }
    // The facts are of later moments than the flags. Fewer than `limit` say that there are no more, so they must not be fewer for
    // what was expunged in between.
    Ok((entries.len() == end - start).then_some(entries))
}

/// Messages from `uid` on, or from before it, and up to which UID they are all there are.
async fn facts(
    shared: &Shared,
    query: &Query,
    uid: Uid,
    before: Option<&FlagRow>,
) -> Result<(Uid, Vec<Entry>)> {
    if let Some(block) = shared.blocks.get(query.mailbox, uid) {
        return Ok((block.last, unpack(&block)?));
    }
    let joins = |before: &FlagRow| shared.blocks.ending_with(query.mailbox, before.uid);
    let first = before.and_then(joins).unwrap_or(uid);
    let wanted = Query {
        uids: first..=Uid::MAX,
        limit: BLOCK,
        ..*query
    };
    let entries = read::entries(&*shared.pool.get().await?, &wanted).await?;
    let last = entries.last().map_or(uid, |entry| entry.uid);
    if last < uid {
        // Others have come in between.
        return Ok((uid, Vec::new()));
    }
    // Facts that were never asked for are computed by whoever reads this, and are in the rows the next time.
    if entries.iter().filter(|entry| entry.meta.is_none()).count() <= MOST_LARGE {
        shared
            .blocks
            .put(query.mailbox, first, pack(last, &entries)?);
    }
    Ok((last, entries))
}

/// Gives the flags of `rows` to those of the messages that have them.
fn join(table: &FlagTable, rows: &[FlagRow], facts: Vec<Entry>, entries: &mut Vec<Entry>) {
    let mut facts = facts.into_iter().peekable();
    for row in rows {
        while facts.next_if(|entry| entry.uid < row.uid).is_some() {}
        let Some(entry) = facts.next_if(|entry| entry.uid == row.uid) else {
            continue;
        };
        entries.push(Entry {
            modseq: row.modseq,
            flags: Flags {
                system: row.system,
                keywords: table.keywords(row).to_vec(),
            },
            ..entry
        });
    }
}

/// The messages behind each other: what has one length of each, then the stored facts of each.
fn pack(last: Uid, entries: &[Entry]) -> Result<Block> {
    let mut plain = Vec::with_capacity(entries.len() * 512);
    plain.put_u32_le(entries.len() as u32);
    for entry in entries {
        plain.put_u32_le(entry.uid);
        plain.put_i64_le(entry.received);
        plain.put_i64_le(entry.saved.unwrap_or(i64::MIN));
        plain.put_u64_le(entry.size);
        plain.put_i64_le(entry.body.0);
        plain.put_u32_le(entry.prefix_len);
        // 0: there are none.
        let octets = entry.meta.as_ref().map_or(0, |meta| meta.len() as u32 + 1);
        plain.put_u32_le(octets);
    }
    for meta in entries.iter().filter_map(|entry| entry.meta.as_ref()) {
        plain.put_slice(meta);
    }
    Ok(Block {
        last,
        count: entries.len(),
        size: plain.len() as u64,
        stored: frame::encode(&plain)?.into(),
    })
}

fn unpack(block: &Block) -> Result<Vec<Entry>> {
    let plain = frame::decode_range(&block.stored, block.size, &(0..block.size))?;
    entries_of(plain.into()).ok_or_else(damaged)
}

fn entries_of(mut plain: Bytes) -> Option<Vec<Entry>> {
    const FIXED: usize = 44;
    let count = plain.try_get_u32_le().ok()? as usize;
    if plain.len() < count * FIXED {
        return None;
    }
    let mut fixed = plain.split_to(count * FIXED);
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (uid, received, saved) = (fixed.get_u32_le(), fixed.get_i64_le(), fixed.get_i64_le());
        let (size, body) = (fixed.get_u64_le(), BodyId(fixed.get_i64_le()));
        let (prefix_len, octets) = (fixed.get_u32_le(), fixed.get_u32_le());
        let meta = match octets.checked_sub(1) {
            Some(octets) if octets as usize <= plain.len() => Some(plain.split_to(octets as usize)),
            Some(_) => return None,
            None => None,
        };
        entries.push(Entry {
            uid,
            modseq: 0,
            flags: Flags::default(),
            received,
            saved: (saved != i64::MIN).then_some(saved),
            size,
            body,
            prefix_len,
            prefix: None,
            meta,
        });
    }
    Some(entries)
}

fn damaged() -> StoreError {
    StoreError::Corrupt("a block of messages in memory does not unpack".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: Uid, meta: Option<&'static str>) -> Entry {
        Entry {
            uid,
            modseq: 0,
            flags: Flags::default(),
            received: -5,
            saved: meta.map(|_| 9),
            size: 1 << 40,
            body: BodyId(i64::MAX),
            prefix_len: 7,
            prefix: None,
            meta: meta.map(Bytes::from),
        }
    }

    fn block(uids: std::ops::RangeInclusive<Uid>) -> Block {
        let entries: Vec<Entry> = uids.clone().map(|uid| entry(uid, None)).collect();
        pack(*uids.end(), &entries).unwrap()
    }

    #[test]
    fn what_is_packed_comes_back() {
        let entries = vec![entry(3, Some("abc")), entry(7, None), entry(9, Some(""))];
        let packed = pack(12, &entries).unwrap();
        assert_eq!((packed.last, packed.count), (12, 3));
        assert_eq!(unpack(&packed).unwrap(), entries);
    }

    #[test]
    fn a_block_takes_the_place_of_those_that_it_covers() {
        let (blocks, mailbox) = (Blocks::default(), MailboxId(1));
        blocks.put(mailbox, 1, block(1..=10));
        blocks.put(mailbox, 11, block(11..=12));
        let ends = |uid| blocks.get(mailbox, uid).map(|block| block.last);
        assert_eq!(
            [1, 10, 11, 13].map(ends),
            [Some(10), Some(10), Some(12), None]
        );
        assert_eq!(blocks.ending_with(mailbox, 12), Some(11));
        assert_eq!(
            [11, 13].map(|uid| blocks.ending_with(mailbox, uid)),
            [None; 2]
        );
        blocks.put(mailbox, 11, block(11..=20));
        assert_eq!([10, 12, 20].map(ends), [Some(10), Some(20), Some(20)]);
        assert!(blocks.get(MailboxId(2), 1).is_none());
        let state = lock(&blocks.0);
        let octets = |kept: &Kept| kept.blocks.values().map(Block::octets).sum::<usize>();
        let all: usize = state.mailboxes.values().map(octets).sum();
        assert_eq!((all, all), (state.octets, state.mailboxes[&mailbox].octets));
    }

    #[test]
    fn octets_are_bounded() {
        let blocks = Blocks::default();
        let large = |last| Block {
            last,
            count: 1,
            size: 0,
            stored: vec![0; MOST / 3].into(),
        };
        for mailbox in 1..=3 {
            blocks.put(MailboxId(mailbox), 1, large(1));
        }
        // The oldest one made room.
        let kept = |mailbox: i64| blocks.get(MailboxId(mailbox), 1).is_some();
        assert_eq!([1, 2, 3].map(kept), [false, true, true]);
        blocks.put(MailboxId(2), 2, large(2));
        assert_eq!([2, 3].map(kept), [true, false]);
        // One mailbox with more than there is room for keeps nothing, and takes nothing from others.
        let small = block(1..=10);
        blocks.put(MailboxId(3), 1, small.clone());
        let near = |last| Block {
            stored: vec![0; MOST / 2].into(),
            ..large(last)
        };
        blocks.put(MailboxId(4), 1, near(1));
        assert_eq!([2, 3, 4].map(kept), [false, true, true]);
        blocks.put(MailboxId(4), 2, near(2));
        assert_eq!([3, 4].map(kept), [true, false]);
        assert!(!blocks.has_room(MailboxId(4)) && blocks.has_room(MailboxId(3)));
        assert_eq!(lock(&blocks.0).octets, small.octets());
    }
}
