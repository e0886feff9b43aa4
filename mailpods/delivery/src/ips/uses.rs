//! Connections that are open from each address and to each provider, and addresses that are on their way out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailpods_plan::{OutboundIp, Plan};

use super::Ips;
use crate::context::Context;

/// How long an address that is gone from the settings may have connections before its records are let go of all the same, in
/// milliseconds.
const PATIENCE: i64 = 600_000;

/// Connections of this process that are open, those that are kept idle for seconds too, by what they have in common.
#[derive(Debug)]
pub struct Open<K>(Arc<Mutex<HashMap<K, usize>>>);

/// Connections that are open from each address.
pub type Uses = Open<IpAddr>;

impl<K> Default for Open<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Open<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone> Open<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    #[must_use]
    pub fn of(&self, key: &K) -> usize {
        self.lock().get(key).copied().unwrap_or(0)
    }

    /// Counts one more until the value is dropped.
    pub(crate) fn begin(&self, key: K) -> Use<K> {
        *self.lock().entry(key.clone()).or_default() += 1;
        Use(self.clone(), key)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Use<K: Eq + Hash + Clone>(Open<K>, K);

impl<K: Eq + Hash + Clone> Drop for Use<K> {
    fn drop(&mut self) {
        let mut uses = self.0.lock();
        if let Some(count) = uses.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                uses.remove(&self.1);
            }
        }
    }
}

/// Addresses of the last plan, and those that have gone from it.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    known: HashMap<String, OutboundIp>,
    gone: HashMap<String, Gone>,
}

#[derive(Debug)]
struct Gone {
    ip: OutboundIp,
    since: i64,
    /// When the last connection from it had ended.
    unused: Option<i64>,
}

impl Gone {
    /// Whether its records may go: nothing leaves from it, and whoever has seen mail from it has had its time to look.
    fn is_over(&mut self, uses: &Uses, ttl: i64, now: i64) -> bool {
        let unused = match self.unused {
            Some(unused) => unused,
            None if uses.of(&self.ip.address) == 0 || now - self.since >= PATIENCE => now,
            None => return false,
        };
        self.unused = Some(unused);
        now - unused >= ttl
    }
}

impl Ips {
    /// Follows addresses that are not in the plan any more: their A and PTR records, and what SPF says of them, should stay until the log
    /// says that they may go.
    pub(super) fn see_off(&self, ctx: &Context, plan: &Plan) {
        let now = ctx.now();
        let ttl = i64::try_from(plan.dns.ttl.as_millis()).unwrap_or(i64::MAX);
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let Leaving { known, gone } = &mut *leaving;
        let is_there = |name: &String| plan.outbound_ips.contains_key(name);
        for (name, ip) in known.extract_if(|name, _| !is_there(name)) {
            tracing::warn!(
                ip = name, address = %ip.address, hostname = %ip.hostname,
                "an OutboundIP is gone: nothing new leaves from it; its records should stay until it is said that they may go"
            );
            let since = now;
            let unused = None;
            gone.insert(name, Gone { ip, since, unused });
        }
        gone.retain(|name, _| !is_there(name));
        for (name, old) in gone.extract_if(|_, old| old.is_over(&self.uses, ttl, now)) {
            let left = self.uses.of(&old.ip.address);
            tracing::warn!(
                ip = name, address = %old.ip.address, hostname = %old.ip.hostname, connections = left,
                "the records of an OutboundIP that is gone may go now"
            );
        }
        for (name, ip) in plan.outbound_ips.iter() {
            if known
                .get(name)
                .is_none_or(|known| known.address != ip.address)
            {
                known.insert(name.clone(), ip.clone());
            }
        }
    }

    /// Names of addresses that are gone and whose records should stay.
    #[cfg(test)]
    pub(super) fn leaving(&self) -> Vec<String> {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.gone.keys().cloned().collect()
    }
}
