//! The loop for other destinations: fills lanes and keeps workers at them.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::{Shutdown, Tracker};
use mailpods_policy::Reason;
use mailpods_store::StoreError;
use mailpods_store::queue::{Destination, LeasedUnit, Retry, Settlement, Wanted};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::lanes::{LaneKey, Lanes, Next};
use super::{LONGEST_SLEEP, lease, open, shares, sleep};
use crate::conclude::{Ended, Tried, conclude, lease_of};
use crate::context::Context;
use crate::fate::{Fate, Trouble};
use crate::local::{finished, write};
use crate::metrics::Way;
use crate::outbound::{self, route};
use crate::suspension;

/// Units asked for at once.
const BATCH: usize = 128;
/// How long a destination that cannot be talked to is left alone at most.
const DEAD: Duration = Duration::from_secs(60);
/// How long a worker stays at its lane while others of the same provider, or all others, wait for one.
const TURN: Duration = Duration::from_secs(1);
/// How often tenants are looked for that have nothing in the lanes, while there is more in the queue than is leased.
const OTHERS: Duration = Duration::from_millis(250);
/// When those are tried again whose outcome could not be recorded, in milliseconds.
const STORE_RETRY: i64 = 300_000;

/// Settlements of one worker that may be under way while it sends the next message. A store that fails stops the worker here:
/// no more than these and the one after them went out without being recorded.
const UNSETTLED: usize = 4;

/// What the loop and its workers share.
pub(crate) struct Remote {
    pub(crate) ctx: Arc<Context>,
    pub(super) lanes: Lanes,
    /// A worker has ended, or lanes have room again, or there is a new share for them.
    pub(super) room: Notify,
    workers: Tracker,
    shutdown: Shutdown,
}

impl Remote {
    pub(crate) fn new(ctx: Arc<Context>, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            lanes: Lanes::default(),
            room: Notify::new(),
            workers: Tracker::new(),
            shutdown,
        })
    }

    /// What is leased now, and whether there is more in the queue than that.
    fn wanted(&self) -> (Wanted, bool) {
        let plan = self.ctx.plan.current();
        self.lanes
            .wanted(&|key| shares::limit(&self.ctx, &plan, key))
    }
}

/// Takes units and keeps workers at work until the stop begins; then hands back what waits and waits for the workers.
pub(crate) async fn run(remote: Arc<Remote>) {
    let shutdown = remote.shutdown.clone();
    let mut queue = remote.ctx.store.queue.watch_queue();
    let mut looked = Instant::now();
    while open(&shutdown) {
        queue.borrow_and_update();
        let (wanted, backlog) = remote.wanted();
        let mut units = Vec::new();
        if backlog && looked.elapsed() >= OTHERS {
            looked = Instant::now();
            units = of_others(&remote).await;
        }
        let room = remote.lanes.room(BATCH);
        if room > 0 {
            units.extend(lease(&remote.ctx, wanted.clone(), room).await);
        }
        let found = !units.is_empty();
        let surplus = distribute(&remote, units);
        staff(&remote);
        hand_back(&remote, surplus).await;
        let look = tokio::time::sleep(if backlog { OTHERS } else { LONGEST_SLEEP });
        if room == 0 {
            tokio::select! {
                () = remote.room.notified() => {}
                () = look => {}
                () = shutdown.drain() => {}
            }
        } else if !found {
            tokio::select! {
                () = remote.room.notified() => staff(&remote),
                () = look => {}
                () = sleep(&remote.ctx, wanted, &mut queue, &shutdown) => {}
            }
        }
        remote.lanes.tidy();
    }
    stop(&remote, &shutdown).await;
}

/// Where there is more in the queue than is leased: a unit of each tenant that has nothing in the lanes, so that none waits behind
/// what others have, whatever number of destinations that is for.
async fn of_others(remote: &Remote) -> Vec<LeasedUnit> {
    let (except, room) = remote.lanes.tenants();
    match room.min(BATCH / 4) {
        0 => Vec::new(),
        room => lease(&remote.ctx, Wanted::OneOfEach { except }, room).await,
    }
}

