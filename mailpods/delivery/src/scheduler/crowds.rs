//! Crowds: what waits for the servers of one provider, whatever number of lanes leads to them.
//!
//! A provider that takes a message in seconds may have thousands of domains, and mail for all of them in the queue. It holds no more
//! units in memory than one of a single domain: other destinations of it are passed over until it has room again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mailpods_store::queue::Destination;
use tokio::time::Instant;

use super::lanes::{LANE_FULL, LANE_LEAST, Need};

/// Most destinations passed over; what comes beyond is held in the lanes.
const MAX_PASSED: usize = 16_384;
/// Tenants whose turns a crowd remembers; then it begins anew.
const MAX_SERVED: usize = 1_024;
/// Tenants that a crowd turned away which are remembered; of those beyond something is leased and handed back now and then.
const MAX_AWAY: usize = 4_096;
/// How often it is found out how fast servers take their units.
const PACE: Duration = Duration::from_millis(200);

struct Crowd {
    waiting: usize,
    workers: usize,
    /// Units of each tenant that has some.
    tenants: HashMap<String, usize>,
    /// When tenants last had a turn, by the clock of the lanes.
    served: HashMap<String, u64>,
    /// The last turn was that of a tenant; the next one is that of a lane.
    of_tenant: bool,
    /// Destinations that wait for room, in their order.
    passed: VecDeque<Destination>,
    /// Tenants that have nothing here and wait for room, in their order: there are more than it may hold units.
    away: VecDeque<String>,
    /// No more is leased for it, since [`Crowds::look`].
    full: bool,
    /// Units that it holds: as many as its servers take within a second or so.
    most: usize,
    /// Units that workers took since then.
    taken: usize,
    since: Instant,
}

impl Crowd {
    fn new() -> Self {
        Self {
            waiting: 0,
            workers: 0,
            tenants: HashMap::new(),
            served: HashMap::new(),
            of_tenant: false,
            passed: VecDeque::new(),
            away: VecDeque::new(),
            full: false,
            most: LANE_LEAST,
            taken: 0,
            since: Instant::now(),
        }
    }

    fn largest(&self) -> Option<(&String, &usize)> {
        self.tenants.iter().max_by_key(|(_, count)| **count)
    }

    fn is_gone(&self) -> bool {
        self.waiting == 0 && self.workers == 0 && self.passed.is_empty()
    }

    /// Holds as much as is taken within a second; twice as much as before where that was too little.
    fn keep_pace(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.since);
        if self.full && self.waiting == 0 {
            self.most = (self.most * 2).min(LANE_FULL);
        } else if elapsed >= PACE {
            let millis = usize::try_from(elapsed.as_millis()).unwrap_or(usize::MAX);
            let taken = self.taken.saturating_mul(1_000) / millis;
            self.most = taken.clamp(LANE_LEAST, LANE_FULL);
        }
        if elapsed >= PACE {
            (self.taken, self.since) = (0, now);
        }
    }
}

/// All crowds, by provider; a lane whose provider is not known is one of its own.
#[derive(Default)]
pub(super) struct Crowds {
    crowds: HashMap<String, Crowd>,
    /// Most units that are leased of a destination: 0 of those that are passed over, few of those that were so until now.
    wanted: Arc<HashMap<Destination, usize>>,
    few: Vec<Destination>,
    passed: usize,
}

