//! Trace events.

use super::fixtures::NOW;
use super::{Outcome, same};
use crate::trace::{Stage, TraceEvent, TraceQuery};
use crate::{Result, Store};

fn event(number: i64, id: &str, sender: &str, recipient: &str) -> TraceEvent {
    TraceEvent {
        at: NOW + number,
        id: id.to_owned(),
        stage: Stage::Accept,
        reason: mailpods_policy::Reason::Accepted.as_str(),
        sender: sender.to_owned(),
        recipient: recipient.to_owned(),
        peer: "192.0.2.1".to_owned(),
        text: format!("{number} {}", "x".repeat(600)),
    }
}

async fn times(store: &Store, query: TraceQuery, since: i64, limit: usize) -> Result<Vec<i64>> {
    Ok(store
        .trace
        .events(&query, since, limit)
        .await?
        .into_iter()
        .map(|event| event.at - NOW)
        .collect())
}

pub(super) async fn events_are_found_by_each_key(store: Store) -> Outcome {
    store
        .trace
        .record(event(1, "A1", "s@one.test", "r@two.test"));
    store.trace.record(event(2, "A2", "S@One.test", ""));
    store.trace.record(event(3, "A1", "", "s@one.test"));
    same(
        "by id",
        &times(&store, TraceQuery::Id("A1".to_owned()), 0, 10).await?,
        &vec![1, 3],
    )?;
    same(
        "by sender",
        &times(&store, TraceQuery::Sender("s@one.test".to_owned()), 0, 10).await?,
        &vec![1, 2],
    )?;
    same(
        "by recipient",
        &times(
            &store,
            TraceQuery::Recipient("r@TWO.test".to_owned()),
            0,
            10,
        )
        .await?,
        &vec![1],
    )?;
    for (domain, wanted) in [
        ("ONE.test", vec![1, 2, 3]),
        ("two.test", vec![1]),
        ("ne.test", vec![]),
        ("%", vec![]),
    ] {
        let query = TraceQuery::Domain(domain.to_owned());
        same("by domain", &times(&store, query, 0, 10).await?, &wanted)?;
    }
    same(
        "by any",
        &times(&store, TraceQuery::Any("s@one.test".to_owned()), 0, 10).await?,
        &vec![1, 2, 3],
    )?;
    same(
        "since",
        &times(
            &store,
            TraceQuery::Any("s@one.test".to_owned()),
            NOW + 2,
            10,
        )
        .await?,
        &vec![2, 3],
    )?;
    let found = store
        .trace
        .events(&TraceQuery::Id("A2".to_owned()), 0, 1)
        .await?;
    let seen: Vec<_> = found
        .iter()
        .map(|event| (event.stage, event.reason, event.text.len()))
        .collect();
    same("the event", &seen, &vec![(Stage::Accept, "accepted", 500)])
}

pub(super) async fn the_newest_are_given_oldest_first(store: Store) -> Outcome {
    for number in 0..2_500 {
        store.trace.record(event(number, "A1", "s@one.test", ""));
    }
    same(
        "the newest",
        &times(&store, TraceQuery::Id("A1".to_owned()), 0, 3).await?,
        &vec![2_497, 2_498, 2_499],
    )
}