/// Puts units into their lanes; returns those for which there is no room.
fn distribute(remote: &Remote, units: Vec<LeasedUnit>) -> Vec<LeasedUnit> {
    let plan = remote.ctx.plan.current();
    let limits = |key: &LaneKey| shares::limit(&remote.ctx, &plan, key);
    let now = remote.ctx.now();
    let into_lane = |unit: LeasedUnit| {
        let key = outbound::lane_of(&remote.ctx, &plan, &unit);
        remote.lanes.push(key, unit, now, &limits)
    };
    units.into_iter().filter_map(into_lane).collect()
}

/// Hands back what there is no room for, and what lanes hold too much of since their provider is known.
async fn hand_back(remote: &Remote, mut surplus: Vec<LeasedUnit>) {
    surplus.extend(remote.lanes.shed());
    let leases = surplus.into_iter().map(|unit| unit.lease).collect();
    remote.ctx.leases.hand_back(&remote.ctx, leases).await;
}

/// Starts workers where units wait for one.
fn staff(remote: &Arc<Remote>) {
    let plan = remote.ctx.plan.current();
    let most = plan.outbound.concurrency.max(1);
    let free = |most: usize| most.saturating_sub(remote.lanes.workers());
    // Every lane gets a worker before any gets a second one, and the last quarter is for lanes that have none: slow servers
    // must not hold all workers.
    let limits = |key: &LaneKey| shares::limit(&remote.ctx, &plan, key);
    let per_lane = plan.outbound.concurrency_per_destination.max(1);
    let started = remote.ctx.shares.start(|| {
        let mut started = remote.lanes.staff(free(most), 1, &limits);
        let rest = remote.lanes.staff(free(most - most / 4), per_lane, &limits);
        started.extend(rest);
        started
    });
    shares::note(remote, &plan);
    for key in started {
        let worker = Worker {
            remote: remote.clone(),
            key,
            left: false,
            refused: false,
            settling: JoinSet::new(),
        };
        let shutdown = remote.shutdown.clone();
        remote.workers.spawn(async move {
            tokio::select! {
                () = worker.run() => {}
                () = shutdown.force() => {}
            }
        });
    }
}

async fn stop(remote: &Remote, shutdown: &Shutdown) {
    let waiting = remote
        .lanes
        .drain()
        .into_iter()
        .map(|unit| unit.lease)
        .collect();
    remote.ctx.leases.hand_back(&remote.ctx, waiting).await;
    tokio::select! {
        () = remote.workers.idle() => {}
        // What is cut here is handed back by the role; the next server may have it already, which nobody can know.
        () = shutdown.force() => {}
    }
}

/// One worker of a lane: takes units as long as there are some, over one connection where possible.
struct Worker {
    remote: Arc<Remote>,
    key: LaneKey,
    left: bool,
    /// The last attempt was refused.
    refused: bool,
    /// Cut with the worker.
    settling: JoinSet<()>,
}

impl Worker {
    async fn run(mut self) {
        if self.has_looked_ahead().await {
            return;
        }
        let mut session: Option<outbound::Session> = None;
        let begun = Instant::now();
        loop {
            let looks = std::mem::take(&mut self.refused) || self.remote.ctx.shares.is_over();
            if looks && self.leave_crowd() {
                if let Some(session) = session.take() {
                    tokio::spawn(session.quit());
                }
                break;
            }
            if begun.elapsed() >= TURN && self.give_way() {
                break;
            }
            let digest = self.remote.ctx.plan.current().digest.clone();
            match self.remote.lanes.next(&self.key, &digest) {
                Next::Try(unit) => {
                    if self.remote.lanes.is_low(&self.key) {
                        self.remote.room.notify_one();
                    }
                    self.attempt(*unit, &mut session).await;
                }
                Next::Skip(unit, _) if self.is_tried(&unit) => {
                    self.attempt(*unit, &mut session).await;
                }
                Next::Skip(unit, trouble) => {
                    let fates = vec![Fate::Deferred(trouble.again()); unit.recipients.len()];
                    self.settle(*unit, fates, Tried::Skipped).await;
                }
                Next::Done => {
                    self.left = true;
                    break;
                }
            }
        }
        self.remote.room.notify_one();
        if let Some(session) = session {
            self.remote.ctx.pool.put(session);
        }
        while self.settling.join_next().await.is_some() {}
    }

