//! Delivery into mailboxes here: many leased units become few settlements.
//!
//! No body is read on this way: the facts that IMAP asks for were stored when the message was accepted. Only what leaves again
//! (forwards, notifications), and what goes through Sieve scripts, needs the message itself.

mod expand;
mod job;
mod place;
mod posting;
mod sieve;

use std::time::Duration;

use bytes::Bytes;
use mailpods_plan::Plan;
use mailpods_store::queue::{LeasedUnit, NewRecipient, Settlement};
use mailpods_store::{NewBody, StoreError};

use crate::complaints;
use crate::conclude::{Ended, conclude};
use crate::context::Context;
use crate::ends;
use crate::fate::Fate;
use crate::metrics::Way;
use crate::notify;
use crate::srs;

use expand::{Expanded, Incoming, expand};
use job::{End, Job};

/// Times that a settlement is tried again when the store is busy, and the wait between.
const STORE_TRIES: u32 = 5;
const STORE_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

/// Octets of messages that leave again, held in memory before they are settled.
const MAX_LOADED: u64 = 32 << 20;

/// Delivers and settles a batch.
pub(crate) async fn deliver(ctx: &Context, units: Vec<LeasedUnit>) {
    let started = tokio::time::Instant::now();
    let plan = ctx.plan.current();
    let mut units = expand_all(ctx, &plan, units);
    let looked = look(ctx, &plan, &mut units).await;
    let (mut jobs, mut loaded) = (Vec::with_capacity(units.len()), 0u64);
    for (unit, expanded) in units {
        let job = prepare(ctx, &plan, unit, expanded, looked.as_ref().err()).await;
        if !job.ended.enqueue.is_empty() {
            loaded = loaded.saturating_add(job.ended.unit.message.size);
        }
        let remembered = job.is_remembered();
        jobs.push(job);
        if loaded > MAX_LOADED || remembered {
            loaded = 0;
            settle_all(ctx, &plan, std::mem::take(&mut jobs)).await;
        }
    }
    settle_all(ctx, &plan, jobs).await;
    ctx.metrics
        .attempt
        .observe_duration(Way::Local, started.elapsed());
}

/// Looks in the store where mail goes, and for scripts.
async fn look(
    ctx: &Context,
    plan: &Plan,
    units: &mut [(LeasedUnit, Expanded)],
) -> Result<(), StoreError> {
    posting::attach(ctx, plan, units).await?;
    place::place(ctx, plan, units).await?;
    sieve::attach(ctx, filtered_ends(units)).await
}

/// Every round settles a unit or takes a delivery out of it, so this ends.
async fn settle_all(ctx: &Context, plan: &Plan, mut jobs: Vec<Job>) {
    while !jobs.is_empty() {
        jobs = settle(ctx, plan, jobs).await;
    }
}

fn expand_all(ctx: &Context, plan: &Plan, units: Vec<LeasedUnit>) -> Vec<(LeasedUnit, Expanded)> {
    let expanded = |unit: LeasedUnit| {
        let expanded = match unit.bounce {
            true => Expanded::untouched(&unit),
            false => expand(plan, &unit, ctx.now() / 1000),
        };
        (unit, expanded)
    };
    units.into_iter().map(expanded).collect()
}

/// What goes through scripts, if there are any.
fn filtered_ends(units: &mut [(LeasedUnit, Expanded)]) -> Vec<&mut Incoming> {
    let filtered = units.iter_mut().filter(|(unit, _)| sieve::may_filter(unit));
    filtered
        .flat_map(|(_, expanded)| &mut expanded.incoming)
        .collect()
}

/// `unlooked`: why folders, limits or personal scripts could not be looked for.
async fn prepare(
    ctx: &Context,
    plan: &Plan,
    unit: LeasedUnit,
    expanded: Expanded,
    unlooked: Option<&StoreError>,
) -> Job {
    let Expanded {
        fates,
        incoming,
        shared,
        forwards,
        rerouted,
        withheld,
    } = expanded;
    complaints::look(ctx, plan, &unit).await;
    let mut job = Job {
        ended: Ended {
            withheld,
            ..Ended::new(unit, fates, Vec::new())
        },
        others: Vec::new(),
        ends: incoming.into_iter().map(End::plain).collect(),
        shared,
    };
    if !rerouted.is_empty() {
        let unit = &job.ended.unit;
        let body = NewBody::Stored(unit.message.body);
        job.others.push(ctx.derived(unit, body, rerouted));
    }
    match unlooked.filter(|_| sieve::may_filter(&job.ended.unit) && !job.ends.is_empty()) {
        // Mail that a script would sort must not pass it by.
        Some(error) => job.defer(ctx, error).await,
        None => {
            if let Err(error) = with_body(ctx, plan, &mut job, forwards).await {
                job.defer(ctx, &error).await;
            }
        }
    }
    job.assemble();
    job
}

