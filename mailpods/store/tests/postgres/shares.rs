//! Several processes share limits.

use std::time::Duration;

use mailpods_store::Store;
use mailpods_store::shares::{Ask, Share};

use super::support::{connect, server, until};

const LONG: Duration = Duration::from_secs(600);

fn ask(key: &str, wanted: u32, used: u32) -> Ask {
    Ask {
        key: key.to_owned(),
        wanted,
        used,
        ceiling: 10,
        first: 10.0,
        factor: 1.0,
        again: None,
    }
}

async fn share(store: &Store, worker: &str, asks: Vec<Ask>, hold: Duration) -> Vec<Share> {
    let shares = store.shares.as_ref().expect("shares");
    shares.share(worker, asks, hold).await.expect("an answer")
}

async fn granted(store: &Store, worker: &str, wanted: u32, used: u32) -> u32 {
    let asks = vec![ask("google", wanted, used)];
    share(store, worker, asks, LONG).await[0].granted
}

#[tokio::test]
async fn workers_divide_a_limit_and_give_it_back() {
    let server = server();
    let (a, b) = (connect(&server.uri()).await, connect(&server.uri()).await);
    let (one, two) = (a.store(), b.store());
    assert_eq!(granted(&one, "one", 20, 0).await, 10);
    assert_eq!(granted(&two, "two", 20, 0).await, 0, "all is taken");
    assert_eq!(granted(&one, "one", 20, 8).await, 5, "a half");
    assert_eq!(granted(&two, "two", 20, 0).await, 2, "three are still used");
    assert_eq!(granted(&one, "one", 20, 5).await, 5);
    assert_eq!(granted(&two, "two", 20, 2).await, 5);
    // Who wants little leaves the rest.
    assert_eq!(granted(&one, "one", 1, 1).await, 1);
    assert_eq!(granted(&two, "two", 20, 5).await, 9);
    let shares = two.shares.as_ref().expect("shares");
    shares.give_back("two").await.expect("given back");
    assert_eq!(granted(&one, "one", 20, 1).await, 10);
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn the_share_of_a_dead_worker_falls_to_the_others() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let short = Duration::from_millis(50);
    let taken = share(&store, "dead", vec![ask("google", 20, 10)], short).await;
    assert_eq!(taken[0].granted, 10);
    until("the share of the dead", async || {
        granted(&store, "living", 20, 0).await == 10
    })
    .await;
    handle.close().await;
}

#[tokio::test]
async fn what_one_has_learned_counts_for_all() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let learned = async |worker: &str, factor: f64| {
        let asks = vec![Ask {
            factor,
            ..ask("google", 20, 0)
        }];
        let share = share(&store, worker, asks, LONG).await[0];
        (share.level * 1000.0).round()
    };
    assert_eq!(learned("one", 1.0).await, 10_000.0);
    assert_eq!(learned("one", 0.5).await, 5_000.0);
    assert_eq!(learned("two", 0.5).await, 2_500.0);
    assert_eq!(learned("two", 0.01).await, 1_000.0, "one at least");
    assert_eq!(learned("one", 100.0).await, 10_000.0, "the ceiling");
    handle.close().await;
}

#[tokio::test]
async fn what_was_learned_counts_once_when_the_answer_is_lost() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let learned = async |factor: f64, again: Option<i64>| {
        let asks = vec![Ask {
            factor,
            again,
            ..ask("google", 20, 0)
        }];
        share(&store, "one", asks, LONG).await[0]
    };
    let first = learned(1.0, None).await;
    // This one is done, and the answer does not come.
    let lost = learned(0.5, None).await;
    assert_ne!(first.until, lost.until);
    let second = learned(0.5, Some(first.until)).await;
    assert_eq!((first.level, second.level), (10.0, 5.0));
    // This one never came to the store.
    assert_eq!(learned(0.5, Some(second.until)).await.level, 2.5);
    // Nothing is known of one whose share has ended meanwhile.
    let shares = store.shares.as_ref().expect("shares");
    shares.give_back("one").await.expect("given back");
    assert_eq!(learned(0.5, Some(second.until)).await.level, 1.25);
    handle.close().await;
}

#[tokio::test]
async fn shares_of_a_time_that_the_clock_was_set_back_from_count_no_more() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    assert_eq!(granted(&store, "dead", 20, 0).await, 10);
    assert_eq!(granted(&store, "living", 20, 0).await, 0);
    server
        .execute("UPDATE limit_share SET until = until + 86400000 WHERE worker = 'dead'")
        .expect("an answer");
    assert_eq!(granted(&store, "living", 20, 0).await, 10);
    handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_never_have_more_than_there_is() {
    const WORKERS: usize = 6;
    let server = server();
    let handle = connect(&server.uri()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..WORKERS {
        let store = handle.store();
        tasks.spawn(async move {
            let worker = format!("w{number}");
            for _ in 0..10 {
                // In another order each: they must not wait for each other in a circle.
                let mut asks = vec![ask("a", 20, 0), ask("b", 3, 0), ask("c", 20, 0)];
                asks.rotate_left(number % 3);
                share(&store, &worker, asks, LONG).await;
            }
        });
    }
    tasks.join_all().await;
    let held = server
        .execute("SELECT key || ' ' || sum(held) FROM limit_share GROUP BY key ORDER BY key")
        .expect("an answer");
    let held: Vec<&str> = held.lines().collect();
    assert_eq!(held.len(), 3, "{held:?}");
    for line in held {
        let (_, sum) = line.split_once(' ').expect("a sum");
        assert!(sum.parse::<u32>().expect("a number") <= 10, "{line}");
    }
    handle.close().await;
}
