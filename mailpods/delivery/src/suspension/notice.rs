//! What owner and postmaster are told of a suspension.

use mailpods_api::MailboxAddress;
use mailpods_message::Meta;
use mailpods_message::decode::to_quoted_printable;
use mailpods_message::header::format_date;
use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_policy::outbound::suspension::Suspension;
use mailpods_policy::outbound::tls::Wish;
use mailpods_store::queue::{BodyType, Envelope, NewMessage, NewRecipient, Notify, Origin};
use mailpods_store::trace::{Stage, TraceEvent};
use mailpods_store::{NewBody, StoreError};

use crate::context::{Context, destination_of};

/// Queues the notices, all or none. `held`: parts of messages that were put on hold.
pub(super) async fn send(
    ctx: &Context,
    account: &str,
    suspension: &Suspension,
    held: u64,
) -> Result<(), StoreError> {
    let plan = ctx.plan.current();
    let postmaster = plan.outbound.postmaster.as_ref().map(ToString::to_string);
    let owner = owner(&plan, account).filter(|owner| postmaster.as_ref() != Some(owner));
    let mut messages = Vec::new();
    for (to, hint) in [(owner, false), (postmaster, true)] {
        let Some(to) = to else { continue };
        let text = text(&plan, account, suspension, held, hint);
        messages.extend(message(ctx, &plan, account, &to, &text));
    }
    let told = messages
        .iter()
        .map(|message| event(ctx, account, message, suspension));
    let told: Vec<TraceEvent> = told.collect();
    if messages.is_empty() {
        return Ok(());
    }
    ctx.store.queue.enqueue(messages).await?;
    told.into_iter()
        .for_each(|event| ctx.store.trace.record(event));
    Ok(())
}

/// Where the owner of an account is told. Not everybody of whom it is said that he is suspended has a mailbox here: strangers get nothing.
fn owner(plan: &Plan, account: &str) -> Option<String> {
    let address = MailboxAddress::parse(account).ok()?;
    let mailbox = plan.mailbox(&address)?;
    Some(mailbox.address.to_string())
}

fn event(
    ctx: &Context,
    account: &str,
    message: &NewMessage,
    suspension: &Suspension,
) -> TraceEvent {
    let to = message.recipients.first();
    TraceEvent {
        at: ctx.now(),
        id: message.id.to_string(),
        stage: Stage::Notify,
        reason: Reason::SenderSuspended.as_str(),
        sender: account.to_owned(),
        recipient: to.map(|to| to.address.clone()).unwrap_or_default(),
        peer: String::new(),
        text: suspension.text.clone(),
    }
}

fn text(plan: &Plan, account: &str, suspension: &Suspension, held: u64, hint: bool) -> String {
    let until = suspension.until.map_or_else(
        || "It lasts until the postmaster ends it.".to_owned(),
        |until| format!("It ends by itself: {}.", format_date(until / 1000, 0)),
    );
    let mut text = format!(
        "This is the mail system at {host}.\r\n\r\nThe account {account} may not send mail since {since}:\r\n\r\n    {cause}: {why}\r\n\r\n\
         {until} Until then new messages are refused for now, and what waits in the queue is held, not lost: {held} parts of messages \
         at this moment. They go their way when the suspension is over.\r\n\r\nIf the owner of the account did not send them, somebody \
         else knows the password: it has to be changed.\r\n",
        host = plan.hostname,
        since = format_date(suspension.since / 1000, 0),
        cause = suspension.cause.as_str(),
        why = suspension.text,
    );
    if hint {
        text.push_str(&format!(
            "\r\nWhat waits:   mailpods queue list --account {account}\r\nEnd it:       mailpods suspension release {account}\r\n\
             And delete:   mailpods suspension release {account} --delete-queue\r\n"
        ));
    }
    text
}

/// The message; `None` when the address cannot be used.
fn message(ctx: &Context, plan: &Plan, account: &str, to: &str, text: &str) -> Option<NewMessage> {
    let destination = destination_of(plan, to)?;
    let (host, id) = (&plan.hostname, ctx.queue_id());
    // RFC 3834 §5.
    let mut octets = format!(
        "From: Mail Delivery System <mailer-daemon@{host}>\r\nTo: <{to}>\r\nSubject: {account} may not send mail\r\nDate: {}\r\n\
         Message-ID: <{id}@{host}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        format_date(ctx.now() / 1000, 0)
    )
    .into_bytes();
    octets.extend_from_slice(&to_quoted_printable(text.as_bytes()));
    let meta = Some(Meta::compute(&octets).encode());
    Some(NewMessage {
        id,
        envelope: Envelope {
            sender: String::new(),
            ret: None,
            envid: None,
            smtputf8: !octets.is_ascii(),
            tls: Wish::Usual,
            body_type: BodyType::SevenBit,
        },
        body: NewBody::Octets {
            slices: vec![octets.into()],
            meta,
        },
        origin: Origin::Notification,
        junk: false,
        created: ctx.now(),
        recipients: vec![NewRecipient {
            destination,
            address: to.to_owned(),
            orcpt: None,
            notify: Notify {
                given: true,
                ..Notify::default()
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::owner;
    use crate::testing::plan;

    #[test]
    fn strangers_get_no_notice() {
        let plan = plan(25);
        let of = |account| owner(&plan, account);
        let alice = Some("alice@example.test".to_owned());
        assert_eq!(of("alice@example.test"), alice);
        assert_eq!(
            of("alice@alias.test"),
            alice,
            "by another name of the domain"
        );
        for stranger in [
            "boss@good.test",
            "nobody@example.test",
            "team@example.test",
            "?",
        ] {
            assert_eq!(of(stranger), None, "{stranger}");
        }
    }
}
