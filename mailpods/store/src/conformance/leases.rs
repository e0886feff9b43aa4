//! Leases.

use super::fixtures::{MINUTE, NOW, lease, lease_one, message, remote, settle, settlement};
use super::{Outcome, fails, holds, same};
use crate::{Store, StoreError};

pub(super) async fn a_leased_unit_is_not_leased_again(store: Store) -> Outcome {
    store
        .queue
        .enqueue(
            (0..50)
                .map(|number| message(number, &["a@one.test"]))
                .collect(),
        )
        .await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { lease(&store, remote(), NOW, 20).await });
    }
    let mut leased = Vec::new();
    for units in tasks.join_all().await {
        leased.extend(units?.into_iter().map(|unit| unit.lease.unit));
    }
    let count = leased.len();
    leased.sort_unstable();
    leased.dedup();
    same("each once", &(leased.len(), count), &(50, 50))
}

pub(super) async fn an_expired_lease_is_taken_over(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["a@one.test"])])
        .await?;
    let first = lease_one(&store, remote(), NOW).await?;
    holds(
        "leased",
        lease(&store, remote(), NOW + 4 * MINUTE, 10)
            .await?
            .is_empty(),
    )?;
    let second = lease_one(&store, remote(), NOW + 6 * MINUTE).await?;
    same("the same unit", &second.lease.unit, &first.lease.unit)?;
    holds("another token", second.lease.token != first.lease.token)?;
    fails(
        "the first holder",
        settle(&store, settlement(&first, Vec::new())).await,
        |error| matches!(error, StoreError::LeaseLost),
    )?;
    same(
        "lost",
        &store
            .queue
            .extend(vec![first.lease, second.lease], NOW + 9 * MINUTE)
            .await?,
        &vec![first.lease],
    )?;
    store.queue.hand_back(vec![first.lease]).await?;
    holds(
        "still leased",
        lease(&store, remote(), NOW + 6 * MINUTE, 10)
            .await?
            .is_empty(),
    )?;
    Ok(settle(&store, settlement(&second, Vec::new())).await?)
}

pub(super) async fn a_lease_is_extended_and_handed_back(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["a@one.test"])])
        .await?;
    let unit = lease_one(&store, remote(), NOW).await?;
    holds(
        "none lost",
        store
            .queue
            .extend(vec![unit.lease], NOW + 20 * MINUTE)
            .await?
            .is_empty(),
    )?;
    holds(
        "extended",
        lease(&store, remote(), NOW + 19 * MINUTE, 10)
            .await?
            .is_empty(),
    )?;
    store.queue.hand_back(vec![unit.lease]).await?;
    let again = lease_one(&store, remote(), NOW).await?;
    same("attempts", &again.attempts, &0)?;
    fails(
        "the lease handed back",
        settle(&store, settlement(&unit, Vec::new())).await,
        |error| matches!(error, StoreError::LeaseLost),
    )
}

/// One sender's thousands are no reason for another's one to wait.
pub(super) async fn tenants_take_turns_where_there_is_more(store: Store) -> Outcome {
    let from = |number: u64, sender: &str| {
        let mut new = message(number, &["a@one.test"]);
        new.envelope.sender = sender.to_owned();
        new
    };
    let many = (0..2_000).map(|number| from(number, "x@many.test"));
    store.queue.enqueue(many.collect()).await?;
    let few = (0..5).map(|number| from(3_000 + number, &format!("x@few{number}.test")));
    store.queue.enqueue(few.collect()).await?;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..4 {
        for unit in lease(&store, remote(), NOW, 64).await? {
            seen.insert(unit.message.envelope.sender.clone());
        }
    }
    same("all have had a turn", &seen.len(), &6)
}

/// Whatever is leased at once, in the end everything was leased, once.
pub(super) async fn turns_leave_nothing_behind(store: Store) -> Outcome {
    let from = |number: u64| {
        let mut new = message(number, &["a@one.test"]);
        new.envelope.sender = format!("x@sender{}.test", number % 7);
        new
    };
    store.queue.enqueue((0..200).map(from).collect()).await?;
    let mut units = Vec::new();
    for limit in [1, 2, 3, 5].into_iter().cycle().take(400) {
        let leased = lease(&store, remote(), NOW, limit).await?;
        units.extend(leased.into_iter().map(|unit| unit.lease.unit));
    }
    let count = units.len();
    units.sort_unstable();
    units.dedup();
    same("each once", &(units.len(), count), &(200, 200))
}
