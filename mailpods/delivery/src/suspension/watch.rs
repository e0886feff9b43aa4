//! What happens beside the mail: the mail of who is suspended is held and somebody told, and released when it is over.

use std::sync::Arc;
use std::time::Duration;

use mailpods_policy::outbound::suspension::Suspension;
use mailpods_store::StoreError;
use mailpods_store::queue::QueueAction;
use mailpods_store::suspension::{change, forget_counts};

use super::{notice, of};
use crate::context::Context;
use crate::metrics::SuspendedFor;

/// How often it is looked what has changed.
const LOOK: Duration = Duration::from_secs(1);

/// Watches until it is cut.
pub(crate) async fn watch(ctx: Arc<Context>) {
    loop {
        look(&ctx).await;
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(ctx: &Context) {
    let all = ctx.suspension.current(ctx.store.secrets.as_ref()).await;
    let now = ctx.now();
    let mut in_force: i64 = 0;
    for (account, suspension) in &all.0 {
        in_force += i64::from(suspension.is_in_force(now));
        if let Err(error) = step(ctx, account, suspension, now).await {
            tracing::warn!(account, %error, "failed to go on with a suspension");
        }
    }
    ctx.metrics.senders.suspended.set((), in_force);
}

/// What is still to be done for one; nothing, most of the time. Any process may do it, and what two do does no harm.
async fn step(
    ctx: &Context,
    account: &str,
    suspension: &Suspension,
    now: i64,
) -> Result<(), StoreError> {
    if suspension.is_in_force(now) {
        return match suspension.told {
            true => Ok(()),
            false => begin(ctx, account, suspension).await,
        };
    }
    if suspension.resumed && !suspension.is_past(now) {
        return Ok(());
    }
    // Once more at the end: a process that had not heard of the release may have held something since.
    resume(ctx, account).await?;
    if !suspension.resumed {
        forget_counts(&ctx.store, account).await?;
    }
    let since = suspension.since;
    let over = |known: &&mut Suspension| known.since == since && !known.is_in_force(now);
    let changed = change(ctx.store.secrets.as_ref(), |all| {
        let Some(known) = all.0.get_mut(account).filter(over) else {
            return false;
        };
        if known.is_past(now) {
            return all.0.remove(account).is_some();
        }
        !std::mem::replace(&mut known.resumed, true)
    });
    changed.await?;
    ctx.suspension.forget().await;
    Ok(())
}

/// Holds what is queued and tells: the one process that is first to say so.
async fn begin(ctx: &Context, account: &str, suspension: &Suspension) -> Result<(), StoreError> {
    if !tell(ctx, account, suspension.since, true).await? {
        return Ok(());
    }
    ctx.metrics
        .senders
        .suspensions
        .inc(SuspendedFor(suspension.cause));
    let filter = of(account);
    let held = ctx
        .store
        .queue
        .act(&filter, QueueAction::Suspend, ctx.now());
    let told = match held.await {
        Ok(held) => notice::send(ctx, account, suspension, held).await,
        Err(error) => Err(error),
    };
    if told.is_err() {
        tell(ctx, account, suspension.since, false).await?;
    }
    told
}

/// Notes that it is told, or that it is not. False when it was noted already.
async fn tell(ctx: &Context, account: &str, since: i64, told: bool) -> Result<bool, StoreError> {
    let changed = change(ctx.store.secrets.as_ref(), |all| {
        let known = all.0.get_mut(account);
        let Some(known) = known.filter(|known| known.since == since && known.told != told) else {
            return false;
        };
        known.told = told;
        true
    });
    let changed = changed.await?;
    ctx.suspension.forget().await;
    Ok(changed)
}

/// What was held goes its way again.
async fn resume(ctx: &Context, account: &str) -> Result<(), StoreError> {
    let filter = of(account);
    let released = ctx.store.queue.act(&filter, QueueAction::Resume, ctx.now());
    let released = released.await?;
    tracing::info!(account, released, "suspension over");
    Ok(())
}