    /// Whether a unit is tried whatever became of others: the one attempt at it is still to be made, or another server may take it.
    fn is_tried(&self, unit: &LeasedUnit) -> bool {
        let ctx = &self.remote.ctx;
        let plan = ctx.plan.current();
        route::is_once(&plan, &unit.destination)
            || outbound::may_detour(ctx, &plan, &self.key, unit)
    }

    /// Finds out whose servers the lane leads to, and leaves to workers that these take: many domains that nothing is known of may be one
    /// provider's. False when that is known already, or cannot be known now.
    async fn has_looked_ahead(&mut self) -> bool {
        let ctx = &self.remote.ctx;
        if !shares::is_unknown(ctx, &self.key) {
            return false;
        }
        outbound::look_ahead(ctx, &ctx.plan.current(), &self.key.0).await;
        // Counted out when it is dropped, and then the lane is staffed anew.
        !shares::is_unknown(ctx, &self.key)
    }

    /// Leaves where the provider takes fewer connections now, or others have a larger share of them.
    fn leave_crowd(&mut self) -> bool {
        let ctx = &self.remote.ctx;
        let plan = ctx.plan.current();
        let limits = |key: &LaneKey| shares::limit(ctx, &plan, key);
        self.left = self.remote.lanes.leave_crowd(&self.key, &limits);
        self.left
    }

    /// Leaves to another lane that waits for a worker.
    fn give_way(&mut self) -> bool {
        let ctx = &self.remote.ctx;
        let plan = ctx.plan.current();
        let limits = |key: &LaneKey| shares::limit(ctx, &plan, key);
        let most = plan.outbound.concurrency.max(1);
        self.left = self.remote.lanes.give_way(&self.key, most, &limits);
        self.left
    }

    async fn attempt(&mut self, unit: LeasedUnit, session: &mut Option<outbound::Session>) {
        let ctx = &self.remote.ctx;
        if !ctx.leases.is_held(unit.lease) {
            return;
        }
        // It may have waited in the lane since its sender was suspended.
        let Some(unit) = suspension::set_aside(ctx, vec![unit]).await.pop() else {
            return;
        };
        let started = Instant::now();
        let plan = ctx.plan.current();
        let (fates, tried) = outbound::attempt(ctx, &plan, (&self.key, &unit), session).await;
        ctx.metrics
            .attempt
            .observe_duration(Way::Remote, started.elapsed());
        self.refused = fates.iter().any(|fate| matches!(fate, Fate::Deferred(_)));
        let lanes = &self.remote.lanes;
        match unreachable(&fates) {
            Some(trouble) => {
                // No longer than the schedule waits, or a first retry would find the destination still left alone.
                let until = Instant::now() + DEAD.min(plan.outbound.retry_initial);
                lanes.mark_dead(&self.key, until, trouble, &plan.digest);
            }
            None if unit.urgent => lanes.mark_alive(&self.key),
            None => {}
        }
        self.settle(unit, fates, tried).await;
    }

    /// Settles beside the attempts that follow: the connection does not wait for the disk, and those who wait for it share a
    /// commit.
    async fn settle(&mut self, unit: LeasedUnit, fates: Vec<Fate>, tried: Tried) {
        while self.settling.try_join_next().is_some() {}
        if self.settling.len() >= UNSETTLED {
            self.settling.join_next().await;
        }
        let ctx = self.remote.ctx.clone();
        self.settling
            .spawn(async move { settle(&ctx, unit, fates, tried).await });
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.left {
            self.remote.lanes.leave(&self.key);
            self.remote.room.notify_one();
        }
    }
}

fn unreachable(fates: &[Fate]) -> Option<&Trouble> {
    fates.iter().find_map(|fate| match fate {
        Fate::Deferred(trouble) if trouble.unreachable => Some(trouble),
        _ => None,
    })
}

