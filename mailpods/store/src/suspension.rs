//! Accounts that may not send: one sealed value, `outbound/suspended`, that every process knows within a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mailpods_policy::outbound::suspension::{Most, Pending, Suspended, Suspension};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::Store;
use crate::common::lock;
use crate::error::{Result, StoreError};
use crate::secrets::SecretStore;
use crate::types::UnixMillis;

const NAME: &str = "outbound/suspended";
/// How old what a process knows may be.
const FRESH: Duration = Duration::from_secs(1);
/// Accounts of which something is counted that is not handed in yet.
const MAX_PENDING: usize = 10_000;
/// Times that a change is made anew, because another process came first.
const TRIES: usize = 20;

/// What is kept, with the octets that it was read from.
async fn read(secrets: &dyn SecretStore) -> Result<(Suspended, Option<Zeroizing<Vec<u8>>>)> {
    let octets = secrets.secret(NAME).await?;
    let corrupt = |error| StoreError::Corrupt(format!("{NAME}: {error}"));
    let kept = octets
        .as_ref()
        .map(|octets| serde_json::from_slice(octets).map_err(corrupt))
        .transpose()?;
    Ok((kept.unwrap_or_default(), octets))
}

/// All accounts that may not send, and those that may again since a moment ago.
///
/// # Errors
/// When the store fails, or what it keeps cannot be read.
pub async fn all(secrets: &dyn SecretStore) -> Result<Suspended> {
    Ok(read(secrets).await?.0)
}

/// Changes what is kept, anew where another process came first. Nothing is written when `change` says false; returns what it said.
///
/// # Errors
/// When the store fails, what it keeps cannot be read, or others are always faster.
pub async fn change(
    secrets: &dyn SecretStore,
    mut change: impl FnMut(&mut Suspended) -> bool,
) -> Result<bool> {
    for _ in 0..TRIES {
        let (mut all, before) = read(secrets).await?;
        if !change(&mut all) {
            return Ok(false);
        }
        let text =
            serde_json::to_vec(&all).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let after = (!all.0.is_empty()).then(|| Zeroizing::new(text));
        let before = before.as_ref().map(|octets| octets.as_slice());
        if secrets.swap_secret(NAME, before, after).await? {
            return Ok(true);
        }
    }
    let text = format!("{NAME} is changed by others all the time");
    Err(StoreError::Unavailable(text))
}

/// Key of a counter of an account: `recipients`, `against`, `answers` or `complaints`.
#[must_use]
pub fn key(what: &str, account: &str) -> String {
    format!("suspension/{what}/{account}")
}

/// Suspends an account, and tells the log. False when it is suspended already.
///
/// # Errors
/// As [`change`].
pub async fn suspend(store: &Store, account: &str, new: Suspension) -> Result<bool> {
    let secrets = store.secrets.as_ref();
    let is_new = change(secrets, |all| all.add(account, new.clone())).await?;
    if is_new {
        tracing::warn!(
            account,
            cause = new.cause.as_str(),
            until = new.until,
            "account suspended: {}",
            new.text
        );
    }
    Ok(is_new)
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
    for what in ["recipients", "against", "answers", "complaints"] {
        store.tokens.forget(&key(what, account)).await?;
    }
    Ok(())
}

/// What a process knows of suspended accounts, and what it has counted of others.
///
/// What it knows is asked of the store once a second at most, and only when somebody wants to know; what it counts is handed in by parts
/// of the limits. So no message costs a look at the store.
#[derive(Default)]
pub struct Guard {
    known: Mutex<Known>,
    pending: std::sync::Mutex<HashMap<String, Pending>>,
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
        if pending.len() >= MAX_PENDING {
            pending.retain(|_, pending| !pending.is_old(limit.within, now));
        }
        if pending.len() >= MAX_PENDING && !pending.contains_key(account) {
            return Some(more);
        }
        let of_account = pending.entry(account.to_owned()).or_default();
        let handed_in = of_account.add(more, limit, now)?;
        pending.remove(account);
        Some(handed_in)
    }
}
