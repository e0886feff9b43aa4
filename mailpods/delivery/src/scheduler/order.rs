//! Whose turn is next in a lane: the tenants that wait there, by when they had their last turn at the lane's provider.
//!
//! Turns are given in all lanes of a provider, so a tenant's place here may be too early by the time it is looked at. It is put right
//! then: a turn only moves a tenant back.

use std::collections::{BTreeSet, HashMap};

/// How far from its turn a tenant is; the least is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// When it last had one, by the clock of the lanes; 0: never.
    pub(super) turn: u64,
    /// Its first message had waited when it came here: who had nothing that waits and has just written notices seconds, and goes first.
    pub(super) old: bool,
    /// When that message came here.
    pub(super) since: u64,
}

/// The tenants of a lane in the order of their places.
#[derive(Debug, Default)]
pub(super) struct Order {
    places: HashMap<String, Place>,
    order: BTreeSet<(Place, String)>,
}

impl Order {
    /// A tenant waits whose place is this, or it waits already.
    pub(super) fn add(&mut self, tenant: &str, place: Place) {
        if !self.places.contains_key(tenant) {
            self.put(tenant.to_owned(), place);
        }
    }

    fn put(&mut self, tenant: String, place: Place) {
        if let Some(before) = self.places.insert(tenant.clone(), place) {
            self.order.remove(&(before, tenant.clone()));
        }
        self.order.insert((place, tenant));
    }

    /// A tenant has another place, or none any more.
    pub(super) fn set(&mut self, tenant: &str, place: Option<Place>) {
        match place {
            Some(place) => self.put(tenant.to_owned(), place),
            None => {
                if let Some((tenant, before)) = self.places.remove_entry(tenant) {
                    self.order.remove(&(before, tenant));
                }
            }
        }
    }

    /// The next tenant, when the last turn of each is `turn`.
    pub(super) fn first(&mut self, turn: impl Fn(&str) -> u64) -> Option<(Place, &str)> {
        loop {
            let (place, tenant) = self.order.first()?;
            let now = Place {
                turn: turn(tenant),
                ..*place
            };
            if now <= *place {
                break;
            }
            let tenant = tenant.clone();
            self.put(tenant, now);
        }
        let (place, tenant) = self.order.first()?;
        Some((*place, tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(turn: u64, old: bool, since: u64) -> Place {
        Place { turn, old, since }
    }

    #[test]
    fn who_has_just_written_and_had_no_turn_is_first() {
        let mut order = Order::default();
        order.add("old", place(0, true, 1));
        order.add("second", place(0, false, 3));
        order.add("first", place(0, false, 2));
        order.add("first", place(0, false, 9));
        let first = |order: &mut Order| order.first(|_| 0).map(|(_, name)| name.to_owned());
        for name in ["first", "second", "old"] {
            assert_eq!(first(&mut order).as_deref(), Some(name));
            order.set(name, None);
        }
        assert_eq!(first(&mut order), None);
    }

    #[test]
    fn a_turn_in_another_lane_counts() {
        let mut order = Order::default();
        order.add("a", place(0, false, 1));
        order.add("b", place(0, false, 2));
        let turn = |name: &str| u64::from(name == "a") * 5;
        assert_eq!(order.first(turn), Some((place(0, false, 2), "b")));
        order.set("b", None);
        assert_eq!(order.first(turn), Some((place(5, false, 1), "a")));
    }
}
