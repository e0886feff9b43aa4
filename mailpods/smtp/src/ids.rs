//! Ids and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use mailpods_api::QueueId;
use mailpods_store::UnixMillis;
use ring::rand::{SecureRandom, SystemRandom};

/// Milliseconds since 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

/// Fresh random octets; `None` when the system gives none.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut octets = [0; N];
    SystemRandom::new().fill(&mut octets).ok().map(|()| octets)
}

/// A new id for a message or a session; ids sort by time.
pub(crate) fn new_id(now: UnixMillis) -> Option<QueueId> {
    let random = u64::from_be_bytes(random()?);
    Some(QueueId::from_parts(now.unsigned_abs(), random))
}
