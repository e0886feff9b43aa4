//! Locks.

use std::time::Duration;

use super::{Outcome, fails, holds, same};
use crate::{Store, StoreError};

const LONG: Duration = Duration::from_secs(600);

pub(super) async fn a_lock_has_one_holder(store: Store) -> Outcome {
    let lock = async |name: &str, holder: &str| store.locks.lock(name, holder, LONG).await;
    holds("taken", lock("a", "one").await?)?;
    holds("again by its holder", lock("a", "one").await?)?;
    holds("by another", !lock("a", "two").await?)?;
    holds("another lock", lock("b", "two").await?)?;
    store.locks.unlock("a", "two").await?;
    holds("only its holder frees it", !lock("a", "two").await?)?;
    store.locks.unlock("a", "one").await?;
    holds("free", lock("a", "two").await?)?;
    fails(
        "a name without end",
        lock(&"x".repeat(1000), "one").await,
        |error| matches!(error, StoreError::Invalid(_)),
    )
}

pub(super) async fn a_lock_ends_with_its_time(store: Store) -> Outcome {
    let taken = store.locks.lock("a", "one", Duration::ZERO).await?;
    holds("taken", taken)?;
    holds("ended", store.locks.lock("a", "two", LONG).await?)?;
    holds("lost", !store.locks.lock("a", "one", LONG).await?)
}

pub(super) async fn locks_of_a_holder_are_held_together(store: Store) -> Outcome {
    for name in ["a", "b", "c"] {
        store.locks.lock(name, "one", Duration::ZERO).await?;
    }
    store.locks.lock("c", "two", LONG).await?;
    let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let mut held = store.locks.hold_locks(names, "one", LONG).await?;
    held.sort();
    same(
        "what it still has",
        &held,
        &vec!["a".to_owned(), "b".to_owned()],
    )?;
    holds("held", !store.locks.lock("a", "two", LONG).await?)?;
    let none = store.locks.hold_locks(Vec::new(), "one", LONG).await?;
    same("none", &none, &Vec::new())
}

pub(super) async fn one_of_many_gets_a_lock(store: Store) -> Outcome {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let locks = store.locks.clone();
        tasks.spawn(async move { locks.lock("a", &number.to_string(), LONG).await });
    }
    let mut winners = 0;
    for taken in tasks.join_all().await {
        winners += usize::from(taken?);
    }
    same("winners", &winners, &1)
}
