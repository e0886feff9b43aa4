//! Accounts that may not send: nothing new is taken from them, and who sends too much at once becomes one.

use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_policy::outbound::suspension::{Rules, Seen, Suspension};
use mailpods_store::{Store, StoreError, suspension};

use crate::recipients::unavailable;
use crate::report::Refusal;
use crate::server::Shared;

/// Refuses what a suspended account sends.
///
/// # Errors
/// The account is suspended.
pub(crate) async fn check(
    shared: &Shared,
    plan: &Plan,
    account: &str,
    now: i64,
) -> Result<(), Refusal> {
    let secrets = shared.deps.store.secrets.as_ref();
    match shared.guard.current(secrets).await.of(account, now) {
        None => Ok(()),
        Some(suspension) => Err(refusal(plan, account, suspension)),
    }
}

/// For now, so that a relay that submits keeps its mail, whoever has to look into it.
fn refusal(plan: &Plan, account: &str, suspension: &Suspension) -> Refusal {
    let whom = plan.outbound.postmaster.as_ref();
    let ask = whom.map_or_else(
        || "ask the postmaster".to_owned(),
        |postmaster| format!("ask <{postmaster}>"),
    );
    let text = format!(
        "the account {account} is suspended ({}): {}; {ask}",
        suspension.cause.as_str(),
        suspension.text
    );
    // RFC 3463 §3.8: not authorized to send.
    Refusal::new(Reason::SenderSuspended, 450, (7, 1), text)
}

/// Counts the recipients of a message that an account submits, and suspends it where they are too many at once.
///
/// # Errors
/// They are too many, or the store failed.
pub(crate) async fn count(
    shared: &Shared,
    plan: &Plan,
    account: &str,
    recipients: u64,
    now: i64,
) -> Result<(), Refusal> {
    let rules = plan.outbound.suspension.as_ref();
    let Some(rules) = rules.filter(|rules| rules.burst.most > 0) else {
        return Ok(());
    };
    let more = (recipients, recipients);
    let Some((amount, _)) = shared.guard.hand_in(account, more, rules.burst, now) else {
        return Ok(());
    };
    let suspended = suspend(&shared.deps.store, rules, account, amount, now).await;
    match suspended.map_err(|error| unavailable(&error))? {
        None => Ok(()),
        Some(suspension) => {
            shared.guard.forget().await;
            Err(refusal(plan, account, &suspension))
        }
    }
}

async fn suspend(
    store: &Store,
    rules: &Rules,
    account: &str,
    amount: u64,
    now: i64,
) -> Result<Option<Suspension>, StoreError> {
    let key = suspension::key("recipients", account);
    let count = store.tokens.add(&key, amount, rules.burst.within, now);
    let Some(judged) = rules.judge(Seen::Recipients(count.await?)) else {
        return Ok(None);
    };
    let new = rules.suspension(judged, now);
    // Where there is no room for more, which the log tells, this message is too much all the same.
    let _ = suspension::suspend(store, account, new.clone()).await?;
    Ok(Some(new))
}
