//! Lanes: the units that wait for one next destination, and how many workers serve it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailpods_policy::outbound::shape::Fair;
use mailpods_store::UnixMillis;
use mailpods_store::queue::{LeasedUnit, Wanted, tenant};
use tokio::time::Instant;

use super::crowds::Crowds;
use super::lane::{Dead, Lane, QUANTUM, Waiting, YOUNG};
use super::order::{Order, Place};
use crate::fate::Trouble;

/// Units that a provider, or a lane of no known one, holds at most before no more are leased for its destinations.
pub(crate) const LANE_FULL: usize = 128;
/// And at least: slow servers with a long backlog hold as few, and so leave the room to others.
pub(crate) const LANE_LEAST: usize = 16;
/// Units in all lanes before no more are leased.
pub(crate) const LANES_FULL: usize = 1_024;
/// Units beyond that for tenants that have nothing in the lanes.
pub(crate) const RESERVE: usize = 256;

/// Where a lane leads: a domain, or a next hop that many domains share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneKey(pub(crate) String);

/// What limits lanes together: the provider that a lane leads to and the workers that it may have.
pub(crate) type Limits<'a> = &'a dyn Fn(&LaneKey) -> Option<(String, usize)>;

/// Workers at work and units that wait for some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) workers: usize,
    pub(crate) waiting: usize,
}

impl Need {
    /// Workers that could be at work.
    pub(crate) const fn all(self) -> usize {
        self.workers.saturating_add(self.waiting)
    }
}

/// All lanes.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<All>);

#[derive(Default)]
struct All {
    lanes: HashMap<LaneKey, Lane>,
    crowds: Crowds,
    waiting: usize,
    workers: usize,
    /// Grows with each turn, each unit taken and each lane made.
    clock: u64,
}

/// What a worker does next.
pub(crate) enum Next {
    /// Try this.
    Try(Box<LeasedUnit>),
    /// Do not try this: the destination is known to be unreachable.
    Skip(Box<LeasedUnit>, Trouble),
    /// Nothing left; the worker is counted out.
    Done,
}

/// Whose a unit is.
fn owner(unit: &LeasedUnit) -> String {
    tenant(&unit.message.origin, &unit.message.envelope.sender)
}

/// The crowd of a lane while nothing is known of its provider: it is alone there.
fn alone(key: &LaneKey) -> String {
    format!("?{}", key.0)
}

impl All {
    fn lane(&mut self, key: LaneKey, limits: Limits<'_>) -> &mut Lane {
        let now = self.tick();
        self.lanes.entry(key).or_insert_with_key(|key| Lane {
            waiting: Fair::new(QUANTUM),
            order: Order::default(),
            called: VecDeque::new(),
            workers: 0,
            dead: None,
            crowd: limits(key).map_or_else(|| alone(key), |(provider, _)| provider),
            // At the end of the row.
            served: now,
        })
    }

    const fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Moves lanes whose provider has become known to its crowd.
    fn learn(&mut self, limits: Limits<'_>) {
        for (key, lane) in &mut self.lanes {
            if !lane.crowd.starts_with('?') {
                continue;
            }
            if let Some((provider, _)) = limits(key)
                && provider != lane.crowd
            {
                let before = std::mem::replace(&mut lane.crowd, provider);
                self.crowds.count_workers(&before, lane.workers, 0);
                self.crowds.count_workers(&lane.crowd, 0, lane.workers);
                for waiting in lane.waiting.iter() {
                    self.crowds.remove(&before, &waiting.tenant);
                    self.crowds.add(&lane.crowd, waiting.tenant.clone());
                }
                lane.order = lane.order_in(&self.crowds);
            }
        }
    }

    /// Counts workers of a lane in or out.
    fn count_workers(&mut self, key: &LaneKey, change: impl FnOnce(usize) -> usize) {
        if let Some(lane) = self.lanes.get_mut(key) {
            let now = change(lane.workers);
            self.crowds.count_workers(&lane.crowd, lane.workers, now);
            self.workers = (self.workers + now).saturating_sub(lane.workers);
            lane.workers = now;
            lane.called.truncate(now);
        }
    }

