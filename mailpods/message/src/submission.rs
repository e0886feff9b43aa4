//! Checks and repairs of a message that a person's client submits (RFC 6409 §8, RFC 5322 §3.6).

mod fold;
#[cfg(test)]
mod tests;

use memchr::memchr;

use crate::edit::Edits;
use crate::header::address::AddressList;
use crate::header::{
    Field, Fields, fields, format_date, header_len, message_id, parse_addresses, parse_date,
};

/// Longest line in octets without CRLF (RFC 5322 §2.1.1).
pub const MAX_LINE: usize = 998;

/// Fields of which there may be only one (RFC 5322 §3.6; MIME fields by RFC 2045 §3). Bcc is removed anyway.
const ONCE: [&str; 15] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-ID",
    "Content-Description",
];

/// What the repairs need from outside.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// Zone of a Date that is added, minutes east of UTC.
    pub offset_minutes: i32,
    /// Fresh random octets, which make a Message-ID unique.
    pub random: [u8; 16],
    /// Right side of a Message-ID that is added: a name of this server or of the sender's domain.
    pub host: &'a str,
    /// Whether the transaction carries SMTPUTF8, so that header fields may hold UTF-8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// Longest body line in octets without CRLF; [`MAX_LINE`] unless the content is BINARYMIME.
    pub max_line: usize,
}

/// A message that may go on once `edits` are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// The repairs.
    pub edits: Edits,
    /// The addresses of From, `local@domain`; the caller checks that they belong to the log-in.
    pub from: Vec<Vec<u8>>,
    /// The address of Sender.
    pub sender: Option<Vec<u8>>,
    /// The message's identifier without angle brackets, its own or the added one.
    pub message_id: Vec<u8>,
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no From field.
    FromMissing,
    /// From holds no address, or cannot be read.
    FromInvalid,
    /// From holds several addresses and there is no Sender (RFC 5322 §3.6.2).
    SenderMissing,
    /// Sender is not exactly one address.
    SenderInvalid,
    /// To, Cc or Reply-To holds something that is no address, or an address whose domain is not fully qualified.
    AddressInvalid,
    /// A field that may stand once stands twice.
    DuplicateField,
    /// A line of the header is not a field.
    HeaderInvalid,
    /// The header has too many fields or octets.
    HeaderTooLarge,
    /// A header field holds 8-bit octets without SMTPUTF8 and cannot be encoded.
    EightBitHeader,
    /// A line is too long and cannot be folded.
    LineTooLong,
    /// The message holds a NUL octet.
    NulOctet,
}

impl Reason {
    /// The stable name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FromMissing => "FromMissing",
            Self::FromInvalid => "FromInvalid",
            Self::SenderMissing => "SenderMissing",
            Self::SenderInvalid => "SenderInvalid",
            Self::AddressInvalid => "AddressInvalid",
            Self::DuplicateField => "DuplicateField",
            Self::HeaderInvalid => "HeaderInvalid",
            Self::HeaderTooLarge => "HeaderTooLarge",
            Self::EightBitHeader => "EightBitHeader",
            Self::LineTooLong => "LineTooLong",
            Self::NulOctet => "NulOctet",
        }
    }
}

/// A message that cannot be mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// The stable reason.
    pub reason: Reason,
    /// One line for the SMTP reply: what is wrong and what to do.
    pub text: String,
}

fn refuse<T>(reason: Reason, text: impl Into<String>) -> Result<T, Refused> {
    Err(Refused {
        reason,
        text: text.into(),
    })
}

/// Checks `message`, a whole message with CRLF line ends, and lists its repairs.
///
/// # Errors
/// When something is wrong that must not be guessed; the first such thing is named.
pub fn mend(message: &[u8], context: &Context) -> Result<Mended, Refused> {
    check_octets(message, context)?;
    let header = all_fields(message)?;
    check_names(message, &header)?;
    let mut edits = Edits::new();
    let (from, sender) = originators(message, &header)?;
    check_addressees(message, &header)?;
    remove_private(message, &header, &mut edits);
    let lacking_mime = mend_mime(message, &header, &mut edits);
    mend_fields(message, &header, context, &mut edits)?;
    let message_id = add_missing(message, &header, context, &mut edits);
    if lacking_mime {
        edits.prepend(b"MIME-Version: 1.0\r\n");
    }
    Ok(Mended {
        edits,
        from,
        sender,
        message_id,
    })
}

