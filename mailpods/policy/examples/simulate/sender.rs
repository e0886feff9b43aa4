//! The ways of sending that are compared.

use std::collections::VecDeque;
use std::time::Duration;

use mailpods_policy::outbound::choose::{self, Balance, Member, Turn};
use mailpods_policy::outbound::classify::{Blame, Heard};
use mailpods_policy::outbound::hotness::{Counts, Thresholds};
use mailpods_policy::outbound::life::{Check, Finding, Life, Rest};
use mailpods_policy::outbound::provider::Profiles;
use mailpods_policy::outbound::shape::{Concurrency, Fair, Feedback};
use mailpods_policy::outbound::warmup::{self, Ramp};

use super::receiver::{NATURES, Reply};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The addresses: so many, the last of them for standby where there is one, and so many new ones at the end.
pub const ADDRESSES: usize = 20;
const STANDBY: usize = 4;
pub const NEW: usize = 2;
const RAMP: Ramp = Ramp {
    initial: 200,
    duration: Duration::from_secs(30 * 86_400),
};

/// A way of sending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Every address in turn, twenty connections to each provider.
    Turns,
    /// The same with ten connections, and each address sends each provider no more an hour than seven tenths of what a good one may.
    FixedLimits,
    /// The policies of this crate.
    Mailpods,
}

impl Habit {
    pub const fn title(self) -> &'static str {
        match self {
            Self::Turns => "round-robin",
            Self::FixedLimits => "static limits",
            Self::Mailpods => "mailpods",
        }
    }
}

/// Where a message goes next.
pub enum Choice {
    /// From this address now.
    Send(usize),
    /// Not before then.
    Wait(i64),
}

/// The state of the sending side for one provider.
pub struct Sender {
    habit: Habit,
    provider: usize,
    count: u64,
    in_turn: VecDeque<usize>,
    fair: Fair<u16, usize>,
    pub in_flight: usize,
    concurrency: Concurrency,
    lives: Vec<Life>,
    windows: Vec<Window>,
    /// For fixed limits: when an address may send next.
    next: Vec<i64>,
    /// For warm-up: the day and what was sent on it.
    today: Vec<(i64, u64)>,
    pub short: u64,
}

impl Sender {
    pub fn new(habit: Habit, provider: usize, profiles: &Profiles) -> Self {
        let mut life = Life::default();
        life.gate(&[(Check::ReverseName, Finding::Passed)], 0);
        Self {
            habit,
            provider,
            count: 0,
            in_turn: VecDeque::new(),
            fair: Fair::new(1),
            in_flight: 0,
            concurrency: Concurrency::new(profiles.profile(NATURES[provider].name).connections),
            lives: vec![life; ADDRESSES],
            windows: vec![Window::default(); ADDRESSES],
            next: vec![0; ADDRESSES],
            today: vec![(0, 0); ADDRESSES],
            short: 0,
        }
    }

    pub fn push(&mut self, tenant: u16, message: usize) {
        if self.habit == Habit::Mailpods {
            self.fair.push(tenant, 1, message);
        } else {
            self.in_turn.push_back(message);
        }
    }

    pub fn pop(&mut self) -> Option<usize> {
        let most = match self.habit {
            Habit::Turns => 20,
            Habit::FixedLimits => 10,
            Habit::Mailpods => self.concurrency.limit(),
        };
        if self.in_flight >= most {
            return None;
        }
        self.in_turn.pop_front().or_else(|| self.fair.pop())
    }

    pub fn choose(&mut self, created: i64, random: u64, now: i64) -> Choice {
        self.count += 1;
        match self.habit {
            Habit::Turns => Choice::Send(self.turn()),
            Habit::FixedLimits => self.fixed(now),
            Habit::Mailpods => self.policy(created, random, now),
        }
    }

    fn turn(&self) -> usize {
        usize::try_from(self.count % ADDRESSES as u64).unwrap_or(0)
    }

    fn fixed(&mut self, now: i64) -> Choice {
        #[expect(clippy::cast_possible_truncation, reason = "a few seconds")]
        let step = (HOUR as f64 / NATURES[self.provider].per_hour / 0.7) as i64;
        let address = self.turn();
        if self.next[address] > now {
            return Choice::Wait(self.next[address]);
        }
        self.next[address] = now + step;
        Choice::Send(address)
    }

