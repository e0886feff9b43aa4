//! Delivery into mailboxes here: many leased units become few settlements.
//!
//! No body is read on this way: the facts that IMAP asks for were stored when the message was accepted. Only what leaves again
//! (forwards, notifications) needs the message itself.

mod expand;

use std::time::Duration;

use bytes::Bytes;
use mailpods_plan::{OverQuota, Plan};
use mailpods_policy::Reason;
use mailpods_store::queue::{LeasedUnit, NewMessage, NewRecipient, Origin, Settlement};
use mailpods_store::{NewBody, StoreError};

use crate::conclude::{Ended, conclude};
use crate::context::Context;
use crate::ends;
use crate::fate::{Fate, Trouble};
use crate::metrics::Way;
use crate::notify;

use expand::{Expanded, expand};

/// Times that a settlement is tried again when the store is busy, and the wait between.
const STORE_TRIES: u32 = 5;
const STORE_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

/// Octets of messages that leave again, held in memory before they are settled.
const MAX_LOADED: u64 = 32 << 20;

/// A unit on its way through the settlement.
struct Job {
    ended: Ended,
    /// For each delivery of `ended`: the positions of the recipients that lead to it, and whether each leads elsewhere too.
    owners: Vec<Vec<usize>>,
    /// Positions of recipients with more than one end.
    shared: Vec<bool>,
}

/// Delivers and settles a batch.
pub(crate) async fn deliver(ctx: &Context, units: Vec<LeasedUnit>) {
    let started = tokio::time::Instant::now();
    let plan = ctx.plan.current();
    let (mut jobs, mut loaded) = (Vec::with_capacity(units.len()), 0u64);
    for unit in units {
        let job = prepare(ctx, &plan, unit).await;
        if !job.ended.enqueue.is_empty() {
            loaded = loaded.saturating_add(job.ended.unit.message.size);
        }
        jobs.push(job);
        if loaded > MAX_LOADED {
            loaded = 0;
            settle_all(ctx, &plan, std::mem::take(&mut jobs)).await;
        }
    }
    settle_all(ctx, &plan, jobs).await;
    ctx.metrics
        .attempt
        .observe_duration(Way::Local, started.elapsed());
}

/// Every round settles a unit or takes a delivery out of it, so this ends.
async fn settle_all(ctx: &Context, plan: &Plan, mut jobs: Vec<Job>) {
    while !jobs.is_empty() {
        jobs = settle(ctx, plan, jobs).await;
    }
}

async fn prepare(ctx: &Context, plan: &Plan, unit: LeasedUnit) -> Job {
    let expanded = if unit.bounce {
        Expanded::untouched(&unit)
    } else {
        expand(plan, &unit, ctx.now() / 1000)
    };
    let Expanded {
        fates,
        deliveries,
        owners,
        shared,
        forwards,
        rerouted,
    } = expanded;
    let mut ended = Ended::new(unit, fates, deliveries);
    if !rerouted.is_empty() {
        let body = NewBody::Stored(ended.unit.message.body);
        ended.enqueue.push(ctx.derived(&ended.unit, body, rerouted));
    }
    if !forwards.is_empty() {
        // Read once: all copies share the octets, however many aliases lead elsewhere.
        match ctx.store.mail.body(ended.unit.message.body).await {
            Ok(body) => {
                let copy = |(address, recipients): (String, _)| {
                    ctx.derived(&ended.unit, forwarded(&body, &address), recipients)
                };
                let copies: Vec<NewMessage> = forwards.into_iter().map(copy).collect();
                ended.enqueue.extend(copies);
            }
            Err(error) => defer_all(&mut ended, &error),
        }
    }
    Job {
        ended,
        owners,
        shared,
    }
}

/// A forwarded copy carries Delivered-To, so that it is recognized should it come back. It goes in front, where no signature
/// of the author looks.
fn forwarded(body: &Bytes, address: &str) -> NewBody {
    let field = Bytes::from(format!("Delivered-To: {address}\r\n"));
    NewBody::Octets {
        slices: vec![field, body.clone()],
        meta: None,
    }
}

/// Nothing of the unit happens now.
fn defer_all(ended: &mut Ended, error: &StoreError) {
    ended.deliveries.clear();
    ended.enqueue.clear();
    let trouble = Trouble::new(Reason::StoreUnavailable, "4.3.0", error.to_string());
    ended.fates.fill(Fate::Deferred(trouble));
}

/// Settles what can be settled; returns what must be settled again in another form.
async fn settle(ctx: &Context, plan: &Plan, mut jobs: Vec<Job>) -> Vec<Job> {
    let mut settlements = Vec::with_capacity(jobs.len());
    for job in &mut jobs {
        settlements.push(conclude(ctx, plan, &mut job.ended).await);
    }
    let Some(results) = write(ctx, settlements).await else {
        give_back(ctx, &jobs).await;
        return Vec::new();
    };
    let mut again = Vec::new();
    for (job, result) in jobs.into_iter().zip(results) {
        match result {
            Ok(()) => finished(ctx, &job.ended),
            Err(error) => again.extend(refused(ctx, plan, job, error)),
        }
    }
    again
}

