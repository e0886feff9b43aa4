//! Where the sections of a message lie, and the octets that were read of it.

use std::ops::Range;

use bytes::Bytes;
use mailpods_imap_proto::{Partial, Section, SectionText};
use mailpods_message::{PartKind, Structure};
use mailpods_store::mail::Entry;
use mailpods_store::{MailStore, Result};

use super::BodyItem;

/// A range of the whole message: the copy's own prefix followed by the shared body.
pub(crate) type Octets = Range<u64>;

/// Where things lie in one message.
pub(crate) struct MessageMap {
    pub(crate) structure: Structure,
    prefix: u64,
    size: u64,
}

impl MessageMap {
    pub(crate) fn new(structure: Structure, prefix: u32, size: u64) -> Self {
        Self {
            structure,
            prefix: u64::from(prefix),
            size,
        }
    }

    /// The header of a part; the message's own starts with the prefix.
    pub(crate) fn header(&self, part: u32) -> Option<Octets> {
        let span = self.structure.get(part)?.header;
        let start = if part == 0 {
            0
        } else {
            u64::from(span.start) + self.prefix
        };
        Some(start..u64::from(span.end) + self.prefix)
    }

    /// The body of a part.
    pub(crate) fn body(&self, part: u32) -> Option<Octets> {
        let span = self.structure.get(part)?.body;
        Some(u64::from(span.start) + self.prefix..u64::from(span.end) + self.prefix)
    }

    /// The message enclosed in a part; the part itself for the message's own number.
    fn message(&self, part: u32, is_root: bool) -> Option<u32> {
        if is_root {
            return Some(part);
        }
        let found = self.structure.get(part)?;
        matches!(found.kind, PartKind::Message(_))
            .then_some(found.first_child)
            .flatten()
    }

    /// Where a section lies, filters of header fields apart; `None` when there is no such part (RFC 9051 §6.4.5.1).
    pub(crate) fn locate(&self, section: &Section) -> Option<Octets> {
        let is_root = section.part.is_empty();
        if is_root && section.text.is_none() {
            return Some(0..self.size);
        }
        let part = self.structure.resolve(&section.part)?;
        match &section.text {
            None => self.body(part),
            Some(SectionText::Mime) => self.header(part),
            // The text of the whole message ends where the message ends, whatever the structure makes of it.
            Some(SectionText::Text) if is_root => Some(self.header(part)?.end..self.size),
            Some(SectionText::Text) => self.body(self.message(part, is_root)?),
            Some(_) => self.header(self.message(part, is_root)?),
        }
    }

    /// The body of the part that BINARY names.
    pub(crate) fn locate_binary(&self, number: &[u32]) -> Option<Octets> {
        if number.is_empty() {
            Some(0..self.size)
        } else {
            self.body(self.structure.resolve(number)?)
        }
    }

    /// The smallest range that holds what all items need; empty for nothing.
    pub(crate) fn extent(&self, items: &[BodyItem]) -> Octets {
        let needed = items
            .iter()
            .filter_map(|item| self.need(item))
            .filter(|range| !range.is_empty());
        needed
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// How many octets an item needs.
    pub(crate) fn octets(&self, item: &BodyItem) -> u64 {
        self.need(item)
            .map_or(0, |range| range.end.saturating_sub(range.start))
    }

    fn need(&self, item: &BodyItem) -> Option<Octets> {
        match item {
            BodyItem::Section {
                section, partial, ..
            } => {
                let range = self.locate(section)?;
                Some(if is_filter(section) {
                    range
                } else {
                    cut(range, *partial)
                })
            }
            BodyItem::Binary { part, .. } | BodyItem::BinarySize(part) => self.locate_binary(part),
        }
    }
}

/// Whether only some fields of the range are told.
pub(crate) fn is_filter(section: &Section) -> bool {
    matches!(
        section.text,
        Some(SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_))
    )
}

/// RFC 9051 §6.4.5: what lies beyond the end is an empty string
pub(crate) fn cut(range: Octets, partial: Option<Partial>) -> Octets {
    let Some(partial) = partial else { return range };
    let start = (range.start + u64::from(partial.origin)).min(range.end);
    start..(start + u64::from(partial.length)).min(range.end)
}

/// The octets of one message that were read.
pub(crate) struct Source {
    prefix: Bytes,
    /// Where in the message `data` starts.
    start: u64,
    data: Bytes,
}

impl Source {
    /// Reads what `extent` needs of the body, and no more.
    pub(crate) async fn load(store: &dyn MailStore, entry: &Entry, extent: Octets) -> Result<Self> {
        let data = match Self::range(entry, &extent) {
            Some(range) => store.body_range(entry.body, range).await?,
            None => Bytes::new(),
        };
        Ok(Self::new(entry, &extent, data))
    }

    /// What `extent` needs of the body; `None` for nothing.
    pub(crate) fn range(entry: &Entry, extent: &Octets) -> Option<Octets> {
        let in_body = |at: u64| at.saturating_sub(u64::from(entry.prefix_len));
        let end = match extent.end >= entry.size {
            // To its end, wherever that is.
            true => u64::MAX,
            false => in_body(extent.end),
        };
        let needed = extent.end > extent.start.max(u64::from(entry.prefix_len));
        needed.then(|| in_body(extent.start)..end)
    }

    /// With the octets of [`Self::range`].
    pub(crate) fn new(entry: &Entry, extent: &Octets, data: Bytes) -> Self {
        let prefix_len = u64::from(entry.prefix_len);
        Self {
            prefix: entry.prefix.clone().unwrap_or_default(),
            start: prefix_len + extent.start.saturating_sub(prefix_len),
            data,
        }
    }

    /// The octets of a range: of the prefix, then of the body. Only what was read.
    pub(crate) fn pieces(&self, range: &Octets) -> [Bytes; 2] {
        [
            part(&self.prefix, 0, range),
            part(&self.data, self.start, range),
        ]
    }

    /// The octets of a range as one slice.
    pub(crate) fn joined(&self, range: &Octets) -> Bytes {
        let [prefix, body] = self.pieces(range);
        match (prefix.is_empty(), body.is_empty()) {
            (true, _) => body,
            (_, true) => prefix,
            _ => [prefix, body].concat().into(),
        }
    }
}

/// The part of `octets`, which start at `offset`, that lies in `range`.
fn part(octets: &Bytes, offset: u64, range: &Octets) -> Bytes {
    let clamp = |at: u64| {
        usize::try_from(at.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(octets.len())
    };
    let (start, end) = (clamp(range.start), clamp(range.end));
    if start < end {
        octets.slice(start..end)
    } else {
        Bytes::new()
    }
}
