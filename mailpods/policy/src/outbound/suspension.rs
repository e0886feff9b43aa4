//! When an account may not send any more: too much at once, or too many receivers that speak against it.
//!
//! An account is somebody's log-in: nothing else that leaves from here is a sender of ours. What is counted is counted for all
//! processes together; [`Pending`] keeps what a process has not handed in yet, so that counting costs no look at the store for each
//! message.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::classify::{Blame, Bounce, Class};

/// Accounts that are suspended at once, or were a moment ago.
pub const MAX_SUSPENDED: usize = 10_000;
/// How long the end of a suspension is remembered, in milliseconds: until every process has heard of it.
pub const REMEMBERED: i64 = 10_000;
/// Parts in which a limit is handed in.
const STEPS: u64 = 16;

/// When an account is suspended, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Recipients that it submits.
    pub burst: Most,
    /// What receivers answer.
    pub verdicts: Verdicts,
    /// Complaints about its mail.
    pub complaints: Most,
    /// How long; zero: until it is released.
    pub length: Duration,
}

/// No more than so many in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Most {
    /// So many are fine; zero: they are not counted.
    pub most: u64,
    /// The time that is looked at.
    pub within: Duration,
}

/// Refusals that speak against an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdicts {
    /// So many at least; zero: they are not counted.
    pub refusals: u64,
    /// And of a hundred answers at least so many.
    pub percent: u64,
    /// The time that is looked at.
    pub within: Duration,
}

/// What was counted of an account within the time that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Recipients that it submitted.
    Recipients(u64),
    /// What receivers answered for its recipients.
    Answers(Answers),
    /// Complaints.
    Complaints(u64),
}

/// Messages of an account that somebody has complained of, by their id: since when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComplainedOf(BTreeMap<String, i64>);

impl ComplainedOf {
    /// Takes a message in, once, and says how many there were within the limit's time. No more are kept than are one too many.
    pub fn add(&mut self, id: &str, limit: Most, now: i64) -> u64 {
        let within = i64::try_from(limit.within.as_millis()).unwrap_or(i64::MAX);
        self.0
            .retain(|_, since| now.saturating_sub(*since) <= within);
        if self.0.len() as u64 <= limit.most {
            self.0.entry(id.to_owned()).or_insert(now);
        }
        self.0.len() as u64
    }
}

/// What receivers answered for recipients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Those that speak against the account.
    pub against: u64,
    /// All.
    pub all: u64,
}

impl Answers {
    /// Takes in one answer; `None`: the recipient was accepted.
    pub fn hear(&mut self, refused: Option<Class>) {
        self.all = self.all.saturating_add(1);
        self.against = self
            .against
            .saturating_add(u64::from(refused.is_some_and(speaks_against)));
    }
}

/// Whether a refusal speaks against who sent the message: it blames the sender or what was said, or there is no such recipient, as
/// whoever works through lists finds.
#[must_use]
pub fn speaks_against(class: Class) -> bool {
    match class.blame {
        Blame::Tenant | Blame::Content => true,
        Blame::Recipient => class.bounce == Bounce::Unknown,
        Blame::Ip | Blame::Message | Blame::Rate | Blame::Temporary => false,
    }
}

/// Why an account is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Too many recipients at once.
    Burst,
    /// Too many refusals that speak against it.
    Verdicts,
    /// Too many complaints.
    Complaints,
    /// An operator wants it.
    ByHand,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::Burst, Self::Verdicts, Self::Complaints, Self::ByHand];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::Verdicts => "verdicts",
            Self::Complaints => "complaints",
            Self::ByHand => "by-hand",
        }
    }
}

impl Rules {
    /// Whether what was counted is too much, and in words what it is.
    #[must_use]
    pub fn judge(&self, seen: Seen) -> Option<(Cause, String)> {
        match seen {
            Seen::Recipients(count) => {
                let text = self.burst.over(count, "recipients")?;
                Some((Cause::Burst, text))
            }
            Seen::Answers(answers) => {
                let text = self.verdicts.over(answers)?;
                Some((Cause::Verdicts, text))
            }
            Seen::Complaints(count) => {
                let text = self.complaints.over(count, "complaints")?;
                Some((Cause::Complaints, text))
            }
        }
    }

    /// The suspension of an account from now on.
    #[must_use]
    pub fn suspension(&self, (cause, text): (Cause, String), now: i64) -> Suspension {
        Suspension::new(cause, text, now, self.length)
    }
}

