//! How many messages left from each address in the last 24 hours, kept for all processes to add up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use mailpods_plan::OutboundIp;
use mailpods_store::{SecretStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{Ips, kept};
use crate::context::Context;

const HOUR: i64 = 3_600_000;
const HOURS: i64 = 24;

/// What left from an address by hour since 1970: messages that a server took, and attempts that were refused for the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<i64, (u64, u64)>);

/// What this process has counted for an address.
#[derive(Default)]
pub(super) struct Counted {
    tally: Tally,
    /// There is something that is not kept yet.
    new: bool,
    /// What the process of the same name before this one had kept is in it.
    joined: bool,
}

/// By name and address of the OutboundIP.
pub(super) type Tallies = HashMap<String, Counted>;

impl Tally {
    fn count(&mut self, (taken, refused): (bool, bool), now: i64) {
        let counts = self.0.entry(now / HOUR).or_default();
        counts.0 += u64::from(taken);
        counts.1 += u64::from(refused);
        self.0.retain(|hour, _| now / HOUR - hour < HOURS);
    }

    fn add(&mut self, other: &Self) {
        for (hour, (sent, refused)) in &other.0 {
            let counts = self.0.entry(*hour).or_default();
            (counts.0, counts.1) = (counts.0 + sent, counts.1 + refused);
        }
    }

    /// Messages that were taken and attempts that were refused for the address, in the last 24 hours.
    #[must_use]
    pub fn totals(&self, now: i64) -> (u64, u64) {
        let fresh = self
            .0
            .iter()
            .filter(|(hour, _)| now / HOUR - **hour < HOURS);
        fresh.fold((0, 0), |all, (_, one)| (all.0 + one.0, all.1 + one.1))
    }
}

impl Ips {
    pub(super) fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt: whether a server took the message, and whether one refused the address.
    pub(super) fn tally(&self, ctx: &Context, ip: &OutboundIp, outcome: (bool, bool)) {
        if outcome == (false, false) {
            return;
        }
        let mut tallies = self.tallies();
        let counted = tallies.entry(kept::id(ip)).or_default();
        counted.tally.count(outcome, ctx.now());
        counted.new = true;
    }

    /// Keeps what was counted since the last time.
    pub(crate) async fn keep_tallies(&self, ctx: &Context) {
        let new = |(name, counted): (&String, &Counted)| counted.new.then(|| name.clone());
        let names: Vec<String> = self.tallies().iter().filter_map(new).collect();
        for name in names {
            if let Err(error) = self.keep_tally(ctx, &name).await {
                tracing::warn!(ip = name, %error, "failed to keep the counts of an outbound address");
            }
        }
    }

    /// A process that is started again goes on with what it had counted.
    async fn keep_tally(&self, ctx: &Context, name: &str) -> Result<(), StoreError> {
        let (secrets, place) = (ctx.store.secrets.as_ref(), (name, &*ctx.worker));
        let joined = self.tallies().get(name).is_some_and(|one| one.joined);
        let before = match joined {
            true => Tally::default(),
            false => kept::tally(secrets, place).await?,
        };
        let tally = {
            let mut tallies = self.tallies();
            let counted = tallies.entry(name.to_owned()).or_default();
            counted.tally.add(&before);
            counted.joined = true;
            counted.tally.clone()
        };
        kept::put_tally(secrets, place, &tally).await?;
        if let Some(counted) = self.tallies().get_mut(name) {
            counted.new = counted.tally != tally;
        }
        Ok(())
    }
}

/// The tallies of all processes for an address.
pub(super) async fn all(secrets: &dyn SecretStore, ip: &OutboundIp) -> Result<Tally, StoreError> {
    let mut all = Tally::default();
    for tally in kept::tallies(secrets, Some(&kept::id(ip))).await? {
        all.add(&tally.1);
    }
    Ok(all)
}

/// Deletes the tallies of processes that have counted nothing for a day.
pub(super) async fn tidy(secrets: &dyn SecretStore, now: i64) -> Result<(), StoreError> {
    for (key, tally) in kept::tallies(secrets, None).await? {
        if tally.totals(now) == (0, 0) {
            secrets.delete_secret(&key).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted() {
        let mut tally = Tally::default();
        tally.count((true, false), 0);
        tally.count((false, true), HOUR);
        let mut other = Tally::default();
        other.count((true, false), HOUR);
        tally.add(&other);
        assert_eq!(tally.totals(2 * HOUR), (2, 1));
        assert_eq!(tally.totals(24 * HOUR), (1, 1));
        assert_eq!(tally.totals(26 * HOUR), (0, 0));
    }
}