    /// Counts a unit out that was taken from a lane.
    fn taken(&mut self, key: &LaneKey, waiting: &Waiting) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(key) {
            self.crowds.remove(&lane.crowd, &waiting.tenant);
            lane.less(&waiting.tenant, &self.crowds);
        }
    }

    /// How far from a turn a lane is: those with few workers first, then, in every other turn of its provider, the lane of the tenant
    /// that has waited longest for one, else the lane that has. So neither does a tenant with few messages wait behind those with many,
    /// nor do new tenants that go on coming keep the others waiting.
    fn place(&mut self, key: &LaneKey) -> Option<(usize, Place)> {
        let lane = self.lanes.get_mut(key)?;
        let (workers, served) = (lane.workers, lane.served);
        let of_lane = |turn: u64| Place {
            turn,
            old: false,
            since: served,
        };
        let place = match self.crowds.is_tenants_turn(&lane.crowd) {
            true => match lane.first(&self.crowds)?.0 {
                none_yet @ Place { turn: 0, .. } => none_yet,
                // Of lanes that the same tenant has mail in the one that has waited longest.
                place => of_lane(place.turn),
            },
            false => of_lane(served),
        };
        Some((workers, place))
    }

    /// Counts a worker in. In a tenant's turn it is for the tenant that has waited longest.
    fn call(&mut self, key: &LaneKey) {
        let now = self.tick();
        self.count_workers(key, |workers| workers + 1);
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        let tenant = lane.turn(&mut self.crowds);
        if let Some(tenant) = &tenant {
            self.crowds.serve(&lane.crowd, tenant, now);
        }
        lane.called.push_back(tenant);
        lane.served = now;
    }

    /// Whether half of the room is taken. Then no provider holds more than the least, and no destination gets more at once: a few slow
    /// servers with a long backlog must not keep mail from all others.
    const fn is_half_full(&self) -> bool {
        self.waiting >= LANES_FULL / 2
    }

    const fn most(&self) -> usize {
        if self.is_half_full() {
            LANE_LEAST
        } else {
            LANE_FULL
        }
    }
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a unit; `None`. Where its provider was full when it was leased it comes back, to be handed back, unless its tenant has
    /// nothing there; what else there is for that destination is then passed over until there is room.
    pub(crate) fn push(
        &self,
        key: LaneKey,
        unit: LeasedUnit,
        now: UnixMillis,
        limits: Limits<'_>,
    ) -> Option<LeasedUnit> {
        let mut all = self.lock();
        let crowd = all.lane(key.clone(), limits).crowd.clone();
        let tenant = owner(&unit);
        if !unit.urgent
            && !all.crowds.takes(&crowd, &tenant)
            && all.crowds.pass_over(&crowd, &unit.destination)
        {
            all.crowds.turn_away(&crowd, &tenant);
            return Some(unit);
        }
        let waiting = Waiting {
            tenant,
            old: now.saturating_sub(unit.message.created) > YOUNG,
            since: all.tick(),
            unit,
        };
        all.add(&key, waiting);
        None
    }

    /// How many units wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Whether the provider of a lane has just come down to the level at which it is filled again.
    pub(crate) fn is_low(&self, key: &LaneKey) -> bool {
        let all = self.lock();
        let crowd = all.lanes.get(key).map(|lane| &lane.crowd);
        crowd.is_some_and(|crowd| {
            let most = all.crowds.most(crowd);
            [most / 2, most / 16].contains(&all.crowds.waiting(crowd))
        })
    }

    /// How many workers are counted.
    pub(crate) fn workers(&self) -> usize {
        self.lock().workers
    }

    /// Counts workers in for lanes that have more units than workers; at most `free` in all and `most` for a lane. Lanes take
    /// turns, so that a long one does not keep the others waiting.
    pub(crate) fn staff(&self, free: usize, most: usize, limits: Limits<'_>) -> Vec<LaneKey> {
        let mut all = self.lock();
        all.learn(limits);
        let hungry = |lane: &Lane| lane.workers < lane.waiting.len().min(most);
        let lanes = all.lanes.iter().filter(|(_, lane)| hungry(lane));
        let mut hungry_lanes: Vec<LaneKey> = lanes.map(|(key, _)| key.clone()).collect();
        let (mut started, mut room) = (Vec::new(), HashMap::new());
        while started.len() < free {
            hungry_lanes.retain(|key| {
                all.lanes
                    .get(key)
                    .filter(|lane| hungry(lane))
                    .is_some_and(|lane| {
                        let limit = match room.get(&lane.crowd) {
                            Some(limit) => *limit,
                            None => {
                                let limit = limits(key).map_or(usize::MAX, |(_, limit)| limit);
                                room.insert(lane.crowd.clone(), limit);
                                limit
                            }
                        };
                        all.crowds.workers(&lane.crowd) < limit
                    })
            });
            let places = hungry_lanes
                .iter()
                .filter_map(|key| Some((all.place(key)?, key)));
            let Some(key) = places.min().map(|(_, key)| key.clone()) else {
                break;
            };
            all.call(&key);
            started.push(key);
        }
        started
    }

    /// Counts a worker out where the lanes of its provider have more workers than it takes now.
    pub(crate) fn leave_crowd(&self, key: &LaneKey, limits: Limits<'_>) -> bool {
        let Some((provider, most)) = limits(key) else {
            return false;
        };
        let mut all = self.lock();
        all.learn(limits);
        let crowded = all.crowds.workers(&provider) > most;
        if crowded {
            all.count_workers(key, |workers| workers.saturating_sub(1));
        }
        crowded
    }

    /// Counts a worker out that has had its turn where others wait for one: lanes of its provider that have no worker and get none
    /// because it takes no more, or any lane when all `most` workers are at work.
    pub(crate) fn give_way(&self, key: &LaneKey, most: usize, limits: Limits<'_>) -> bool {
        let mut all = self.lock();
        let Some(lane) = all.lanes.get(key) else {
            return false;
        };
        let full = |key: &LaneKey, crowd: &str| {
            limits(key).is_some_and(|(_, limit)| all.crowds.workers(crowd) >= limit)
        };
        let (free, crowded) = (all.workers < most, full(key, &lane.crowd));
        if free && !crowded {
            return false;
        }
        let waits = |(key, other): (&LaneKey, &Lane)| {
            other.workers == 0
                && !other.waiting.is_empty()
                && ((crowded && other.crowd == lane.crowd) || (!free && !full(key, &other.crowd)))
        };
        if !all.lanes.iter().any(waits) {
            return false;
        }
        let turn = all.tick();
        if let Some(lane) = all.lanes.get_mut(key) {
            lane.served = turn;
        }
        all.count_workers(key, |workers| workers.saturating_sub(1));
        true
    }

    /// What the lanes with one limit need together.
    pub(crate) fn needs(&self, limits: Limits<'_>) -> HashMap<String, Need> {
        let mut all = self.lock();
        all.learn(limits);
        all.crowds.needs()
    }

    /// The next unit for a worker of a lane under the plan of that digest; [`Next::Done`] counts the worker out.
    pub(crate) fn next(&self, key: &LaneKey, plan: &str) -> Next {
        let mut all = self.lock();
        let Some(lane) = all.lanes.get_mut(key) else {
            return Next::Done;
        };
        if lane
            .dead
            .as_ref()
            .is_some_and(|dead| dead.until <= Instant::now() || dead.plan != plan)
        {
            lane.dead = None;
        }
        let Some(unit) = all.pop(key) else {
            all.count_workers(key, |workers| workers.saturating_sub(1));
            let gone = |lane: &Lane| lane.workers == 0 && lane.dead.is_none();
            if all.lanes.get(key).is_some_and(gone) {
                all.lanes.remove(key);
            }
            return Next::Done;
        };
        match all.trouble(key).filter(|_| !unit.urgent) {
            Some(trouble) => Next::Skip(Box::new(unit), trouble),
            None => Next::Try(Box::new(unit)),
        }
    }

    /// Remembers that a lane's next server cannot be talked to.
    pub(crate) fn mark_dead(&self, key: &LaneKey, until: Instant, trouble: &Trouble, plan: &str) {
        if let Some(lane) = self.lock().lanes.get_mut(key) {
            lane.dead = Some(Dead {
                until,
                trouble: trouble.clone(),
                plan: plan.to_owned(),
            });
        }
    }

    /// Forgets that: a try of something urgent got through.
    pub(crate) fn mark_alive(&self, key: &LaneKey) {
        if let Some(lane) = self.lock().lanes.get_mut(key) {
            lane.dead = None;
        }
    }

    /// Forgets lanes that only remember, once their time is over.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        let live = |lane: &Lane| {
            lane.workers > 0
                || !lane.waiting.is_empty()
                || lane.dead.as_ref().is_some_and(|dead| dead.until > now)
        };
        self.lock().lanes.retain(|_, lane| live(lane));
    }

    /// Units to ask for now, at most `batch`.
    pub(crate) fn room(&self, batch: usize) -> usize {
        LANES_FULL.saturating_sub(self.waiting()).min(batch)
    }

    /// What is leased now, and whether destinations are passed over: those in the lanes of providers that are full, and those of which
    /// something was handed back for them.
    pub(crate) fn wanted(&self, limits: Limits<'_>) -> (Wanted, bool) {
        let mut all = self.lock();
        all.learn(limits);
        let most = all.most();
        let All { lanes, crowds, .. } = &mut *all;
        crowds.look(most);
        for lane in lanes.values() {
            if crowds.is_full(&lane.crowd) {
                for waiting in lane.waiting.iter() {
                    crowds.pass_over(&lane.crowd, &waiting.unit.destination);
                }
            }
        }
        let ((of, backlog), each) = (crowds.wanted(), most);
        (Wanted::Remote { most: of, each }, backlog)
    }

    /// Tenants that have something in the lanes or wait for room there, and how many units there is room for of those that have nothing.
    pub(crate) fn tenants(&self) -> (Vec<String>, usize) {
        let mut all = self.lock();
        let room = (LANES_FULL + RESERVE).saturating_sub(all.waiting);
        (all.crowds.tenants(), room)
    }

    /// Takes out what providers have more than they may hold, because it was not known to be theirs when it came: of the tenants
    /// that have most there, and nothing that an operator wants tried now.
    pub(crate) fn shed(&self) -> Vec<LeasedUnit> {
        let mut all = self.lock();
        let mut surplus = Vec::new();
        for crowd in all.crowds.above(LANE_FULL) {
            let mut urgent = Vec::new();
            while all.crowds.waiting(&crowd) + urgent.len() > LANE_FULL
                && let Some((key, waiting)) = all.take_from(&crowd)
            {
                all.taken(&key, &waiting);
                if waiting.unit.urgent {
                    urgent.push((key, waiting));
                } else {
                    all.crowds.pass_over(&crowd, &waiting.unit.destination);
                    all.crowds.turn_away(&crowd, &waiting.tenant);
                    surplus.push(waiting.unit);
                }
            }
            // The last one taken was the last in its lane.
            for (key, waiting) in urgent.into_iter().rev() {
                all.add(&key, waiting);
            }
        }
        surplus
    }

    /// Takes out everything that waits.
    pub(crate) fn drain(&self) -> Vec<LeasedUnit> {
        let mut all = self.lock();
        (all.waiting, all.crowds) = (0, Crowds::default());
        let lanes = all.lanes.values_mut();
        let waiting = lanes.flat_map(|lane| {
            (lane.order, lane.called) = (Order::default(), VecDeque::new());
            std::iter::from_fn(|| lane.waiting.pop())
        });
        waiting.map(|waiting| waiting.unit).collect()
    }

    /// Counts a worker out that ended in another way than by [`Next::Done`].
    pub(crate) fn leave(&self, key: &LaneKey) {
        self.lock()
            .count_workers(key, |workers| workers.saturating_sub(1));
    }
}

