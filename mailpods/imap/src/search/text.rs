//! Text in headers and bodies, decoded and without regard to case.

use mailpods_message::decode::{to_utf8, transfer_decode};
use mailpods_message::header::{self, Field, decode_text};
use mailpods_message::{Address, Envelope, Part, PartKind, Structure};

use super::compile::EnvelopeField;

/// Octets of one part that are searched.
const MAX_PART: usize = 32 * 1024 * 1024;

fn contains(text: &str, needle: &str) -> bool {
    needle.is_empty() || text.to_lowercase().contains(needle)
}

/// Whether a field of the envelope has the needle; an empty needle asks whether the field is there.
pub(super) fn envelope_has(envelope: &Envelope, field: EnvelopeField, needle: &str) -> bool {
    let text = |value: &Option<Vec<u8>>| {
        value
            .as_deref()
            .is_some_and(|value| contains(&decode_text(value), needle))
    };
    match field {
        EnvelopeField::From => addresses_have(&envelope.from, needle),
        EnvelopeField::To => addresses_have(&envelope.to, needle),
        EnvelopeField::Cc => addresses_have(&envelope.cc, needle),
        EnvelopeField::Bcc => addresses_have(&envelope.bcc, needle),
        EnvelopeField::Subject => text(&envelope.subject),
        EnvelopeField::MessageId => text(&envelope.message_id),
        EnvelopeField::InReplyTo => text(&envelope.in_reply_to),
    }
}

fn addresses_have(list: &[Address], needle: &str) -> bool {
    list.iter()
        .any(|address| contains(&address_text(address), needle))
}

/// `Name <local@domain>`, as people read it.
fn address_text(address: &Address) -> String {
    let name = address.name.as_deref().map(decode_text).unwrap_or_default();
    let part = |octets: &Option<Vec<u8>>| {
        String::from_utf8_lossy(octets.as_deref().unwrap_or_default()).into_owned()
    };
    match (&address.host, name.is_empty()) {
        (None, _) => part(&address.mailbox),
        (Some(_), true) => format!("{}@{}", part(&address.mailbox), part(&address.host)),
        (Some(_), false) => format!(
            "{name} <{}@{}>",
            part(&address.mailbox),
            part(&address.host)
        ),
    }
}

/// Whether the field called `name` has the needle.
pub(super) fn header_has(octets: &[u8], name: &str, needle: &str) -> bool {
    header::fields(octets).any(|field| {
        field.is(octets, name.as_bytes()) && contains(&decode_text(field.value(octets)), needle)
    })
}

/// What BODY searches: the text parts and the headers of enclosed messages, decoded and in lower case, once for all needles.
pub(super) fn body_text(message: &[u8], structure: &Structure, prefix: u32) -> Vec<String> {
    let enclosed = |part: &&Part| {
        part.parent.is_some_and(|parent| {
            matches!(
                structure.get(parent).map(|p| &p.kind),
                Some(PartKind::Message(_))
            )
        })
    };
    let parts = structure
        .parts
        .iter()
        .filter_map(|part| part_text(message, part, prefix));
    let headers = structure
        .parts
        .iter()
        .filter(enclosed)
        .flat_map(|part| header_text(part.header.shifted(prefix).of(message)));
    parts.chain(headers).collect()
}

/// Each field of a header as `name: value`, in lower case.
pub(super) fn header_text(octets: &[u8]) -> Vec<String> {
    let line = |field: Field| {
        let name = String::from_utf8_lossy(field.name(octets)).into_owned();
        format!("{name}: {}", decode_text(field.value(octets))).to_lowercase()
    };
    header::fields(octets).map(line).collect()
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

/// Whether any of the texts has the needle; an empty one is in every message.
pub(super) fn any_has(texts: &[String], needle: &str) -> bool {
    needle.is_empty() || texts.iter().any(|text| text.contains(needle))
}
