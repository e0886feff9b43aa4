//! What operators see and do.

use super::fixtures::{MINUTE, NOW, lease, lease_one, message, remote};
use super::{Outcome, holds, same};
use crate::queue::{Origin, QueueAction, QueueFilter, QueueTotals};
use crate::{Store, StoreError};

async fn count(store: &Store, filter: QueueFilter) -> Result<usize, StoreError> {
    Ok(store.queue.list(&filter, None, 1_000).await?.len())
}

fn to(destination: &str) -> QueueFilter {
    QueueFilter {
        destination: Some(destination.to_owned()),
        ..QueueFilter::default()
    }
}

pub(super) async fn filters_match_together(store: Store) -> Outcome {
    let first = message(1, &["a@one.test", "b@two.test"]);
    let id = first.id.to_string();
    let mut second = message(2, &["Carol@one.test"]);
    second.created = NOW + MINUTE;
    store.queue.enqueue(vec![first, second]).await?;
    same("all", &count(&store, QueueFilter::default()).await?, &3)?;
    same(
        "by id",
        &count(
            &store,
            QueueFilter {
                id: Some(id.clone()),
                ..QueueFilter::default()
            },
        )
        .await?,
        &2,
    )?;
    same("by destination", &count(&store, to("one.test")).await?, &2)?;
    same(
        "by recipient",
        &count(
            &store,
            QueueFilter {
                recipient: Some("carol".to_owned()),
                ..QueueFilter::default()
            },
        )
        .await?,
        &1,
    )?;
    same(
        "by age",
        &count(
            &store,
            QueueFilter {
                created_before: Some(NOW + 1),
                ..QueueFilter::default()
            },
        )
        .await?,
        &2,
    )?;
    same(
        "by sender",
        &count(
            &store,
            QueueFilter {
                sender: Some("nobody".to_owned()),
                ..QueueFilter::default()
            },
        )
        .await?,
        &0,
    )?;
    same(
        "by id and destination",
        &count(
            &store,
            QueueFilter {
                id: Some(id),
                ..to("one.test")
            },
        )
        .await?,
        &1,
    )?;
    let page = store.queue.list(&QueueFilter::default(), None, 2).await?;
    let after = page.last().map(|item| item.unit);
    same(
        "the next page",
        &store
            .queue
            .list(&QueueFilter::default(), after, 2)
            .await?
            .len(),
        &1,
    )
}

pub(super) async fn hold_release_retry_and_bounce(store: Store) -> Outcome {
    let mut later = message(1, &["a@one.test"]);
    later.created = NOW + 10 * MINUTE;
    store
        .queue
        .enqueue(vec![later, message(2, &["b@two.test"])])
        .await?;
    let all = QueueFilter::default();
    same(
        "held",
        &store.queue.act(&all, QueueAction::Hold, NOW).await?,
        &2,
    )?;
    same(
        "held again",
        &store.queue.act(&all, QueueAction::Hold, NOW).await?,
        &0,
    )?;
    holds(
        "none is due",
        lease(&store, remote(), NOW + 60 * MINUTE, 10)
            .await?
            .is_empty(),
    )?;
    same(
        "listed as held",
        &count(
            &store,
            QueueFilter {
                held: Some(true),
                ..all.clone()
            },
        )
        .await?,
        &2,
    )?;
    same(
        "held units that are tried",
        &store.queue.act(&all, QueueAction::Retry, NOW).await?,
        &0,
    )?;
    store.queue.act(&all, QueueAction::Release, NOW).await?;
    let unit = lease_one(&store, remote(), NOW).await?;
    same("due after release", &&*unit.destination.0, &"two.test")?;
    same(
        "tried now",
        &store
            .queue
            .act(&to("one.test"), QueueAction::Retry, NOW)
            .await?,
        &1,
    )?;
    let unit = lease_one(&store, remote(), NOW).await?;
    holds("no bounce yet", !unit.bounce)?;
    holds("asked for now", unit.urgent)?;
    store.queue.hand_back(vec![unit.lease]).await?;
    store
        .queue
        .act(&to("one.test"), QueueAction::Bounce, NOW)
        .await?;
    let unit = lease_one(&store, remote(), NOW).await?;
    holds("to be bounced", unit.bounce)
}

