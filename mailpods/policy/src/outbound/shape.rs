//! How many connections at once, and whose message is next.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The fewest connections: one, so that it is found out when things are well again.
const FLOOR: f64 = 1.0;
/// Deliveries without trouble that a step up takes at least.
const START: f64 = 5.0;

/// What an attempt said about the receiver's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// It took the message.
    Delivered,
    /// Too much at once, or the address is refused.
    Refused,
    /// No connection.
    Unreachable,
}

/// Connections at once to one provider from one pool: grows by one when as many messages as there are connections went well, and
/// halves with a refusal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Concurrency {
    limit: f64,
    ceiling: f64,
}

impl Concurrency {
    /// Begins in the lower part, up to `ceiling`.
    #[must_use]
    pub fn new(ceiling: usize) -> Self {
        let ceiling = whole(ceiling);
        Self {
            limit: START.min(ceiling),
            ceiling,
        }
    }

    /// Takes in how an attempt ended.
    pub fn feed(&mut self, feedback: Feedback) {
        self.limit = match feedback {
            Feedback::Delivered => (self.limit + 1.0 / self.limit).min(self.ceiling),
            Feedback::Refused => (self.limit / 2.0).max(FLOOR),
            Feedback::Unreachable => (self.limit * 0.75).max(FLOOR),
        };
    }

    /// Another ceiling, because settings changed.
    pub fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = whole(ceiling);
        self.limit = self.limit.min(self.ceiling);
    }

    /// The exact number, for others to go on with.
    #[must_use]
    pub const fn level(&self) -> f64 {
        self.limit
    }

    /// Goes on where others are.
    pub fn set_level(&mut self, level: f64) {
        self.limit = level.max(FLOOR).min(self.ceiling);
    }

    /// Connections allowed now, one at least.
    #[must_use]
    pub fn limit(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between one and the ceiling"
        )]
        let limit = self.limit as usize;
        limit.max(1)
    }
}

fn whole(number: usize) -> f64 {
    f64::from(u32::try_from(number.max(1)).unwrap_or(u32::MAX))
}

/// A queue that takes turns between tenants (deficit round-robin, Shreedhar and Varghese 1995): each may take a quantum in its
/// turn, so that the first message of one is never behind all messages of another.
#[derive(Debug, Clone)]
pub struct Fair<K, T> {
    tenants: HashMap<K, Tenant<T>>,
    /// Tenants that have something, in the order of their turns.
    turns: VecDeque<K>,
    quantum: u64,
    length: usize,
}

#[derive(Debug, Clone)]
struct Tenant<T> {
    items: VecDeque<(u64, T)>,
    deficit: u64,
}

impl<K: Eq + Hash + Clone, T> Fair<K, T> {
    /// Empty; `quantum` is the cost that a tenant may take in one turn.
    #[must_use]
    pub fn new(quantum: u64) -> Self {
        Self {
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            quantum: quantum.max(1),
            length: 0,
        }
    }

    /// Adds an item of a tenant at its end.
    pub fn push(&mut self, tenant: K, cost: u64, item: T) {
        self.length += 1;
        if let Some(there) = self.tenants.get_mut(&tenant) {
            return there.items.push_back((cost, item));
        }
        self.turns.push_back(tenant.clone());
        let new = Tenant {
            items: VecDeque::from([(cost, item)]),
            deficit: self.quantum,
        };
        self.tenants.insert(tenant, new);
    }

    /// The next item.
    pub fn pop(&mut self) -> Option<T> {
        loop {
            let key = self.turns.front()?.clone();
            let Some(tenant) = self.tenants.get_mut(&key) else {
                self.turns.pop_front();
                continue;
            };
            let affordable = tenant
                .items
                .front()
                .is_some_and(|(cost, _)| *cost <= tenant.deficit);
            if !affordable && tenant.items.len() < self.length {
                tenant.deficit = tenant.deficit.saturating_add(self.quantum);
                self.turns.rotate_left(1);
                continue;
            }
            // One who is alone has no turn to wait for.
            let (cost, item) = tenant.items.pop_front()?;
            tenant.deficit = tenant.deficit.saturating_sub(cost);
            if tenant.items.is_empty() {
                self.tenants.remove(&key);
                self.turns.pop_front();
            }
            self.length -= 1;
            return Some(item);
        }
    }

    /// Takes the first item of a tenant out of its turn.
    pub fn pop_first(&mut self, key: &K) -> Option<T> {
        self.take(key, VecDeque::pop_front)
    }

    /// Takes the last item of a tenant out of its turn.
    pub fn pop_last(&mut self, key: &K) -> Option<T> {
        self.take(key, VecDeque::pop_back)
    }

    fn take(
        &mut self,
        key: &K,
        end: impl FnOnce(&mut VecDeque<(u64, T)>) -> Option<(u64, T)>,
    ) -> Option<T> {
        let tenant = self.tenants.get_mut(key)?;
        let (_, item) = end(&mut tenant.items)?;
        if tenant.items.is_empty() {
            self.tenants.remove(key);
            self.turns.retain(|other| other != key);
        }
        self.length -= 1;
        Some(item)
    }

    /// Items of a tenant.
    #[must_use]
    pub fn len_of(&self, key: &K) -> usize {
        self.tenants.get(key).map_or(0, |tenant| tenant.items.len())
    }

    /// The first item of a tenant.
    #[must_use]
    pub fn first<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        let (_, item) = self.tenants.get(key)?.items.front()?;
        Some(item)
    }

    /// Items in all.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Every item, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.tenants
            .values()
            .flat_map(|tenant| tenant.items.iter().map(|(_, item)| item))
    }
}
