//! What is computed once when a message is accepted, and stored beside it.

mod codec;
pub mod subject;
#[cfg(test)]
mod tests;

use crate::header::{self, Fields, message_id, message_ids, parse_date};
use crate::{Envelope, Part, Span, Structure};

pub use codec::DecodeError;
pub use subject::{BaseSubject, base_subject};

/// Everything that IMAP asks about a message without reading it. Offsets count from the start of the message that
/// [`Meta::compute`] was given; see [`Meta::with_prefix`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Octets of the message.
    pub size: u64,
    /// Octets of the header with the empty line that ends it.
    pub header_len: u32,
    /// The Date field in seconds since 1970, when it can be read.
    pub sent_date: Option<i64>,
    /// The base subject (RFC 5256 §2.1).
    pub subject: BaseSubject,
    /// The message's own identifier without angle brackets.
    pub message_id: Option<Vec<u8>>,
    /// Identifiers of the ancestors, oldest first: References, or the first of In-Reply-To (RFC 5256 §3).
    pub references: Vec<Vec<u8>>,
    /// The ENVELOPE fields.
    pub envelope: Envelope,
    /// The MIME parts.
    pub structure: Structure,
}

impl Meta {
    /// Reads `message`, a whole message. Never fails: what cannot be read is absent.
    #[must_use]
    pub fn compute(message: &[u8]) -> Self {
        let structure = Structure::parse(message);
        let header = structure.root().map_or(Span::default(), |root| root.header);
        let mut meta = Self {
            size: message.len() as u64,
            header_len: header.end,
            structure,
            ..Self::default()
        };
        let mut references: Option<Vec<Vec<u8>>> = None;
        for field in Fields::new(message, 0, header.range().end) {
            meta.envelope.take(message, &field);
            if references.is_none() && field.is(message, b"references") {
                references = Some(message_ids(field.value(message)));
            }
        }
        meta.envelope.fill_defaults();
        meta.derive(references.unwrap_or_default());
        meta
    }

    fn derive(&mut self, references: Vec<Vec<u8>>) {
        let envelope = &self.envelope;
        self.sent_date = envelope
            .date
            .as_deref()
            .and_then(parse_date)
            .map(|date| date.unix);
        self.subject = base_subject(envelope.subject.as_deref().unwrap_or_default());
        self.message_id = envelope.message_id.as_deref().and_then(message_id);
        self.references = references;
        if self.references.is_empty() {
            self.references
                .extend(envelope.in_reply_to.as_deref().and_then(header::message_id));
        }
    }

    /// The same facts for a stored message that has `len` octets of header fields in front of the computed one.
    #[must_use]
    pub fn with_prefix(&self, len: u32) -> PrefixedMeta<'_> {
        PrefixedMeta {
            meta: self,
            prefix: len,
        }
    }
}

/// A [`Meta`] seen through a prefix of header fields. Only spans and sizes change; lines and octets of bodies do not.
#[derive(Clone, Copy, Debug)]
pub struct PrefixedMeta<'a> {
    meta: &'a Meta,
    prefix: u32,
}

impl<'a> PrefixedMeta<'a> {
    /// The facts without the prefix.
    #[must_use]
    pub fn meta(self) -> &'a Meta {
        self.meta
    }

    /// Octets of the message with its prefix.
    #[must_use]
    pub fn size(self) -> u64 {
        self.meta.size.saturating_add(u64::from(self.prefix))
    }

    /// Octets of the header with the prefix and the empty line.
    #[must_use]
    pub fn header_len(self) -> u32 {
        self.meta.header_len.saturating_add(self.prefix)
    }

    /// The part at `index`; its spans are without the prefix.
    #[must_use]
    pub fn part(self, index: u32) -> Option<&'a Part> {
        self.meta.structure.get(index)
    }

    /// Where the header of a part lies; the root's starts with the prefix.
    #[must_use]
    pub fn header(self, index: u32) -> Option<Span> {
        let mut span = self.part(index)?.header.shifted(self.prefix);
        if index == 0 {
            span.start = 0;
        }
        Some(span)
    }

    /// Where the body of a part lies.
    #[must_use]
    pub fn body(self, index: u32) -> Option<Span> {
        Some(self.part(index)?.body.shifted(self.prefix))
    }
}
