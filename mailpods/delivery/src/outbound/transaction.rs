//! From a queued unit to what is said to a server.

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_message::Span;
use mailpods_message::decode::longest_line;
use mailpods_message::header::header_len;
use mailpods_policy::outbound::tls::Wish;
use mailpods_smtp_proto as proto;
use mailpods_smtp_proto::client::{Capabilities, Recipient, Transaction};
use mailpods_store::queue::{BodyType, LeasedUnit, Notify, QueuedRecipient, Ret};

/// A message as it leaves: signatures in front, then the stored body without what does not leave.
pub(crate) struct Outgoing {
    pub(crate) slices: Vec<Bytes>,
    header: Bytes,
    size: u64,
    body: BodyType,
    /// The body could go by DATA although it was received as binary.
    lines: bool,
    utf8_header: bool,
}

impl Outgoing {
    /// The header section of the stored message.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// `internal`: where the fields are that do not leave, in their order.
    pub(crate) fn new(
        unit: &LeasedUnit,
        signatures: Bytes,
        body: Bytes,
        internal: &[Span],
    ) -> Self {
        let header = body.slice(..header_len(&body).min(body.len()));
        let declared = unit.message.envelope.body_type;
        let mut slices = vec![signatures];
        let mut at = 0;
        for span in internal {
            slices.push(body.slice(at..span.range().start));
            at = span.range().end;
        }
        slices.push(body.slice(at..));
        slices.retain(|slice| !slice.is_empty());
        Self {
            size: slices.iter().map(|slice| slice.len() as u64).sum(),
            body: declared,
            lines: declared == BodyType::Binary && is_lines(&body),
            utf8_header: unit.message.envelope.smtputf8 && !header.is_ascii(),
            slices,
            header,
        }
    }

    /// The transaction for some recipients of the unit on a server that offers `offered`.
    pub(crate) fn transaction(
        &self,
        unit: &LeasedUnit,
        recipients: &[&QueuedRecipient],
        offered: &Capabilities,
    ) -> Transaction {
        let envelope = &unit.message.envelope;
        let sender = wire(&envelope.sender);
        let sender_is_null = sender.is_empty();
        let recipients: Vec<Recipient> = recipients
            .iter()
            .map(|recipient| self.recipient(recipient))
            .collect();
        // Many clients declare SMTPUTF8 whatever they send; asked for is only what is needed, so that fewer messages bounce.
        let utf8_envelope = !sender.is_ascii()
            || recipients
                .iter()
                .any(|recipient| !recipient.address.is_ascii());
        Transaction {
            sender,
            recipients,
            size: self.size,
            body: self.body_type(offered),
            smtputf8: utf8_envelope || self.utf8_header,
            ret: envelope.ret.map(ret),
            envid: envelope.envid.clone(),
            auth: None,
            require_tls: envelope.tls == Wish::Required && (!sender_is_null || offered.require_tls),
        }
    }

    /// A message that was received as BINARYMIME but holds only lines goes on as 8-bit where BINARYMIME is not offered.
    fn body_type(&self, offered: &Capabilities) -> proto::BodyType {
        match self.body {
            BodyType::SevenBit => proto::BodyType::SevenBit,
            BodyType::EightBit => proto::BodyType::EightBitMime,
            BodyType::Binary if self.lines && !(offered.binary_mime && offered.chunking) => {
                proto::BodyType::EightBitMime
            }
            BodyType::Binary => proto::BodyType::BinaryMime,
        }
    }

    fn recipient(&self, recipient: &QueuedRecipient) -> Recipient {
        Recipient {
            address: wire(&recipient.address),
            notify: notify(recipient.notify),
            orcpt: orcpt(recipient),
        }
    }
}

/// Whether content can go by DATA: no NUL, CRLF only as a pair, lines within RFC 5321 §4.5.3.1.6.
fn is_lines(body: &[u8]) -> bool {
    let bare = |at: usize| match body.get(at) {
        Some(b'\r') => body.get(at + 1) != Some(&b'\n'),
        Some(b'\n') => at == 0 || body.get(at - 1) != Some(&b'\r'),
        _ => true,
    };
    let odd = body
        .iter()
        .enumerate()
        .any(|(at, &byte)| byte == 0 || matches!(byte, b'\r' | b'\n') && bare(at));
    !odd && longest_line(body) <= 999
}

/// The wire form: a domain in A-labels, so that an address with an ASCII local part needs no SMTPUTF8.
fn wire(address: &str) -> String {
    MailboxAddress::parse(address).map_or_else(|_| address.to_owned(), |address| address.written())
}

fn ret(ret: Ret) -> proto::Ret {
    match ret {
        Ret::Full => proto::Ret::Full,
        Ret::Hdrs => proto::Ret::Headers,
    }
}

fn notify(notify: Notify) -> Option<proto::Notify> {
    let never = !(notify.success || notify.failure || notify.delay);
    notify.given.then_some(proto::Notify {
        never,
        success: notify.success,
        failure: notify.failure,
        delay: notify.delay,
    })
}

/// RFC 3461 §5.2.1: an ORCPT that was given is passed on; without one none is made up.
fn orcpt(recipient: &QueuedRecipient) -> Option<proto::Orcpt> {
    let (address_type, address) = recipient.orcpt.as_deref()?.split_once(';')?;
    Some(proto::Orcpt {
        address_type: address_type.to_owned(),
        address: address.to_owned(),
    })
}
