//! PREVIEW (RFC 8970): the first words of a message, as a person reads them.

use mailpods_message::decode::{to_utf8, transfer_decode};
use mailpods_message::{Part, PartKind, Structure, html};
use mailpods_store::MailStore;
use mailpods_store::mail::Entry;

use super::{MessageMap, Source};
use crate::failure::Failure;

/// RFC 8970 §3.2: characters of a preview.
const MAX_CHARS: usize = 200;
/// Octets of a part that are looked at, as they are encoded.
const MAX_PLAIN: u64 = 4 * 1024;
/// HTML begins with much that nobody sees.
const MAX_HTML: u64 = 64 * 1024;

/// The preview of a message; empty when it has no text.
pub(super) async fn preview(
    store: &dyn MailStore,
    entry: &Entry,
    structure: Structure,
) -> Result<String, Failure> {
    let Some(index) = text_part(&structure) else {
        return Ok(String::new());
    };
    let map = MessageMap::new(structure, entry.prefix_len, entry.size);
    let (Some(part), Some(body)) = (map.structure.get(index), map.body(index)) else {
        return Ok(String::new());
    };
    let most = if is_html(part) { MAX_HTML } else { MAX_PLAIN };
    let range = body.start..body.end.min(body.start + most);
    let source = Source::load(store, entry, range.clone()).await?;
    Ok(text(part, &source.joined(&range)))
}

/// The first plain text that is not attached, or else the first HTML; that of an enclosed message only where the message has none itself.
fn text_part(structure: &Structure) -> Option<u32> {
    let shown = |part: &Part| {
        let attached = part.disposition.as_ref();
        part.kind == PartKind::Leaf && attached.is_none_or(|(kind, _)| kind != "attachment")
    };
    let find = |subtype: &str, enclosed: bool| {
        let mut parts = structure.parts.iter();
        parts.position(|part| {
            part.is_type("text", subtype) && shown(part) && is_enclosed(structure, part) == enclosed
        })
    };
    find("plain", false)
        .or_else(|| find("html", false))
        .or_else(|| find("plain", true))
        .or_else(|| find("html", true))
        .map(|index| index as u32)
}

/// Whether a part is of a message within the message.
fn is_enclosed(structure: &Structure, part: &Part) -> bool {
    let above = |part: &&Part| part.parent.and_then(|parent| structure.get(parent));
    std::iter::successors(above(&part), above).any(|part| matches!(part.kind, PartKind::Message(_)))
}

fn is_html(part: &Part) -> bool {
    part.subtype == "html"
}

pub(super) fn text(part: &Part, octets: &[u8]) -> String {
    let limit = usize::try_from(MAX_HTML).unwrap_or(usize::MAX);
    let Some(decoded) = transfer_decode(&part.encoding, octets, limit) else {
        return String::new();
    };
    let charset = part.param("charset").unwrap_or_default();
    // The end may be in the middle of a character.
    let text = to_utf8(charset.as_bytes(), &decoded);
    let text = text.trim_end_matches('\u{fffd}');
    match is_html(part) {
        true => words(&html::to_text(text)),
        false => words(text),
    }
}

/// The first words that are neither quoted nor a signature.
fn words(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| line.trim_end_matches('\r') != "-- ");
    let words = lines
        .filter(|line| !line.starts_with('>'))
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || c.is_control()))
        .filter(|word| !word.is_empty());
    let mut preview = String::new();
    let mut left = MAX_CHARS;
    for word in words {
        let space = usize::from(!preview.is_empty());
        if left <= space {
            break;
        }
        preview.push_str(if space == 1 { " " } else { "" });
        preview.extend(word.chars().take(left - space));
        left = left.saturating_sub(space + word.chars().count());
    }
    preview
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attached_message_does_not_speak_for_the_one_it_is_attached_to() {
        let nested =
            "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nof another\r\n--b--\r\n";
        let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
        let shown = |message: String| {
            let structure = Structure::parse(message.as_bytes());
            let part = structure.get(text_part(&structure).unwrap()).unwrap();
            text(part, part.body.of(message.as_bytes()))
        };
        let html = "--b\r\nContent-Type: text/html\r\n\r\n<p>own\r\n";
        assert_eq!(shown(format!("{head}{html}{nested}")), "own");
        assert_eq!(shown(format!("{head}{nested}")), "of another");
    }
}
