//! Asks block lists for the own addresses (RFC 5782), through the configured resolver alone.
//!
//! A list is asked for an address once in an interval by all processes together, a few look-ups a second at most, and only when
//! its test entries say that it can be believed. What is no statement changes nothing.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_net::dns::{Family, Resolver};
use mailpods_plan::{BlockList, BlockLists, OutboundIp, Plan};
use mailpods_policy::outbound::blocklist::{ALWAYS, NEVER, Word, believe, name, read};
use mailpods_policy::outbound::life::Listing;
use mailpods_store::tokens::{Take, Taken};

use super::{Ips, gate, kept};
use crate::context::Context;
use crate::metrics::Asked;

/// Questions that may begin in one look, which comes every second.
const A_LOOK: usize = 2;
/// How often one process may look whether another has asked, in milliseconds.
const LEAST_WAIT: i64 = 60_000;

/// When which list is asked again for which address: by this process; and which lists were complained about.
#[derive(Debug, Default)]
pub(super) struct Turns {
    next: HashMap<(String, String), i64>,
    silent: HashMap<String, String>,
}

impl Ips {
    fn turns_of_lists(&self) -> MutexGuard<'_, Turns> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what is due, and forgets the word of lists that are not asked any more.
    pub(super) async fn ask_lists(&self, ctx: &Context, plan: &Plan) {
        let public = plan
            .outbound_ips
            .values()
            .filter(|ip| gate::is_public(ip.address));
        let mut left = A_LOOK;
        for ip in public {
            self.drop_lists(ctx, plan, ip).await;
            let Some(lists) = &plan.outbound.block_lists else {
                continue;
            };
            for list in &lists.zones {
                if left > 0 && self.is_turn(ctx, ip, list, lists).await {
                    left -= 1;
                    self.ask(ctx, ip, list).await;
                }
            }
        }
    }

    /// Whether this process asks now: counted for all, so that a list is asked no more often than is wanted.
    async fn is_turn(
        &self,
        ctx: &Context,
        ip: &OutboundIp,
        list: &BlockList,
        lists: &BlockLists,
    ) -> bool {
        let now = ctx.now();
        {
            let mut turns = self.turns_of_lists();
            let key = (kept::id(ip), list.zone.clone());
            let next = turns.next.entry(key).or_insert(0);
            if *next > now {
                return false;
            }
            let interval = i64::try_from(lists.interval.as_millis()).unwrap_or(i64::MAX);
            *next = now.saturating_add(LEAST_WAIT.min(interval));
        }
        let take = Take {
            key: format!("outbound/{}/list/{}", kept::id(ip), list.zone),
            amount: 1,
            limit: 1,
            window: lists.interval.max(Duration::from_millis(1)),
        };
        match ctx.store.tokens.take(vec![take], now).await {
            Ok(taken) => taken == Taken::Granted,
            Err(error) => {
                tracing::warn!(ip = ip.name, zone = list.zone, %error, "failed to count a question to a block list");
                false
            }
        }
    }

    async fn ask(&self, ctx: &Context, ip: &OutboundIp, list: &BlockList) {
        let word = word(ctx.resolver.as_ref(), ip, list).await;
        ctx.metrics.asked.inc(Asked::of(&word));
        let now = ctx.now();
        match word {
            Word::Listed(answer) => {
                self.hear_list(list, None);
                let listing = Listing {
                    since: now,
                    answer,
                    rests: list.rests,
                };
                self.change(ctx, ip, |life| life.list(&list.zone, listing.clone(), now))
                    .await;
            }
            Word::Clear => {
                self.hear_list(list, None);
                self.change(ctx, ip, |life| life.unlist(&list.zone, now))
                    .await;
            }
            Word::Nothing(why) => self.hear_list(list, Some(why)),
        }
    }

    /// A list that says nothing is told of once, and again when it says something else.
    fn hear_list(&self, list: &BlockList, silent: Option<String>) {
        let mut turns = self.turns_of_lists();
        match silent {
            None => drop(turns.silent.remove(&list.zone)),
            Some(why) => {
                if turns.silent.get(&list.zone) != Some(&why) {
                    tracing::warn!(zone = list.zone, why, "a block list gives no answer");
                    turns.silent.insert(list.zone.clone(), why);
                }
            }
        }
    }

    async fn drop_lists(&self, ctx: &Context, plan: &Plan, ip: &OutboundIp) {
        let asked = |zone: &str| {
            let lists = plan.outbound.block_lists.as_ref();
            lists.is_some_and(|lists| lists.zones.iter().any(|list| list.zone == zone))
        };
        let gone: Vec<String> = {
            let lives = self.lives();
            let listed = lives
                .get(&kept::id(ip))
                .map(|life| life.listed.keys().cloned());
            listed
                .into_iter()
                .flatten()
                .filter(|zone| !asked(zone))
                .collect()
        };
        for zone in gone {
            let now = ctx.now();
            self.change(ctx, ip, |life| life.unlist(&zone, now)).await;
        }
    }
}

/// What a list says of an address. The list's test entries are asked first: RFC 5782 §5.
async fn word(resolver: &dyn Resolver, ip: &OutboundIp, list: &BlockList) -> Word {
    let zone = &list.zone;
    let always = entry(resolver, &name(ALWAYS, zone), list).await;
    let never = entry(resolver, &name(NEVER, zone), list).await;
    match believe(&always, &never) {
        Ok(()) => entry(resolver, &name(ip.address, zone), list).await,
        Err(why) => Word::Nothing(why),
    }
}

async fn entry(resolver: &dyn Resolver, name: &str, list: &BlockList) -> Word {
    match resolver.addresses(name, Family::V4).await {
        Ok(answers) => read(&answers, |answer| list.ignores(answer)),
        Err(error) if error.is_negative() => Word::Clear,
        Err(error) => Word::Nothing(error.to_string()),
    }
}
