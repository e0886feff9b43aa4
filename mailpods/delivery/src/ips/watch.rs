//! What happens to addresses beside the mail: orders, the end of rests, checks that are made again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::life::{Life, Order, Phase};
use mailpods_store::{StoreError, suppression};
use tokio::time::Instant;

use super::choose::is_warming;
use super::seats::short_of;
use super::{Ips, explain, kept, sent};
use crate::context::Context;
use crate::metrics::Stands;

/// How often orders and the ends of rests are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often the names of addresses that send are checked, and of those that do not.
const CHECK: Duration = Duration::from_secs(600);
const CHECK_PENDING: Duration = Duration::from_secs(30);
/// How often what has ended is cleared away.
const TIDY: Duration = Duration::from_secs(3600);
/// Why an order stays that nobody can do.
const GONE: &str = "there is no such OutboundIP";

/// Watches until it is cut.
pub(crate) async fn watch(ctx: Arc<Context>) {
    let mut checked = (Instant::now(), Instant::now());
    let mut tidied = Instant::now();
    loop {
        let plan = ctx.plan.current();
        if tidied.elapsed() >= TIDY {
            tidied = Instant::now();
            tidy(&ctx, &plan).await;
        }
        look(&ctx, &plan, &mut checked).await;
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(ctx: &Context, plan: &Plan, (all, pending): &mut (Instant, Instant)) {
    let ips = &ctx.ips;
    ips.see_off(ctx, plan).await;
    ips.forget_others(plan);
    for ip in plan.outbound_ips.values() {
        ips.admit(ctx, plan, ip).await;
        ips.take_over(ctx, ip).await;
    }
    ips.take_orders(ctx, plan).await;
    ips.end_rests(ctx, plan).await;
    let every = all.elapsed() >= CHECK;
    if every || pending.elapsed() >= CHECK_PENDING {
        *pending = Instant::now();
        ips.keep_tallies(ctx).await;
        if every {
            *all = *pending;
        }
        for ip in plan.outbound_ips.values() {
            if every {
                ips.meet_again(ip);
            }
            if every || ips.is_pending(ip) {
                ips.check(ctx, plan, ip).await;
            }
        }
    }
    ips.look_at_domains(ctx, plan).await;
    ips.ask_lists(ctx, plan).await;
    ips.tell_seats(ctx, plan);
    ips.measure(ctx, plan);
}

async fn tidy(ctx: &Context, plan: &Plan) {
    let (secrets, now) = (ctx.store.secrets.as_ref(), ctx.now());
    if let Err(error) = suppression::tidy(secrets, now).await {
        tracing::warn!(%error, "failed to clear suppressed recipients away");
    }
    if let Err(error) = sent::tidy(secrets, now).await {
        tracing::warn!(%error, "failed to clear old counts of outbound addresses away");
    }
    if let Err(error) = kept::tidy_lives(secrets, plan, now).await {
        tracing::warn!(%error, "failed to clear old states of outbound addresses away");
    }
    if let Err(error) = ctx.ips.tidy_orders(ctx, plan).await {
        tracing::warn!(%error, "failed to clear orders for outbound addresses away");
    }
}

impl Ips {
    /// What is not in the plan is looked at anew should it come back.
    fn forget_others(&self, plan: &Plan) {
        let own: HashSet<String> = plan.outbound_ips.values().map(kept::id).collect();
        self.lives().retain(|id, _| own.contains(id));
        self.met().retain(|id, _| own.contains(id));
        self.views().retain(|id| own.contains(id));
    }

    fn is_pending(&self, ip: &OutboundIp) -> bool {
        let lives = self.lives();
        let life = lives.get(&kept::id(ip));
        life.is_some_and(|life| life.activated.is_none())
    }

    /// An address that a process with another plan has named otherwise since is taken in at the next look, under its name of ours.
    fn meet_again(&self, ip: &OutboundIp) {
        let id = kept::id(ip);
        let is_ours = |life: &Life| life.is_named(ip.hostname.as_str());
        let other = self.lives().get(&id).is_some_and(|life| !is_ours(life));
        if other {
            self.met().remove(&id);
        }
    }

    /// What another process made of an address counts here too.
    pub(super) async fn take_over(&self, ctx: &Context, ip: &OutboundIp) {
        let _keeping = self.keeping.lock().await;
        match kept::life(ctx.store.secrets.as_ref(), ip).await {
            Ok(life) => {
                self.is_read(ip);
                if let Some(life) = life {
                    self.lives().insert(kept::id(ip), life);
                }
            }
            Err(error) if self.is_news(ip, &error) => {
                tracing::warn!(ip = ip.name, %error, "failed to read the state of an outbound address; what was known of it stays");
            }
            Err(_) => {}
        }
    }

    /// Whether it was not told yet that the state of an address cannot be read for that reason.
    pub(super) fn is_news(&self, ip: &OutboundIp, error: &StoreError) -> bool {
        let why = error.to_string();
        let before = self.unread().insert(ip.name.clone(), why.clone());
        before.as_ref() != Some(&why)
    }

    /// The state of an address can be read.
    pub(super) fn is_read(&self, ip: &OutboundIp) {
        if self.unread().remove(&ip.name).is_some() {
            tracing::info!(
                ip = ip.name,
                "the state of an outbound address can be read again"
            );
        }
    }

    pub(super) fn unread(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what operators want.
    pub(super) async fn take_orders(&self, ctx: &Context, plan: &Plan) {
        let secrets = ctx.store.secrets.as_ref();
        let names = kept::ordered(secrets).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to look for orders for outbound addresses");
            Vec::new()
        });
        for name in names {
            let stuck = self.take_order(ctx, plan, &name).await.err();
            let before = match &stuck {
                Some(why) => self.stuck().insert(name.clone(), why.clone()),
                None => self.stuck().remove(&name),
            };
            if let Some(why) = stuck
                && before.as_ref() != Some(&why)
            {
                tracing::error!(ip = name, why, "an order for an outbound address waits");
            }
        }
    }

    pub(super) fn stuck(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one order, once whatever number of processes find it, and takes it away then.
    ///
    /// # Errors
    /// Why it stays.
    async fn take_order(&self, ctx: &Context, plan: &Plan, name: &str) -> Result<(), String> {
        let secrets = ctx.store.secrets.as_ref();
        let unread = |error| {
            format!(
                "{error} (`mailpods ip rest`, `drain`, `activate` or `recheck` puts another one in its place)"
            )
        };
        let Some(waiting) = kept::waiting(secrets, name).await.map_err(unread)? else {
            return Ok(());
        };
        let known = plan.outbound_ips.get(name);
        let ip = known.ok_or_else(|| GONE.to_owned())?;
        let (now, number) = (ctx.now(), waiting.number);
        let obey = |life: &mut Life| {
            if number.is_some() && life.obeyed == number {
                return None;
            }
            life.obeyed = number;
            Some(life.order(&waiting.order, now))
        };
        let done = self.try_change(ctx, ip, obey).await;
        done.map_err(|error| error.to_string())?;
        if matches!(waiting.order, Order::Activate | Order::Recheck) {
            // Where the address is not there the first is not enough, and what the second finds counts at once.
            self.check(ctx, plan, ip).await;
        }
        let taken = kept::taken(secrets, name, &waiting).await;
        taken.map_err(|error| error.to_string())
    }

    /// Orders for addresses that are not there any more go with the time.
    pub(super) async fn tidy_orders(&self, ctx: &Context, plan: &Plan) -> Result<(), StoreError> {
        let secrets = ctx.store.secrets.as_ref();
        let gone = |(name, why): (&String, &String)| {
            (why == GONE && !plan.outbound_ips.contains_key(name)).then(|| name.clone())
        };
        let gone: Vec<String> = self.stuck().iter().filter_map(gone).collect();
        for name in gone {
            if let Some(waiting) = kept::waiting(secrets, &name).await? {
                kept::taken(secrets, &name, &waiting).await?;
            }
            self.stuck().remove(&name);
        }
        Ok(())
    }

    pub(super) async fn end_rests(&self, ctx: &Context, plan: &Plan) {
        let now = ctx.now();
        for ip in plan.outbound_ips.values() {
            let tick = |life: &mut Life| {
                let goes_on = is_warming(ip, life, now);
                let mut changes = life.tick(now);
                changes.extend(life.warm(goes_on));
                changes
            };
            self.change(ctx, ip, tick).await;
        }
    }

    pub(super) fn measure(&self, ctx: &Context, plan: &Plan) {
        let now = ctx.now();
        let phases: Vec<Stands> = {
            let lives = self.lives();
            let known = plan.outbound_ips.values();
            let known: Vec<(&OutboundIp, &Life)> = known
                .filter_map(|ip| Some((ip, lives.get(&kept::id(ip))?)))
                .collect();
            let waiting = explain::waiting(&known, plan.outbound.min_standby, now);
            let stands = known.into_iter().map(|(ip, life)| {
                // What is known is of another name: it does not send under this one.
                if !life.is_named(ip.hostname.as_str()) {
                    return Stands(Some(Phase::Pending));
                }
                let waits = waiting.contains(&ip.address);
                let is_drained = life.drained && life.activated.is_some();
                Stands((!is_drained).then(|| explain::overall(ip, life, waits, now)))
            });
            stands.collect()
        };
        for stands in Phase::ALL.map(Some).into_iter().chain([None]).map(Stands) {
            let count = phases.iter().filter(|other| **other == stands).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ctx.metrics.addresses.set(stands, count);
        }
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let short = short_of(plan, &self.lives(), now).len();
        ctx.metrics.short.set((), count(short));
        ctx.metrics.listed.set((), count(self.listed(plan)));
        ctx.metrics.hidden.set((), count(self.hidden()));
    }

    /// Addresses that block lists name.
    fn listed(&self, plan: &Plan) -> usize {
        let lives = self.lives();
        let listed = |ip: &&OutboundIp| {
            lives
                .get(&kept::id(ip))
                .is_some_and(|life| !life.listed.is_empty())
        };
        plan.outbound_ips.values().filter(listed).count()
    }
}
