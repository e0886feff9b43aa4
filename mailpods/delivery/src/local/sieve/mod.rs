//! Sieve at local delivery: which scripts a message goes through, and what their actions become.
//!
//! The interpreter is pure. Here its questions are answered from store and plan, and its actions become deliveries and messages of
//! the unit's settlement, so that a redirect or an answer is sent exactly when the unit is settled.

mod act;
mod facts;
mod told;

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_sieve::{Answers, Outcome, Progress};
use mailpods_store::queue::{Delivery, LeasedUnit, NewMessage, Origin};
use mailpods_store::sieve::Oracle;
use mailpods_store::trace::{Stage, TraceEvent};
use mailpods_store::{StoreError, UnixMillis};

use super::expand::Incoming;
use crate::context::Context;
use crate::fate::Trouble;

use facts::Facts;

/// What becomes of a message for one mailbox.
pub(super) struct Filtered {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) enqueue: Vec<NewMessage>,
    pub(super) kind: Kind,
    pub(super) after: After,
}

/// What the recipient's fate is.
pub(super) enum Kind {
    /// Kept, filed, or dropped as its owner wants.
    Delivered,
    /// Sent on alone.
    Redirected,
    /// Refused by the owner (RFC 5429).
    Rejected(Trouble),
}

/// What is done in the store beside the settlement.
#[derive(Default)]
pub(super) struct After {
    /// Keys that are remembered once the unit is settled, and until when.
    pub(super) remember: Vec<(String, UnixMillis)>,
    /// Keys that were taken for this settlement, to be given back when it fails.
    pub(super) taken: Vec<String>,
    /// What the trace tells: reason, and text.
    notes: Vec<(Reason, String)>,
}

/// Gives each message the scripts of its mailbox, by one look for all of them.
pub(super) async fn attach(ctx: &Context, incoming: Vec<&mut Incoming>) -> Result<(), StoreError> {
    let addresses = incoming
        .iter()
        .map(|incoming| incoming.mailbox.address.clone());
    let mut addresses: Vec<MailboxAddress> = addresses.collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Ok(());
    }
    let found = ctx.personal.of(&*ctx.store.scripts, &addresses).await?;
    for incoming in incoming {
        incoming.personal = found.get(&incoming.mailbox.address).cloned();
    }
    Ok(())
}

/// Whether scripts are run over the message, where there are any. What a script filed is where it belongs.
pub(super) fn may_filter(unit: &LeasedUnit) -> bool {
    !matches!(unit.message.origin, Origin::Filed(_))
}

/// Whether mail for the mailbox goes through scripts.
pub(super) fn is_filtered(plan: &Plan, unit: &LeasedUnit, incoming: &Incoming) -> bool {
    may_filter(unit) && facts::has_scripts(plan, incoming)
}

/// Runs the scripts of a mailbox over a message.
pub(super) async fn filter(
    ctx: &Context,
    plan: &Plan,
    unit: &LeasedUnit,
    incoming: &Incoming,
    body: &Bytes,
) -> Result<Filtered, StoreError> {
    let facts = Facts::new(ctx, plan, unit, incoming, body.clone());
    let outcome = match facts {
        Ok(facts) => run(ctx, plan, incoming, facts).await?,
        Err(error) => act::kept_after(error),
    };
    act::act(ctx, plan, unit, incoming, body, outcome).await
}

/// Runs until no question is left. A thread of its own: a script may take a while.
async fn run(
    ctx: &Context,
    plan: &Plan,
    incoming: &Incoming,
    facts: Facts,
) -> Result<Outcome, StoreError> {
    let facts = std::sync::Arc::new(facts);
    let mut answers = Answers::default();
    loop {
        let (input, known) = (facts.clone(), answers.clone());
        let ended = tokio::task::spawn_blocking(move || input.run(&known)).await;
        let progress = ended
            .map_err(|error| StoreError::Unavailable(format!("the script did not end: {error}")))?;
        match progress {
            Progress::Done(outcome) => return Ok(outcome),
            Progress::Ask(question) => {
                let oracle = Oracle {
                    mail: ctx.store.mail.as_ref(),
                    tokens: ctx.store.tokens.as_ref(),
                    plan,
                    now: ctx.now(),
                };
                let answer = oracle.answer(&incoming.mailbox.address, &question).await?;
                answers.put(question, answer);
            }
        }
    }
}

impl After {
    /// The unit is settled: what is to be remembered is. A message that is not remembered is at worst delivered twice.
    pub(super) async fn settled(&self, ctx: &Context, unit: &LeasedUnit, account: &str) {
        for (key, until) in &self.remember {
            if let Err(error) = ctx.store.tokens.ban(key, *until).await {
                tracing::warn!(id = %unit.message.id, %error, "failed to remember a message for the duplicate test");
            }
        }
        for (reason, text) in &self.notes {
            tracing::info!(id = %unit.message.id, to = account, reason = reason.as_str(), detail = text, "script decided");
            ctx.store.trace.record(TraceEvent {
                at: ctx.now(),
                id: unit.message.id.to_string(),
                stage: Stage::Deliver,
                reason: reason.as_str(),
                sender: unit.message.envelope.sender.clone(),
                recipient: account.to_owned(),
                peer: String::new(),
                text: text.clone(),
            });
        }
    }

    /// Nothing was settled: answers that were promised may be made again.
    pub(super) async fn given_up(&self, ctx: &Context) {
        for key in &self.taken {
            if let Err(error) = ctx.store.tokens.forget(key).await {
                tracing::warn!(%error, "failed to give back the turn of an automatic answer");
            }
        }
    }
}
