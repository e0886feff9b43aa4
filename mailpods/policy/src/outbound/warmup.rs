//! How much a new address may send: little at first, more each day.

use std::time::Duration;

const DAY: i64 = 86_400_000;
/// How many times the first day's amount the last day's is.
const GROWTH: f64 = 1_000.0;
/// How long a message waits for a place on a new address when there is no other.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// The slow start of an address, counted for each provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// Messages to one provider on the first day.
    pub initial: u32,
    /// How long until there is no limit.
    pub duration: Duration,
}

impl Ramp {
    /// Whether the address is still warming up, `started` being when it began to send.
    #[must_use]
    pub fn is_warming(&self, started: i64, now: i64) -> bool {
        now.saturating_sub(started) < millis(self.duration)
    }

    /// Messages to one provider today; `None`: no limit any more. Grows by the same factor each day.
    #[must_use]
    pub fn allowance(&self, started: i64, now: i64) -> Option<u64> {
        if !self.is_warming(started, now) {
            return None;
        }
        let days = (millis(self.duration) / DAY).max(1);
        let day = now.saturating_sub(started).max(0) / DAY;
        // Days fit a float exactly; the result is rounded up, so that the first day gets its amount.
        #[expect(clippy::cast_precision_loss, reason = "days are few")]
        let grown = f64::from(self.initial) * GROWTH.powf(day as f64 / days as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        let allowance = grown.ceil() as u64;
        Some(allowance.max(1))
    }
}

/// Whether a message that finds all its addresses warming and full goes all the same: nothing waits for ever.
#[must_use]
pub fn is_out_of_patience(created: i64, now: i64) -> bool {
    now.saturating_sub(created) >= millis(PATIENCE)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAMP: Ramp = Ramp {
        initial: 50,
        duration: Duration::from_secs(30 * 86_400),
    };

    #[test]
    fn each_day_allows_more_until_there_is_no_limit() {
        assert_eq!(RAMP.allowance(0, 0), Some(50));
        assert_eq!(RAMP.allowance(0, DAY - 1), Some(50));
        let mut last = 0;
        for day in 0..30 {
            let allowance = RAMP.allowance(0, day * DAY).unwrap();
            assert!(allowance > last, "day {day}");
            last = allowance;
        }
        assert!(last > 30_000, "{last}");
        assert_eq!(RAMP.allowance(0, 30 * DAY), None);
        assert!(!RAMP.is_warming(0, 30 * DAY));
    }

    #[test]
    fn odd_values_neither_stop_nor_free_an_address() {
        let short = Ramp {
            initial: 0,
            duration: Duration::from_secs(60),
        };
        assert_eq!(short.allowance(0, 59_000), Some(1));
        assert_eq!(short.allowance(0, 60_000), None);
        assert_eq!(RAMP.allowance(DAY, 0), Some(50), "a clock that went back");
    }

    #[test]
    fn nothing_waits_for_ever() {
        assert!(!is_out_of_patience(0, 3_599_999));
        assert!(is_out_of_patience(0, 3_600_000));
    }
}
