//! The text of a message as SEARCH sees it: decoded and [`fold`]ed, one piece for each field and part, and of HTML two.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use crate::decode::{to_utf8, transfer_decode};
use crate::header::{self, Field, decode_text};
use crate::{Part, PartKind, Structure, html};

/// Octets of one part that are looked at, decoded.
const MAX_PART: usize = 32 * 1024 * 1024;

/// Text in the form in which texts are compared: in lower case, and composed (NFC), so that it does not matter whether an accent is a
/// character of its own.
#[must_use]
pub fn fold(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.is_ascii() || is_nfc(&lower) {
        true => lower,
        false => lower.nfc().collect(),
    }
}

/// Each field of a header as `name: value`.
pub fn header_texts(header: &[u8]) -> impl Iterator<Item = String> + '_ {
    let line = |field: Field| {
        let name = String::from_utf8_lossy(field.name(header)).into_owned();
        fold(&format!("{name}: {}", decode_text(field.value(header))))
    };
    header::fields(header).map(line)
}

/// Whether [`header_texts`] of a header without folded lines may have a text that is [`fold`]ed, told without decoding. Never wrong where it
/// says no.
#[must_use]
pub fn header_may_have(header: &[u8], text: &str) -> bool {
    // What is no ASCII may be ASCII in lower case (U+212A), what looks like an encoded word may be anything.
    !header.is_ascii()
        || memchr::memmem::find(header, b"=?").is_some()
        || memchr::memmem::find(&header.to_ascii_lowercase(), text.as_bytes()).is_some()
}

/// What BODY searches (RFC 9051 §6.4.4): the text parts, HTML both as it is written and as a person reads it, the names of attachments, and
/// the headers of enclosed messages.
///
/// `message` is `prefix` octets followed by what the structure was made of.
pub fn body_texts<'a>(
    message: &'a [u8],
    structure: &'a Structure,
    prefix: u32,
) -> impl Iterator<Item = String> + 'a {
    let parts = structure.parts.iter();
    let texts = parts.flat_map(move |part| part_texts(message, part, prefix));
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

fn part_texts(message: &[u8], part: &Part, prefix: u32) -> impl Iterator<Item = String> {
    let text = part_text(message, part, prefix);
    let html = text.as_ref().filter(|_| part.subtype == "html");
    let read = html.map(|html| fold(&as_read(&html::to_text(html))));
    let written = text.map(|text| fold(&text));
    written.into_iter().chain(read)
}

/// As it is shown: white space is one space, and soft hyphens are nothing.
fn as_read(text: &str) -> String {
    let text: Cow<str> = match text.contains('\u{ad}') {
        true => text.replace('\u{ad}', "").into(),
        false => text.into(),
    };
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn part_text(message: &[u8], part: &Part, prefix: u32) -> Option<String> {
    if part.main_type != "text" || part.kind != PartKind::Leaf {
        return None;
    }
    let octets = part.body.shifted(prefix).of(message);
    let decoded = transfer_decode(&part.encoding, octets, MAX_PART)?;
    let charset = part.param("charset").unwrap_or_default();
    Some(to_utf8(charset.as_bytes(), &decoded).into_owned())
}

/// `filename` of the disposition (RFC 2183 §2.3) and the older `name` of the type; many senders write them as encoded words.
fn file_names(part: &Part) -> impl Iterator<Item = String> + '_ {
    let disposition = part.disposition.iter().flat_map(|(_, params)| params);
    let filename = disposition.filter(|(name, _)| name == "filename");
    let name = part.params.iter().filter(|(name, _)| name == "name");
    filename
        .chain(name)
        .map(|(_, value)| fold(&decode_text(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_searched_as_it_is_read_and_as_it_is_written() {
        let message = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p title=\"tip\">hid<b>den</b> text&nbsp;here\r\n  \
            M&#252;nchen, K&ouml;ln, Ber&shy;lin</p><!-- remark --><style>p { color: red }</style><td>a</td><td>b</td>\r\n";
        let structure = Structure::parse(message);
        let texts: Vec<String> = body_texts(message, &structure, 0).collect();
        let has = |needle: &str| texts.iter().any(|text| text.contains(&fold(needle)));
        for text in [
            "hidden text here münchen, köln, berlin",
            "tip",
            "remark",
            "a b",
        ] {
            assert!(has(text), "{text}: {texts:?}");
        }
        assert!(!has("berlinp"), "{texts:?}");
    }

    #[test]
    fn accents_are_the_same_in_either_form() {
        assert_eq!(fold("CAFE\u{301}"), fold("café"));
        assert_eq!(fold("Ångström"), "ångström");
    }
}
