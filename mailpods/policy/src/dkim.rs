//! The life of a DKIM key: published, used once everybody can see it, and kept for a while after.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Its record is wanted, and not seen everywhere.
    Publishing,
    /// Its record is seen at all servers of the zone; answers that it is not there may still be in caches.
    Published,
    /// It signs.
    Signing,
    /// It signs no more; its record is kept for mail that is on the way or read late.
    Retiring,
    /// Its record is not wanted.
    Removed,
}

impl Phase {
    /// All phases, in their order.
    pub const ALL: [Self; 5] = [
        Self::Publishing,
        Self::Published,
        Self::Signing,
        Self::Retiring,
        Self::Removed,
    ];

    /// The name in status and annotations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publishing => "Publishing",
            Self::Published => "Published",
            Self::Signing => "Signing",
            Self::Retiring => "Retiring",
            Self::Removed => "Removed",
        }
    }

    /// Whether the record is wanted in DNS.
    #[must_use]
    pub const fn is_published(self) -> bool {
        !matches!(self, Self::Removed)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no phase of a DKIM key")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        let named = |phase: &Self| phase.as_str() == text;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// A key as far as the decision goes. Times are since any one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Duration,
    /// Whether all servers of the zone answered with its record at the last look; `None`: nobody could look.
    pub seen: Option<bool>,
    /// Whether the domain wants the key at all.
    pub wanted: bool,
    /// Whether a newer key of the same algorithm signs.
    pub replaced: bool,
}

/// Waits between phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Time to live of the records: how long a cache may hold that there is none.
    pub ttl: Duration,
    /// How long the record of a key stays that signs no more.
    pub retire_after: Duration,
}

/// The next phase of a key, and when to look again if nothing else happens before; the same phase when nothing is to change.
#[must_use]
pub fn step(key: &KeyState, waits: Waits, now: Duration) -> (Phase, Option<Duration>) {
    let age = now.saturating_sub(key.since);
    let after = |wait: Duration, next: Phase| {
        if age >= wait {
            (next, None)
        } else {
            (key.phase, Some(wait.saturating_sub(age)))
        }
    };
    match key.phase {
        // Nothing was signed with it, so nobody will look for it.
        Phase::Publishing | Phase::Published if !key.wanted => (Phase::Removed, None),
        Phase::Publishing if key.seen == Some(true) => (Phase::Published, Some(waits.ttl)),
        Phase::Publishing => (Phase::Publishing, None),
        Phase::Published if key.seen == Some(false) => (Phase::Publishing, None),
        Phase::Published => after(waits.ttl, Phase::Signing),
        Phase::Signing if !key.wanted || key.replaced => {
            (Phase::Retiring, Some(waits.retire_after))
        }
        // Receivers would find no key: mail without a signature is judged better than with a broken one.
        Phase::Signing if key.seen == Some(false) => (Phase::Publishing, None),
        Phase::Signing => (Phase::Signing, None),
        Phase::Retiring if key.wanted && !key.replaced => (Phase::Publishing, None),
        Phase::Retiring => after(waits.retire_after, Phase::Removed),
        Phase::Removed if key.wanted && !key.replaced => (Phase::Publishing, None),
        Phase::Removed => (Phase::Removed, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Waits = Waits {
        ttl: Duration::from_secs(300),
        retire_after: Duration::from_secs(7_000),
    };

    fn key(phase: Phase) -> KeyState {
        KeyState {
            phase,
            since: Duration::from_secs(1_000),
            seen: Some(true),
            wanted: true,
            replaced: false,
        }
    }

    fn next(key: KeyState, now: u64) -> Phase {
        step(&key, WAITS, Duration::from_secs(now)).0
    }

    #[test]
    fn a_key_signs_only_after_everybody_can_see_it() {
        let blind = KeyState {
            seen: None,
            ..key(Phase::Publishing)
        };
        let unseen = KeyState {
            seen: Some(false),
            ..key(Phase::Publishing)
        };
        assert_eq!(
            (next(blind, 99_999), next(unseen, 99_999)),
            (Phase::Publishing, Phase::Publishing)
        );
        assert_eq!(next(key(Phase::Publishing), 1_000), Phase::Published);
        assert_eq!(next(key(Phase::Published), 1_299), Phase::Published);
        assert_eq!(next(key(Phase::Published), 1_300), Phase::Signing);
        let wait = step(&key(Phase::Published), WAITS, Duration::from_secs(1_100)).1;
        assert_eq!(wait, Some(Duration::from_secs(200)));
    }

    #[test]
    fn a_record_that_is_gone_stops_the_signing_and_trouble_with_dns_does_not() {
        let gone = KeyState {
            seen: Some(false),
            ..key(Phase::Signing)
        };
        let unknown = KeyState {
            seen: None,
            ..key(Phase::Signing)
        };
        assert_eq!(next(gone, 1_001), Phase::Publishing);
        assert_eq!(next(unknown, 99_999), Phase::Signing);
    }

    #[test]
    fn a_key_that_signed_stays_published_for_a_while() {
        let old = KeyState {
            replaced: true,
            ..key(Phase::Signing)
        };
        assert_eq!(next(old, 1_001), Phase::Retiring);
        let retiring = KeyState {
            replaced: true,
            ..key(Phase::Retiring)
        };
        assert_eq!(next(retiring, 7_999), Phase::Retiring);
        assert_eq!(next(retiring, 8_000), Phase::Removed);
        let unwanted = KeyState {
            wanted: false,
            ..key(Phase::Published)
        };
        assert_eq!(next(unwanted, 1_001), Phase::Removed);
        assert!(!Phase::Removed.is_published() && Phase::Retiring.is_published());
    }

    #[test]
    fn a_clock_that_jumps_back_waits() {
        assert_eq!(next(key(Phase::Published), 0), Phase::Published);
    }

    #[test]
    fn phases_read_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(phase));
        }
        assert!("signing".parse::<Phase>().is_err());
    }
}
