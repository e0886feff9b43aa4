//! Accounts that may not send: what they have queued is held, they and the postmaster are told once, and what receivers answer to their
//! mail is counted.

mod notice;
mod watch;

use std::collections::BTreeSet;

use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_policy::outbound::suspension::{Answers, Most, Rules, Seen, Suspended, Suspension};
use mailpods_store::StoreError;
use mailpods_store::queue::{LeasedUnit, Origin, QueueAction, QueueFilter};
use mailpods_store::suspension::{all, key, suspend};
use mailpods_store::trace::{Stage, TraceEvent};

use crate::context::Context;

pub(crate) use watch::watch;

/// The account that a unit was submitted by.
fn account(unit: &LeasedUnit) -> Option<&String> {
    match &unit.message.origin {
        Origin::Submission(account) => Some(account),
        _ => None,
    }
}

/// Whose mail is held now. What an operator returns to its sender goes back all the same.
fn held<'a>(all: &'a Suspended, unit: &LeasedUnit, now: i64) -> Option<&'a Suspension> {
    let account = account(unit).filter(|_| !unit.bounce)?;
    all.of(account, now)
}

/// Puts units of suspended accounts on hold; returns the others.
pub(crate) async fn set_aside(ctx: &Context, units: Vec<LeasedUnit>) -> Vec<LeasedUnit> {
    if units.is_empty() {
        return units;
    }
    let secrets = ctx.store.secrets.as_ref();
    let all = ctx.suspension.current(secrets).await;
    if all.0.is_empty() {
        return units;
    }
    let now = ctx.now();
    let (mut aside, mut free) = (Vec::new(), Vec::new());
    for unit in units {
        match held(&all, &unit, now) {
            Some(suspension) => {
                record(ctx, &unit, suspension);
                aside.push(unit);
            }
            None => free.push(unit),
        }
    }
    hold(ctx, &aside).await;
    let leases = aside.iter().map(|unit| unit.lease).collect();
    ctx.leases.hand_back(ctx, leases).await;
    if let Err(error) = let_go(ctx, &aside).await {
        tracing::warn!(%error, "failed to look whether held mail may go its way again");
    }
    free
}

/// What was held after its account's suspension was over, of which this process had not heard, goes its way again: once the suspension is
/// forgotten nobody looks for it.
async fn let_go(ctx: &Context, units: &[LeasedUnit]) -> Result<(), StoreError> {
    if units.is_empty() {
        return Ok(());
    }
    let (all, now) = (all(ctx.store.secrets.as_ref()).await?, ctx.now());
    let accounts: BTreeSet<&String> = units.iter().filter_map(account).collect();
    for account in accounts
        .into_iter()
        .filter(|account| all.of(account, now).is_none())
    {
        ctx.suspension.forget().await;
        let queue = &ctx.store.queue;
        queue.act(&of(account), QueueAction::Resume, now).await?;
    }
    Ok(())
}

/// One unit by itself; several with all that their accounts have queued.
async fn hold(ctx: &Context, units: &[LeasedUnit]) {
    let filters: Vec<QueueFilter> = match units {
        [] => return,
        [unit] => vec![QueueFilter {
            id: Some(unit.message.id.to_string()),
            destination: Some(unit.destination.0.to_string()),
            account: account(unit).cloned(),
            ..QueueFilter::default()
        }],
        units => {
            let accounts: BTreeSet<&String> = units.iter().filter_map(account).collect();
            accounts.into_iter().map(|account| of(account)).collect()
        }
    };
    for filter in filters {
        let held = ctx
            .store
            .queue
            .act(&filter, QueueAction::Suspend, ctx.now());
        if let Err(error) = held.await {
            tracing::warn!(account = filter.account, %error, "failed to hold the mail of a suspended account");
        }
    }
}

fn of(account: &str) -> QueueFilter {
    QueueFilter {
        account: Some(account.to_owned()),
        ..QueueFilter::default()
    }
}

fn record(ctx: &Context, unit: &LeasedUnit, suspension: &Suspension) {
    for recipient in &unit.recipients {
        ctx.store.trace.record(TraceEvent {
            at: ctx.now(),
            id: unit.message.id.to_string(),
            stage: Stage::Deliver,
            reason: Reason::SenderSuspended.as_str(),
            sender: unit.message.envelope.sender.clone(),
            recipient: recipient.address.clone(),
            peer: String::new(),
            text: format!("held: {}", suspension.text),
        });
    }
}

/// Counts what receivers answered to an account's message, and suspends the account where too many speak against it.
pub(crate) async fn count(ctx: &Context, plan: &Plan, unit: &LeasedUnit, answers: Answers) {
    let (Some(rules), Some(account)) = (&plan.outbound.suspension, account(unit)) else {
        return;
    };
    let verdicts = rules.verdicts;
    let limit = Most {
        most: verdicts.refusals,
        within: verdicts.within,
    };
    if limit.most == 0 || answers.all == 0 {
        return;
    }
    let amount = (answers.against, answers.all);
    let handed_in = ctx.suspension.hand_in(account, amount, limit, ctx.now());
    let Some((against, all)) = handed_in else {
        return;
    };
    if let Err(error) = judge(ctx, rules, account, Answers { against, all }).await {
        tracing::warn!(account, %error, "failed to count what receivers answered");
    }
}

async fn judge(
    ctx: &Context,
    rules: &Rules,
    account: &str,
    new: Answers,
) -> Result<(), StoreError> {
    let (now, within) = (ctx.now(), rules.verdicts.within);
    let add = async |what: &str, amount| {
        let key = key(what, account);
        ctx.store.tokens.add(&key, amount, within, now).await
    };
    let answers = Answers {
        all: add("answers", new.all).await?,
        against: add("against", new.against).await?,
    };
    if let Some(judged) = rules.judge(Seen::Answers(answers)) {
        // The log tells where there is no room for it.
        let _ = suspend(&ctx.store, account, rules.suspension(judged, now)).await?;
        ctx.suspension.forget().await;
    }
    Ok(())
}
