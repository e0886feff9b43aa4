//! Sequence sets: numbers or UIDs of messages (RFC 9051 §9, `sequence-set`).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeqNumber {
    /// A number or UID.
    Value(NonZeroU32),
    /// `*`: the largest number or UID in use.
    Last,
}

impl SeqNumber {
    fn resolve(self, last: u32) -> u32 {
        match self {
            Self::Value(value) => value.get(),
            Self::Last => last,
        }
    }
}

/// `from:to` in either order; one number is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeqRange {
    /// The end that was written first.
    pub from: SeqNumber,
    /// The end that was written last.
    pub to: SeqNumber,
}

impl SeqRange {
    /// Whether one end is `*`.
    #[must_use]
    pub fn has_last(&self) -> bool {
        self.from == SeqNumber::Last || self.to == SeqNumber::Last
    }
}

/// What a command applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SequenceSet {
    /// `$`: the result that SEARCH saved (RFC 9051 §6.4.4.1).
    Saved,
    /// Ranges as the client wrote them.
    Ranges(Vec<SeqRange>),
}

/// A message number above the number of messages (RFC 9051 §9, `seq-number`: tagged BAD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no message with this number")]
pub struct NoSuchMessage;

/// Positions in the mailbox, sorted, disjoint and never adjacent; position 0 is message number 1.
pub type Positions = Vec<Range<u32>>;

impl SequenceSet {
    /// A set of one number.
    #[must_use]
    pub fn one(value: NonZeroU32) -> Self {
        let number = SeqNumber::Value(value);
        Self::Ranges(vec![SeqRange {
            from: number,
            to: number,
        }])
    }

    /// All numbers from one to another; 0 counts as 1.
    #[must_use]
    pub fn between(from: u32, to: u32) -> Self {
        let number =
            |value: u32| SeqNumber::Value(NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN));
        Self::Ranges(vec![SeqRange {
            from: number(from),
            to: number(to),
        }])
    }

    /// The ranges with `*` replaced by `last`, sorted and merged; inclusive at both ends. Empty for `$`.
    #[must_use]
    pub fn normalise(&self, last: u32) -> Vec<(u32, u32)> {
        let Self::Ranges(ranges) = self else {
            return Vec::new();
        };
        let mut pairs: Vec<_> = ranges
            .iter()
            .map(|range| (range.from.resolve(last), range.to.resolve(last)))
            .map(|(from, to)| (from.min(to), from.max(to)))
            .filter(|pair| pair.1 > 0)
            .collect();
        pairs.sort_unstable();
        merge(pairs)
    }

    /// The positions of these message numbers in a mailbox of `count` messages.
    ///
    /// # Errors
    /// A number above `count`; `*` in an empty mailbox is nothing.
    pub fn by_number(&self, count: u32) -> Result<Positions, NoSuchMessage> {
        let pairs = self.normalise(count);
        if pairs.last().is_some_and(|pair| pair.1 > count) && !self.is_all_of_nothing(count) {
            return Err(NoSuchMessage);
        }
        Ok(pairs
            .into_iter()
            .filter(|pair| pair.1 <= count)
            .map(|(from, to)| from.max(1) - 1..to)
            .collect())
    }

    /// `1:*` in an empty mailbox: what every client sends without a thought.
    fn is_all_of_nothing(&self, count: u32) -> bool {
        let Self::Ranges(ranges) = self else {
            return false;
        };
        count == 0 && ranges.iter().all(SeqRange::has_last)
    }

    /// The positions of these UIDs in `uids`, which is sorted. UIDs that are not there are passed over (RFC 9051 §6.4.9).
    #[must_use]
    pub fn by_uid(&self, uids: &[u32]) -> Positions {
        let mut positions: Positions = Vec::new();
        for (from, to) in self.normalise(uids.last().copied().unwrap_or(0)) {
            let start = uids.partition_point(|uid| *uid < from) as u32;
            let end = uids.partition_point(|uid| *uid <= to) as u32;
            push_range(&mut positions, start..end);
        }
        positions
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ranges(ranges) = self else {
            return f.write_str("$");
        };
        for (index, range) in ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match range.from == range.to {
                true => write!(f, "{comma}{}", range.from)?,
                false => write!(f, "{comma}{}:{}", range.from, range.to)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Last => f.write_str("*"),
        }
    }
}

fn merge(sorted: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
    for (from, to) in sorted {
        match merged.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Adds a range behind the others and joins it with the last when they touch.
pub fn push_range(positions: &mut Positions, range: Range<u32>) {
    match positions.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
        _ => positions.push(range),
    }
}

/// Numbers in their order, those that follow one another as inclusive ranges.
#[must_use]
pub fn runs(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// Sorted numbers as the shortest list of inclusive ranges.
#[must_use]
pub fn compress(sorted: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    merge(sorted.into_iter().map(|number| (number, number)).collect())
}
