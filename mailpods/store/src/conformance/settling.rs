//! Settlements.

use mailpods_policy::Reason;

use super::fixtures::{
    MINUTE, NOW, delivery, entries, inbox, lease, lease_one, message, remote, settle, settlement,
};
use super::{Outcome, fails, holds, same, some};
use crate::queue::{QueueFilter, Retry, Settlement, Wanted};
use crate::types::{NewBody, Quota};
use crate::{Store, StoreError};

fn retry(at: i64) -> Option<Retry> {
    Some(Retry {
        next_attempt: at,
        error: "451 later".to_owned(),
        reason: Reason::OverQuota,
        class: "mailbox-full",
        warned: true,
        counts: true,
    })
}

async fn queued(store: &Store) -> Result<usize, StoreError> {
    Ok(store
        .queue
        .list(&QueueFilter::default(), None, 1_000)
        .await?
        .len())
}

pub(super) async fn delivery_and_settlement_are_one(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["alice@example.test"])])
        .await?;
    let unit = lease_one(&store, Wanted::Local, NOW).await?;
    let octets = store.mail.body(unit.message.body).await?;
    settle(
        &store,
        settlement(&unit, vec![delivery("alice@example.test")?]),
    )
    .await?;
    same("queue", &queued(&store).await?, &0)?;
    let inbox = inbox(&store, "alice@example.test").await?;
    let entry = some("the message", entries(&store, inbox).await?.pop())?;
    let prefix = delivery("alice@example.test")?.prefix;
    same("size", &entry.size, &((octets.len() + prefix.len()) as u64))?;
    same("prefix", &(entry.prefix_len as usize), &prefix.len())?;
    same("body", &store.mail.body(entry.body).await?, &octets)
}

pub(super) async fn a_failed_settlement_changes_nothing_and_hurts_no_other(
    store: Store,
) -> Outcome {
    store
        .queue
        .enqueue(
            (1..=3)
                .map(|number| message(number, &["alice@example.test"]))
                .collect(),
        )
        .await?;
    let units = lease(&store, Wanted::Local, NOW, 10).await?;
    let mut settlements = Vec::new();
    for unit in &units {
        settlements.push(settlement(unit, vec![delivery("alice@example.test")?]));
    }
    // The second has room for its first delivery only, and would queue a message too.
    let full = Quota {
        messages: Some(2),
        ..Quota::default()
    };
    let second = some("a settlement", settlements.get_mut(1))?;
    second.deliveries.push(delivery("alice@example.test")?);
    second
        .deliveries
        .iter_mut()
        .for_each(|delivery| delivery.quota = full);
    second.enqueue.push(message(9, &["x@remote.test"]));
    let results = store.queue.settle(settlements).await?;
    let worked: Vec<bool> = results.iter().map(Result::is_ok).collect();
    same("results", &worked, &vec![true, false, true])?;
    fails(
        "the second",
        results.into_iter().nth(1).transpose(),
        |error| matches!(error, StoreError::OverQuota { index: 1, .. }),
    )?;
    let inbox = inbox(&store, "alice@example.test").await?;
    same("messages", &store.mail.uids(inbox).await?, &vec![1, 2])?;
    same("queue", &queued(&store).await?, &1)?;
    let unit = some("the second unit", units.get(1))?;
    Ok(settle(&store, settlement(unit, Vec::new())).await?)
}

pub(super) async fn nothing_is_settled_twice(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["alice@example.test"])])
        .await?;
    let unit = lease_one(&store, Wanted::Local, NOW).await?;
    let twice = || -> Result<Settlement, super::Failure> {
        Ok(settlement(&unit, vec![delivery("alice@example.test")?]))
    };
    let results = store.queue.settle(vec![twice()?, twice()?]).await?;
    same(
        "results",
        &results.iter().map(Result::is_ok).collect::<Vec<_>>(),
        &vec![true, false],
    )?;
    fails("again", settle(&store, twice()?).await, |error| {
        matches!(error, StoreError::LeaseLost)
    })?;
    let inbox = inbox(&store, "alice@example.test").await?;
    same("messages", &store.mail.uids(inbox).await?, &vec![1])
}

