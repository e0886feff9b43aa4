//! What owner and postmaster are told of a suspension.

use mailpods_api::MailboxAddress;
use mailpods_message::header::format_date;
use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_policy::outbound::suspension::Suspension;
use mailpods_store::StoreError;
use mailpods_store::queue::NewMessage;
use mailpods_store::trace::{Stage, TraceEvent};

use crate::context::Context;
use crate::letter::letter;

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
        let subject = format!("{account} may not send mail");
        messages.extend(letter(ctx, &plan, &to, &subject, &text));
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
