//! The text of a message as SEARCH sees it: decoded, in lower case, one piece for each field and part.

use crate::decode::{to_utf8, transfer_decode};
use crate::header::{self, Field, decode_text};
use crate::{Part, PartKind, Structure};

/// Octets of one part that are looked at, decoded.
const MAX_PART: usize = 32 * 1024 * 1024;

/// Each field of a header as `name: value`.
pub fn header_texts(header: &[u8]) -> impl Iterator<Item = String> + '_ {
    let line = |field: Field| {
        let name = String::from_utf8_lossy(field.name(header)).into_owned();
        format!("{name}: {}", decode_text(field.value(header))).to_lowercase()
    };
    header::fields(header).map(line)
}

/// Whether [`header_texts`] of a header without folded lines may have a text in lower case, told without decoding. Never wrong where it
/// says no.
#[must_use]
pub fn header_may_have(header: &[u8], text: &str) -> bool {
    // What is no ASCII may be ASCII in lower case (U+212A), what looks like an encoded word may be anything.
    !header.is_ascii()
        || memchr::memmem::find(header, b"=?").is_some()
        || memchr::memmem::find(&header.to_ascii_lowercase(), text.as_bytes()).is_some()
}

/// What BODY searches (RFC 9051 §6.4.4): the text parts, the names of attachments, and the headers of enclosed messages.
///
/// `message` is `prefix` octets followed by what the structure was made of.
pub fn body_texts<'a>(
    message: &'a [u8],
    structure: &'a Structure,
    prefix: u32,
) -> impl Iterator<Item = String> + 'a {
    let parts = structure.parts.iter();
    let texts = parts.filter_map(move |part| part_text(message, part, prefix));
    let names = structure.parts.iter().flat_map(file_names);
    let is_enclosed = |part: &&Part| {
        let parent = part.parent.and_then(|parent| structure.get(parent));
        parent.is_some_and(|parent| matches!(parent.kind, PartKind::Message(_)))
    };
    let enclosed = structure.parts.iter().filter(is_enclosed);
    let headers =
        enclosed.flat_map(move |part| header_texts(part.header.shifted(prefix).of(message)));
    texts.chain(names).chain(headers)
}

fn part_text(message: &[u8], part: &Part, prefix: u32) -> Option<String> {
    if part.main_type != "text" || part.kind != PartKind::Leaf {
        return None;
    }
    let octets = part.body.shifted(prefix).of(message);
    let decoded = transfer_decode(&part.encoding, octets, MAX_PART)?;
    let charset = part.param("charset").unwrap_or_default();
    Some(to_utf8(charset.as_bytes(), &decoded).to_lowercase())
}

/// `filename` of the disposition (RFC 2183 §2.3) and the older `name` of the type; many senders write them as encoded words.
fn file_names(part: &Part) -> impl Iterator<Item = String> + '_ {
    let disposition = part.disposition.iter().flat_map(|(_, params)| params);
    let filename = disposition.filter(|(name, _)| name == "filename");
    let name = part.params.iter().filter(|(name, _)| name == "name");
    filename
        .chain(name)
        .map(|(_, value)| decode_text(value.as_bytes()).to_lowercase())
}