impl All {
    /// The next unit of a lane, counted out: one of the tenant for which a worker was called, else, in every other turn, one of the
    /// tenant that has waited longest for its turn.
    fn pop(&mut self, key: &LaneKey) -> Option<LeasedUnit> {
        let now = self.tick();
        let lane = self.lanes.get_mut(key)?;
        if lane.waiting.is_empty() {
            return None;
        }
        let tenant = match lane.called.pop_front() {
            Some(called) => called,
            None => lane.turn(&mut self.crowds),
        };
        let first = tenant.and_then(|tenant| lane.waiting.pop_first(&tenant));
        let waiting = first.or_else(|| lane.waiting.pop())?;
        self.crowds.take(&lane.crowd);
        self.crowds.serve(&lane.crowd, &waiting.tenant, now);
        self.taken(key, &waiting);
        Some(waiting.unit)
    }

    /// Why nothing but what is urgent is tried.
    fn trouble(&self, key: &LaneKey) -> Option<Trouble> {
        let dead = self.lanes.get(key)?.dead.as_ref()?;
        Some(dead.trouble.clone())
    }

    /// The last unit of the tenant that has most in a crowd, from the lane where it has most.
    fn take_from(&mut self, crowd: &str) -> Option<(LaneKey, Waiting)> {
        let tenant = self.crowds.largest(crowd)?;
        let lanes = self
            .lanes
            .iter_mut()
            .filter(|(_, lane)| lane.crowd == crowd);
        let (key, lane) = lanes.max_by_key(|(_, lane)| lane.waiting.len_of(&tenant))?;
        let waiting = lane.waiting.pop_last(&tenant)?;
        Some((key.clone(), waiting))
    }

    /// Adds a unit to a lane that is there.
    fn add(&mut self, key: &LaneKey, waiting: Waiting) {
        if let Some(lane) = self.lanes.get_mut(key) {
            let cost = waiting.unit.message.size / 1024 + 1;
            self.crowds.add(&lane.crowd, waiting.tenant.clone());
            self.waiting += 1;
            let place = lane.place_of(&waiting, &self.crowds);
            lane.order.add(&waiting.tenant, place);
            lane.waiting.push(waiting.tenant.clone(), cost, waiting);
        }
    }
}
