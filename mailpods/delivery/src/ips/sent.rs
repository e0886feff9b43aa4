//! How many messages left from each address in the last 24 hours, kept for all processes to add up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use mailpods_store::{SecretStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{Ips, kept};
use crate::context::Context;

const HOUR: i64 = 3_600_000;
const HOURS: i64 = 24;

/// Attempts from an address by hour since 1970: those that ended well, and those that were refused for the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<i64, (u64, u64)>);

/// The tallies of this process; `true` where there is something new.
pub(super) type Tallies = HashMap<String, (Tally, bool)>;

impl Tally {
    pub(super) fn count(&mut self, refused: bool, now: i64) {
        let counts = self.0.entry(now / HOUR).or_default();
        let count = if refused {
            &mut counts.1
        } else {
            &mut counts.0
        };
        *count += 1;
        self.0.retain(|hour, _| now / HOUR - hour < HOURS);
    }

    fn add(&mut self, other: &Self) {
        for (hour, (sent, refused)) in &other.0 {
            let counts = self.0.entry(*hour).or_default();
            (counts.0, counts.1) = (counts.0 + sent, counts.1 + refused);
        }
    }

    /// Attempts that ended well and that were refused, in the last 24 hours.
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

    /// Keeps what was counted since the last time.
    pub(super) async fn keep_tallies(&self, ctx: &Context) {
        let new: Vec<(String, Tally)> = {
            let mut tallies = self.tallies();
            let new = tallies.iter_mut().filter(|(_, (_, new))| *new);
            new.map(|(name, (tally, new))| {
                *new = false;
                (name.clone(), tally.clone())
            })
            .collect()
        };
        for (name, tally) in new {
            let kept =
                kept::put_tally(ctx.store.secrets.as_ref(), (&name, &ctx.worker), &tally).await;
            if let Err(error) = kept {
                tracing::warn!(ip = name, %error, "failed to keep the counts of an outbound address");
            }
        }
    }
}

/// The tallies of all processes for an address.
pub(super) async fn all(secrets: &dyn SecretStore, name: &str) -> Result<Tally, StoreError> {
    let mut all = Tally::default();
    for tally in kept::tallies(secrets, Some(name)).await? {
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
        tally.count(false, 0);
        tally.count(true, HOUR);
        let mut other = Tally::default();
        other.count(false, HOUR);
        tally.add(&other);
        assert_eq!(tally.totals(2 * HOUR), (2, 1));
        assert_eq!(tally.totals(24 * HOUR), (1, 1));
        assert_eq!(tally.totals(26 * HOUR), (0, 0));
    }
}
