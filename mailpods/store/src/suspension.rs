//! Accounts that may not send: one sealed value, `outbound/suspended`, that every process knows within a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mailpods_policy::outbound::suspension::{
    Added, ComplainedOf, MAX_SUSPENDED, Most, Pending, Suspended, Suspension,
};
use mailpods_telemetry::timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Store;
use crate::common::lock;
use crate::error::Result;
use crate::secrets::{self, SecretStore};
use crate::types::UnixMillis;

const NAME: &str = "outbound/suspended";
/// How old what a process knows may be.
const FRESH: Duration = Duration::from_secs(1);
/// Accounts of which something is counted that is not handed in yet.
const MAX_PENDING: usize = 10_000;
/// How often the old ones of them are looked for at most, in milliseconds.
const TIDY: u64 = 1_000;

/// All accounts that may not send, and those that may again since a moment ago.
///
/// # Errors
/// When the store fails, or what it keeps cannot be read.
pub async fn all(secrets: &dyn SecretStore) -> Result<Suspended> {
    let octets = secrets.secret(NAME).await?;
    let kept = secrets::parse(NAME, octets.as_ref().map(|octets| octets.as_slice()))?;
    Ok(kept.unwrap_or_default())
}

/// Changes what is kept, anew where another process came first; returns what `change` said.
///
/// # Errors
/// When the store fails, what it keeps cannot be read, or others are always faster.
pub async fn change<T>(
    secrets: &dyn SecretStore,
    change: impl FnMut(&mut Suspended) -> T,
) -> Result<T> {
    secrets::change(secrets, NAME, change).await
}

/// Key of a counter of an account: `recipients`, `against` or `answers`.
#[must_use]
pub fn key(what: &str, account: &str) -> String {
    format!("suspension/{what}/{account}")
}

/// Name under which the messages of an account are kept that somebody has complained of.
fn complained(account: &str) -> String {
    format!("complaints/of/{account}")
}

/// Counts a complaint of an account's message, of each message once; returns how many messages there were within the limit's time.
///
/// # Errors
/// As [`change`].
pub async fn complained_of(
    store: &Store,
    account: &str,
    id: &str,
    limit: Most,
    now: UnixMillis,
) -> Result<u64> {
    let count = |all: &mut ComplainedOf| all.add(id, limit, now);
    secrets::change(store.secrets.as_ref(), &complained(account), count).await
}

/// Suspends an account, and tells the log, also where there is no room for it.
///
/// # Errors
/// As [`change`].
pub async fn suspend(store: &Store, account: &str, new: Suspension) -> Result<Added> {
    let secrets = store.secrets.as_ref();
    let added = change(secrets, |all| all.add(account, new.clone())).await?;
    match added {
        Added::New => tracing::warn!(
            account,
            cause = new.cause.as_str(),
            until = new.until.map(timestamp),
            "account suspended: {}",
            new.text
        ),
        Added::Already => {}
        Added::Full => tracing::error!(
            account,
            cause = new.cause.as_str(),
            "account not suspended, as {MAX_SUSPENDED} are already: release some (`mailpods suspension release`); {}",
            new.text
        ),
    }
    Ok(added)
}

/// Ends the suspension of an account, and what was counted of it counts no more. False when it is not suspended. What was held is
/// released by the process that delivers.
///
/// # Errors
/// As [`change`], or when the counters cannot be changed.
pub async fn release(store: &Store, account: &str, now: UnixMillis) -> Result<bool> {
    let released = change(store.secrets.as_ref(), |all| all.release(account, now)).await?;
    if released {
        forget_counts(store, account).await?;
    }
    Ok(released)
}

/// Begins to count anew.
///
/// # Errors
/// When the store fails.
pub async fn forget_counts(store: &Store, account: &str) -> Result<()> {
    for what in ["recipients", "against", "answers"] {
        store.tokens.forget(&key(what, account)).await?;
    }
    store.secrets.delete_secret(&complained(account)).await
}

/// What a process knows of suspended accounts, and what it has counted of others.
///
/// What it knows is asked of the store once a second at most, and only when somebody wants to know; what it counts is handed in by parts
/// of the limits. So no message costs a look at the store.
#[derive(Default)]
pub struct Guard {
    known: Mutex<Known>,
    pending: std::sync::Mutex<AllPending>,
}

#[derive(Default)]
struct AllPending {
    by_account: HashMap<String, Pending>,
    /// When what is old was last taken out.
    tidied: UnixMillis,
}

impl AllPending {
    /// Whether there is room for an account. What is old is looked for once a second at most, whatever number of messages come.
    fn has_room(&mut self, account: &str, within: Duration, now: UnixMillis) -> bool {
        let is_full = |all: &Self| all.by_account.len() >= MAX_PENDING;
        if is_full(self) && now.saturating_sub(self.tidied).unsigned_abs() >= TIDY {
            self.tidied = now;
            self.by_account
                .retain(|_, pending| !pending.is_old(within, now));
        }
        !is_full(self) || self.by_account.contains_key(account)
    }
}

#[derive(Default)]
struct Known {
    /// When the store was asked; `None`: it is to be asked next time.
    at: Option<Instant>,
    all: Arc<Suspended>,
}

impl Guard {
    /// Those of now, a second old at most. While the store does not answer they are those of before.
    pub async fn current(&self, secrets: &dyn SecretStore) -> Arc<Suspended> {
        let mut known = self.known.lock().await;
        if known.at.is_none_or(|at| at.elapsed() >= FRESH) {
            match all(secrets).await {
                Ok(all) => known.all = Arc::new(all),
                Err(error) => {
                    tracing::error!(%error, "failed to read which accounts are suspended");
                }
            }
            known.at = Some(Instant::now());
        }
        known.all.clone()
    }

    /// Asks the store next time: this process has changed something.
    pub async fn forget(&self) {
        self.known.lock().await.at = None;
    }

    /// Counts something of an account (and what it is a part of), and says what is to be counted for all processes now.
    pub fn hand_in(
        &self,
        account: &str,
        more: (u64, u64),
        limit: Most,
        now: UnixMillis,
    ) -> Option<(u64, u64)> {
        let mut pending = lock(&self.pending);
        if !pending.has_room(account, limit.within, now) {
            return Some(more);
        }
        let of_account = pending.by_account.entry(account.to_owned()).or_default();
        let handed_in = of_account.add(more, limit, now)?;
        pending.by_account.remove(account);
        Some(handed_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_counts_are_looked_for_once_a_second() {
        let (guard, start) = (Guard::default(), 1_000_000);
        let limit = Most {
            most: 1_000,
            within: Duration::from_secs(1),
        };
        let add = |account: &str, now| guard.hand_in(account, (1, 1), limit, now);
        let fill = |name: &str, now| {
            (0..MAX_PENDING).for_each(|n| assert_eq!(add(&format!("{name}{n}"), now), None));
        };
        fill("a", start);
        assert_eq!(add("b", start), Some((1, 1)), "there is no room");
        assert_eq!(add("a0", start), None, "it has a place");
        assert_eq!(add("b", start + 500), Some((1, 1)));
        assert_eq!(add("b", start + 1_001), None, "the old ones are gone");
        assert_eq!(lock(&guard.pending).by_account.len(), 1);
    }
}
