//! Messages, time, and what becomes of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mailpods_policy::outbound::provider::Profiles;
use mailpods_policy::retry::{Attempted, Decision, Schedule};

use super::Options;
use super::receiver::{NATURES, Reply, Standing};
use super::sender::{ADDRESSES, Choice, Habit, Sender, is_new};

const HOUR: i64 = 3_600_000;
/// Messages come for so long.
const ARRIVALS: i64 = 12 * HOUR;
/// The sender whose account is stolen, and when.
const TENANTS: u64 = 200;
const STOLEN: u16 = 0;
const STOLEN_FROM: i64 = 3 * HOUR;
const STOLEN_UNTIL: i64 = 4 * HOUR;

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.roll() % most
    }
}

struct Message {
    created: i64,
    provider: u8,
    unwanted: bool,
    tenant: u16,
    attempts: u32,
    delivered: i64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It is due.
    Due(usize),
    /// An attempt from this address ends; 0 delivered, 1 deferred, 2 refused for good.
    Done(usize, u8),
}

/// What came out.
pub struct Result {
    pub habit: Habit,
    /// Waits of delivered messages, sorted, in milliseconds.
    pub waits: Vec<i64>,
    pub attempts: u64,
    pub refused: u64,
    pub returned: u64,
    /// Hours that addresses were refused, over all providers.
    pub blocked_hours: i64,
    /// The longest wait within the hour of the theft, of those who have nothing to do with it: 99th percentile.
    pub others_wait: i64,
}

pub struct World<'a> {
    profiles: &'a Profiles,
    habit: Habit,
    messages: Vec<Message>,
    senders: Vec<Sender>,
    /// By provider, then by address.
    standings: Vec<Vec<Standing>>,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    dice: Dice,
    attempts: u64,
    refused: u64,
    returned: u64,
}

impl<'a> World<'a> {
    pub fn new(options: &Options, habit: Habit, profiles: &'a Profiles) -> Self {
        let mut dice = Dice(options.seed);
        let messages: Vec<Message> = (0..options.messages).map(|_| message(&mut dice)).collect();
        let due = |(at, message): (usize, &Message)| Reverse((message.created, Event::Due(at)));
        let events = messages.iter().enumerate().map(due).collect();
        // One address has a bad name from before at the three largest.
        let standing = |provider: usize, address: usize| match (provider, address) {
            (0..3, 5) => Standing::new(0.5, 1.0),
            _ if is_new(address) => Standing::new(0.7, 0.01),
            _ => Standing::new(0.9, 1.0),
        };
        Self {
            profiles,
            habit,
            messages,
            senders: (0..NATURES.len())
                .map(|provider| Sender::new(habit, provider, profiles))
                .collect(),
            standings: (0..NATURES.len())
                .map(|provider| {
                    (0..ADDRESSES)
                        .map(|address| standing(provider, address))
                        .collect()
                })
                .collect(),
            events,
            dice,
            attempts: 0,
            refused: 0,
            returned: 0,
        }
    }

    pub fn run(mut self) -> Result {
        while let Some(Reverse((now, event))) = self.events.pop() {
            let provider = match event {
                Event::Due(at) => {
                    let message = &self.messages[at];
                    let provider = usize::from(message.provider);
                    self.senders[provider].push(message.tenant, at);
                    provider
                }
                Event::Done(at, outcome) => self.done(at, outcome, now),
            };
            self.pump(provider, now);
        }
        self.result()
    }

    fn pump(&mut self, provider: usize, now: i64) {
        while let Some(at) = self.senders[provider].pop() {
            let random = self.dice.roll();
            match self.senders[provider].choose(self.messages[at].created, random, now) {
                Choice::Send(address) => self.attempt(at, provider, address, now),
                Choice::Wait(until) => self.events.push(Reverse((until, Event::Due(at)))),
            }
        }
    }