fn check_octets(message: &[u8], context: &Context) -> Result<(), Refused> {
    // RFC 5322 §4: NUL is not allowed anywhere.
    if memchr(0, message).is_some() {
        return refuse(
            Reason::NulOctet,
            "the message contains a NUL octet; encode binary content as base64",
        );
    }
    let body = message.get(header_len(message)..).unwrap_or_default();
    let longest = crate::decode::longest_line(body).saturating_sub(1);
    if longest > context.max_line {
        let text = format!(
            "a body line has {longest} octets of at most {}; use quoted-printable or base64",
            context.max_line
        );
        return refuse(Reason::LineTooLong, text);
    }
    Ok(())
}

fn all_fields(message: &[u8]) -> Result<Vec<Field>, Refused> {
    let mut iter: Fields = fields(message);
    let all: Vec<Field> = iter.by_ref().collect();
    if iter.truncated() {
        return refuse(Reason::HeaderTooLarge, "the message header is too large");
    }
    Ok(all)
}

fn check_names(message: &[u8], header: &[Field]) -> Result<(), Refused> {
    let printable =
        |name: &[u8]| !name.is_empty() && name.iter().all(|&byte| matches!(byte, 33..=126));
    if header.iter().any(|field| !printable(field.name(message))) {
        return refuse(
            Reason::HeaderInvalid,
            "a line of the message header is not a field; is the empty line after it missing?",
        );
    }
    for name in ONCE {
        let count = header
            .iter()
            .filter(|field| field.is(message, name.as_bytes()))
            .count();
        if count > 1 {
            return refuse(
                Reason::DuplicateField,
                format!("the message has {count} {name} fields of at most one"),
            );
        }
    }
    Ok(())
}

fn value_of<'a>(message: &'a [u8], header: &[Field], name: &str) -> Option<&'a [u8]> {
    header
        .iter()
        .find(|field| field.is(message, name.as_bytes()))
        .map(|field| field.value(message))
}

fn specs(list: &AddressList) -> Vec<Vec<u8>> {
    list.addresses()
        .filter_map(crate::Address::addr_spec)
        .collect()
}

type Originators = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// From and Sender (RFC 5322 §3.6.2).
fn originators(message: &[u8], header: &[Field]) -> Result<Originators, Refused> {
    let Some(from) = value_of(message, header, "From") else {
        return refuse(Reason::FromMissing, "the message has no From field");
    };
    let from = parse_addresses(from);
    let addresses = specs(&from);
    if from.malformed || addresses.is_empty() {
        return refuse(
            Reason::FromInvalid,
            "the From field holds no well-formed address",
        );
    }
    let sender = sender(message, header)?;
    if addresses.len() > 1 && sender.is_none() {
        return refuse(
            Reason::SenderMissing,
            "the From field holds several addresses and there is no Sender field",
        );
    }
    Ok((addresses, sender))
}

fn sender(message: &[u8], header: &[Field]) -> Result<Option<Vec<u8>>, Refused> {
    let Some(value) = value_of(message, header, "Sender") else {
        return Ok(None);
    };
    let list = parse_addresses(value);
    match specs(&list).as_slice() {
        [address] if !list.malformed && list.entries.len() == 1 => Ok(Some(address.clone())),
        _ => refuse(
            Reason::SenderInvalid,
            "the Sender field is not exactly one address",
        ),
    }
}

/// RFC 6409 §4.2, §5.1: what stands in To, Cc and Reply-To is an address with a fully qualified domain. An empty list, an empty
/// group, and what clients write between addresses that are sound hurt nobody.
fn check_addressees(message: &[u8], header: &[Field]) -> Result<(), Refused> {
    for name in ["To", "Cc", "Reply-To"] {
        let value = value_of(message, header, name).unwrap_or_default();
        let list = parse_addresses(value);
        let unread = list.malformed && list.addresses().next().is_none();
        let wrong = list.addresses().find(|address| !is_qualified(address));
        if let Some(address) = wrong {
            let text = String::from_utf8_lossy(address.mailbox.as_deref().unwrap_or_default());
            let word: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
            return refuse(
                Reason::AddressInvalid,
                format!("the {name} field holds \"{word}\", which has no fully qualified domain"),
            );
        }
        if unread {
            return refuse(
                Reason::AddressInvalid,
                format!("the {name} field cannot be read as addresses"),
            );
        }
    }
    Ok(())
}

