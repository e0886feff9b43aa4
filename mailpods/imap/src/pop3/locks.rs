//! One session has a maildrop to itself (RFC 1939 §4): in this process by a table, in all others by locks of the store that end by
//! themselves when this process does not extend them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_store::{AccountId, LockStore, Result};

/// So long a maildrop stays locked when the process that has it is gone.
const HOLD: Duration = Duration::from_secs(30);
/// How often locks are extended: two times may fail.
const EXTEND: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 10_000 });

/// The locks that this process has.
pub(crate) struct Maildrops {
    store: Arc<dyn LockStore>,
    holder: String,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    locks: HashMap<AccountId, Arc<State>>,
    /// A task extends them.
    kept: bool,
}

#[derive(Default)]
struct State {
    /// The store has it.
    stored: AtomicBool,
    /// Somebody else may have it now.
    lost: AtomicBool,
}

/// A maildrop that a session has to itself. Freed by [`MaildropLock::free`], or soon after it is dropped.
pub(super) struct MaildropLock {
    maildrops: Arc<Maildrops>,
    account: AccountId,
    state: Arc<State>,
    freed: bool,
}

impl Maildrops {
    /// Locks are held in the name of `holder`, which no other process that runs has.
    pub(crate) fn new(store: Arc<dyn LockStore>, holder: String) -> Self {
        Self {
            store,
            holder,
            held: Mutex::default(),
        }
    }

    /// Takes the maildrop of an account, unless somebody has it.
    pub(super) async fn take(self: &Arc<Self>, account: AccountId) -> Result<Option<MaildropLock>> {
        let Some(lock) = self.enter(account) else {
            return Ok(None);
        };
        if !lock.confirm().await? {
            lock.free().await;
            return Ok(None);
        }
        lock.state.stored.store(true, Ordering::Release);
        if !std::mem::replace(&mut self.held().kept, true) {
            tokio::spawn(Arc::clone(self).keep());
        }
        Ok(Some(lock))
    }

    fn enter(self: &Arc<Self>, account: AccountId) -> Option<MaildropLock> {
        let state = Arc::new(State::default());
        let mut held = self.held();
        if held.locks.contains_key(&account) {
            return None;
        }
        held.locks.insert(account, Arc::clone(&state));
        Some(MaildropLock {
            maildrops: Arc::clone(self),
            account,
            state,
            freed: false,
        })
    }

    fn leave(&self, account: AccountId) {
        self.held().locks.remove(&account);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Extends the locks until there are none.
    async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EXTEND).await;
            let Some(mine) = self.stored() else {
                return;
            };
            let names = mine.iter().map(|(account, _)| name(*account)).collect();
            let held = match self.store.hold_locks(names, &self.holder, HOLD).await {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(%error, "failed to extend the locks of maildrops");
                    continue;
                }
            };
            for (account, state) in mine {
                if !held.contains(&name(account)) {
                    state.lost.store(true, Ordering::Release);
                }
            }
        }
    }

    /// What the store has; `None` when there is nothing to extend any more.
    fn stored(&self) -> Option<Vec<(AccountId, Arc<State>)>> {
        let mut held = self.held();
        if held.locks.is_empty() {
            held.kept = false;
            return None;
        }
        let stored = held.locks.iter();
        let stored = stored.filter(|(_, state)| state.stored.load(Ordering::Acquire));
        Some(
            stored
                .map(|(account, state)| (*account, Arc::clone(state)))
                .collect(),
        )
    }

    async fn give_back(&self, account: AccountId) {
        // In this order: the store knows processes, so that it would free the lock of who comes next here.
        if let Err(error) = self.store.unlock(&name(account), &self.holder).await {
            tracing::warn!(%error, "failed to unlock a maildrop; it is free when its time is over");
        }
        self.leave(account);
    }
}

fn name(account: AccountId) -> String {
    format!("pop3/{account}")
}

impl MaildropLock {
    /// Whether somebody else may have the maildrop now.
    pub(super) fn is_lost(&self) -> bool {
        self.state.lost.load(Ordering::Acquire)
    }

