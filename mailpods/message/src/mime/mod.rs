//! The MIME structure of a message as a flat list of parts.

mod content;
mod scan;
#[cfg(test)]
mod tests;

use crate::{Envelope, Span};

pub use content::{Param, parse_content_type, parse_disposition};

/// Deepest nesting of parts that is looked into; a multipart below it is one opaque part.
pub const MAX_NESTING: usize = 100;
/// Most parts of one message; what follows belongs to the last part.
pub const MAX_PARTS: usize = 10_000;

/// What a part contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Anything without parts of its own.
    Leaf,
    /// `multipart/*` with at least one part found.
    Multipart,
    /// `message/rfc822` or `message/global`: the only child is the root part of the enclosed message.
    Message(Box<Envelope>),
}

/// One part. All spans count from the start of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the part that contains this one.
    pub parent: Option<u32>,
    /// Index of the first contained part.
    pub first_child: Option<u32>,
    /// Index of the next part of the same parent.
    pub next_sibling: Option<u32>,
    /// What the part contains.
    pub kind: PartKind,
    /// Media type, lower case (`text` when absent).
    pub main_type: String,
    /// Media subtype, lower case (`plain` when absent).
    pub subtype: String,
    /// Parameters of Content-Type in order: names lower case, values decoded by RFC 2231 to UTF-8.
    pub params: Vec<Param>,
    /// Content-ID as written.
    pub id: Option<Vec<u8>>,
    /// Content-Description as written, unfolded.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, lower case (`7bit` when absent).
    pub encoding: String,
    /// Content-Disposition: kind in lower case, and parameters.
    pub disposition: Option<(String, Vec<Param>)>,
    /// Content-Language tags.
    pub language: Vec<Vec<u8>>,
    /// Content-Location as written, unfolded.
    pub location: Option<Vec<u8>>,
    /// Content-MD5 as written.
    pub md5: Option<Vec<u8>>,
    /// The part's MIME header with the empty line that ends it. For the root and the root of an enclosed message it is the
    /// whole message header.
    pub header: Span,
    /// The part's body, without the line break that belongs to the next boundary (RFC 2046 §5.1.1).
    pub body: Span,
    /// Lines of the body, still encoded.
    pub lines: u32,
}

impl Part {
    /// Size of the body, still encoded, in octets.
    #[must_use]
    pub fn octets(&self) -> u32 {
        self.body.end - self.body.start
    }

    /// The value of the Content-Type parameter `name` (lower case).
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the type is `main/sub`, both given in lower case.
    #[must_use]
    pub fn is_type(&self, main: &str, sub: &str) -> bool {
        self.main_type == main && self.subtype == sub
    }

    /// The enclosed message's envelope, for a message part.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.kind {
            PartKind::Message(envelope) => Some(envelope),
            PartKind::Leaf | PartKind::Multipart => None,
        }
    }
}

/// The parts of a message in document order; index 0 is the message itself. Never empty when computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// All parts.
    pub parts: Vec<Part>,
    /// Whether a bound (parts, nesting) hid something.
    pub truncated: bool,
}

impl Structure {
    /// Scans `message`, a whole message with header and body.
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        scan::structure(message)
    }

    /// The message itself.
    #[must_use]
    pub fn root(&self) -> Option<&Part> {
        self.parts.first()
    }

    /// The part at `index`.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&Part> {
        self.parts.get(index as usize)
    }

    /// The indexes of the parts directly inside `index`, in order.
    pub fn children(&self, index: u32) -> impl Iterator<Item = u32> + '_ {
        let first = self.get(index).and_then(|part| part.first_child);
        std::iter::successors(first, |&at| {
            self.get(at)
                .and_then(|part| part.next_sibling)
                .filter(|&next| next > at)
        })
    }

    /// The part that an IMAP section number names (RFC 9051 §6.4.5.1), `[1, 2]` for `1.2`. Part 1 of a message that is not
    /// multipart is the message's own body; an empty section is the message.
    #[must_use]
    pub fn resolve(&self, section: &[u32]) -> Option<u32> {
        let Some((&first, rest)) = section.split_first() else {
            return self.root().map(|_| 0);
        };
        let start = self.enter(0, first)?;
        rest.iter()
            .try_fold(start, |at, &number| self.step(at, number))
    }

    fn step(&self, at: u32, number: u32) -> Option<u32> {
        let part = self.get(at)?;
        match part.kind {
            PartKind::Multipart => self.enter(at, number),
            // A number after a message part counts the parts of the enclosed message.
            PartKind::Message(_) => self.enter(part.first_child?, number),
            PartKind::Leaf => None,
        }
    }

    /// Part `number` of the entity at `at`: the entity itself is its part 1 when it is not multipart.
    fn enter(&self, at: u32, number: u32) -> Option<u32> {
        match self.get(at)?.kind {
            PartKind::Multipart => self
                .children(at)
                .nth(usize::try_from(number.checked_sub(1)?).ok()?),
            PartKind::Leaf | PartKind::Message(_) => (number == 1).then_some(at),
        }
    }
}
