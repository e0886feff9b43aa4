//! What block lists do to an address.

use serde::{Deserialize, Serialize};

use super::{Cause, Life, Phase, Transition, changed};

/// Zones that an address can be on at once; more tell nothing new.
const MAX_LISTINGS: usize = 64;

/// A block list that names the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// When it was first seen there.
    pub since: i64,
    /// What the zone answered: addresses of 127.0.0.0/8.
    pub answer: String,
    /// The address rests while it is there.
    pub rests: bool,
}

impl Life {
    /// A zone names the address. Told once for each zone.
    pub fn list(&mut self, zone: &str, listing: Listing, now: i64) -> Option<Transition> {
        let from = self.phase(None, now);
        if let Some(there) = self.listed.get_mut(zone) {
            (there.answer, there.rests) = (listing.answer, listing.rests);
            return None;
        }
        if self.listed.len() >= MAX_LISTINGS {
            return None;
        }
        self.listed.insert(zone.to_owned(), listing);
        Some(changed(from, self.phase(None, now), Cause::Listed))
    }

    /// A zone does not name the address, or is not asked any more.
    pub fn unlist(&mut self, zone: &str, now: i64) -> Option<Transition> {
        let from = self.phase(None, now);
        self.listed.remove(zone)?;
        let last = self.listed.is_empty();
        let to = self.phase(None, now);
        (last || (from == Phase::Hot && to != from)).then(|| changed(from, to, Cause::Delisted))
    }

    /// What an operator wants used is used.
    pub(super) fn rests_by_list(&self) -> bool {
        !self.forced && self.listed.values().any(|listing| listing.rests)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Check, Finding, Order};
    use super::*;

    fn listing(rests: bool) -> Listing {
        Listing {
            since: 1,
            answer: "127.0.0.2".to_owned(),
            rests,
        }
    }

    fn active() -> Life {
        let mut life = Life::default();
        life.gate(&[(Check::ReverseName, Finding::Passed)], 0);
        life
    }

    #[test]
    fn a_listed_address_rests_until_no_zone_that_counts_names_it() {
        let mut life = active();
        let change = life.list("one.test", listing(true), 1).unwrap();
        assert_eq!((change.to, change.cause), (Phase::Hot, Cause::Listed));
        assert_eq!(life.list("one.test", listing(true), 2), None, "told once");
        assert!(!life.is_usable("google", 2));
        life.list("two.test", listing(true), 3);
        assert_eq!(life.unlist("one.test", 4), None, "the other still counts");
        let change = life.unlist("two.test", 5).unwrap();
        assert_eq!((change.to, change.cause), (Phase::Active, Cause::Delisted));
        assert!(life.is_usable("google", 5));
        assert_eq!(life.unlist("two.test", 6), None);
    }

    #[test]
    fn a_zone_that_is_only_told_of_changes_nothing_else() {
        let mut life = active();
        let change = life.list("one.test", listing(false), 1).unwrap();
        assert_eq!((change.to, change.cause), (Phase::Active, Cause::Listed));
        assert!(life.is_usable("google", 1));
    }

    #[test]
    fn an_operator_may_want_it_used_all_the_same() {
        let mut life = active();
        life.list("one.test", listing(true), 1);
        life.order(&Order::Activate, 2);
        assert!(life.is_usable("google", 2));
    }
}
