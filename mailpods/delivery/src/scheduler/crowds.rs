//! Crowds: what waits for the servers of one provider, whatever number of lanes leads to them.
//!
//! A provider that takes a message in seconds may have thousands of domains, and mail for all of them in the queue. It holds no more
//! units in memory than one of a single domain: other destinations of it are passed over until it has room again.

use std::collections::{HashMap, HashSet, VecDeque};

use mailpods_store::queue::Destination;

use super::lanes::Need;

/// Most destinations passed over; what comes beyond is held in the lanes.
const MAX_PASSED: usize = 16_384;

#[derive(Default)]
struct Crowd {
    waiting: usize,
    workers: usize,
    /// Units of each tenant that has some.
    tenants: HashMap<String, usize>,
    /// Destinations that wait for room, in their order.
    passed: VecDeque<Destination>,
    /// No more is leased for it, since [`Crowds::look`].
    full: bool,
}

impl Crowd {
    fn is_gone(&self) -> bool {
        self.waiting == 0 && self.workers == 0 && self.passed.is_empty()
    }
}

/// All crowds, by provider; a lane whose provider is not known is one of its own.
#[derive(Default)]
pub(super) struct Crowds {
    crowds: HashMap<String, Crowd>,
    passed: HashSet<Destination>,
}

impl Crowds {
    fn get_mut(&mut self, name: &str) -> &mut Crowd {
        self.crowds.entry(name.to_owned()).or_default()
    }

    fn tidy(&mut self, name: &str) {
        if self.crowds.get(name).is_some_and(Crowd::is_gone) {
            self.crowds.remove(name);
        }
    }

    /// A unit of a tenant waits.
    pub(super) fn add(&mut self, name: &str, tenant: String) {
        let crowd = self.get_mut(name);
        crowd.waiting += 1;
        *crowd.tenants.entry(tenant).or_default() += 1;
    }

    /// It waits no more.
    pub(super) fn remove(&mut self, name: &str, tenant: &str) {
        let crowd = self.get_mut(name);
        crowd.waiting = crowd.waiting.saturating_sub(1);
        if let Some(count) = crowd.tenants.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                crowd.tenants.remove(tenant);
            }
        }
        self.tidy(name);
    }

    /// A lane has other workers than before.
    pub(super) fn count_workers(&mut self, name: &str, before: usize, now: usize) {
        let crowd = self.get_mut(name);
        crowd.workers = (crowd.workers + now).saturating_sub(before);
        self.tidy(name);
    }

    /// Units that wait.
    pub(super) fn waiting(&self, name: &str) -> usize {
        self.crowds.get(name).map_or(0, |crowd| crowd.waiting)
    }

    /// Workers of all its lanes.
    pub(super) fn workers(&self, name: &str) -> usize {
        self.crowds.get(name).map_or(0, |crowd| crowd.workers)
    }

    /// Units of a tenant.
    pub(super) fn of(&self, name: &str, tenant: &str) -> usize {
        let crowd = self.crowds.get(name);
        let count = crowd.and_then(|crowd| crowd.tenants.get(tenant));
        count.copied().unwrap_or(0)
    }

    /// The tenant with most units.
    pub(super) fn largest(&self, name: &str) -> Option<String> {
        let tenants = self.crowds.get(name)?.tenants.iter();
        let (tenant, _) = tenants.max_by_key(|(_, count)| **count)?;
        Some(tenant.clone())
    }

    /// Those with more units than `most`.
    pub(super) fn above(&self, most: usize) -> Vec<String> {
        let above = self.crowds.iter().filter(|(_, crowd)| crowd.waiting > most);
        above.map(|(name, _)| name.clone()).collect()
    }

    /// Finds out which are full, with `most` units. In the others destinations that were passed over are so no more, in their order,
    /// as many as there is room for.
    pub(super) fn look(&mut self, most: usize) {
        for crowd in self.crowds.values_mut() {
            crowd.full = crowd.waiting >= most;
            let room = most.saturating_sub(crowd.waiting).min(crowd.passed.len());
            for destination in crowd.passed.drain(..room) {
                self.passed.remove(&destination);
            }
        }
        self.crowds.retain(|_, crowd| !crowd.is_gone());
    }

    /// Whether no more is leased for it.
    pub(super) fn is_full(&self, name: &str) -> bool {
        self.crowds.get(name).is_some_and(|crowd| crowd.full)
    }

    /// Whether it takes a unit of a tenant: while it is full, of one alone that has none there.
    pub(super) fn takes(&self, name: &str, tenant: &str) -> bool {
        !self.is_full(name) || self.of(name, tenant) == 0
    }

    /// Passes a destination over until there is room; false when too many are.
    pub(super) fn pass_over(&mut self, name: &str, destination: &Destination) -> bool {
        if self.passed.contains(destination) {
            return true;
        }
        if self.passed.len() >= MAX_PASSED {
            return false;
        }
        self.passed.insert(destination.clone());
        self.get_mut(name).passed.push_back(destination.clone());
        true
    }

    /// Destinations that are passed over.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = Destination> {
        self.passed.iter().cloned()
    }

    /// Tenants that have something anywhere.
    pub(super) fn tenants(&self) -> Vec<String> {
        let all = self.crowds.values();
        let tenants = all.flat_map(|crowd| crowd.tenants.keys().cloned());
        let once: HashSet<String> = tenants.collect();
        once.into_iter().collect()
    }

    /// What each needs.
    pub(super) fn needs(&self) -> HashMap<String, Need> {
        let need = |crowd: &Crowd| Need {
            workers: crowd.workers,
            waiting: crowd.waiting,
        };
        let crowds = self.crowds.iter();
        crowds
            .map(|(name, crowd)| (name.clone(), need(crowd)))
            .collect()
    }
}
