//! A database, or the way to it, that hangs: connections stay open and nobody answers.

use std::time::Duration;

use mailpods_store::postgres::{Options, PostgresStore};
use mailpods_store::queue::{Settlement, Wanted};
use mailpods_store::{Store, StoreError};

use super::proxy::{Holds, Network};
use super::support::{
    PATIENCE, address, delivery, message, now, options, queued, server, until, works_again,
};

/// Options by which a database that hangs is given up soon.
fn impatient(uri: &str) -> Options {
    Options {
        wait: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
        ..options(uri)
    }
}

/// Each kind of call; all of them at once, so that some find a connection that hangs and others need a new one.
async fn ask(store: &Store) -> Vec<Result<(), StoreError>> {
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = store.clone();
        calls.spawn(async move {
            let alice = "alice@example.test";
            match number % 4 {
                0 => {
                    store
                        .queue
                        .enqueue(vec![message(100 + number, alice)])
                        .await
                }
                1 => {
                    let leased = store.queue.lease("w", Wanted::Local, now(), now() + 1, 5);
                    leased.await.map(drop)
                }
                2 => store
                    .mail
                    .account(&address(&format!("p{number}@example.test")))
                    .await
                    .map(drop),
                _ => {
                    let window = Duration::from_secs(60);
                    store.tokens.count("k", window, now()).await.map(drop)
                }
            }
        });
    }
    tokio::time::timeout(PATIENCE, calls.join_all())
        .await
        .expect("answers in time")
}

fn all_unavailable(results: &[Result<(), StoreError>]) {
    for result in results {
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_given_up_in_time_and_used_again() {
    let server = server();
    let handle = PostgresStore::connect(impatient(&server.uri()))
        .await
        .expect("a store");
    let store = handle.store();
    let alice = "alice@example.test";
    store
        .queue
        .enqueue(vec![message(1, alice)])
        .await
        .expect("queued");
    let units = store
        .queue
        .lease("w", Wanted::Local, now(), now() + 60_000, 9)
        .await
        .expect("leased");
    server.pause().expect("paused");
    for _ in 0..2 {
        all_unavailable(&ask(&store).await);
    }
    let newcomer = tokio::time::timeout(PATIENCE, PostgresStore::connect(impatient(&server.uri())));
    let newcomer = newcomer.await.expect("an answer in time").err();
    assert!(
        matches!(newcomer, Some(StoreError::Unavailable(_))),
        "{newcomer:?}"
    );
    let settlement = || Settlement {
        lease: units[0].lease,
        done: Vec::new(),
        retry: None,
        deliveries: vec![delivery(alice)],
        enqueue: Vec::new(),
    };
    let settled = tokio::time::timeout(PATIENCE, store.queue.settle(vec![settlement()]));
    assert!(settled.await.expect("an answer in time").is_err());
    server.resume().expect("resumed");
    works_again(&store, 500).await;
    // The settlement that nobody heard of: it was not made, or it was; never twice.
    match store
        .queue
        .settle(vec![settlement()])
        .await
        .expect("results")
        .remove(0)
    {
        Ok(()) | Err(StoreError::LeaseLost) => {}
        Err(error) => panic!("{error}"),
    }
    let account = store.mail.account(&address(alice)).await.expect("alice");
    let inbox = store.mail.mailbox(account, "INBOX").await.expect("asked");
    assert_eq!(inbox.expect("INBOX").messages, 1);
    handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_hangs_does_not_pile_up_connections() {
    let server = server();
    let network = Network::start(server.place()).await;
    let options = impatient(&server.uri_through(network.port));
    // The pool's, the one that listens, and one of each that is just being closed.
    let most = 2 * (options.max_connections + 1);
    let handle = PostgresStore::connect(options).await.expect("a store");
    let store = handle.store();
    for (number, holds) in [(500, Holds::Everything), (501, Holds::Sessions)] {
        network.holds(holds);
        for _ in 0..3 {
            ask(&store).await;
            assert!(network.open() <= most, "{holds:?}: {}", network.open());
        }
        until("the connections to be closed", async || {
            // Those at rest, and one that is tried now and then.
            ask(&store).await;
            network.open() <= most / 2
        })
        .await;
        network.holds(Holds::Nothing);
        works_again(&store, number).await;
    }
    queued(&store).await;
    handle.close().await;
}

/// Jobs do not wait for a writer for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_behind_a_lock_are_refused_in_time() {
    let server = server();
    let handle = PostgresStore::connect(Options {
        statement_timeout: Duration::from_secs(3),
        ..impatient(&server.uri())
    })
    .await
    .expect("a store");
    let store = handle.store();
    let held = server
        .hold("LOCK TABLE queued IN EXCLUSIVE MODE")
        .expect("a lock");
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..3_000 {
        let store = store.clone();
        calls.spawn(async move {
            let new = message(number, "a@remote.test");
            (number, store.queue.enqueue(vec![new]).await)
        });
    }
    let results = tokio::time::timeout(PATIENCE, calls.join_all());
    let results = results.await.expect("answers in time");
    assert!(results.iter().any(|(_, result)| matches!(
        result,
        Err(StoreError::Unavailable(why)) if why.contains("too slow")
    )));
    drop(held);
    works_again(&store, 5_000).await;
    // None is there of those that were refused before a writer had them, and all are that were taken.
    let taken = results.iter().filter(|(_, result)| result.is_ok()).count();
    assert_eq!(queued(&store).await.len(), taken + 1);
    handle.close().await;
}
