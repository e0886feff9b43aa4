//! The loop for other destinations: fills lanes and keeps workers at them.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::{Shutdown, Tracker};
use mailpods_store::StoreError;
use mailpods_store::queue::{LeasedUnit, Wanted};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lanes::{LANES_FULL, LaneKey, Lanes, Next};
use super::{lease, open, sleep};
use crate::conclude::{Ended, conclude};
use crate::context::Context;
use crate::fate::{Fate, Trouble};
use crate::local::{finished, write};
use crate::metrics::Way;
use crate::outbound::{self, route};

/// Units asked for at once.
const BATCH: usize = 128;
/// How long a destination that cannot be talked to is left alone.
const DEAD: Duration = Duration::from_secs(60);

/// What the loop and its workers share.
pub(crate) struct Remote {
    pub(crate) ctx: Arc<Context>,
    lanes: Lanes,
    /// A worker has ended, or lanes have room again.
    room: Notify,
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
}

/// Takes units and keeps workers at work until the stop begins; then hands back what waits and waits for the workers.
pub(crate) async fn run(remote: Arc<Remote>) {
    let shutdown = remote.shutdown.clone();
    let mut queue = remote.ctx.store.queue.watch_queue();
    while open(&shutdown) {
        queue.borrow_and_update();
        let wanted = Wanted::Remote {
            except: remote.lanes.busy(),
        };
        let room = LANES_FULL.saturating_sub(remote.lanes.waiting()).min(BATCH);
        let units = if room == 0 {
            Vec::new()
        } else {
            lease(&remote.ctx, wanted.clone(), room).await
        };
        let found = !units.is_empty();
        distribute(&remote, units);
        staff(&remote);
        if room == 0 {
            tokio::select! {
                () = remote.room.notified() => {}
                () = shutdown.drain() => {}
            }
        } else if !found {
            tokio::select! {
                () = remote.room.notified() => staff(&remote),
                () = sleep(&remote.ctx, wanted, &mut queue, &shutdown) => {}
            }
        }
        remote.lanes.tidy();
    }
    stop(&remote, &shutdown).await;
}

fn distribute(remote: &Remote, units: Vec<LeasedUnit>) {
    let plan = remote.ctx.plan.current();
    for unit in units {
        remote
            .lanes
            .push(route::lane(&plan, &unit.destination), unit);
    }
}

/// Starts workers where units wait for one.
fn staff(remote: &Arc<Remote>) {
    let plan = remote.ctx.plan.current();
    let free = plan
        .outbound
        .concurrency
        .max(1)
        .saturating_sub(remote.lanes.workers());
    for key in remote
        .lanes
        .staff(free, plan.outbound.concurrency_per_destination.max(1))
    {
        let worker = Worker {
            remote: remote.clone(),
            key,
            left: false,
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
}

impl Worker {
    async fn run(mut self) {
        let mut session = None;
        loop {
            match self.remote.lanes.next(&self.key) {
                Next::Try(unit) => {
                    if self.remote.lanes.is_low(&self.key) {
                        self.remote.room.notify_one();
                    }
                    self.attempt(*unit, &mut session).await;
                }
                Next::Skip(unit, trouble) => {
                    let fates = vec![Fate::Deferred(trouble); unit.recipients.len()];
                    settle(&self.remote.ctx, *unit, fates).await;
                }
                Next::Done => break,
            }
        }
        self.left = true;
        self.remote.room.notify_one();
        if let Some(session) = session {
            self.remote.ctx.pool.put(session);
        }
    }

    async fn attempt(&self, unit: LeasedUnit, session: &mut Option<outbound::Session>) {
        let ctx = &self.remote.ctx;
        if !ctx.leases.is_held(unit.lease) {
            return;
        }
        let started = Instant::now();
        let plan = ctx.plan.current();
        let fates = outbound::attempt(ctx, &plan, &unit, session).await;
        ctx.metrics
            .attempt
            .observe_duration(Way::Remote, started.elapsed());
        if let Some(trouble) = unreachable(&fates) {
            self.remote
                .lanes
                .mark_dead(&self.key, Instant::now() + DEAD, trouble);
        }
        settle(ctx, unit, fates).await;
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

/// Settles one unit. When the store refuses for long the lease is handed back; what the next server took is then sent twice,
/// which RFC 5321 §6.1 prefers to not at all.
async fn settle(ctx: &Context, unit: LeasedUnit, fates: Vec<Fate>) {
    let plan = ctx.plan.current();
    let mut ended = Ended::new(unit, fates, Vec::new());
    reroute(ctx, &mut ended);
    let settlement = conclude(ctx, &plan, &mut ended).await;
    match write(ctx, vec![settlement])
        .await
        .and_then(|mut results| results.pop())
    {
        Some(Ok(())) => finished(ctx, &ended),
        Some(Err(error)) => {
            if matches!(error, StoreError::LeaseLost) {
                ctx.metrics.leases_lost.inc(());
            }
            tracing::error!(id = %ended.unit.message.id, %error, "failed to settle a unit");
            ctx.leases.release(ctx, ended.unit.lease);
        }
        None => ctx.leases.hand_back(ctx, vec![ended.unit.lease]).await,
    }
}

/// Recipients whose domain became ours since they were queued are queued anew.
fn reroute(ctx: &Context, ended: &mut Ended) {
    use mailpods_store::NewBody;
    use mailpods_store::queue::{Destination, NewRecipient};
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
