//! Lanes: the units that wait for one next destination, and how many workers serve it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailpods_policy::outbound::shape::Fair;
use mailpods_store::queue::{Destination, LeasedUnit, tenant};
use tokio::time::Instant;

use crate::fate::Trouble;

/// Units that one lane holds before no more are leased for its destinations.
pub(crate) const LANE_FULL: usize = 128;
/// Units in all lanes before no more are leased.
pub(crate) const LANES_FULL: usize = 1_024;
/// Most destinations that are named to the store as busy.
const MAX_BUSY: usize = 256;

/// Where a lane leads: a domain, or a next hop that many domains share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey(pub(crate) String);

/// What a tenant may take in one turn, in KiB: a usual message, or part of a large one.
const QUANTUM: u64 = 64;

struct Lane {
    waiting: Fair<String, LeasedUnit>,
    workers: usize,
    /// The next server could not be talked to.
    dead: Option<Dead>,
}

/// Until when nothing but what is urgent is tried, why, and the digest of the plan that it was tried by: under another plan
/// the way there may be another one.
struct Dead {
    until: Instant,
    trouble: Trouble,
    plan: String,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            waiting: Fair::new(QUANTUM),
            workers: 0,
            dead: None,
        }
    }
}

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
pub(crate) struct Lanes(Mutex<HashMap<LaneKey, Lane>>);

/// What a worker does next.
pub(crate) enum Next {
    /// Try this.
    Try(Box<LeasedUnit>),
    /// Do not try this: the destination is known to be unreachable.
    Skip(Box<LeasedUnit>, Trouble),
    /// Nothing left; the worker is counted out.
    Done,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, HashMap<LaneKey, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a unit.
    pub(crate) fn push(&self, key: LaneKey, unit: LeasedUnit) {
        let cost = unit.message.size / 1024 + 1;
        let mut lanes = self.lock();
        let lane = lanes.entry(key).or_default();
        let tenant = tenant(&unit.message.origin, &unit.message.envelope.sender);
        lane.waiting.push(tenant, cost, unit);
    }

