//! What owners are told of how full their mailboxes are.

use mailpods_api::Octets;
use mailpods_plan::{Mailbox, Plan, QuotaRules};
use mailpods_policy::Reason;
use mailpods_store::trace::{Stage, TraceEvent};
use mailpods_store::upkeep::Holding;
use mailpods_store::{StoreError, Usage};

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
    ctx.store.queue.enqueue(vec![message]).await?;
    ctx.store.trace.record(event);
    ctx.metrics.upkeep.warnings.inc(about);
    tracing::info!(account = %address, percent, reason = Reason::QuotaWarning.as_str(), "owner told how full the mailbox is");
    Ok(())
}

fn text(plan: &Plan, address: &str, (rules, usage): (&QuotaRules, Usage), about: Told) -> String {
    let mut limits = Vec::new();
    if let Some(most) = rules.octets {
        limits.push(format!("{} of {}", mebi(usage.octets), Octets(most)));
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

/// Whole MiB, rounded up.
fn mebi(octets: u64) -> Octets {
    Octets::mebi(octets.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use mailpods_plan::{QuotaRules, QuotaWarnings};

    use super::mark;

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