impl Crowds {
    fn get_mut(&mut self, name: &str) -> &mut Crowd {
        self.crowds
            .entry(name.to_owned())
            .or_insert_with(Crowd::new)
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

    /// A worker took one.
    pub(super) fn take(&mut self, name: &str) {
        if let Some(crowd) = self.crowds.get_mut(name) {
            crowd.taken += 1;
        }
    }

    /// A tenant has its turn, at that time of the lanes' clock.
    pub(super) fn serve(&mut self, name: &str, tenant: &str, at: u64) {
        let Some(crowd) = self.crowds.get_mut(name) else {
            return;
        };
        match crowd.served.get_mut(tenant) {
            Some(last) => *last = at,
            None => {
                if crowd.served.len() >= MAX_SERVED {
                    crowd.served.clear();
                }
                crowd.served.insert(tenant.to_owned(), at);
            }
        }
    }

    /// Whether the next turn is that of the tenant that has waited longest.
    pub(super) fn is_tenants_turn(&self, name: &str) -> bool {
        self.crowds.get(name).is_none_or(|crowd| !crowd.of_tenant)
    }

    /// Gives that turn; whether it is the tenant's.
    pub(super) fn turn(&mut self, name: &str) -> bool {
        let crowd = self.get_mut(name);
        crowd.of_tenant = !crowd.of_tenant;
        crowd.of_tenant
    }

    /// When a tenant last had a turn; 0: never.
    pub(super) fn last_turn(&self, name: &str, tenant: &str) -> u64 {
        let crowd = self.crowds.get(name);
        let last = crowd.and_then(|crowd| crowd.served.get(tenant));
        last.copied().unwrap_or(0)
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
        let (tenant, _) = self.crowds.get(name)?.largest()?;
        Some(tenant.clone())
    }

    /// Remembers that a tenant which has nothing in a crowd waits for room there: nothing is leased for its sake alone until then.
    pub(super) fn turn_away(&mut self, name: &str, tenant: &str) {
        let crowd = self.get_mut(name);
        let is_known = crowd.away.iter().any(|other| other == tenant);
        if !is_known && crowd.away.len() < MAX_AWAY && !crowd.tenants.contains_key(tenant) {
            crowd.away.push_back(tenant.to_owned());
        }
    }

    /// Those with more units than `most`.
    pub(super) fn above(&self, most: usize) -> Vec<String> {
        let above = self.crowds.iter().filter(|(_, crowd)| crowd.waiting > most);
        above.map(|(name, _)| name.clone()).collect()
    }

    /// Finds out which are full; none holds more than `most`. In the others destinations that were passed over are so no more, in their
    /// order, as many as there is room for, and no more of them is leased than that.
    pub(super) fn look(&mut self, most: usize) {
        let (now, wanted) = (Instant::now(), Arc::make_mut(&mut self.wanted));
        for destination in self.few.drain(..) {
            if wanted.get(&destination) != Some(&0) {
                wanted.remove(&destination);
            }
        }
        for crowd in self.crowds.values_mut() {
            crowd.keep_pace(now);
            let most = crowd.most.min(most);
            crowd.full = crowd.waiting >= most;
            let room = most.saturating_sub(crowd.waiting);
            let count = room.min(crowd.passed.len());
            for destination in crowd.passed.drain(..count) {
                self.passed -= 1;
                wanted.insert(destination.clone(), room.div_ceil(count));
                self.few.push(destination);
            }
        }
        self.crowds.retain(|_, crowd| !crowd.is_gone());
    }

    /// Units that a crowd holds before no more are leased for it.
    pub(super) fn most(&self, name: &str) -> usize {
        self.crowds.get(name).map_or(LANE_LEAST, |crowd| crowd.most)
    }

    /// Whether no more is leased for it.
    pub(super) fn is_full(&self, name: &str) -> bool {
        self.crowds.get(name).is_some_and(|crowd| crowd.full)
    }

    /// Whether it takes a unit of a tenant: while it is full, of one alone that has none there, if it is not full of such ones.
    pub(super) fn takes(&self, name: &str, tenant: &str) -> bool {
        let has_room = |crowd: &Crowd| {
            let others_have_more = || crowd.largest().is_some_and(|(_, count)| *count > 1);
            crowd.waiting < LANE_FULL || others_have_more()
        };
        !self.is_full(name)
            || (self.of(name, tenant) == 0 && self.crowds.get(name).is_none_or(has_room))
    }

    /// Passes a destination over until there is room; false when too many are.
    pub(super) fn pass_over(&mut self, name: &str, destination: &Destination) -> bool {
        if self.wanted.get(destination) == Some(&0) {
            return true;
        }
        if self.passed >= MAX_PASSED {
            return false;
        }
        self.passed += 1;
        Arc::make_mut(&mut self.wanted).insert(destination.clone(), 0);
        self.get_mut(name).passed.push_back(destination.clone());
        true
    }

    /// Most units that are leased of destinations, and whether some are passed over.
    pub(super) fn wanted(&self) -> (Arc<HashMap<Destination, usize>>, bool) {
        (Arc::clone(&self.wanted), self.passed > 0)
    }

    /// Tenants that have something anywhere or still wait for room: as many as there is room for do so no more.
    pub(super) fn tenants(&mut self) -> Vec<String> {
        for crowd in self.crowds.values_mut() {
            let free = LANE_FULL.saturating_sub(crowd.waiting);
            crowd.away.drain(..free.min(crowd.away.len()));
        }
        let all = self.crowds.values();
        let tenants = all.flat_map(|crowd| crowd.tenants.keys().chain(&crowd.away).cloned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_servers_hold_more_than_slow_ones() {
        let mut crowd = Crowd::new();
        let begin = crowd.since;
        (crowd.full, crowd.waiting) = (true, 0);
        crowd.keep_pace(begin);
        assert_eq!(crowd.most, 2 * LANE_LEAST, "it has run dry");
        (crowd.waiting, crowd.taken) = (10, 20);
        crowd.keep_pace(begin + PACE / 2);
        assert_eq!(crowd.most, 2 * LANE_LEAST, "not known yet");
        crowd.keep_pace(begin + PACE);
        assert_eq!((crowd.most, crowd.taken), (100, 0), "a hundred a second");
        crowd.taken = 10_000;
        crowd.keep_pace(begin + 2 * PACE);
        assert_eq!(crowd.most, LANE_FULL);
        crowd.taken = 2;
        crowd.keep_pace(begin + 3 * PACE);
        assert_eq!(crowd.most, LANE_LEAST, "ten a second");
    }
}