/// Whether an address has a local part, and a domain of more than one label or an address literal.
fn is_qualified(address: &crate::Address) -> bool {
    let host = address.host.as_deref().unwrap_or_default();
    let labels = host.split(|octet| *octet == b'.');
    let qualified = host.starts_with(b"[") || labels.filter(|label| !label.is_empty()).count() > 1;
    qualified
        && address
            .mailbox
            .as_ref()
            .is_some_and(|local| !local.is_empty())
}

/// Bcc must not be seen by other recipients (RFC 5322 §3.6.3); Return-Path is the final server's (RFC 5321 §4.4).
fn remove_private(message: &[u8], header: &[Field], edits: &mut Edits) {
    let private = |field: &&Field| {
        ["bcc", "resent-bcc", "return-path"]
            .iter()
            .any(|name| field.is(message, name.as_bytes()))
    };
    header
        .iter()
        .filter(private)
        .for_each(|field| edits.remove(field.full));
}

/// Replaces an unknown MIME-Version; says whether one must be added because MIME fields stand without it (RFC 2045 §4).
fn mend_mime(message: &[u8], header: &[Field], edits: &mut Edits) -> bool {
    let version = header
        .iter()
        .find(|field| field.is(message, b"mime-version"));
    match version {
        Some(field) => {
            if !field.value(message).windows(3).any(|part| part == b"1.0") {
                edits.replace(field.full, b"MIME-Version: 1.0\r\n");
            }
            false
        }
        None => ["content-type", "content-transfer-encoding"]
            .iter()
            .any(|name| value_of(message, header, name).is_some()),
    }
}

/// 8-bit octets and long lines of the fields that stay.
fn mend_fields(
    message: &[u8],
    header: &[Field],
    context: &Context,
    edits: &mut Edits,
) -> Result<(), Refused> {
    for field in header {
        let whole = field.full.of(message);
        if !whole.is_ascii() && !context.smtputf8 {
            mend_eight_bit(message, field, edits)?;
        } else if crate::decode::longest_line(whole) > MAX_LINE {
            fold::fold(message, field, edits)?;
        }
    }
    Ok(())
}

/// Unstructured fields with UTF-8 become encoded words; elsewhere 8-bit octets need SMTPUTF8.
fn mend_eight_bit(message: &[u8], field: &Field, edits: &mut Edits) -> Result<(), Refused> {
    let name = String::from_utf8_lossy(field.name(message)).into_owned();
    let unstructured = ["subject", "comments", "organization"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    match std::str::from_utf8(field.value(message)) {
        Ok(text) if unstructured => {
            edits.replace(field.full, fold::encoded_field(&name, text).as_bytes());
            Ok(())
        }
        _ => refuse(
            Reason::EightBitHeader,
            format!("the {name} field holds 8-bit octets; use RFC 2047 or SMTPUTF8"),
        ),
    }
}

/// Adds Date and Message-ID where they lack or cannot be read (RFC 6409 §8.2, §8.3). Returns the identifier.
fn add_missing(message: &[u8], header: &[Field], context: &Context, edits: &mut Edits) -> Vec<u8> {
    let find = |name: &[u8]| header.iter().find(|field| field.is(message, name));
    let own = find(b"message-id").map(|field| (field, message_id(field.value(message))));
    let id = match own {
        Some((_, Some(id))) => id,
        other => {
            if let Some((field, None)) = other {
                edits.remove(field.full);
            }
            let id = new_message_id(context);
            edits.prepend(format!("Message-ID: <{id}>\r\n").as_bytes());
            id.into_bytes()
        }
    };
    let date = find(b"date");
    if date.is_none_or(|field| parse_date(field.value(message)).is_none()) {
        if let Some(field) = date {
            edits.remove(field.full);
        }
        let date = format_date(context.now, context.offset_minutes);
        edits.prepend(format!("Date: {date}\r\n").as_bytes());
    }
    id
}

fn new_message_id(context: &Context) -> String {
    use std::fmt::Write;
    let mut id = String::with_capacity(48 + context.host.len());
    for byte in context.random {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    let _ = write!(id, "@{}", context.host);
    id
}
