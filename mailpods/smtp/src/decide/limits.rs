//! What a log-in may send: messages and recipients, per hour and day, per account and domain, each counted apart.

use std::sync::Arc;
use std::time::Duration;

use mailpods_plan::{Domain, RateLimits};
use mailpods_policy::Reason;
use mailpods_store::tokens::{Take, Taken};

use super::Context;
use crate::recipients::unavailable;
use crate::report::Refusal;
use crate::suspension;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Refuses what a log-in sends that was suspended since the message began, before that costs an allowance.
pub(super) async fn check(context: &Context<'_>) -> Result<(), Refusal> {
    let Some(identity) = &context.client.identity else {
        return Ok(());
    };
    let (shared, plan, now) = (context.shared, context.plan, context.now);
    suspension::check(shared, plan, &identity.address.to_string(), now).await
}

/// Counts what a log-in sends at once; too much suspends it, and the message gives its allowances back. The last stage, so that a refused
/// message does not count.
pub(super) async fn burst(context: &Context<'_>, taken: Vec<Take>) -> Result<(), Refusal> {
    let Some(identity) = &context.client.identity else {
        return Ok(());
    };
    let (shared, plan, now) = (context.shared, context.plan, context.now);
    let account = identity.address.to_string();
    let recipients = context.recipients.len() as u64;
    let counted = suspension::count(shared, plan, &account, recipients, now).await;
    if counted.is_err() && !taken.is_empty() {
        let given_back = shared.deps.store.tokens.give_back(taken, now).await;
        if let Err(error) = given_back {
            tracing::warn!(account, %error, "failed to give back what a refused message took of its allowances");
        }
    }
    counted
}

/// Takes all allowances or none, and returns what it took; after what refuses a message for itself, so that such a one costs none.
pub(super) async fn take(context: &Context<'_>) -> Result<Vec<Take>, Refusal> {
    let Some(identity) = &context.client.identity else {
        return Ok(Vec::new());
    };
    let domain = context.plan.domain(identity.address.domain());
    let domain_limits = domain
        .and_then(limits_of)
        .unwrap_or(context.plan.submission.domain);
    let recipients = context.recipients.len() as u64;
    let account_name = format!("account/{}", identity.address);
    let domain_name = format!(
        "domain/{}",
        domain.map_or(identity.address.domain(), |domain| &domain.name)
    );
    let mut takes = takes(&account_name, context.plan.submission.account, recipients);
    takes.extend(self::takes(&domain_name, domain_limits, recipients));
    if takes.is_empty() {
        return Ok(takes);
    }
    let keys: Vec<String> = takes.iter().map(|take| take.key.clone()).collect();
    match context
        .shared
        .deps
        .store
        .tokens
        .take(takes.clone(), context.now)
        .await
        .map_err(|error| unavailable(&error))?
    {
        Taken::Granted => Ok(takes),
        Taken::Denied { index, retry_after } => Err(denied(keys.get(index), retry_after)),
    }
}

fn limits_of(domain: &Arc<Domain>) -> Option<RateLimits> {
    domain.limits
}

fn takes(name: &str, limits: RateLimits, recipients: u64) -> Vec<Take> {
    let rows = [
        ("messages", "hour", HOUR, limits.messages_per_hour, 1),
        ("messages", "day", DAY, limits.messages_per_day, 1),
        (
            "recipients",
            "hour",
            HOUR,
            limits.recipients_per_hour,
            recipients,
        ),
        (
            "recipients",
            "day",
            DAY,
            limits.recipients_per_day,
            recipients,
        ),
    ];
    let take = |(what, per, window, limit, amount): (&str, &str, Duration, Option<u64>, u64)| {
        limit.map(|limit| Take {
            key: format!("submission/{what}/{per}/{name}"),
            amount,
            limit,
            window,
        })
    };
    rows.into_iter().filter_map(take).collect()
}

fn denied(key: Option<&String>, retry_after: Duration) -> Refusal {
    let what = key.map_or("sending", String::as_str);
    let text = format!(
        "limit reached ({what}), try again in {} s",
        retry_after.as_secs()
    );
    Refusal::new(Reason::SendingLimit, 450, (7, 1), text)
}
