//! Changes to a message's header that leave its body where it is.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::Span;
use crate::header::{Field, fields, parse_addresses};

/// One change: the octets of `span` give way to `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    span: Span,
    text: Vec<u8>,
}

/// A list of changes to one message, in the order of their places. Where removals overlap, their union is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    top: Vec<u8>,
    edits: Vec<Edit>,
}

impl Edits {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the message stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.top.is_empty() && self.edits.is_empty()
    }

    /// Puts whole fields, each with its CRLF, above everything else, earlier prepended fields included.
    pub fn prepend(&mut self, fields: &[u8]) {
        self.top.splice(0..0, fields.iter().copied());
    }

    /// What was prepended so far.
    #[must_use]
    pub fn prepended(&self) -> &[u8] {
        &self.top
    }

    /// Puts `text` before the octet at `at`, after what was put there before.
    pub fn insert(&mut self, at: usize, text: &[u8]) {
        self.replace(Span::new(at, at), text);
    }

    /// Removes the octets of `span`.
    pub fn remove(&mut self, span: Span) {
        self.replace(span, b"");
    }

    /// Puts `text` where `span` is.
    pub fn replace(&mut self, span: Span, text: &[u8]) {
        let at = self
            .edits
            .partition_point(|edit| edit.span.start <= span.start);
        self.edits.insert(
            at,
            Edit {
                span,
                text: text.to_vec(),
            },
        );
    }

    /// The changed message as slices, none of them empty.
    pub fn slices<'a>(&'a self, message: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut at = 0;
        let between = self.edits.iter().flat_map(move |edit| {
            let kept = message
                .get(at..edit.span.range().start.min(message.len()))
                .unwrap_or_default();
            at = at.max(edit.span.range().end);
            [kept, edit.text.as_slice()]
        });
        let end = self
            .edits
            .iter()
            .map(|edit| edit.span.range().end)
            .max()
            .unwrap_or(0);
        let rest = message.get(end..).unwrap_or_default();
        let top = std::iter::once(self.top.as_slice());
        top.chain(between)
            .chain(std::iter::once(rest))
            .filter(|slice| !slice.is_empty())
    }

    /// Size of the changed message in octets.
    #[must_use]
    pub fn len(&self, message: &[u8]) -> usize {
        self.slices(message).map(<[u8]>::len).sum()
    }

    /// The changed message in one piece.
    #[must_use]
    pub fn apply(&self, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len(message));
        self.slices(message)
            .for_each(|slice| out.extend_from_slice(slice));
        out
    }
}

/// The number of Received fields, for the loop check (RFC 5321 §6.3).
#[must_use]
pub fn received_count(message: &[u8]) -> usize {
    fields(message)
        .filter(|field| field.is(message, b"received"))
        .count()
}

/// The mailboxes that a message has been in: what its Delivered-To fields name, in lower case. One pass, however many
/// mailboxes are then looked for.
#[must_use]
pub fn delivered_to(message: &[u8]) -> HashSet<Vec<u8>> {
    let mut seen = HashSet::new();
    for field in fields(message).filter(|field| field.is(message, b"delivered-to")) {
        let value = field.value(message);
        seen.insert(value.trim_ascii().to_ascii_lowercase());
        let addresses = parse_addresses(value);
        let specs = addresses.addresses().filter_map(crate::Address::addr_spec);
        seen.extend(specs.map(|spec| spec.to_ascii_lowercase()));
    }
    seen
}

/// Removes Authentication-Results fields that claim to be ours: those whose authserv-id is one of `ours`, or is a subdomain of
/// one (RFC 8601 §5). Fields that cannot be read go too.
pub fn remove_authentication_results(message: &[u8], ours: &[&str], edits: &mut Edits) {
    let of_us = |field: &Field| {
        field.is(message, b"authentication-results") && claims(field.value(message), ours)
    };
    fields(message)
        .filter(of_us)
        .for_each(|field| edits.remove(field.full));
}

fn claims(value: &[u8], ours: &[&str]) -> bool {
    let Some(id) = authserv_id(value) else {
        return true;
    };
    ours.iter().any(|ours| {
        let head = id
            .len()
            .checked_sub(ours.len())
            .and_then(|at| id.split_at_checked(at));
        head.is_some_and(|(head, tail)| {
            tail.eq_ignore_ascii_case(ours) && (head.is_empty() || head.ends_with('.'))
        })
    })
}

/// The name at the start of an Authentication-Results value: a token or quoted string after comments (RFC 8601 §2.2).
#[must_use]
pub fn authserv_id(value: &[u8]) -> Option<String> {
    let text = skip_comments(value);
    let id = match text.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&byte| byte == b'"').next(),
        None => text
            .split(|&byte| byte == b';' || byte == b'(' || byte.is_ascii_whitespace())
            .next(),
    };
    id.filter(|id| !id.is_empty())
        .map(|id| String::from_utf8_lossy(id).trim_end_matches('.').to_owned())
}

fn skip_comments(value: &[u8]) -> &[u8] {
    let mut depth = 0usize;
    let start = value.iter().position(|&byte| {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0 && !byte.is_ascii_whitespace()
    });
    start.and_then(|at| value.get(at..)).unwrap_or_default()
}
