//! Queueing and what is due.

use super::fixtures::{MINUTE, NOW, lease, message, remote};
use super::{Outcome, fails, holds, same, some};
use crate::queue::{Destination, QueueFilter, Wanted};
use crate::types::{BodyId, NewBody};
use crate::{Store, StoreError};

pub(super) async fn message_has_a_unit_for_each_destination(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(
            1,
            &["a@one.test", "x@example.test", "b@one.test", "c@two.test"],
        )])
        .await?;
    let mut units = lease(&store, remote(), NOW, 10).await?;
    units.extend(lease(&store, Wanted::Local, NOW, 10).await?);
    units.sort_by(|one, other| one.destination.cmp(&other.destination));
    let found: Vec<(String, Vec<u32>)> = units
        .iter()
        .map(|unit| {
            (
                unit.destination.0.to_string(),
                unit.recipients
                    .iter()
                    .map(|recipient| recipient.index)
                    .collect(),
            )
        })
        .collect();
    let wanted = vec![
        ("local".to_owned(), vec![1]),
        ("one.test".to_owned(), vec![0, 2]),
        ("two.test".to_owned(), vec![3]),
    ];
    same("units", &found, &wanted)?;
    let given = message(1, &[]);
    let unit = some("a unit", units.first())?;
    same(
        "message",
        &(
            &unit.message.id,
            &unit.message.envelope,
            &unit.message.origin,
        ),
        &(&given.id, &given.envelope, &given.origin),
    )?;
    holds(
        "one message",
        units.iter().all(|other| other.message == unit.message),
    )
}

pub(super) async fn enqueue_is_all_or_none(store: Store) -> Outcome {
    let mut bad = message(2, &["b@one.test"]);
    bad.body = NewBody::Stored(BodyId(77));
    let result = store
        .queue
        .enqueue(vec![message(1, &["a@one.test"]), bad])
        .await;
    fails("a missing body", result, |error| {
        matches!(error, StoreError::NotFound(_))
    })?;
    let none = store
        .queue
        .enqueue(vec![message(3, &["a@one.test"]), message(4, &[])])
        .await;
    fails("no recipients", none, |error| {
        matches!(error, StoreError::Invalid(_))
    })?;
    holds(
        "nothing queued",
        store
            .queue
            .list(&QueueFilter::default(), None, 10)
            .await?
            .is_empty(),
    )
}

pub(super) async fn the_same_id_is_refused(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["a@one.test"])])
        .await?;
    let again = store.queue.enqueue(vec![message(1, &["a@one.test"])]).await;
    fails("the same id", again, |error| {
        matches!(error, StoreError::AlreadyExists(_))
    })?;
    same(
        "units",
        &store
            .queue
            .list(&QueueFilter::default(), None, 10)
            .await?
            .len(),
        &1,
    )
}

pub(super) async fn busy_destinations_are_passed_over(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![
            message(1, &["a@one.test", "b@two.test"]),
            message(2, &["c@one.test"]),
        ])
        .await?;
    let except = vec![Destination("one.test".into())];
    let units = lease(&store, Wanted::remote_but(except), NOW, 10).await?;
    same(
        "units",
        &units
            .iter()
            .map(|unit| unit.destination.0.as_ref())
            .collect::<Vec<_>>(),
        &vec!["two.test"],
    )?;
    let units = lease(
        &store,
        Wanted::Only(Destination("one.test".into())),
        NOW,
        10,
    )
    .await?;
    same("units of one", &units.len(), &2)
}

pub(super) async fn a_backlog_does_not_keep_others_waiting(store: Store) -> Outcome {
    let backlog = (0..300)
        .map(|number| message(number, &["a@big.test"]))
        .collect();
    store.queue.enqueue(backlog).await?;
    let mut late = message(1_000, &["b@small.test"]);
    late.created = NOW + MINUTE;
    store.queue.enqueue(vec![late]).await?;
    let units = lease(&store, remote(), NOW + 2 * MINUTE, 10).await?;
    same("units", &units.len(), &10)?;
    holds(
        "the small one is among them",
        units
            .iter()
            .any(|unit| &*unit.destination.0 == "small.test"),
    )?;
    let rest = lease(&store, remote(), NOW + 2 * MINUTE, 1_000).await?;
    same("the rest", &rest.len(), &291)
}

pub(super) async fn each_tenant_has_one_unit_at_hand(store: Store) -> Outcome {
    let of = |number: u64, sender: &str, to: &str| {
        let mut message = message(number, &[to]);
        message.envelope.sender = sender.to_owned();
        message.created = NOW + i64::try_from(number).unwrap_or(0);
        message
    };
    let backlog = (0..300).map(|number| of(number, "a@many.test", "x@big.test"));
    store.queue.enqueue(backlog.collect()).await?;
    let others = [
        of(400, "b@one.test", "x@big.test"),
        of(401, "c@two.test", "y@small.test"),
        of(402, "d@three.test", "user@example.test"),
        of(403 + 2 * MINUTE.unsigned_abs(), "e@four.test", "x@big.test"),
    ];
    store.queue.enqueue(others.to_vec()).await?;
    let wanted = |names: &[&str]| Wanted::OneOfEach {
        except: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let units = lease(&store, wanted(&["two.test"]), NOW + MINUTE, 10).await?;
    let senders = |units: &[crate::queue::LeasedUnit]| {
        let senders = units.iter().map(|unit| &unit.message.envelope.sender);
        let mut senders: Vec<String> = senders.cloned().collect();
        senders.sort();
        senders
    };
    let both = vec!["a@many.test".to_owned(), "b@one.test".to_owned()];
    same("senders but for two.test", &senders(&units), &both)?;
    let units = lease(&store, wanted(&["many.test"]), NOW + MINUTE, 10).await?;
    let two = vec!["c@two.test".to_owned()];
    same("senders but for many.test", &senders(&units), &two)?;
    let units = lease(&store, wanted(&[]), NOW + MINUTE, 10).await?;
    let many = vec!["a@many.test".to_owned()];
    same("who has more", &senders(&units), &many)?;
    let rest = lease(&store, remote(), NOW + MINUTE, 1_000).await?;
    same("the rest", &rest.len(), &298)
}

pub(super) async fn next_due_tells_the_next_time(store: Store) -> Outcome {
    same(
        "an empty queue",
        &store.queue.next_due(remote(), NOW).await?,
        &None,
    )?;
    let mut later = message(1, &["a@one.test", "x@example.test"]);
    later.created = NOW + 3 * MINUTE;
    store
        .queue
        .enqueue(vec![later, message(2, &["b@two.test"])])
        .await?;
    same(
        "remote",
        &store.queue.next_due(remote(), NOW).await?,
        &Some(NOW + 3 * MINUTE),
    )?;
    same(
        "local",
        &store.queue.next_due(Wanted::Local, NOW).await?,
        &Some(NOW + 3 * MINUTE),
    )?;
    let units = lease(&store, remote(), NOW, 10).await?;
    same("due now", &units.len(), &1)?;
    let except = vec![Destination("one.test".into())];
    let next = store
        .queue
        .next_due(Wanted::remote_but(except), NOW)
        .await?;
    same("the end of the lease", &next, &Some(NOW + 5 * MINUTE))?;
    let only = Wanted::Only(Destination("one.test".into()));
    same(
        "one destination",
        &store.queue.next_due(only, NOW + 4 * MINUTE).await?,
        &None,
    )
}