    fn attempt(&mut self, at: usize, provider: usize, address: usize, now: i64) {
        self.attempts += 1;
        let nature = &NATURES[provider];
        let outcome =
            self.standings[provider][address].take(nature, self.messages[at].unwanted, now);
        self.refused += u64::from(outcome.is_err());
        let spared = self.senders[provider].learn(self.profiles, address, &outcome, now);
        self.senders[provider].in_flight += 1;
        let code = match outcome {
            Ok(()) => 0,
            Err(Reply { code: 500.., .. }) if !spared => 2,
            Err(_) => 1,
        };
        self.events
            .push(Reverse((now + nature.latency, Event::Done(at, code))));
    }

    fn done(&mut self, at: usize, outcome: u8, now: i64) -> usize {
        let provider = usize::from(self.messages[at].provider);
        self.senders[provider].in_flight -= 1;
        match outcome {
            0 => self.messages[at].delivered = now,
            1 => self.retry(at, now),
            _ => self.returned += 1,
        }
        provider
    }

    fn retry(&mut self, at: usize, now: i64) {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let schedule = Schedule {
            initial: Duration::from_secs(300),
            longest: hours(4),
            max_age: hours(120),
            delay_warning: None,
        };
        let [a, b, c, d, ..] = self.dice.roll().to_le_bytes();
        let message = &mut self.messages[at];
        let decision = schedule.decide(Attempted {
            created: message.created,
            now,
            attempts: message.attempts,
            warned: true,
            random: u32::from_le_bytes([a, b, c, d]),
        });
        message.attempts += 1;
        match decision {
            Decision::Retry { at: next, .. } => {
                self.events.push(Reverse((next, Event::Due(at))));
            }
            Decision::GiveUp => self.returned += 1,
        }
    }

    fn result(self) -> Result {
        let delivered = |message: &&Message| message.delivered > 0;
        let wait = |message: &Message| message.delivered - message.created;
        let mut waits: Vec<i64> = self.messages.iter().filter(delivered).map(wait).collect();
        waits.sort_unstable();
        let others = |message: &&Message| {
            message.tenant != STOLEN && (STOLEN_FROM..STOLEN_UNTIL).contains(&message.created)
        };
        let mut of_others: Vec<i64> = self
            .messages
            .iter()
            .filter(delivered)
            .filter(others)
            .map(wait)
            .collect();
        of_others.sort_unstable();
        let blocked: i64 = self
            .standings
            .iter()
            .flatten()
            .map(|standing| standing.blocked_for)
            .sum();
        Result {
            habit: self.habit,
            others_wait: percentile(&of_others, 99),
            waits,
            attempts: self.attempts,
            refused: self.refused,
            returned: self.returned,
            blocked_hours: blocked / HOUR,
        }
    }
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

/// A message; one in twenty comes from the stolen account, all within its hour, and many of those are complained of.
fn message(dice: &mut Dice) -> Message {
    let stolen = dice.below(20) == 0;
    let span = |from: i64, until: i64, dice: &mut Dice| {
        from + i64::try_from(dice.below((until - from).unsigned_abs())).unwrap_or(0)
    };
    let (created, tenant, complaints) = if stolen {
        (span(STOLEN_FROM, STOLEN_UNTIL, dice), STOLEN, 100)
    } else {
        let tenant = 1 + dice.below(TENANTS);
        (
            span(0, ARRIVALS, dice),
            u16::try_from(tenant).unwrap_or(1),
            2,
        )
    };
    let mut left = dice.below(1_000);
    let provider = NATURES.iter().position(|nature| {
        let here = left < nature.share;
        left = left.wrapping_sub(if here { 0 } else { nature.share });
        here
    });
    Message {
        created,
        provider: provider.and_then(|at| u8::try_from(at).ok()).unwrap_or(0),
        unwanted: dice.below(1_000) < complaints,
        tenant,
        attempts: 0,
        delivered: 0,
    }
}
