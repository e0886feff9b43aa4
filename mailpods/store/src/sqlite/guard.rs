//! Stops taking mail before the disk is full.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::lock;
use crate::error::{Result, StoreError};

const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) struct DiskGuard {
    path: PathBuf,
    reserve: u64,
    last: Mutex<Option<(Instant, bool)>>,
}

impl DiskGuard {
    pub(super) fn new(path: &Path, reserve: u64) -> Self {
        Self {
            path: path.to_owned(),
            reserve,
            last: Mutex::new(None),
        }
    }

    /// `Full` while the free space is below the reserve.
    pub(super) fn check(&self) -> Result<()> {
        if self.has_room() {
            Ok(())
        } else {
            Err(StoreError::Full)
        }
    }

    fn has_room(&self) -> bool {
        let mut last = lock(&self.last);
        match *last {
            Some((at, room)) if at.elapsed() < LOOK_EVERY => room,
            _ => {
                let room = self.free().is_none_or(|free| free >= self.reserve);
                *last = Some((Instant::now(), room));
                room
            }
        }
    }

    /// Octets free for us; `None` where the system does not tell.
    fn free(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.path).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