    fn policy(&mut self, created: i64, random: u64, now: i64) -> Choice {
        let name = NATURES[self.provider].name;
        for life in &mut self.lives {
            life.tick(now);
        }
        let members: Vec<Member> = self
            .lives
            .iter()
            .enumerate()
            .map(|(at, life)| Member {
                usable: life.is_usable(name, now),
                on_probation: life.is_on_probation(name, now),
                standby: is_standby(at),
                weight: 1,
                id: at as u64,
            })
            .collect();
        let seats = choose::seats(&members, 1);
        self.short += u64::from(seats.short);
        let turn = Turn {
            count: self.count,
            random,
            message: random,
        };
        let order = Balance::RoundRobin.order(&members, &seats.sending, turn);
        let found = order.iter().copied().find(|at| self.has_room(*at, now));
        let impatient = || {
            order
                .first()
                .copied()
                .filter(|_| warmup::is_out_of_patience(created, now))
        };
        let back = || {
            let rests = self.lives.iter();
            rests.filter_map(|life| life.rests_until(name, now)).min()
        };
        // All rest: the message waits for the first that is back. All are new and full: it waits a little.
        found.or_else(impatient).map_or_else(
            || {
                let jitter = i64::try_from(random % 60_000).unwrap_or(0);
                Choice::Wait(back().filter(|_| order.is_empty()).unwrap_or(now + 300_000) + jitter)
            },
            Choice::Send,
        )
    }

    /// Whether a new address may send one more today.
    fn has_room(&mut self, address: usize, now: i64) -> bool {
        let Some(allowance) = is_new(address).then(|| RAMP.allowance(0, now)).flatten() else {
            return true;
        };
        let (day, sent) = &mut self.today[address];
        if *day != now / DAY {
            (*day, *sent) = (now / DAY, 0);
        }
        *sent += u64::from(*sent < allowance);
        *sent < allowance
    }

    /// What came of an attempt. True when a refusal for good is none, because another address may do.
    pub fn learn(
        &mut self,
        profiles: &Profiles,
        address: usize,
        outcome: &Result<(), Reply>,
        now: i64,
    ) -> bool {
        if self.habit != Habit::Mailpods {
            return false;
        }
        let name = NATURES[self.provider].name;
        let blame = outcome.as_ref().err().map(|reply| {
            let heard = Heard {
                code: reply.code,
                enhanced: reply.enhanced,
                text: reply.text,
                stage: reply.stage,
            };
            profiles.classify(name, &heard).blame
        });
        let counts = self.windows[address].count(blame == Some(Blame::Ip), now);
        self.concurrency.feed(match blame {
            Some(Blame::Rate | Blame::Ip) => Feedback::Refused,
            _ => Feedback::Delivered,
        });
        let life = &mut self.lives[address];
        if blame == Some(Blame::Ip)
            && Thresholds::default().is_hot(counts, life.is_on_probation(name, now))
        {
            let least = u64::from(profiles.profile(name).rest_minutes) * 60;
            let rest = Rest {
                cool_down: Duration::from_secs(least.max(1_800)),
                longest: Duration::from_secs(86_400),
            };
            life.refused(name, rest, "", now);
            self.windows[address] = Window::default();
        }
        blame == Some(Blame::Ip)
    }
}

/// Those for standby come before the new ones, which are meant to send.
fn is_standby(address: usize) -> bool {
    (ADDRESSES - NEW - STANDBY..ADDRESSES - NEW).contains(&address)
}

/// Whether an address has no history anywhere.
pub const fn is_new(address: usize) -> bool {
    address >= ADDRESSES - NEW
}

/// Counts in two adjoining windows, the older one by the part that still lies within a window's length, as the store does.
#[derive(Clone, Default)]
struct Window {
    index: i64,
    current: Counted,
    previous: Counted,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    refused: u64,
    tried: u64,
}

impl Window {
    fn count(&mut self, refused: bool, now: i64) -> Counts {
        let length = i64::try_from(Thresholds::default().window.as_millis()).unwrap_or(HOUR);
        match now / length - self.index {
            0 => {}
            1 => (self.previous, self.current) = (self.current, Counted::default()),
            _ => (self.previous, self.current) = (Counted::default(), Counted::default()),
        }
        self.index = now / length;
        self.current.tried += 1;
        self.current.refused += u64::from(refused);
        let left = u64::try_from(length - now % length).unwrap_or(0);
        let weighted = |current: u64, previous: u64| {
            current + (previous * left).div_ceil(length.unsigned_abs())
        };
        Counts {
            refused: weighted(self.current.refused, self.previous.refused),
            tried: weighted(self.current.tried, self.previous.tried),
        }
    }
}