/// In the largest unit that fits.
fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = units
        .iter()
        .find(|(_, size)| seconds >= *size && seconds.is_multiple_of(*size));
    unit.map_or_else(
        || format!("{seconds}s"),
        |(name, size)| format!("{}{name}", seconds / size),
    )
}

impl Most {
    fn over(&self, count: u64, what: &str) -> Option<String> {
        let Self { most, within } = *self;
        (most > 0 && count > most).then(|| {
            format!(
                "{count} {what} within {}, and {most} are fine",
                span(within)
            )
        })
    }
}

impl Verdicts {
    fn over(&self, answers: Answers) -> Option<String> {
        let Answers { against, all } = answers;
        let share = against.saturating_mul(100) >= self.percent.saturating_mul(all);
        (self.refusals > 0 && against >= self.refusals && share).then(|| {
            format!(
                "{against} of {all} answers within {} were refusals for spam, for the sender, or of unknown recipients",
                span(self.within)
            )
        })
    }
}

/// What a process has counted of an account and not handed in yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    since: i64,
    /// What counts against the limit.
    count: u64,
    /// What that is a part of.
    all: u64,
}

impl Pending {
    /// Adds to it, and gives out all there is once that is a sixteenth of `most`, or `all` is many. What is older than the time that is
    /// looked at does not count any more.
    pub fn add(&mut self, more: (u64, u64), limit: Most, now: i64) -> Option<(u64, u64)> {
        let within = i64::try_from(limit.within.as_millis()).unwrap_or(i64::MAX);
        if self.count == 0 && self.all == 0 || now.saturating_sub(self.since) > within {
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
        self.count = self.count.saturating_add(more.0);
        self.all = self.all.saturating_add(more.1);
        let step = (limit.most / STEPS).max(1);
        if self.count < step && self.all < Self::MANY {
            return None;
        }
        let Self { count, all, .. } = std::mem::take(self);
        Some((count, all))
    }

    /// Answers that are handed in without a refusal among them, so that other processes know of them too.
    const MANY: u64 = 64;

    /// Whether nothing of it counts any more.
    #[must_use]
    pub const fn is_old(&self, within: Duration, now: i64) -> bool {
        now.saturating_sub(self.since).unsigned_abs() as u128 > within.as_millis()
    }
}

/// An account that may not send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// Since when, milliseconds since 1970.
    pub since: i64,
    /// Until when; `None`: until it is released.
    pub until: Option<i64>,
    /// Why.
    pub cause: Cause,
    /// The same in words.
    pub text: String,
    /// Owner and postmaster have been told.
    #[serde(default)]
    pub told: bool,
    /// It is over, and what was held goes its way again.
    #[serde(default)]
    pub resumed: bool,
}

impl Suspension {
    /// From now on, for `length`; zero: until it is released.
    #[must_use]
    pub fn new(cause: Cause, text: String, now: i64, length: Duration) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        Self {
            since: now,
            until: (length > 0).then(|| now.saturating_add(length)),
            cause,
            text,
            told: false,
            resumed: false,
        }
    }

    /// Whether it counts.
    #[must_use]
    pub fn is_in_force(&self, now: i64) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Whether it is over for so long that nobody needs to know of it.
    #[must_use]
    pub fn is_past(&self, now: i64) -> bool {
        self.resumed
            && self
                .until
                .is_some_and(|until| until.saturating_add(REMEMBERED) <= now)
    }
}

/// What came of suspending an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Added {
    /// It is suspended now.
    New,
    /// It was suspended already.
    Already,
    /// It is not suspended: [`MAX_SUSPENDED`] others are.
    Full,
}

/// All accounts that may not send, by their log-in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Suspended(pub BTreeMap<String, Suspension>);

impl Suspended {
    /// Why an account may not send now.
    #[must_use]
    pub fn of(&self, account: &str, now: i64) -> Option<&Suspension> {
        self.0
            .get(account)
            .filter(|suspension| suspension.is_in_force(now))
    }

    /// Suspends an account.
    pub fn add(&mut self, account: &str, suspension: Suspension) -> Added {
        if self.of(account, suspension.since).is_some() {
            return Added::Already;
        }
        if !self.0.contains_key(account) && self.0.len() >= MAX_SUSPENDED {
            return Added::Full;
        }
        self.0.insert(account.to_owned(), suspension);
        Added::New
    }

    /// Ends a suspension. False when there is none.
    pub fn release(&mut self, account: &str, now: i64) -> bool {
        let found = self.0.get_mut(account);
        let Some(suspension) = found.filter(|suspension| suspension.is_in_force(now)) else {
            return false;
        };
        suspension.until = Some(now);
        true
    }
}
