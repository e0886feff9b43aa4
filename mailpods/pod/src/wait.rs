//! Waits between attempts that fail.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// Doubles from the first to the longest; each is cut by up to half at random, so that pods that lost their operator together
/// do not come back together.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
    random: SystemRandom,
}

impl Backoff {
    /// Waits between `first` and `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            first,
            longest,
            random: SystemRandom::new(),
        }
    }

    /// It worked: the next wait is the first again.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next wait.
    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        let mut octets = [0; 2];
        // Without randomness all of it is waited for.
        let share = match self.random.fill(&mut octets) {
            Ok(()) => f64::from(u16::from_be_bytes(octets)) / f64::from(u16::MAX),
            Err(_) => 1.0,
        };
        wait.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_again() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(8));
        let mut backoff = Backoff::new(first, longest);
        for wanted in [1, 2, 4, 8, 8, 8] {
            let (wait, wanted) = (backoff.next(), Duration::from_secs(wanted));
            assert!(wait <= wanted && wait >= wanted / 2, "{wait:?} {wanted:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
