//! The shares of this process in what providers take at once, where several processes send.
//!
//! What a provider takes, and how much of that this process may use, is leased from the store for some seconds (`ShareStore`): workers
//! ask nobody. A process that dies leaves its share to the others when the lease ends; one that the store does not answer has none
//! then. Where one process has the store to itself, the limits of `Ips` are all there is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_plan::Plan;
use mailpods_store::ShareStore;
use mailpods_store::shares::{Ask, MAX_ASKS, Share};
use ring::digest::{SHA256, digest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lanes::{LaneKey, Need};
use super::remote::Remote;
use crate::context::Context;
use crate::outbound::route;

/// How long a share lasts that nobody asks for again.
const HOLD: Duration = Duration::from_secs(15);
/// How often shares are asked for, and how soon when more is needed.
const RENEW: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_millis(500);
/// What is missing within this time is asked for at once.
const GATHER: Duration = Duration::from_millis(5);

/// Begins the keys of lanes that have one connection.
pub(crate) const SERIAL: &str = "serial://";

/// A share.
#[derive(Debug, Clone, Copy)]
struct Held {
    granted: usize,
    until: Instant,
    /// The limit of all together as the store last told it.
    level: f64,
    /// The end of the lease as the store told it.
    told: i64,
    /// The limit of this process when it asked and got no answer: until one comes nothing else is asked, or what was learned might
    /// count twice.
    unanswered: Option<f64>,
}

impl Held {
    /// Whether there may be more for who needs it: by what the store told, or by what this process, at `level` now, has learned since.
    fn is_short(&self, need: Need, level: f64) -> bool {
        need.all() > self.granted && (self.granted as f64) < self.level.max(level).floor()
    }

    fn counts(&self, now: Instant) -> bool {
        self.until > now
    }
}

/// How it stands with the question to the store.
#[derive(Debug, Default)]
struct Asking {
    /// It is under way: the store goes by the workers that it was told of, and no more are started.
    now: bool,
    /// When it was last asked.
    last: Option<Instant>,
    /// It did not answer.
    failed: bool,
}

/// The shares that this process holds, by what is limited.
#[derive(Default)]
pub(crate) struct Shares {
    held: Mutex<HashMap<String, Held>>,
    asking: Mutex<Asking>,
    /// More workers may be at work than this process has a share for.
    over: AtomicBool,
    /// Somebody needs a share.
    needed: Notify,
}

impl Shares {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts workers, unless the store is just counting them.
    pub(crate) fn start<T: Default>(&self, start: impl FnOnce() -> T) -> T {
        let asking = self.asking();
        match asking.now {
            true => T::default(),
            false => start(),
        }
    }

    fn granted(&self, key: &str) -> usize {
        let now = Instant::now();
        let held = self.held();
        let held = held.get(key).filter(|held| held.counts(now));
        held.map_or(0, |held| held.granted)
    }

    /// Remembers what was asked when no answer came.
    fn unanswered(&self, wanted: &[Wanted]) {
        let mut held = self.held();
        for wanted in wanted {
            if let Some(held) = held.get_mut(&wanted.ask.key) {
                held.unanswered.get_or_insert(wanted.level);
            }
        }
    }

    /// Whether workers should look if they are too many.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Asks the store soon where a share is missing, or too small and others may have let go.
    fn note(&self, needs: &HashMap<String, Need>, level: impl Fn(&str) -> f64) {
        let now = Instant::now();
        let rested = {
            let asking = self.asking();
            let last = asking.last;
            let rested = last.is_none_or(|last| now.duration_since(last) >= SOON);
            if asking.failed && !rested {
                return;
            }
            rested
        };
        let held = self.held();
        let lacks = needs.iter().any(|(key, need)| match held.get(key) {
            Some(held) if held.counts(now) => rested && held.is_short(*need, level(key)),
            _ => need.all() > 0,
        });
        if lacks {
            self.needed.notify_one();
        }
    }
}

/// What limits a lane, and how many workers all lanes with that limit may have here now; `None`: nothing is known of it yet.
pub(crate) fn limit(ctx: &Context, plan: &Plan, lane: &LaneKey) -> Option<(String, usize)> {
    if route::is_serial_lane(plan, lane) {
        return Some(serial_limit(ctx, &lane.0));
    }
    let shared = ctx.store.shares.is_some();
    let key = match ctx.ips.provider(&lane.0) {
        Some(_) if !shared => return ctx.ips.limit(plan, &lane.0),
        Some(provider) => provider,
        // One goes ahead and finds out whose servers they are; it sends nothing where that can be told.
        None if route::is_domain(lane) => return Some((format!("?{}", lane.0), 1)),
        None if !shared => return None,
        None => next_hop(&lane.0),
    };
    let granted = ctx.shares.granted(&key);
    Some((key, granted))
}

/// That of a lane that has one connection, whatever its provider takes; among all processes, where there are several.
fn serial_limit(ctx: &Context, lane: &str) -> (String, usize) {
    let key = format!("{SERIAL}{}", digest_of(lane));
    let most = match ctx.store.shares.is_some() {
        true => ctx.shares.granted(&key).min(1),
        false => 1,
    };
    (key, most)
}

/// The key of a lane that leads to a fixed next hop. Its name has a user name in it, which may be of any length and of any characters: a
/// tenant's must not keep the store from answering for all others, and is nobody's business there.
fn next_hop(lane: &str) -> String {
    format!("hop://{}", digest_of(lane))
}

fn digest_of(lane: &str) -> String {
    let digest = digest(&SHA256, lane.as_bytes());
    let octets = digest.as_ref().iter();
    octets.fold(String::new(), |text, octet| format!("{text}{octet:02x}"))
}

/// Whether it is not known yet what limits a lane.
pub(crate) fn is_unknown(ctx: &Context, lane: &LaneKey) -> bool {
    route::is_domain(lane) && ctx.ips.provider(&lane.0).is_none()
}

/// What is needed now by what it is limited by.
fn needs(remote: &Remote, plan: &Plan) -> HashMap<String, Need> {
    let ctx = &remote.ctx;
    let limits = |lane: &LaneKey| limit(ctx, plan, lane);
    let mut needs = remote.lanes.needs(&limits);
    needs.retain(|key, _| !key.starts_with('?'));
    needs
}

/// Has shares asked for that are missing.
pub(crate) fn note(remote: &Remote, plan: &Plan) {
    let ctx = &remote.ctx;
    if ctx.store.shares.is_some() {
        let level = |key: &str| ctx.ips.level(plan, key).0;
        ctx.shares.note(&needs(remote, plan), level);
    }
}

/// Keeps the shares until it is cut.
pub(crate) async fn run(remote: Arc<Remote>) {
    let Some(store) = remote.ctx.store.shares.clone() else {
        return;
    };
    let mut next = Instant::now();
    loop {
        // What is missing does not put the others off.
        let whole = Instant::now() >= next;
        if whole {
            next = Instant::now() + RENEW;
        } else {
            tokio::select! {
                () = tokio::time::sleep_until(next) => continue,
                () = remote.ctx.shares.needed.notified() => tokio::time::sleep(GATHER).await,
            }
        }
        if renew(&remote, store.as_ref(), whole).await {
            remote.room.notify_one();
        }
    }
}

/// Gives all shares back.
pub(crate) async fn give_back(ctx: &Context) {
    let Some(store) = &ctx.store.shares else {
        return;
    };
    ctx.shares.held().clear();
    if let Err(error) = store.give_back(&ctx.worker).await {
        tracing::warn!(%error, "failed to give shares of providers back; they run out by themselves");
    }
}

/// What is asked for, and the limit of this process at that time.
struct Wanted {
    ask: Ask,
    workers: usize,
    level: f64,
}

/// Asks for all shares that are needed or held, or for those alone that are missing. True when workers may be started.
async fn renew(remote: &Remote, store: &dyn ShareStore, whole: bool) -> bool {
    let ctx = &remote.ctx;
    let (plan, begun) = (ctx.plan.current(), Instant::now());
    let wanted = {
        let mut asking = ctx.shares.asking();
        let wanted = wanted(remote, &plan, whole);
        if wanted.is_empty() {
            return false;
        }
        (asking.now, asking.last) = (true, Some(begun));
        wanted
    };
    let asks = wanted.iter().map(|wanted| wanted.ask.clone()).collect();
    let answer = store.share(&ctx.worker, asks, HOLD).await;
    let failed = answer.is_err();
    let more = match answer {
        Ok(shares) => {
            let (over, more) = take(ctx, &plan, begun + HOLD, wanted.iter().zip(shares));
            if whole || over {
                ctx.shares.over.store(over, Ordering::Relaxed);
            }
            more
        }
        Err(error) => {
            tracing::warn!(%error, "failed to ask for shares of providers; those of before run out");
            ctx.shares.unanswered(&wanted);
            ctx.shares.over.store(true, Ordering::Relaxed);
            // What was not started meanwhile may be, by the shares of before.
            true
        }
    };
    let mut asking = ctx.shares.asking();
    (asking.now, asking.failed) = (false, failed);
    more
}

fn wanted(remote: &Remote, plan: &Plan, whole: bool) -> Vec<Wanted> {
    let ctx = &remote.ctx;
    let mut needs = needs(remote, plan);
    let held = ctx.shares.held();
    if whole {
        for key in held.keys() {
            // What is not needed any more is let go of.
            needs.entry(key.clone()).or_default();
        }
    } else {
        let now = Instant::now();
        needs.retain(|key, need| match held.get(key) {
            Some(held) if held.counts(now) => held.is_short(*need, ctx.ips.level(plan, key).0),
            _ => need.all() > 0,
        });
    }
    let wanted = needs.into_iter().map(|(key, need)| {
        let (level, ceiling) = ctx.ips.level(plan, &key);
        let before = held.get(&key).map_or(level, |held| held.level);
        let unanswered = held.get(&key).and_then(|held| held.unanswered);
        let level = unanswered.unwrap_or(level);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let ask = Ask {
            wanted: count(need.all().min(ceiling)),
            // Idle ones count: the provider has them too.
            used: count(need.workers.max(ctx.ips.open.of(&key))),
            ceiling: count(ceiling),
            first: level,
            factor: level / before,
            again: unanswered.and_then(|_| held.get(&key).map(|held| held.told)),
            key,
        };
        Wanted {
            ask,
            workers: need.workers,
            level,
        }
    });
    wanted.take(MAX_ASKS).collect()
}

/// Takes shares over: whether some are less than what is at work, and whether more may be at work.
fn take<'a>(
    ctx: &Context,
    plan: &Plan,
    until: Instant,
    shares: impl Iterator<Item = (&'a Wanted, Share)>,
) -> (bool, bool) {
    let (mut over, mut more) = (false, false);
    let mut held = ctx.shares.held();
    for (wanted, share) in shares {
        let Wanted {
            ask,
            workers,
            level,
        } = wanted;
        let granted = share.granted as usize;
        ctx.ips.adopt(plan, &ask.key, share.level / level);
        if ask.wanted == 0 && ask.used == 0 {
            held.remove(&ask.key);
            continue;
        }
        over |= granted < *workers;
        more |= granted > *workers && ask.wanted as usize > *workers;
        ctx.pool.make_room(&ctx.ips.open, &ask.key, granted + 1);
        let new = Held {
            granted,
            until,
            level: share.level,
            told: share.until,
            unanswered: None,
        };
        held.insert(ask.key.clone(), new);
    }
    (over, more)
}

#[cfg(test)]
mod tests;
