//! What is compared, by criterion.

use std::cmp::Ordering;

use mailpods_imap_proto::{SortCriterion, SortKey};
use mailpods_message::header::decode_text;
use mailpods_message::{Address, Envelope, Meta};
use mailpods_store::mail::{self, Entry};

use super::{MAX_TEXT, collate, too_many};
use crate::failure::Failure;
use crate::fetch::damaged;

/// One value for each message.
#[derive(Clone)]
pub(super) enum Column {
    Numbers(Vec<i64>),
    Texts(Texts),
}

/// Texts behind each other, and where each ends.
#[derive(Default, Clone)]
pub(super) struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    fn get(&self, index: usize) -> &str {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }
}

impl Column {
    /// One of the same kind without values.
    pub(super) fn empty(&self) -> Self {
        match self {
            Self::Numbers(_) => Self::Numbers(Vec::new()),
            Self::Texts(_) => Self::Texts(Texts::default()),
        }
    }

    /// Adds the values of another one of the same kind.
    pub(super) fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::Numbers(numbers), Self::Numbers(others)) => numbers.extend(others),
            (Self::Texts(texts), Self::Texts(others)) => {
                let start = texts.text.len() as u32;
                texts.text.push_str(&others.text);
                texts.ends.extend(others.ends.iter().map(|end| start + end));
            }
            _ => {}
        }
    }

    pub(super) fn text_octets(&self) -> usize {
        match self {
            Self::Numbers(_) => 0,
            Self::Texts(texts) => texts.text.len(),
        }
    }

    pub(super) fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Self::Numbers(numbers) => numbers.get(a).cmp(&numbers.get(b)),
            Self::Texts(texts) => texts.get(a).cmp(texts.get(b)),
        }
    }
}

/// The messages that are sorted, with what is compared of them.
pub(super) struct Columns {
    positions: Vec<u32>,
    columns: Vec<(SortCriterion, Column)>,
    octets: usize,
}

impl Columns {
    pub(super) fn new(criteria: Vec<SortCriterion>) -> Self {
        let column = |criterion: SortCriterion| {
            let column = match criterion.key {
                SortKey::Arrival | SortKey::Date | SortKey::Size => Column::Numbers(Vec::new()),
                _ => Column::Texts(Texts::default()),
            };
            (criterion, column)
        };
        Self {
            positions: Vec::new(),
            columns: criteria.into_iter().map(column).collect(),
            octets: 0,
        }
    }

    /// The positions, and what is compared first.
    pub(super) fn into_first(self) -> Option<(Vec<u32>, Column)> {
        let (_, column) = self.columns.into_iter().next()?;
        Some((self.positions, column))
    }

    /// Octets of all texts.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    fn any(&self, keys: &[SortKey]) -> bool {
        let mut own = self.columns.iter().map(|column| column.0.key);
        own.any(|key| keys.contains(&key))
    }

    /// The columns of the store that hold it.
    pub(super) fn needed(&self) -> mail::Columns {
        let plain = |key| matches!(key, SortKey::Arrival | SortKey::Size);
        mail::Columns {
            prefix: false,
            meta: !self.columns.iter().all(|column| plain(column.0.key)),
            reader: None,
        }
    }

    /// Adds a message; they come in the order of their positions.
    pub(super) fn add(&mut self, position: u32, entry: &Entry) -> Result<(), Failure> {
        let stored = entry.meta.as_deref();
        let summary = match stored.filter(|_| self.any(&[SortKey::Date, SortKey::Subject])) {
            Some(stored) => Meta::decode_summary(stored).map_err(damaged)?,
            None => Meta::default(),
        };
        const ENVELOPE: [SortKey; 5] = [
            SortKey::Cc,
            SortKey::DisplayFrom,
            SortKey::DisplayTo,
            SortKey::From,
            SortKey::To,
        ];
        let envelope = match stored.filter(|_| self.any(&ENVELOPE)) {
            Some(stored) => Meta::decode_envelope(stored).map_err(damaged)?,
            None => Envelope::default(),
        };
        self.positions.push(position);
        for (criterion, column) in &mut self.columns {
            match column {
                Column::Numbers(numbers) => numbers.push(number(criterion.key, entry, &summary)),
                Column::Texts(texts) => {
                    let text = collate(&text(criterion.key, &summary, &envelope));
                    self.octets += text.len();
                    texts.push(&text);
                }
            }
        }
        match self.octets > MAX_TEXT {
            true => Err(too_many()),
            false => Ok(()),
        }
    }

    /// The positions in their order; equal ones in that of the mailbox (RFC 5256 §3).
    pub(super) fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.positions.len() as u32).collect();
        order.sort_unstable_by(|a, b| {
            let mut columns = self.columns.iter();
            let differs = columns.find_map(|column| {
                let order = compare(column, *a as usize, *b as usize);
                (order != Ordering::Equal).then_some(order)
            });
            differs.unwrap_or_else(|| a.cmp(b))
        });
        let position = |index: u32| self.positions.get(index as usize).copied();
        order.into_iter().filter_map(position).collect()
    }
}

fn compare((criterion, column): &(SortCriterion, Column), a: usize, b: usize) -> Ordering {
    let order = column.compare(a, b);
    match criterion.reverse {
        true => order.reverse(),
        false => order,
    }
}

fn number(key: SortKey, entry: &Entry, summary: &Meta) -> i64 {
    match key {
        SortKey::Size => entry.size.cast_signed(),
        // RFC 5256 §2.2: without a date that can be read, the internal date
        SortKey::Date => summary.sent_date.unwrap_or(entry.received),
        _ => entry.received,
    }
}

fn text(key: SortKey, summary: &Meta, envelope: &Envelope) -> String {
    match key {
        SortKey::Subject => summary.subject.text.clone(),
        SortKey::From => local_part(&envelope.from),
        SortKey::To => local_part(&envelope.to),
        SortKey::Cc => local_part(&envelope.cc),
        SortKey::DisplayFrom => display(&envelope.from),
        SortKey::DisplayTo => display(&envelope.to),
        SortKey::Arrival | SortKey::Date | SortKey::Size => String::new(),
    }
}

/// RFC 5256 §3: the addr-mailbox of the first address
fn local_part(list: &[Address]) -> String {
    let first = list.first().and_then(|address| address.mailbox.as_deref());
    String::from_utf8_lossy(first.unwrap_or_default()).into_owned()
}

/// RFC 5957 §3: the name of the first address, or without one the address itself.
fn display(list: &[Address]) -> String {
    let Some(first) = list.first() else {
        return String::new();
    };
    let name = first.name.as_deref().map(decode_text).unwrap_or_default();
    match (name.is_empty(), first.addr_spec()) {
        (true, Some(address)) => String::from_utf8_lossy(&address).into_owned(),
        (true, None) => local_part(list),
        (false, _) => name,
    }
}
