//! Counters and bans.

use std::time::Duration;

use super::fixtures::NOW;
use super::{Outcome, holds, same};
use crate::tokens::{Take, Taken};
use crate::{Result, Store};

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MILLIS: i64 = 3_600_000;
/// The start of a window of an hour.
const START: i64 = NOW / HOUR_MILLIS * HOUR_MILLIS;

fn take(key: &str, amount: u64, limit: u64) -> Take {
    Take {
        key: key.to_owned(),
        amount,
        limit,
        window: HOUR,
    }
}

async fn granted(store: &Store, takes: Vec<Take>, now: i64) -> Result<bool> {
    Ok(store.tokens.take(takes, now).await? == Taken::Granted)
}

pub(super) async fn takes_are_all_or_nothing(store: Store) -> Outcome {
    holds(
        "first",
        granted(&store, vec![take("a", 3, 5), take("b", 1, 5)], START).await?,
    )?;
    let denied = store
        .tokens
        .take(vec![take("b", 1, 5), take("a", 3, 5)], START)
        .await?;
    holds(
        "the second key does not fit",
        matches!(denied, Taken::Denied { index: 1, .. }),
    )?;
    holds(
        "nothing was taken of the first",
        granted(&store, vec![take("b", 4, 5)], START).await?,
    )?;
    holds(
        "but now it is full",
        !granted(&store, vec![take("b", 1, 5)], START).await?,
    )
}

pub(super) async fn what_is_given_back_can_be_taken_again(store: Store) -> Outcome {
    let takes = vec![take("a", 3, 5), take("b", 1, 1)];
    holds("first", granted(&store, takes.clone(), START).await?)?;
    store.tokens.give_back(takes.clone(), START).await?;
    holds("again", granted(&store, takes.clone(), START).await?)?;
    holds("full", !granted(&store, takes.clone(), START).await?)?;
    // What was never taken, or in a window that is over, is no credit.
    let later = START + 2 * HOUR_MILLIS;
    store.tokens.give_back(takes, later).await?;
    store.tokens.give_back(vec![take("c", 9, 5)], later).await?;
    holds(
        "no credit",
        !granted(&store, vec![take("a", 6, 5), take("c", 6, 5)], later).await?,
    )
}

pub(super) async fn windows_are_weighted(store: Store) -> Outcome {
    holds(
        "full",
        granted(&store, vec![take("a", 100, 100)], START + HOUR_MILLIS - 1).await?,
    )?;
    // A quarter into the next hour three quarters of the last one still count.
    let quarter = START + HOUR_MILLIS + HOUR_MILLIS / 4;
    holds(
        "too much",
        !granted(&store, vec![take("a", 26, 100)], quarter).await?,
    )?;
    holds(
        "a quarter",
        granted(&store, vec![take("a", 25, 100)], quarter).await?,
    )?;
    holds(
        "two hours later",
        granted(&store, vec![take("a", 100, 100)], START + 3 * HOUR_MILLIS).await?,
    )?;
    same(
        "first count",
        &store.tokens.count("c", HOUR, START).await?,
        &1,
    )?;
    same(
        "second count",
        &store.tokens.count("c", HOUR, START + 1).await?,
        &2,
    )?;
    same(
        "another window",
        &store.tokens.count("c", HOUR * 2, START + 1).await?,
        &1,
    )
}

pub(super) async fn waiting_as_told_is_enough(store: Store) -> Outcome {
    for (key, used, after) in [
        ("a", 100, 1_000),
        ("b", 60, HOUR_MILLIS + HOUR_MILLIS / 3),
        ("c", 100, HOUR_MILLIS / 2),
    ] {
        holds(
            "full",
            granted(&store, vec![take(key, used, 100)], START).await?,
        )?;
        let now = START + after;
        let mut amount = 0;
        while granted(&store, vec![take(key, 1, 100)], now).await? {
            amount += 1;
        }
        holds("not endless", amount <= 100)?;
        let Taken::Denied { retry_after, .. } =
            store.tokens.take(vec![take(key, 1, 100)], now).await?
        else {
            return holds("denied", false);
        };
        let wait = i64::try_from(retry_after.as_millis()).unwrap_or(i64::MAX);
        holds("bounded", wait <= 2 * HOUR_MILLIS)?;
        holds(
            "granted after the wait",
            granted(&store, vec![take(key, 1, 100)], now + wait).await?,
        )?;
    }
    Ok(())
}

pub(super) async fn takes_at_once_cannot_exceed_the_limit(store: Store) -> Outcome {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        tasks.spawn(async move {
            granted(&store, vec![take("a", 1, 10), take("a", 1, 10)], START).await
        });
    }
    let mut taken = 0;
    for result in tasks.join_all().await {
        taken += u32::from(result?);
    }
    same("granted", &taken, &5)
}

pub(super) async fn bans_end_and_are_forgotten(store: Store) -> Outcome {
    same("no ban", &store.tokens.banned("a", NOW).await?, &None)?;
    store.tokens.ban("a", NOW + 1_000).await?;
    store.tokens.ban("b", NOW + 1_000).await?;
    store.tokens.count("b", HOUR, NOW).await?;
    same(
        "banned",
        &store.tokens.banned("a", NOW + 999).await?,
        &Some(NOW + 1_000),
    )?;
    let banned = |bans: Vec<crate::tokens::Ban>| {
        let keys: Vec<String> = bans.into_iter().map(|ban| ban.key).collect();
        keys.join(" ")
    };
    let listed = banned(store.tokens.bans(NOW).await?);
    same("all bans", &listed.as_str(), &"a b")?;
    let listed = banned(store.tokens.bans(NOW + 1_000).await?);
    same("no bans later", &listed.as_str(), &"")?;
    same("over", &store.tokens.banned("a", NOW + 1_000).await?, &None)?;
    store.tokens.forget("b").await?;
    same("forgotten", &store.tokens.banned("b", NOW).await?, &None)?;
    same(
        "counted anew",
        &store.tokens.count("b", HOUR, NOW).await?,
        &1,
    )
}
