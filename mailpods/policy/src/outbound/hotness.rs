//! When refusals are more than chance.

use std::time::Duration;

/// Events of one address at one provider within the window, this one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Replies that blame the address.
    pub refused: u64,
    /// All outcomes, refusals too.
    pub tried: u64,
}

/// When an address is hot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// The time that is looked at.
    pub window: Duration,
    /// Refusals at least.
    pub refusals: u64,
    /// Of a hundred outcomes at least so many were refusals.
    pub percent: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            refusals: 5,
            percent: 20,
        }
    }
}

impl Thresholds {
    /// Whether the address is to rest. An address on probation after a rest gets less patience; one reply is never enough.
    #[must_use]
    pub fn is_hot(&self, counts: Counts, on_probation: bool) -> bool {
        let least = if on_probation {
            self.refusals / 2
        } else {
            self.refusals
        };
        counts.refused >= least.max(2)
            && counts.refused.saturating_mul(100) >= self.percent.saturating_mul(counts.tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hot(refused: u64, tried: u64, on_probation: bool) -> bool {
        Thresholds::default().is_hot(Counts { refused, tried }, on_probation)
    }

    #[test]
    fn a_few_refusals_among_many_deliveries_are_chance() {
        assert!(!is_hot(5, 100, false));
        assert!(!is_hot(4, 4, false));
        assert!(is_hot(5, 5, false));
        assert!(is_hot(20, 100, false));
        assert!(!is_hot(19, 100, false));
    }

    #[test]
    fn one_reply_never_rests_an_address() {
        let strict = Thresholds {
            refusals: 0,
            percent: 0,
            ..Thresholds::default()
        };
        for on_probation in [false, true] {
            let counts = |refused| Counts {
                refused,
                tried: refused,
            };
            assert!(!strict.is_hot(counts(1), on_probation));
            assert!(strict.is_hot(counts(2), on_probation));
        }
    }

    #[test]
    fn probation_takes_less() {
        assert!(is_hot(2, 3, true) && !is_hot(2, 3, false));
        assert!(!is_hot(2, 100, true));
    }
}