    /// Asks the store once more, before what nobody else may do.
    pub(super) async fn confirm(&self) -> Result<bool> {
        let (maildrops, name) = (&self.maildrops, name(self.account));
        let lock = maildrops.store.lock(&name, &maildrops.holder, HOLD);
        Ok(!self.is_lost() && lock.await?)
    }

    /// Gives the maildrop back.
    pub(super) async fn free(mut self) {
        self.state.stored.store(false, Ordering::Release);
        self.maildrops.give_back(self.account).await;
        self.freed = true;
    }
}

impl Drop for MaildropLock {
    fn drop(&mut self) {
        if self.freed {
            return;
        }
        let (maildrops, account) = (Arc::clone(&self.maildrops), self.account);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { maildrops.give_back(account).await })),
            Err(_) => maildrops.leave(account),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use mailpods_store::StoreError;

    use super::*;

    /// Locks in memory, of a store that may be away.
    #[derive(Default)]
    struct Locks {
        held: Mutex<BTreeMap<String, String>>,
        away: AtomicBool,
    }

    impl Locks {
        fn held(&self) -> Result<MutexGuard<'_, BTreeMap<String, String>>> {
            match self.away.load(Ordering::Acquire) {
                true => Err(StoreError::Unavailable("away".to_owned())),
                false => Ok(self.held.lock().unwrap()),
            }
        }
    }

    #[async_trait]
    impl LockStore for Locks {
        async fn lock(&self, name: &str, holder: &str, _hold: Duration) -> Result<bool> {
            let mut held = self.held()?;
            let has = held.entry(name.to_owned()).or_insert(holder.to_owned());
            Ok(has == holder)
        }

        async fn hold_locks(
            &self,
            names: Vec<String>,
            holder: &str,
            _hold: Duration,
        ) -> Result<Vec<String>> {
            let held = self.held()?;
            let is_mine = |name: &String| held.get(name).is_some_and(|has| has == holder);
            Ok(names.into_iter().filter(is_mine).collect())
        }

        async fn unlock(&self, name: &str, holder: &str) -> Result<()> {
            let mut held = self.held()?;
            if held.get(name).is_some_and(|has| has == holder) {
                held.remove(name);
            }
            Ok(())
        }
    }

    const ALICE: AccountId = AccountId(1);

    fn process(store: &Arc<Locks>, holder: &str) -> Arc<Maildrops> {
        Arc::new(Maildrops::new(store.clone(), holder.to_owned()))
    }

    #[tokio::test]
    async fn a_maildrop_is_taken_once_and_free_again() {
        let store = Arc::new(Locks::default());
        let (one, two) = (process(&store, "one"), process(&store, "two"));
        let lock = one.take(ALICE).await.unwrap().expect("nobody has it");
        assert!(one.take(ALICE).await.unwrap().is_none());
        assert!(two.take(ALICE).await.unwrap().is_none());
        lock.free().await;
        let lock = two.take(ALICE).await.unwrap().expect("nobody has it");
        drop(lock);
        while one.take(ALICE).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_store_that_was_away_leaves_no_maildrop_locked() {
        let store = Arc::new(Locks::default());
        let one = process(&store, "one");
        store.away.store(true, Ordering::Release);
        assert!(one.take(ALICE).await.is_err());
        store.away.store(false, Ordering::Release);
        loop {
            if let Some(lock) = one.take(ALICE).await.unwrap() {
                return lock.free().await;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_lock_that_another_has_taken_is_noticed() {
        let store = Arc::new(Locks::default());
        let one = process(&store, "one");
        let lock = one.take(ALICE).await.unwrap().expect("nobody has it");
        store.held().unwrap().insert(name(ALICE), "two".to_owned());
        while !lock.is_lost() {
            tokio::time::sleep(EXTEND).await;
        }
        assert!(!lock.confirm().await.unwrap());
        lock.free().await;
        assert_eq!(store.held().unwrap().get(&name(ALICE)).unwrap(), "two");
    }
}
