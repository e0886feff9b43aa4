//! When a delivery is tried again, when its sender is told of the delay, and when it is given up.

use std::time::Duration;

use crate::Reason;

/// How soon mail without an address to leave from is looked at again, in milliseconds.
const SOON: i64 = 5_000;
/// The longest wait for an address is a minute, growing with the age of the message to five, in milliseconds.
const ADDRESS_WAIT: (i64, i64) = (60_000, 300_000);

/// The times of a retry schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Wait after the first failure.
    pub initial: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// Age at which a message is given up (RFC 5321 §4.5.4.1: 4-5 days at least).
    pub max_age: Duration,
    /// Age at which the sender is told of the delay; `None`: never.
    pub delay_warning: Option<Duration>,
}

/// What is known about a unit when an attempt at it has failed for now. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempted {
    /// When the message came.
    pub created: i64,
    /// Now.
    pub now: i64,
    /// Attempts that ended before this one.
    pub attempts: u32,
    /// The sender was told of the delay.
    pub warned: bool,
    /// Fresh randomness, so that units that failed together do not come back together.
    pub random: u32,
}

/// What to do after a temporary failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Too old.
    GiveUp,
    /// Try again.
    Retry {
        /// When, milliseconds since 1970.
        at: i64,
        /// The sender is to be told of the delay now.
        warn: bool,
    },
}

impl Schedule {
    /// What to do after a temporary failure. The last attempt is made when the message reaches its maximum age. A clock that
    /// jumped back makes no message older.
    #[must_use]
    pub fn decide(&self, unit: Attempted) -> Decision {
        let age = unit.now.saturating_sub(unit.created).max(0);
        let end = unit.created.saturating_add(millis(self.max_age));
        if age >= millis(self.max_age) {
            return Decision::GiveUp;
        }
        let at = unit
            .now
            .saturating_add(self.wait(unit.attempts, unit.random))
            .min(end.max(unit.now));
        let due = self.delay_warning.is_some_and(|after| age >= millis(after));
        Decision::Retry {
            at,
            warn: due && !unit.warned,
        }
    }

    /// When a message is looked at again that nobody was asked to take: there was no address to send it from. That costs no other
    /// server anything and may be over in seconds, so that it waits a quarter of its age, five seconds at least and no longer than
    /// after a failure, whatever number of attempts there were. An address may get a seat at any time, so it is a minute at most,
    /// and five for mail that waits for hours.
    #[must_use]
    pub fn look_again(&self, unit: Attempted) -> i64 {
        let age = unit.now.saturating_sub(unit.created).max(0);
        let least = SOON.min(millis(self.initial));
        let bound = (age / 60).clamp(ADDRESS_WAIT.0, ADDRESS_WAIT.1);
        let most = millis(self.longest).min(bound).max(least);
        let wait = (age / 4).clamp(least, most);
        let jitter = i128::from(wait / 5) * i128::from(unit.random) / i128::from(u32::MAX);
        let wait = wait.saturating_add(i64::try_from(jitter).unwrap_or(0));
        unit.now.saturating_add(wait)
    }

    /// When a message is worth an attempt that was not tried because its server was out of reach for other mail: it waits as long as it is
    /// old, between the first wait and the longest. That is about what it would wait had it been tried each time.
    #[must_use]
    pub fn not_tried(&self, unit: Attempted) -> i64 {
        let age = unit.now.saturating_sub(unit.created).max(0);
        let longest = millis(self.longest).max(1);
        let wait = age.max(millis(self.initial)).min(longest);
        unit.now.saturating_add(spread(wait, unit.random))
    }

    /// When the message is given up, milliseconds since 1970.
    #[must_use]
    pub fn end(&self, created: i64) -> i64 {
        created.saturating_add(millis(self.max_age))
    }

    /// The wait doubles with every attempt up to the longest; a fifth of it either way is left to chance.
    fn wait(&self, attempts: u32, random: u32) -> i64 {
        let factor = 1u32.checked_shl(attempts.min(31)).unwrap_or(u32::MAX);
        let wait = millis(self.initial.saturating_mul(factor).min(self.longest)).max(1);
        spread(wait, random)
    }
}

