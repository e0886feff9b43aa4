//! The header section: repairs and ownership on submission, trace fields that only the last server may write, Received.

use mailpods_api::MailboxAddress;
use mailpods_message::header::fields;
use mailpods_message::submission::{self, MAX_LINE, Mended};
use mailpods_plan::{Mailbox, Protocol};
use mailpods_policy::Reason;
use mailpods_smtp_proto::BodyType;

use super::{Context, Draft};
use crate::ids;
use crate::received::Received;
use crate::recipients;
use crate::report::Refusal;

pub(super) fn mend(context: &Context<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    match &context.client.identity {
        Some(identity) => mend_submitted(context, identity, draft),
        None => clean_received(draft),
    }
}

/// RFC 6409 §8.
fn mend_submitted(
    context: &Context<'_>,
    identity: &Mailbox,
    draft: &mut Draft,
) -> Result<(), Refusal> {
    let random = ids::random()
        .ok_or_else(|| Refusal::new(Reason::StoreUnavailable, 451, (3, 0), "no random octets"))?;
    let repairs = submission::Context {
        now: context.now / 1000,
        offset_minutes: 0,
        random,
        host: context.plan.hostname.as_str(),
        smtputf8: context.params.smtputf8,
        max_line: if context.params.body == BodyType::BinaryMime {
            usize::MAX
        } else {
            MAX_LINE
        },
    };
    let mended = submission::mend(&draft.message, &repairs).map_err(|refused| refusal(&refused))?;
    check_owner(context, identity, &mended)?;
    draft.edits = mended.edits;
    Ok(())
}

fn refusal(refused: &submission::Refused) -> Refusal {
    let reason = match refused.reason {
        submission::Reason::LineTooLong => Reason::LineTooLong,
        submission::Reason::NulOctet => Reason::NulOctet,
        submission::Reason::EightBitHeader => Reason::UndeclaredEightBit,
        _ => Reason::MalformedHeader,
    };
    // RFC 6409 §6.3.
    Refusal::new(reason, 554, (6, 0), &refused.text)
}

/// Every address of From, and Sender, belongs to the log-in.
fn check_owner(context: &Context<'_>, identity: &Mailbox, mended: &Mended) -> Result<(), Refusal> {
    let parsed = |address: &[u8]| {
        let text = std::str::from_utf8(address).ok();
        text.and_then(|text| MailboxAddress::parse(text).ok())
    };
    let owned = |address: &[u8]| {
        parsed(address).is_some_and(|address| context.plan.may_send_as(identity, &address))
    };
    match mended
        .from
        .iter()
        .chain(&mended.sender)
        .find(|address| !owned(address))
    {
        None => Ok(()),
        Some(address) => {
            // Whose it is will be known again.
            if let Some(held) = parsed(address).filter(|address| context.plan.is_held(address)) {
                return Err(recipients::held(&held));
            }
            let address = String::from_utf8_lossy(address);
            let text = format!(
                "<{address}> in the header is not an address of the log-in {}",
                identity.address
            );
            Err(Refusal::new(Reason::FromNotOwned, 550, (7, 1), text))
        }
    }
}

/// Mail from others is taken as it is, but for what only the last server may write (RFC 5321 §4.4).
fn clean_received(draft: &mut Draft) -> Result<(), Refusal> {
    let mut header = fields(&draft.message);
    for field in header.by_ref() {
        if field.is(&draft.message, b"return-path") {
            draft.edits.remove(field.full);
        }
    }
    if header.truncated() {
        return Err(Refusal::new(
            Reason::MalformedHeader,
            554,
            (6, 0),
            "the message header is too large",
        ));
    }
    Ok(())
}

pub(super) fn add_received(context: &Context<'_>, draft: &mut Draft) {
    let client = context.client;
    let recipient = match context.recipients {
        [only] => Some(only.row.address.as_str()),
        _ => None,
    };
    let received = Received {
        from: client
            .identity
            .is_none()
            .then_some((client.helo.as_str(), client.address)),
        by: context.plan.hostname.as_str(),
        id: context.id.as_str(),
        recipient: recipient.filter(|address| address.is_ascii() || context.params.smtputf8),
        tls: client.tls.as_ref(),
        lmtp: client.protocol == Protocol::Lmtp,
        extended: client.extended,
        authenticated: client.identity.is_some(),
        smtputf8: context.params.smtputf8,
        mended: client.identity.is_some() && !draft.edits.is_empty(),
        now: context.now / 1000,
    };
    draft.edits.prepend(received.field().as_bytes());
}
