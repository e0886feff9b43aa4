//! Octets that large things in memory may take together in a process, for as long as anybody holds them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for.
const UNIT: usize = 1024;

/// Octets that there are.
pub(crate) struct Budget(Arc<Semaphore>);

/// A part of them; it is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(octets: usize) -> Self {
        Self(Arc::new(Semaphore::new(octets / UNIT)))
    }

    /// Octets that nobody holds.
    pub(crate) fn left(&self) -> usize {
        self.0.available_permits() * UNIT
    }

    /// So many of them, where so many are left.
    pub(crate) fn take(&self, octets: usize) -> Option<Share> {
        let units = u32::try_from(octets.div_ceil(UNIT)).ok()?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(units);
        taken.ok().map(Share)
    }
}

impl Share {
    /// Gives back what is more than `octets`.
    pub(crate) fn shrink(&mut self, octets: usize) {
        let surplus = self.0.num_permits().saturating_sub(octets.div_ceil(UNIT));
        drop(self.0.split(surplus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(10 * UNIT);
        let mut share = budget.take(8 * UNIT).unwrap();
        assert!(budget.take(3 * UNIT).is_none());
        share.shrink(6 * UNIT + 1);
        let other = budget.take(3 * UNIT).unwrap();
        assert!(budget.take(1).is_none());
        drop((share, other));
        assert!(budget.take(10 * UNIT).is_some());
    }
}
