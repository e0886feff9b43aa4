//! What the trace tells of the mailboxes and messages that a unit became, where the envelope does not say it already.

use mailpods_policy::Reason;
use mailpods_store::queue::{Delivery, NewMessage, Origin};
use mailpods_store::trace::{Stage, TraceEvent};

use crate::conclude::Ended;
use crate::context::Context;

/// Records each mailbox that an alias, catch-all or plus address led to, and each message that goes on under an id of its own:
/// whoever asks for a mailbox or follows an id finds the way in both directions. And each address that junk was not sent on to.
pub(crate) fn record(ctx: &Context, ended: &Ended) {
    for delivery in &ended.deliveries {
        record_mailbox(ctx, ended, delivery);
    }
    let goes_on = |message: &&NewMessage| message.origin != Origin::Notification;
    for message in ended.enqueue.iter().filter(goes_on) {
        record_message(ctx, ended, message);
    }
    for address in &ended.withheld {
        ctx.store.trace.record(TraceEvent {
            recipient: address.clone(),
            text: "judged to be junk and not sent on".to_owned(),
            ..event(ctx, ended, Reason::SpamNotForwarded)
        });
    }
}

fn record_mailbox(ctx: &Context, ended: &Ended, delivery: &Delivery) {
    let account = delivery.account.to_string();
    let named = |address: &str| address.eq_ignore_ascii_case(&account);
    let mut recipients = ended.unit.recipients.iter();
    if recipients.any(|recipient| named(&recipient.address)) {
        return;
    }
    ctx.store.trace.record(TraceEvent {
        text: format!("into {}", delivery.mailbox),
        recipient: account,
        ..event(ctx, ended, Reason::Delivered)
    });
}

fn record_message(ctx: &Context, ended: &Ended, message: &NewMessage) {
    let original = ended.unit.message.id.to_string();
    for recipient in &message.recipients {
        ctx.store.trace.record(TraceEvent {
            recipient: recipient.address.clone(),
            text: TraceEvent::going_on(&message.id),
            ..event(ctx, ended, Reason::Expanded)
        });
        ctx.store.trace.record(TraceEvent {
            id: message.id.to_string(),
            stage: Stage::Accept,
            recipient: recipient.address.clone(),
            text: format!("comes from {original}"),
            ..event(ctx, ended, Reason::Expanded)
        });
    }
}

fn event(ctx: &Context, ended: &Ended, reason: Reason) -> TraceEvent {
    TraceEvent {
        at: ctx.now(),
        id: ended.unit.message.id.to_string(),
        stage: Stage::Deliver,
        reason: reason.as_str(),
        sender: ended.unit.message.envelope.sender.clone(),
        recipient: String::new(),
        peer: String::new(),
        text: String::new(),
    }
}
