//! Leases.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::fixtures::{MINUTE, NOW, lease, lease_one, message, remote, settle, settlement};
use super::{Outcome, fails, holds, same};
use crate::queue::{Destination, LeasedUnit, NewMessage, Wanted};
use crate::types::UnitId;
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
    let mut seen = HashSet::new();
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

/// From a sender to one of some destinations, one millisecond after the one before.
fn of(number: u64, sender: u64, destination: u64) -> NewMessage {
    let mut new = message(number, &[&format!("a@d{destination}.test")]);
    new.envelope.sender = format!("x@sender{sender}.test");
    // A busy machine measures the difference of clocks with an error of some tenths of a second.
    new.created = NOW + 100 * i64::try_from(number).unwrap_or(0);
    new
}

fn numbers(units: &[LeasedUnit]) -> Vec<UnitId> {
    units.iter().map(|unit| unit.lease.unit).collect()
}

/// What one sender has sent to one destination leaves in its order, whatever is leased at once.
pub(super) async fn what_a_tenant_sent_to_a_destination_keeps_its_order(store: Store) -> Outcome {
    let queued = (0..400).map(|number| of(number, number % 5, number % 3));
    store.queue.enqueue(queued.collect()).await?;
    let mut seen: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    for limit in [7, 1, 64, 2, 33].into_iter().cycle().take(200) {
        for unit in lease(&store, remote(), NOW + MINUTE, limit).await? {
            let sender = unit.message.envelope.sender.clone();
            let key = (sender, unit.destination.0.to_string());
            seen.entry(key).or_default().push(unit.message.created);
        }
    }
    same("in all", &seen.values().map(Vec::len).sum::<usize>(), &400)?;
    for ((sender, destination), times) in &seen {
        let what = format!("{sender} to {destination} in order: {times:?}");
        holds(&what, times.is_sorted())?;
    }
    Ok(())
}

/// No more than is asked for is leased of a destination, and nothing of those that are passed over.
pub(super) async fn a_destination_gives_no_more_than_is_wanted(store: Store) -> Outcome {
    let queued = (0..300).map(|number| of(number, number % 9, number % 3));
    store.queue.enqueue(queued.collect()).await?;
    let most = [("d0.test", 0), ("d1.test", 5)];
    let most: HashMap<Destination, usize> = most
        .map(|(name, most)| (Destination(name.into()), most))
        .into();
    let wanted = Wanted::Remote {
        most: Arc::new(most),
        each: 20,
    };
    let units = lease(&store, wanted, NOW + MINUTE, 60).await?;
    let of = |name: &str| {
        let units = units.iter().filter(|unit| &*unit.destination.0 == name);
        units.count()
    };
    same("passed over", &of("d0.test"), &0)?;
    same("a few", &of("d1.test"), &5)?;
    same("of each other", &of("d2.test"), &20)?;
    let rest = lease(&store, remote(), NOW + MINUTE, 1_000).await?;
    same("nothing is lost", &(rest.len() + units.len()), &300)
}

/// One unit of each destination, those first that have waited longest; the next call goes on where it ended.
pub(super) async fn more_destinations_than_are_leased_come_in_their_order(store: Store) -> Outcome {
    let queued = (0..300).map(|number| of(number, 1, number % 100));
    store.queue.enqueue(queued.collect()).await?;
    for round in 0..3 {
        let mut seen = HashSet::new();
        for _ in 0..10 {
            let units = lease(&store, remote(), NOW + MINUTE, 10).await?;
            seen.extend(units.into_iter().map(|unit| unit.destination));
        }
        same(&format!("destinations in round {round}"), &seen.len(), &100)?;
    }
    let left = lease(&store, remote(), NOW + MINUTE, 10).await?;
    holds("nothing is left", left.is_empty())
}

/// Several workers lease, hand back, extend and settle at once: in the end each unit was settled once, and none is left behind.
pub(super) async fn nothing_is_forgotten_by_many_workers(store: Store) -> Outcome {
    let queued = (0..400).map(|number| of(number, number % 7, number % 11));
    store.queue.enqueue(queued.collect()).await?;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..6 {
        let store = store.clone();
        workers.spawn(async move { work(&store, worker).await });
    }
    let mut settled = Vec::new();
    for ended in workers.join_all().await {
        settled.extend(ended?);
    }
    let count = settled.len();
    settled.sort_unstable();
    settled.dedup();
    same("each once", &(settled.len(), count), &(400, 400))?;
    let totals = store.queue.totals(NOW + MINUTE).await?;
    same("none is left", &(totals.ready, totals.deferred), &(0, 0))
}

/// A heartbeat names leases in whatever order, while some of them are handed back: neither fails because the other one is at it.
pub(super) async fn heartbeats_and_hand_backs_do_not_hurt_each_other(store: Store) -> Outcome {
    let queued = (0..200).map(|number| of(number, 1, number % 4));
    store.queue.enqueue(queued.collect()).await?;
    for round in 0..30 {
        let units = lease(&store, remote(), NOW + MINUTE, 1_000).await?;
        same(&format!("leased in round {round}"), &units.len(), &200)?;
        let leases: Vec<_> = units.iter().map(|unit| unit.lease).collect();
        let reversed = leases.iter().rev().copied().collect();
        let (extended, back) = tokio::join!(
            store.queue.extend(reversed, NOW + 10 * MINUTE),
            store.queue.hand_back(leases)
        );
        extended?;
        back?;
    }
    Ok(())
}

/// Takes units until it finds none: every third is handed back, the others are extended, last first, and settled.
async fn work(store: &Store, worker: usize) -> Result<Vec<UnitId>, StoreError> {
    let (mut settled, mut idle) = (Vec::new(), 0);
    // What others hold when nothing is found comes back to somebody who is still at it: the last one finds all.
    while idle < 3 {
        let units = lease(store, remote(), NOW + MINUTE, 16 + worker).await?;
        idle = if units.is_empty() { idle + 1 } else { 0 };
        let (back, kept): (Vec<_>, Vec<_>) =
            (units.into_iter()).partition(|unit| unit.lease.token % 3 == 0 && settled.len() < 30);
        let leases = kept.iter().rev().map(|unit| unit.lease).collect();
        let lost = store.queue.extend(leases, NOW + 10 * MINUTE).await?;
        let back: Vec<_> = back.iter().map(|unit| unit.lease).collect();
        store.queue.hand_back(back).await?;
        if !lost.is_empty() {
            return Err(StoreError::LeaseLost);
        }
        let ends = kept.iter().map(|unit| settlement(unit, Vec::new()));
        for result in store.queue.settle(ends.collect()).await? {
            result?;
        }
        settled.extend(numbers(&kept));
    }
    Ok(settled)
}
