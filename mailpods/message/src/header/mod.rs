//! Header fields as byte ranges, and the parsers for their values.

pub mod address;
pub mod date;
pub mod ids;
#[cfg(test)]
mod tests;
pub mod text;

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::Span;

pub use address::parse as parse_addresses;
pub use date::{Date, format_date, parse_date};
pub use ids::{message_id, message_ids};
pub use text::decode_text;

/// Most fields that are looked at in one header.
pub const MAX_FIELDS: usize = 10_000;
/// Most octets of one header in which fields are looked for.
pub const MAX_HEADER: usize = 1 << 20;

/// One header field of a message. Spans count from the start of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The name without the colon; empty for a line that is not a field.
    pub name: Span,
    /// The value, still folded, without white space at its ends.
    pub value: Span,
    /// The whole field with its line break.
    pub full: Span,
}

impl Field {
    /// The name as written.
    #[must_use]
    pub fn name(self, message: &[u8]) -> &[u8] {
        self.name.of(message)
    }

    /// The folded value.
    #[must_use]
    pub fn value(self, message: &[u8]) -> &[u8] {
        self.value.of(message)
    }

    /// Whether the field is called `name`, whatever the case.
    #[must_use]
    pub fn is(self, message: &[u8], name: &[u8]) -> bool {
        self.name(message).eq_ignore_ascii_case(name)
    }
}

/// The fields of the header at the start of `message`.
#[must_use]
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields::new(message, 0, message.len())
}

/// The value of the first field called `name`, folded.
#[must_use]
pub fn find<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields(message)
        .find(|field| field.is(message, name))
        .map(|field| field.value(message))
}

/// Length of the header at the start of `message` with the empty line that ends it; the whole length when there is none.
#[must_use]
pub fn header_len(message: &[u8]) -> usize {
    let mut at = 0;
    while at < message.len() {
        let line = next_line(message, at, message.len());
        at = line.next;
        if line.is_empty() {
            return at;
        }
    }
    message.len()
}

/// A line: its octets are `start..end`, the next one starts at `next`. CRLF and bare LF end a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) next: usize,
}

impl Line {
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The line at `start`; `end` is where the text ends and lies within `bytes`.
pub(crate) fn next_line(bytes: &[u8], start: usize, end: usize) -> Line {
    let text = bytes.get(start..end).unwrap_or_default();
    match memchr(b'\n', text) {
        Some(0) => Line {
            start,
            end: start,
            next: start + 1,
        },
        Some(at) => {
            let cr = usize::from(text.get(at - 1) == Some(&b'\r'));
            Line {
                start,
                end: start + at - cr,
                next: start + at + 1,
            }
        }
        None => Line {
            start,
            end: end.max(start),
            next: end.max(start),
        },
    }
}

/// Iterates over the fields of one header. Ends at the empty line, at the end of the input, or at a bound.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
    limit: usize,
    count: usize,
    truncated: bool,
}

impl<'a> Fields<'a> {
    /// The fields of the header that starts at `start` and ends at the empty line or at `end`.
    #[must_use]
    pub fn new(message: &'a [u8], start: usize, end: usize) -> Self {
        let end = end.min(message.len());
        let limit = start.saturating_add(MAX_HEADER);
        Self {
            message,
            at: start.min(end),
            end,
            limit,
            count: 0,
            truncated: false,
        }
    }

    /// Whether a bound ended the iteration before the header did.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Goes over continuation lines, obsolete ones of white space only among them (RFC 5322 §4.2), and returns where the
    /// field's text ends and the next line starts.
    fn continued(&self, first: Line) -> (usize, usize) {
        let (mut end, mut next) = (first.end, first.next);
        while next < self.end && matches!(self.message.get(next), Some(b' ' | b'\t')) {
            let line = next_line(self.message, next, self.end);
            (end, next) = (line.end, line.next);
        }
        (end, next)
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        if self.at >= self.end || self.truncated {
            return None;
        }
        let line = next_line(self.message, self.at, self.end);
        if line.is_empty() {
            self.at = self.end;
            return None;
        }
        let (end, next) = self.continued(line);
        if self.count >= MAX_FIELDS || next > self.limit {
            self.truncated = true;
            return None;
        }
        self.count += 1;
        self.at = next;
        Some(field(self.message, line, end, next))
    }
}

fn field(message: &[u8], line: Line, end: usize, next: usize) -> Field {
    let text = message.get(line.start..line.end).unwrap_or_default();
    let full = Span::new(line.start, next);
    let Some(colon) = memchr(b':', text) else {
        return Field {
            name: Span::new(line.start, line.start),
            value: Span::new(line.start, end),
            full,
        };
    };
    // RFC 5322 §4.5.8: white space before the colon is obsolete syntax.
    let name_len = text.get(..colon).unwrap_or_default().trim_ascii_end().len();
    let raw = message.get(line.start + colon + 1..end).unwrap_or_default();
    let lead = raw.len() - raw.trim_ascii_start().len();
    let start = line.start + colon + 1 + lead;
    let value = Span::new(start, start + raw.trim_ascii().len());
    Field {
        name: Span::new(line.start, line.start + name_len),
        value,
        full,
    }
}

/// Removes line breaks from a folded value (RFC 5322 §2.2.3). Other CR and LF become nothing too, so that the result is always
/// one line.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(
        value
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, b'\r' | b'\n'))
            .collect(),
    )
}
