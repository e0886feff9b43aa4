//! A bound on the octets of all messages that this process holds at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets held now. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicU64>);

/// Octets of one message, given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    octets: u64,
}

impl Budget {
    /// Starts to hold for a message; nothing yet.
    pub(crate) fn start(&self) -> Held {
        Held {
            budget: self.clone(),
            octets: 0,
        }
    }

    /// Whether `octets` more would fit under `limit` now.
    pub(crate) fn has_room(&self, octets: u64, limit: u64) -> bool {
        self.octets().saturating_add(octets) <= limit
    }

    /// Octets held by all.
    pub(crate) fn octets(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Holds `octets` more; false, and nothing changes, when all together would then be above `limit`.
    pub(crate) fn grow(&mut self, octets: u64, limit: u64) -> bool {
        let add = |held: u64| held.checked_add(octets).filter(|sum| *sum <= limit);
        let grown = self
            .budget
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok();
        if grown {
            self.octets += octets;
        }
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::default();
        let mut first = budget.start();
        let mut second = budget.start();
        assert!(first.grow(60, 100) && !second.grow(60, 100) && second.grow(40, 100));
        assert!(!budget.has_room(1, 100));
        drop(first);
        assert_eq!(budget.octets(), 40);
        assert!(second.grow(60, 100));
        drop(second);
        assert_eq!(budget.octets(), 0);
    }
}
