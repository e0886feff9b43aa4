//! Byte ranges of a message.

use std::ops::Range;

/// A half-open range of octets, small enough to be stored per part. Messages above 4 GiB are not represented: offsets
/// saturate at `u32::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First octet.
    pub start: u32,
    /// One past the last octet; never below `start`.
    pub end: u32,
}

impl Span {
    /// A span from two offsets; `end` is raised to `start` when it lies before it.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The number of octets.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the span holds no octet.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The same span as a range of `usize`.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The octets of `bytes` in this span, cut where `bytes` ends.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let end = (self.end as usize).min(bytes.len());
        bytes
            .get((self.start as usize).min(end)..end)
            .unwrap_or_default()
    }

    /// The span moved by `by` octets towards the end.
    #[must_use]
    pub fn shifted(self, by: u32) -> Self {
        Self {
            start: self.start.saturating_add(by),
            end: self.end.saturating_add(by),
        }
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self::new(range.start, range.end)
    }
}