/// A wait, a fifth of it more or less.
fn spread(wait: i64, random: u32) -> i64 {
    let span = wait / 5 * 2;
    let jitter = i128::from(span) * i128::from(random) / i128::from(u32::MAX);
    wait - span / 2 + i64::try_from(jitter).unwrap_or(0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Whether trying again later can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// It may.
    Temporary,
    /// It cannot: the message goes back.
    Permanent,
}

/// The class of a failure to deliver. What is not known to be permanent is temporary: mail waits rather than bounces.
#[must_use]
pub fn classify(reason: Reason) -> FailureClass {
    match reason {
        Reason::UnknownRecipient
        | Reason::MailboxDisabled
        | Reason::MailLoop
        | Reason::MessageTooLarge
        | Reason::NullMx
        | Reason::NoSuchDomain
        | Reason::RemoteRejected
        | Reason::ExtensionMissing
        | Reason::RequireTlsUnmet
        | Reason::RoutingLoop
        | Reason::Expired
        | Reason::BouncedByOperator
        | Reason::OneAttempt => FailureClass::Permanent,
        _ => FailureClass::Temporary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn schedule() -> Schedule {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Schedule {
            initial: Duration::from_secs(300),
            longest: hours(4),
            max_age: hours(120),
            delay_warning: Some(hours(4)),
        }
    }

    fn at(age: i64, attempts: u32, random: u32) -> Decision {
        schedule().decide(Attempted {
            created: 0,
            now: age,
            attempts,
            warned: false,
            random,
        })
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let table = [
            (0, 5),
            (1, 10),
            (2, 20),
            (3, 40),
            (6, 240),
            (31, 240),
            (u32::MAX, 240),
        ];
        for (attempts, minutes) in table {
            let middle = u32::MAX / 2;
            let Decision::Retry { at, .. } = at(0, attempts, middle) else {
                panic!("given up after {attempts}")
            };
            assert_eq!((at + 500) / MINUTE, minutes, "{attempts} attempts");
        }
    }

    #[test]
    fn chance_moves_a_wait_by_a_fifth() {
        assert_eq!(
            at(0, 0, 0),
            Decision::Retry {
                at: 4 * MINUTE,
                warn: false
            }
        );
        assert_eq!(
            at(0, 0, u32::MAX),
            Decision::Retry {
                at: 6 * MINUTE,
                warn: false
            }
        );
    }

    #[test]
    fn the_last_attempt_is_at_the_maximum_age() {
        assert_eq!(
            at(119 * HOUR, 40, u32::MAX),
            Decision::Retry {
                at: 120 * HOUR,
                warn: true
            }
        );
        assert_eq!(at(120 * HOUR, 40, 0), Decision::GiveUp);
        assert_eq!(schedule().end(0), 120 * HOUR);
    }

    #[test]
    fn the_sender_is_told_of_a_delay_once() {
        let unit = Attempted {
            created: 0,
            now: 5 * HOUR,
            attempts: 6,
            warned: true,
            random: 0,
        };
        assert!(matches!(
            at(5 * HOUR, 6, 0),
            Decision::Retry { warn: true, .. }
        ));
        assert!(matches!(
            schedule().decide(unit),
            Decision::Retry { warn: false, .. }
        ));
        let silent = Schedule {
            delay_warning: None,
            ..schedule()
        };
        assert!(matches!(
            silent.decide(Attempted {
                warned: false,
                ..unit
            }),
            Decision::Retry { warn: false, .. }
        ));
    }

    #[test]
    fn a_clock_that_jumps_neither_bounces_nor_forgets() {
        let back = Attempted {
            created: 10 * HOUR,
            now: 0,
            attempts: 0,
            warned: false,
            random: 0,
        };
        assert!(
            matches!(schedule().decide(back), Decision::Retry { at, warn: false } if at == 4 * MINUTE)
        );
        let extreme = Attempted {
            created: i64::MIN,
            now: i64::MAX,
            attempts: 0,
            warned: false,
            random: 0,
        };
        assert_eq!(schedule().decide(extreme), Decision::GiveUp);
    }

    #[test]
    fn trouble_with_names_and_connections_is_temporary() {
        for reason in [
            Reason::DnsTemporary,
            Reason::ConnectFailed,
            Reason::TlsFailed,
            Reason::RemoteDeferred,
            Reason::OverQuota,
        ] {
            assert_eq!(classify(reason), FailureClass::Temporary, "{reason}");
        }
        assert_eq!(classify(Reason::NullMx), FailureClass::Permanent);
    }

    #[test]
    fn mail_that_is_not_tried_waits_as_long_as_it_is_old() {
        let wait = |age: i64, random: u32| {
            let unit = Attempted {
                created: 0,
                now: age,
                attempts: 0,
                warned: false,
                random,
            };
            schedule().not_tried(unit) - age
        };
        let middle = u32::MAX / 2;
        let minutes = |age: i64| (wait(age, middle) + 500) / MINUTE;
        assert_eq!(minutes(0), 5);
        assert_eq!(minutes(30 * MINUTE), 30);
        assert_eq!(minutes(20 * HOUR), 240, "the longest wait");
        assert_eq!(minutes(-HOUR), 5, "a clock that was set back");
        assert_eq!((wait(0, 0), wait(0, u32::MAX)), (4 * MINUTE, 6 * MINUTE));
    }

    #[test]
    fn mail_without_an_address_looks_again_soon_and_then_ever_more_seldom() {
        let schedule = Schedule {
            initial: Duration::from_secs(300),
            longest: Duration::from_secs(14_400),
            max_age: Duration::from_secs(432_000),
            delay_warning: None,
        };
        let wait = |age: i64, attempts: u32, random: u32| {
            let unit = Attempted {
                created: 1_000,
                now: 1_000 + age,
                attempts,
                warned: false,
                random,
            };
            schedule.look_again(unit) - unit.now
        };
        assert_eq!(wait(0, 0, 0), 5_000);
        assert_eq!(wait(0, 40, u32::MAX), 6_000, "a fifth more at most");
        assert_eq!(wait(60_000, 7, 0), 15_000);
        assert_eq!(wait(600_000, 9, 0), 60_000, "an address may be back");
        assert_eq!(wait(7_200_000, 9, 0), 120_000);
        assert_eq!(wait(400_000_000, 50, 0), 300_000);
        assert_eq!(wait(-60_000, 0, 0), 5_000, "a clock that was set back");
        let (mut age, mut looks) = (0, 0);
        while age < 432_000_000 {
            age += wait(age, looks, 0);
            looks += 1;
        }
        assert!(looks < 1_600, "{looks} looks in five days");
    }
}