pub(super) async fn delete_passes_leased_units_over(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["a@one.test", "b@two.test"])])
        .await?;
    let except = vec![crate::queue::Destination("two.test".into())];
    let unit = lease_one(&store, crate::queue::Wanted::remote_but(except), NOW).await?;
    same(
        "deleted",
        &store
            .queue
            .act(&QueueFilter::default(), QueueAction::Delete, NOW)
            .await?,
        &1,
    )?;
    let left = store.queue.list(&QueueFilter::default(), None, 10).await?;
    same(
        "left",
        &left.iter().map(|item| item.unit).collect::<Vec<_>>(),
        &vec![unit.lease.unit],
    )
}

pub(super) async fn totals_count_units(store: Store) -> Outcome {
    same(
        "empty",
        &store.queue.totals(NOW).await?,
        &QueueTotals::default(),
    )?;
    let mut later = message(5, &["a@one.test"]);
    later.created = NOW + 10 * MINUTE;
    let mut held = vec![message(1, &["e@three.test"]), message(6, &["f@six.test"])];
    for message in &mut held {
        message.created = NOW - MINUTE;
    }
    let due = vec![
        message(2, &["b@two.test"]),
        message(3, &["c@three.test"]),
        message(4, &["d@four.test"]),
    ];
    for messages in [held, due, vec![later]] {
        store.queue.enqueue(messages).await?;
    }
    for (domain, action) in [
        ("three.test", QueueAction::Hold),
        ("six.test", QueueAction::Suspend),
    ] {
        store.queue.act(&to(domain), action, NOW).await?;
    }
    lease(
        &store,
        crate::queue::Wanted::Only(crate::queue::Destination("four.test".into())),
        NOW,
        1,
    )
    .await?;
    let totals = store.queue.totals(NOW).await?;
    same(
        "totals",
        &totals,
        &QueueTotals {
            ready: 2,
            deferred: 1,
            held: 2,
            suspended: 1,
            oldest: NOW,
        },
    )
}

pub(super) async fn the_mail_of_a_suspended_sender_waits(store: Store) -> Outcome {
    let from = |number, account: &str, to: &str| {
        let mut message = message(number, &[to]);
        message.origin = Origin::Submission(account.to_owned());
        message
    };
    let messages = vec![
        from(1, "alice@example.test", "a@one.test"),
        from(2, "alice@example.test", "b@two.test"),
        from(3, "bob@example.test", "c@one.test"),
    ];
    store.queue.enqueue(messages).await?;
    let alice = QueueFilter {
        account: Some("alice@example.test".to_owned()),
        ..QueueFilter::default()
    };
    let act = async |action| store.queue.act(&alice, action, NOW).await;
    same("of the account", &count(&store, alice.clone()).await?, &2)?;
    // What an operator holds is not the suspension's to release.
    store
        .queue
        .act(&to("two.test"), QueueAction::Hold, NOW)
        .await?;
    same("suspended", &act(QueueAction::Suspend).await?, &1)?;
    same("suspended again", &act(QueueAction::Suspend).await?, &0)?;
    let leased = lease(&store, remote(), NOW, 10).await?;
    same("only of others", &leased.len(), &1)?;
    let shown = store.queue.list(&alice, None, 10).await?;
    let held: Vec<_> = shown
        .iter()
        .map(|item| (item.held, item.suspended))
        .collect();
    same("shown", &held, &vec![(true, true), (true, false)])?;
    same("resumed", &act(QueueAction::Resume).await?, &1)?;
    same(
        "what was suspended is due",
        &lease(&store, remote(), NOW, 10).await?.len(),
        &1,
    )?;
    same("held as before", &act(QueueAction::Release).await?, &1)?;
    // Nor is what an operator holds that was suspended before.
    same("suspended anew", &act(QueueAction::Suspend).await?, &2)?;
    same("held too", &act(QueueAction::Hold).await?, &2)?;
    same("nothing to resume", &act(QueueAction::Resume).await?, &0)?;
    same("released", &act(QueueAction::Release).await?, &2)?;
    // A leased one is held once its attempt is over; one that is returned to its sender is not held.
    same("leased", &act(QueueAction::Suspend).await?, &2)?;
    same("returned", &act(QueueAction::Bounce).await?, &2)?;
    let shown = store.queue.list(&alice, None, 10).await?;
    holds(
        "nothing is held",
        shown.iter().all(|item| !item.held && !item.suspended),
    )
}
