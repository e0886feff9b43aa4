//! Text in envelopes and fields, decoded and without regard to case and form of accents.

use mailpods_message::header::{self, decode_text};
use mailpods_message::text::fold;
use mailpods_message::{Address, Envelope};
use memchr::memmem;

use super::compile::EnvelopeField;

fn contains(text: &str, needle: &str) -> bool {
    needle.is_empty() || fold(text).contains(needle)
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

/// Whether any of the texts has the needle; an empty one is in every message.
pub(super) fn any_has(texts: &[String], needle: &str) -> bool {
    let finder = memmem::Finder::new(needle);
    needle.is_empty()
        || texts
            .iter()
            .any(|text| finder.find(text.as_bytes()).is_some())
}