pub(super) async fn recipients_left_are_tried_again(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(
            1,
            &["a@one.test", "b@one.test", "c@one.test"],
        )])
        .await?;
    let unit = lease_one(&store, remote(), NOW).await?;
    let first = Settlement {
        done: vec![1],
        retry: retry(NOW + 15 * MINUTE),
        ..settlement(&unit, Vec::new())
    };
    settle(&store, first).await?;
    holds(
        "not yet",
        lease(&store, remote(), NOW + 14 * MINUTE, 10)
            .await?
            .is_empty(),
    )?;
    let unit = lease_one(&store, remote(), NOW + 15 * MINUTE).await?;
    same(
        "left",
        &unit
            .recipients
            .iter()
            .map(|recipient| recipient.index)
            .collect::<Vec<_>>(),
        &vec![0, 2],
    )?;
    same(
        "attempts, warned",
        &(unit.attempts, unit.warned),
        &(1, true),
    )?;
    let item = some(
        "the item",
        store
            .queue
            .list(&QueueFilter::default(), None, 10)
            .await?
            .pop(),
    )?;
    same("error", &item.last_error, &Some("451 later".to_owned()))?;
    let last = Settlement {
        done: vec![0, 2],
        retry: retry(NOW + 20 * MINUTE),
        ..settlement(&unit, Vec::new())
    };
    settle(&store, last).await?;
    same("queue", &queued(&store).await?, &0)?;
    fails(
        "its body",
        store.mail.body(unit.message.body).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )
}

pub(super) async fn new_messages_come_with_the_settlement(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["alice@example.test"])])
        .await?;
    let unit = lease_one(&store, Wanted::Local, NOW).await?;
    let mut forward = message(2, &["x@remote.test"]);
    forward.body = NewBody::Stored(unit.message.body);
    let all = Settlement {
        enqueue: vec![forward, message(3, &["y@remote.test"])],
        ..settlement(&unit, Vec::new())
    };
    settle(&store, all).await?;
    let units = lease(&store, remote(), NOW, 10).await?;
    same("units", &units.len(), &2)?;
    for unit in &units {
        let body = store.mail.body(unit.message.body).await?;
        same("size", &unit.message.size, &(body.len() as u64))?;
    }
    Ok(())
}

pub(super) async fn one_body_serves_all_mailboxes(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(
            1,
            &["alice@example.test", "bob@example.test", "x@remote.test"],
        )])
        .await?;
    let unit = lease_one(&store, Wanted::Local, NOW).await?;
    settle(
        &store,
        settlement(
            &unit,
            vec![
                delivery("alice@example.test")?,
                delivery("bob@example.test")?,
            ],
        ),
    )
    .await?;
    let other = lease_one(&store, remote(), NOW).await?;
    settle(&store, settlement(&other, Vec::new())).await?;
    for name in ["alice@example.test", "bob@example.test"] {
        let inbox = inbox(&store, name).await?;
        let entry = some(name, entries(&store, inbox).await?.pop())?;
        same("body", &entry.body, &unit.message.body)?;
        holds("octets", store.mail.body(entry.body).await.is_ok())?;
    }
    Ok(())
}

pub(super) async fn what_did_not_happen_is_no_attempt(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["a@remote.test"])])
        .await?;
    for (counts, attempts) in [(false, 0), (true, 1), (false, 1)] {
        let unit = lease_one(&store, remote(), NOW).await?;
        let mut end = settlement(&unit, Vec::new());
        end.done.clear();
        end.retry = retry(NOW).map(|retry| Retry { counts, ..retry });
        settle(&store, end).await?;
        let items = store.queue.list(&QueueFilter::default(), None, 10).await?;
        let seen: Vec<u32> = items.iter().map(|item| item.attempts).collect();
        same("attempts", &seen, &vec![attempts])?;
    }
    Ok(())
}
