//! What owners are told of how full their mailboxes are.

use bytes::Bytes;
use mailpods_plan::{Mailbox, Plan, QuotaRules};
use mailpods_policy::Reason;
use mailpods_store::mail::{Flags, NewMail};
use mailpods_store::queue::NewMessage;
use mailpods_store::trace::{Stage, TraceEvent};
use mailpods_store::upkeep::Holding;
use mailpods_store::{Quota, StoreError, Usage};

use crate::context::Context;
use crate::letter::letter;
use crate::metrics::Told;

/// Percent that a mailbox must be below a mark before that counts: one that hovers around it makes no message each minute.
const SLACK: u64 = 2;

/// Tells the owner of an account when it has reached another mark since the last time, or is below all of them.
pub(super) async fn look(
    ctx: &Context,
    plan: &Plan,
    mailbox: &Mailbox,
    holding: &Holding,
) -> Result<(), StoreError> {
    let rules = plan.quota(mailbox);
    let usage = holding.account.usage;
    let percent = rules.percent(usage.octets, usage.messages);
    let now = mark(&rules, percent, holding.told);
    if now == holding.told {
        return Ok(());
    }
    let warnings = rules.warnings.as_ref();
    let below = now == 0 && warnings.is_some_and(|warnings| warnings.when_below);
    if now > holding.told {
        tell(ctx, plan, mailbox, (&rules, usage, percent), Told::Reached).await?;
    } else if below {
        tell(ctx, plan, mailbox, (&rules, usage, percent), Told::Below).await?;
    }
    // Should this fail, the owner is told twice rather than never.
    ctx.store.upkeep.set_told(holding.account.id, now).await
}

/// The mark that counts as reached at so many percent, when `told` was before.
fn mark(rules: &QuotaRules, percent: u64, told: u8) -> u8 {
    let Some(warnings) = &rules.warnings else {
        return 0;
    };
    let reached = warnings.reached(percent);
    let still = percent > 0 && percent + SLACK >= u64::from(told) && warnings.at.contains(&told);
    match reached < told && still {
        true => told,
        false => reached,
    }
}

async fn tell(
    ctx: &Context,
    plan: &Plan,
    mailbox: &Mailbox,
    (rules, usage, percent): (&QuotaRules, Usage, u64),
    about: Told,
) -> Result<(), StoreError> {
    let address = mailbox.address.to_string();
    let subject = format!("Your mailbox is {percent} % full");
    let text = text(plan, &address, (rules, usage), about);
    let Some(message) = letter(ctx, plan, &address, &subject, &text) else {
        return Ok(());
    };
    let event = TraceEvent {
        at: ctx.now(),
        id: message.id.to_string(),
        stage: Stage::Notify,
        reason: Reason::QuotaWarning.as_str(),
        sender: String::new(),
        recipient: address.clone(),
        peer: String::new(),
        text: subject,
    };
    deliver(ctx, mailbox, message).await?;
    ctx.store.trace.record(event);
    ctx.metrics.upkeep.warnings.inc(about);
    tracing::info!(account = %address, percent, reason = Reason::QuotaWarning.as_str(), "owner told how full the mailbox is");
    Ok(())
}

/// Puts a warning into INBOX. It takes no way through the queue: it would wait there behind the mailbox that it says is full.
async fn deliver(ctx: &Context, mailbox: &Mailbox, message: NewMessage) -> Result<(), StoreError> {
    let mail = &ctx.store.mail;
    let account = mail.account(&mailbox.address).await?;
    let Some(inbox) = mail.mailbox(account, "INBOX").await? else {
        return Err(StoreError::NotFound("INBOX"));
    };
    let warning = NewMail {
        body: message.body,
        // RFC 5321 §4.4
        prefix: Bytes::from(format!(
            "Return-Path: <>\r\nDelivered-To: {}\r\n",
            mailbox.address
        )),
        flags: Flags::default(),
        received: ctx.now() / 1000,
    };
    let unbounded = Quota::default();
    mail.append(inbox.id, vec![warning], unbounded)
        .await
        .map(drop)
}

fn text(plan: &Plan, address: &str, (rules, usage): (&QuotaRules, Usage), about: Told) -> String {
    let mut limits = Vec::new();
    if let Some(most) = rules.octets {
        limits.push(format!("{} of {}", size(usage.octets), size(most)));
    }
    if let Some(most) = rules.messages {
        limits.push(format!("{} of {most} messages", usage.messages));
    }
    let advice = match about {
        Told::Reached => {
            "When it is full, no more mail comes in. To make room, delete messages that you do not need, and empty Trash and Junk."
        }
        Told::Below => "There is room again: nothing has to be done.",
    };
    format!(
        "This is the mail system at {host}.\r\n\r\nThe mailbox {address} holds:\r\n\r\n    {held}\r\n\r\n{advice}\r\n",
        host = plan.hostname,
        held = limits.join("\r\n    "),
    )
}

/// Octets for people, in the largest unit that is not larger, with a tenth where that tells more.
fn size(octets: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| octets >= *unit) {
        None => format!("{octets} octets"),
        Some((name, unit)) if octets.is_multiple_of(*unit) => format!("{} {name}", octets / unit),
        Some((name, unit)) => {
            let tenths = octets % unit * 10 / unit;
            format!("{}.{tenths} {name}", octets / unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use mailpods_plan::{QuotaRules, QuotaWarnings};

    use super::{mark, size};

    #[test]
    fn sizes_are_told_as_they_are() {
        let shown = [0, 1023, 20 << 10, 13_412, 5 << 30, (1 << 20) + (1 << 19)].map(size);
        let wanted = [
            "0 octets",
            "1023 octets",
            "20 KiB",
            "13.0 KiB",
            "5 GiB",
            "1.5 MiB",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_mailbox_that_hovers_around_a_mark_reaches_it_once() {
        let rules = QuotaRules {
            warnings: Some(QuotaWarnings {
                at: vec![80, 95],
                when_below: false,
            }),
            ..QuotaRules::default()
        };
        let mut told = 0;
        let marks = [79, 80, 79, 80, 96, 94, 92, 78, 77, 81, 0].map(|percent| {
            told = mark(&rules, percent, told);
            told
        });
        assert_eq!(marks, [0, 80, 80, 80, 95, 95, 80, 80, 0, 80, 0]);
        assert_eq!(
            mark(&QuotaRules::default(), 100, 95),
            0,
            "nobody asks any more"
        );
    }
}