/// What needs the message itself. It is read once: all copies share the octets, however many aliases lead elsewhere.
async fn with_body(
    ctx: &Context,
    plan: &Plan,
    job: &mut Job,
    forwards: Vec<(String, Vec<NewRecipient>)>,
) -> Result<(), StoreError> {
    let filtered = |end: &End| sieve::is_filtered(plan, &job.ended.unit, &end.incoming);
    let to_filter: Vec<bool> = job.ends.iter().map(filtered).collect();
    if forwards.is_empty() && !to_filter.contains(&true) {
        return Ok(());
    }
    let body = ctx.store.mail.body(job.ended.unit.message.body).await?;
    for (address, recipients) in forwards {
        let copy = ctx.derived(&job.ended.unit, forwarded(&body, &address), recipients);
        job.others.push(copy);
    }
    // From the last on, as a mailbox that refuses is taken out.
    for (at, _) in to_filter
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, wanted)| **wanted)
    {
        filter(ctx, plan, job, at, &body).await?;
    }
    Ok(())
}

/// Runs the scripts of one mailbox.
async fn filter(
    ctx: &Context,
    plan: &Plan,
    job: &mut Job,
    at: usize,
    body: &Bytes,
) -> Result<(), StoreError> {
    let Some(end) = job.ends.get(at) else {
        return Ok(());
    };
    let filtered = sieve::filter(ctx, plan, &job.ended.unit, &end.incoming, body).await?;
    if let Some(trouble) = job.filtered(at, filtered) {
        job.take_out(ctx, at, &Fate::Failed(trouble)).await;
    }
    Ok(())
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

/// Settles what can be settled; returns what must be settled again in another form.
async fn settle(ctx: &Context, plan: &Plan, mut jobs: Vec<Job>) -> Vec<Job> {
    let mut settlements = Vec::with_capacity(jobs.len());
    for job in &mut jobs {
        job.assemble();
        let mut settlement = conclude(ctx, plan, &mut job.ended).await;
        srs::rewrite(ctx, plan, &job.ended.unit, &mut settlement.enqueue).await;
        settlements.push(settlement);
    }
    let Some(results) = write(ctx, settlements).await else {
        give_back(ctx, jobs).await;
        return Vec::new();
    };
    let mut again = Vec::new();
    for (job, result) in jobs.into_iter().zip(results) {
        match result {
            Ok(()) => {
                job.settled(ctx).await;
                finished(ctx, &job.ended);
            }
            Err(error) => again.extend(refused(ctx, plan, job, error).await),
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

async fn give_back(ctx: &Context, jobs: Vec<Job>) {
    let leases = jobs.iter().map(|job| job.ended.unit.lease).collect();
    for mut job in jobs {
        job.give_up(ctx).await;
    }
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
async fn refused(ctx: &Context, plan: &Plan, mut job: Job, error: StoreError) -> Option<Job> {
    match error {
        StoreError::LeaseLost => {
            ctx.metrics.leases_lost.inc(());
            tracing::warn!(id = %job.ended.unit.message.id, "lease lost before the settlement; another worker goes on");
            ctx.leases.release(ctx, job.ended.unit.lease);
            job.give_up(ctx).await;
            None
        }
        StoreError::OverQuota { index } if index < job.ended.deliveries.len() => {
            job.over_quota(ctx, plan, index).await;
            Some(job)
        }
        StoreError::Invalid(_) if job.without_keywords() => Some(job),
        // Settling with nothing but a retry is the least that can be asked; when that is refused too, the lease runs out.
        error if job.ended.deliveries.is_empty() && job.ended.enqueue.is_empty() => {
            tracing::error!(id = %job.ended.unit.message.id, %error, "failed to settle a unit; it is tried again when its lease ends");
            ctx.leases.release(ctx, job.ended.unit.lease);
            None
        }
        error => {
            tracing::warn!(id = %job.ended.unit.message.id, %error, "failed to deliver");
            job.defer(ctx, &error).await;
            Some(job)
        }
    }
}
