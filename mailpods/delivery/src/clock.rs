//! Time and randomness of the role, so that tests have their own.

use std::time::{SystemTime, UNIX_EPOCH};

use mailpods_store::UnixMillis;
use ring::rand::{SecureRandom, SystemRandom};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now(&self) -> UnixMillis;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Fresh random octets. Should the system have none, zeros are returned: nothing here is a secret, it only has to differ.
pub(crate) fn random<const N: usize>(source: &SystemRandom) -> [u8; N] {
    let mut octets = [0; N];
    // Without randomness the time in queue ids still differs.
    let _ = source.fill(&mut octets);
    octets
}
