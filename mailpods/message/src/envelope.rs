//! The IMAP view of the main header fields (RFC 9051 §7.5.2 ENVELOPE).

use crate::header::{self, Field, address};

/// One address of an ENVELOPE list. A group starts with an entry that has a `mailbox` (the group's name) and no `host`, and
/// ends with an entry that has neither (RFC 9051 §7.5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Display name, unquoted and unfolded; RFC 2047 words are left encoded.
    pub name: Option<Vec<u8>>,
    /// Obsolete source route (`@a,@b`), RFC 5322 §4.4.
    pub route: Option<Vec<u8>>,
    /// Local part, unquoted; the name of the group when `host` is absent.
    pub mailbox: Option<Vec<u8>>,
    /// Domain or address literal.
    pub host: Option<Vec<u8>>,
}

impl Address {
    /// `local@domain`, when this entry is an address and not a mark of a group. Not quoted: for comparison and display.
    #[must_use]
    pub fn addr_spec(&self) -> Option<Vec<u8>> {
        let (mailbox, host) = (self.mailbox.as_ref()?, self.host.as_ref()?);
        let mut out = Vec::with_capacity(mailbox.len() + 1 + host.len());
        out.extend_from_slice(mailbox);
        out.push(b'@');
        out.extend_from_slice(host);
        Some(out)
    }
}

/// The header fields that IMAP's ENVELOPE returns, as raw octets: unfolded, RFC 2047 left encoded. `sender` and `reply_to`
/// already carry `from` where the message has no such field (RFC 9051 §7.5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Date field as written.
    pub date: Option<Vec<u8>>,
    /// Subject field.
    pub subject: Option<Vec<u8>>,
    /// From addresses.
    pub from: Vec<Address>,
    /// Sender, or From where absent.
    pub sender: Vec<Address>,
    /// Reply-To, or From where absent.
    pub reply_to: Vec<Address>,
    /// To addresses.
    pub to: Vec<Address>,
    /// Cc addresses.
    pub cc: Vec<Address>,
    /// Bcc addresses.
    pub bcc: Vec<Address>,
    /// In-Reply-To as written.
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID as written.
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// Reads the envelope from the header at the start of `message`. Where a field occurs twice the first one counts, except
    /// address lists, which are joined.
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        let mut envelope = Self::default();
        for field in header::fields(message) {
            envelope.take(message, &field);
        }
        envelope.fill_defaults();
        envelope
    }

    /// Adds one field of `message` if it belongs to an envelope.
    pub(crate) fn take(&mut self, message: &[u8], field: &Field) {
        let value = field.value(message);
        match_name(field.name(message), self, value);
    }

    /// Sender and Reply-To default to From (RFC 9051 §7.5.2).
    pub(crate) fn fill_defaults(&mut self) {
        if self.sender.is_empty() {
            self.sender.clone_from(&self.from);
        }
        if self.reply_to.is_empty() {
            self.reply_to.clone_from(&self.from);
        }
    }
}

fn match_name(name: &[u8], envelope: &mut Envelope, value: &[u8]) {
    let text = match name.len() {
        4 if name.eq_ignore_ascii_case(b"date") => &mut envelope.date,
        7 if name.eq_ignore_ascii_case(b"subject") => &mut envelope.subject,
        10 if name.eq_ignore_ascii_case(b"message-id") => &mut envelope.message_id,
        11 if name.eq_ignore_ascii_case(b"in-reply-to") => &mut envelope.in_reply_to,
        _ => return take_addresses(name, envelope, value),
    };
    if text.is_none() {
        *text = Some(header::unfold(value).into_owned());
    }
}

fn take_addresses(name: &[u8], envelope: &mut Envelope, value: &[u8]) {
    let list = match name.len() {
        2 if name.eq_ignore_ascii_case(b"to") => &mut envelope.to,
        2 if name.eq_ignore_ascii_case(b"cc") => &mut envelope.cc,
        3 if name.eq_ignore_ascii_case(b"bcc") => &mut envelope.bcc,
        4 if name.eq_ignore_ascii_case(b"from") => &mut envelope.from,
        6 if name.eq_ignore_ascii_case(b"sender") => &mut envelope.sender,
        8 if name.eq_ignore_ascii_case(b"reply-to") => &mut envelope.reply_to,
        _ => return,
    };
    address::parse_into(value, list);
}