/// Settles one unit. While the store fails the outcome is kept: what the next server took must not be sent again because our
/// own disk is full, and with [`UNSETTLED`] such outcomes the worker sends nothing more.
async fn settle(ctx: &Context, unit: LeasedUnit, fates: Vec<Fate>, tried: Tried) {
    let plan = ctx.plan.current();
    let mut ended = Ended {
        tried,
        ..Ended::new(unit, fates, Vec::new())
    };
    reroute(ctx, &mut ended);
    let mut settlement = conclude(ctx, &plan, &mut ended).await;
    loop {
        let lease = settlement.lease;
        let result = write(ctx, vec![settlement.clone()])
            .await
            .and_then(|mut results| results.pop());
        match result {
            Some(Ok(())) => return finished(ctx, &ended),
            Some(Err(StoreError::LeaseLost)) if lease_of(ctx, &ended.unit) == lease => {
                ctx.metrics.leases_lost.inc(());
                tracing::error!(id = %ended.unit.message.id, "lease lost before the settlement");
                return ctx.leases.release(ctx, ended.unit.lease);
            }
            Some(Err(error))
                if is_least(&settlement) && !matches!(error, StoreError::LeaseLost) =>
            {
                tracing::error!(id = %ended.unit.message.id, %error, "failed to settle a unit; it is tried again when its lease ends");
                return ctx.leases.release(ctx, ended.unit.lease);
            }
            Some(Err(StoreError::LeaseLost)) | None => {
                settlement.lease = lease_of(ctx, &ended.unit)
            }
            Some(Err(error)) => {
                tracing::error!(id = %ended.unit.message.id, %error, "failed to settle a unit; settling what was sent");
                settlement = least(ctx, &mut ended, &error);
            }
        }
    }
}

/// Whether a settlement asks for no more than must be.
fn is_least(settlement: &Settlement) -> bool {
    settlement.enqueue.is_empty()
}

/// What must be recorded at least: who has the message. All else waits for the next attempt.
fn least(ctx: &Context, ended: &mut Ended, error: &StoreError) -> Settlement {
    let trouble = Trouble::new(Reason::StoreUnavailable, "4.3.0", error.to_string());
    for fate in &mut ended.fates {
        if !is_sent(fate) {
            *fate = Fate::Deferred(trouble.clone());
        }
    }
    ended.notices.clear();
    ended.enqueue.clear();
    let recipients = ended.unit.recipients.iter().zip(&ended.fates);
    let done: Vec<u32> = recipients
        .filter(|(_, fate)| is_sent(fate))
        .map(|(recipient, _)| recipient.index)
        .collect();
    let left = done.len() < ended.unit.recipients.len();
    Settlement {
        lease: lease_of(ctx, &ended.unit),
        done,
        retry: left.then(|| Retry {
            next_attempt: ctx.now().saturating_add(STORE_RETRY),
            error: trouble.text.into(),
            reason: trouble.reason,
            class: trouble.class,
            warned: ended.unit.warned,
            counts: true,
        }),
        deliveries: Vec::new(),
        enqueue: Vec::new(),
    }
}

fn is_sent(fate: &Fate) -> bool {
    matches!(fate, Fate::Relayed { .. } | Fate::Delivered)
}

/// Recipients whose domain became ours since they were queued are queued anew.
fn reroute(ctx: &Context, ended: &mut Ended) {
    use mailpods_store::NewBody;
    use mailpods_store::queue::NewRecipient;
    let moved = ended
        .unit
        .recipients
        .iter()
        .zip(&ended.fates)
        .filter(|(_, fate)| **fate == Fate::Rerouted);
    let recipients: Vec<NewRecipient> = moved
        .map(|(recipient, _)| NewRecipient {
            destination: Destination::local(),
            address: recipient.address.clone(),
            orcpt: recipient.orcpt.clone(),
            notify: recipient.notify,
        })
        .collect();
    if !recipients.is_empty() {
        let body = NewBody::Stored(ended.unit.message.body);
        ended
            .enqueue
            .push(ctx.derived(&ended.unit, body, recipients));
    }
}