    /// How many units wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().values().map(|lane| lane.waiting.len()).sum()
    }

    /// Whether a lane has just come down to the level at which it is filled again.
    pub(crate) fn is_low(&self, key: &LaneKey) -> bool {
        self.lock()
            .get(key)
            .is_some_and(|lane| lane.waiting.len() == LANE_FULL / 2)
    }

    /// How many workers are counted.
    pub(crate) fn workers(&self) -> usize {
        self.lock().values().map(|lane| lane.workers).sum()
    }

    /// Counts workers in for lanes that have more units than workers; at most `free` in all and `most` for a lane. Lanes take
    /// turns, so that a long one does not keep the others waiting.
    pub(crate) fn staff(&self, free: usize, most: usize, limits: Limits<'_>) -> Vec<LaneKey> {
        let mut lanes = self.lock();
        let mut started = Vec::new();
        let limited: HashMap<LaneKey, (String, usize)> = lanes
            .keys()
            .filter_map(|key| limits(key).map(|limit| (key.clone(), limit)))
            .collect();
        let mut together: HashMap<&str, usize> = HashMap::new();
        for (key, (provider, _)) in &limited {
            let workers = lanes.get(key).map_or(0, |lane| lane.workers);
            *together.entry(provider).or_default() += workers;
        }
        for round in 0..most {
            for (key, lane) in lanes.iter_mut() {
                let wanted = lane.waiting.len().min(most);
                if started.len() < free
                    && lane.workers == round
                    && lane.workers < wanted
                    && has_room(&mut together, limited.get(key))
                {
                    lane.workers += 1;
                    started.push(key.clone());
                }
            }
        }
        started
    }

    /// Counts a worker out where the lanes of its provider have more workers than it takes now.
    pub(crate) fn leave_crowd(&self, key: &LaneKey, limits: Limits<'_>) -> bool {
        let Some((provider, most)) = limits(key) else {
            return false;
        };
        let mut lanes = self.lock();
        let same = |key: &LaneKey| limits(key).is_some_and(|(other, _)| other == provider);
        let workers = lanes.iter().filter(|(key, _)| same(key));
        let crowded = workers.map(|(_, lane)| lane.workers).sum::<usize>() > most;
        if crowded && let Some(lane) = lanes.get_mut(key) {
            lane.workers = lane.workers.saturating_sub(1);
        }
        crowded
    }

    /// What the lanes with one limit need together.
    pub(crate) fn needs(&self, limits: Limits<'_>) -> HashMap<String, Need> {
        let mut needs: HashMap<String, Need> = HashMap::new();
        for (key, lane) in self.lock().iter() {
            if let Some((limited, _)) = limits(key) {
                let need = needs.entry(limited).or_default();
                need.workers += lane.workers;
                need.waiting += lane.waiting.len();
            }
        }
        needs
    }

    /// The next unit for a worker of a lane under the plan of that digest; [`Next::Done`] counts the worker out.
    pub(crate) fn next(&self, key: &LaneKey, plan: &str) -> Next {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(key) else {
            return Next::Done;
        };
        if lane
            .dead
            .as_ref()
            .is_some_and(|dead| dead.until <= Instant::now() || dead.plan != plan)
        {
            lane.dead = None;
        }
        match (lane.waiting.pop(), &lane.dead) {
            (Some(unit), Some(dead)) if !unit.urgent => {
                Next::Skip(Box::new(unit), dead.trouble.clone())
            }
            (Some(unit), _) => Next::Try(Box::new(unit)),
            (None, _) => {
                lane.workers = lane.workers.saturating_sub(1);
                if lane.workers == 0 && lane.dead.is_none() {
                    lanes.remove(key);
                }
                Next::Done
            }
        }
    }

    /// Remembers that a lane's next server cannot be talked to.
    pub(crate) fn mark_dead(&self, key: &LaneKey, until: Instant, trouble: &Trouble, plan: &str) {
        if let Some(lane) = self.lock().get_mut(key) {
            lane.dead = Some(Dead {
                until,
                trouble: trouble.clone(),
                plan: plan.to_owned(),
            });
        }
    }

    /// Forgets that: a try of something urgent got through.
    pub(crate) fn mark_alive(&self, key: &LaneKey) {
        if let Some(lane) = self.lock().get_mut(key) {
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
        self.lock().retain(|_, lane| live(lane));
    }

    /// Units to ask for now, at most `batch`: few once half of the room is taken, so that no lane takes much of the rest.
    pub(crate) fn room(&self, batch: usize) -> usize {
        let waiting = self.waiting();
        let batch = if waiting >= LANES_FULL / 2 {
            batch / 8
        } else {
            batch
        };
        LANES_FULL.saturating_sub(waiting).min(batch)
    }

    /// Destinations of lanes that are full. Once half of the room is taken a lane is full sooner: a few slow servers with a long
    /// backlog must not keep mail from all others.
    pub(crate) fn busy(&self) -> Vec<Destination> {
        let most = if self.waiting() >= LANES_FULL / 2 {
            LANE_FULL / 8
        } else {
            LANE_FULL
        };
        let lanes = self.lock();
        let full = lanes.values().filter(|lane| lane.waiting.len() >= most);
        let mut busy: Vec<Destination> = full
            .flat_map(|lane| lane.waiting.iter().map(|unit| unit.destination.clone()))
            .collect();
        busy.sort();
        busy.dedup();
        busy.truncate(MAX_BUSY);
        busy
    }

    /// Takes out everything that waits.
    pub(crate) fn drain(&self) -> Vec<LeasedUnit> {
        self.lock()
            .values_mut()
            .flat_map(|lane| std::iter::from_fn(|| lane.waiting.pop()))
            .collect()
    }

    /// Counts a worker out that ended in another way than by [`Next::Done`].
    pub(crate) fn leave(&self, key: &LaneKey) {
        if let Some(lane) = self.lock().get_mut(key) {
            lane.workers = lane.workers.saturating_sub(1);
        }
    }
}

/// Counts a worker in where its provider takes one more.
fn has_room<'a>(
    together: &mut HashMap<&'a str, usize>,
    limit: Option<&'a (String, usize)>,
) -> bool {
    let Some((provider, most)) = limit else {
        return true;
    };
    let workers = together.entry(provider).or_default();
    let room = *workers < *most;
    *workers += usize::from(room);
    room
}
