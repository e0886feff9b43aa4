//! How long a server may take to answer, and with how much. It is not trusted: one that drips or never ends is as good as gone.
use std::time::Duration;

use tokio::time::Instant;

use super::session::SourceError;

/// Octets of an answer beside what is expected.
const ANSWER: u64 = 64 << 20;
/// Octets a second that come at least, all in all, once the grace is over.
const RATE: u64 = 512;
/// Times the patience that an answer may take whatever comes of it.
const GRACE: u32 = 5;

/// What an answer has taken so far.
pub struct Meter {
    patience: Duration,
    began: Instant,
    octets: u64,
    most: u64,
}

impl Meter {
    /// `patience` is silence that is waited for.
    pub fn new(patience: Duration, now: Instant) -> Self {
        Self {
            patience,
            began: now,
            octets: 0,
            most: ANSWER,
        }
    }

    /// An answer begins, of about so many octets.
    pub fn begin(&mut self, expected: u64, now: Instant) {
        *self = Self {
            most: ANSWER.saturating_add(expected),
            ..Self::new(self.patience, now)
        };
    }

    /// Silence that is waited for.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Until when something has to come.
    pub fn deadline(&self, now: Instant) -> Instant {
        (now + self.patience).min(self.last())
    }

    /// Until when this much is enough.
    fn last(&self) -> Instant {
        self.began + self.patience * GRACE + Duration::from_secs(self.octets / RATE)
    }

    /// Something has come.
    pub fn add(&mut self, octets: usize) -> Result<(), SourceError> {
        self.octets += octets as u64;
        match self.octets > self.most {
            true => Err(SourceError::Endless(self.most)),
            false => Ok(()),
        }
    }

    /// Why nothing came until the deadline.
    pub fn late(&self, now: Instant) -> SourceError {
        match now >= self.last() {
            true => SourceError::Slow {
                octets: self.octets,
                seconds: now.duration_since(self.began).as_secs(),
            },
            false => SourceError::Silent(self.patience.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn who_drips_is_cut_off_and_who_sends_is_not() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut meter = Meter::new(PATIENCE, begin);
        for _ in 0..60 {
            meter.add(1000).unwrap();
        }
        assert_eq!(meter.deadline(after(60)), after(70));
        assert!(matches!(meter.late(after(70)), SourceError::Silent(10)));
        meter.begin(0, begin);
        for _ in 0..50 {
            meter.add(10).unwrap();
        }
        assert_eq!(meter.deadline(after(45)), after(50));
        let late = meter.late(after(50));
        assert!(
            matches!(
                late,
                SourceError::Slow {
                    octets: 500,
                    seconds: 50
                }
            ),
            "{late:?}"
        );
    }

    #[test]
    fn who_never_ends_is_cut_off() {
        let mut meter = Meter::new(PATIENCE, Instant::now());
        meter.begin(1000, Instant::now());
        assert!(meter.add(64 << 20).is_ok());
        assert!(matches!(meter.add(1001), Err(SourceError::Endless(_))));
    }
}
