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