/// Writes the settlements; `None` when the store stays unavailable.
pub(crate) async fn write(
    ctx: &Context,
    settlements: Vec<Settlement>,
) -> Option<Vec<Result<(), StoreError>>> {
    for attempt in 1..=STORE_TRIES {
        match ctx.store.queue.settle(settlements.clone()).await {
            Ok(results) => return Some(results),
            Err(error) => {
                tracing::warn!(%error, attempt, "failed to settle");
                tokio::time::sleep(STORE_WAIT * attempt).await;
            }
        }
    }
    None
}

async fn give_back(ctx: &Context, jobs: &[Job]) {
    let leases = jobs.iter().map(|job| job.ended.unit.lease).collect();
    ctx.leases.hand_back(ctx, leases).await;
}

/// The unit is settled: its lease is over and everybody may know.
pub(crate) fn finished(ctx: &Context, ended: &Ended) {
    ctx.leases.release(ctx, ended.unit.lease);
    ctx.record(&ended.unit, &ended.fates);
    ends::record(ctx, ended);
    notify::record(ctx, &ended.unit, &ended.notices);
    ctx.settled.send_modify(|count| *count += 1);
    let way = if ended.unit.destination.is_local() {
        Way::Local
    } else {
        Way::Remote
    };
    if !ended
        .fates
        .iter()
        .any(|fate| matches!(fate, Fate::Deferred(_)))
    {
        let age = ctx
            .now()
            .saturating_sub(ended.unit.message.created)
            .max(0)
            .unsigned_abs();
        ctx.metrics
            .age
            .observe_duration(way, Duration::from_millis(age));
    }
}

/// What becomes of a unit whose settlement was refused: another form of it, or nothing.
fn refused(ctx: &Context, plan: &Plan, mut job: Job, error: StoreError) -> Option<Job> {
    match error {
        StoreError::LeaseLost => {
            ctx.metrics.leases_lost.inc(());
            tracing::warn!(id = %job.ended.unit.message.id, "lease lost before the settlement; another worker goes on");
            ctx.leases.release(ctx, job.ended.unit.lease);
            None
        }
        StoreError::OverQuota { index } if index < job.ended.deliveries.len() => {
            over_quota(ctx, plan, &mut job, index);
            Some(job)
        }
        // Settling with nothing but a retry is the least that can be asked; when that is refused too, the lease runs out.
        error if job.ended.deliveries.is_empty() && job.ended.enqueue.is_empty() => {
            tracing::error!(id = %job.ended.unit.message.id, %error, "failed to settle a unit; it is tried again when its lease ends");
            ctx.leases.release(ctx, job.ended.unit.lease);
            None
        }
        error => {
            tracing::warn!(id = %job.ended.unit.message.id, %error, "failed to deliver");
            defer_all(&mut job.ended, &error);
            job.owners.clear();
            Some(job)
        }
    }
}

/// Takes the delivery that did not fit out of the unit. A recipient that leads to this mailbox alone waits or fails; one that
/// leads to others too is done, and the mailbox that is full becomes a recipient of its own, so that the others get no second
/// copy later.
fn over_quota(ctx: &Context, plan: &Plan, job: &mut Job, index: usize) {
    let delivery = job.ended.deliveries.remove(index);
    let owners = job.owners.remove(index);
    let trouble = Trouble::new(
        Reason::OverQuota,
        "4.2.2",
        format!("mailbox {} is full", delivery.account),
    );
    let fate = match plan.smtp.over_quota {
        OverQuota::Defer => Fate::Deferred(trouble),
        OverQuota::Reject => Fate::Failed(Trouble {
            status: "5.2.2".to_owned(),
            ..trouble
        }),
    };
    for owner in owners {
        if job.shared.get(owner).copied().unwrap_or(false) {
            split(ctx, job, owner, delivery.account.to_string());
        } else if let Some(slot) = job.ended.fates.get_mut(owner) {
            *slot = fate.clone();
        }
    }
}

fn split(ctx: &Context, job: &mut Job, owner: usize, address: String) {
    let Some(recipient) = job.ended.unit.recipients.get(owner) else {
        return;
    };
    let own = NewRecipient {
        destination: job.ended.unit.destination.clone(),
        address,
        orcpt: recipient
            .orcpt
            .clone()
            .or_else(|| Some(format!("rfc822;{}", recipient.address))),
        notify: recipient.notify,
    };
    let body = NewBody::Stored(job.ended.unit.message.body);
    let mut message = ctx.derived(&job.ended.unit, body, vec![own]);
    // A mailbox that also forwards would else forward once more with every look at it.
    message.origin = Origin::Expanded(job.ended.unit.message.id.to_string());
    job.ended.enqueue.push(message);
}
