//! A database that goes away and comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mailpods_store::StoreError;
use mailpods_store::mail::Columns;
use mailpods_store::postgres::{Options, PostgresStore};
use mailpods_store::queue::{Destination, QueueFilter, Settlement, Wanted};

use super::support::{
    PATIENCE, address, connect, delivery, message, now, options, server, until, works_again,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_soon_and_work_again() {
    let mut server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let account = store
        .mail
        .account(&address("alice@example.test"))
        .await
        .expect("an account");
    let mut changes = store.queue.watch_queue();
    server.crash().expect("stopped");
    let away = tokio::time::timeout(PATIENCE, async {
        let read = store.mail.mailboxes(account).await.map(drop);
        let written = store
            .queue
            .enqueue(vec![message(1, "alice@example.test")])
            .await;
        let leased = store
            .queue
            .lease("w", Wanted::Local, now(), now() + 1, 5)
            .await
            .map(drop);
        let counted = store
            .tokens
            .count("k", Duration::from_secs(60), now())
            .await
            .map(drop);
        [read, written, leased, counted]
    })
    .await
    .expect("answers in time");
    for result in away {
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
    }
    server.run().expect("started again");
    changes.mark_unchanged();
    let works = async {
        while store
            .queue
            .enqueue(vec![message(1, "alice@example.test")])
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, works)
        .await
        .expect("works again");
    // The one that listens comes back, too: it wakes everybody, and then hears another process.
    let other = connect(&server.uri()).await;
    other
        .store()
        .queue
        .enqueue(vec![message(2, "x@remote.test")])
        .await
        .expect("queued");
    let heard = async {
        loop {
            let wanted = Wanted::remote();
            if !store
                .queue
                .lease("w", wanted, now(), now() + 60_000, 5)
                .await
                .expect("leased")
                .is_empty()
            {
                return;
            }
            changes.changed().await.expect("a store");
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("heard");
    handle.close().await;
    other.close().await;
}

/// After an outage all leases may have run out; their owners come first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_that_ran_out_meanwhile_are_left_to_their_owners_for_a_while() {
    let mut server = server();
    let owner = connect(&server.uri()).await;
    let patient = PostgresStore::connect(Options {
        takeover_wait: Duration::from_secs(3_600),
        ..options(&server.uri())
    })
    .await
    .expect("a store");
    // For other servers: those leases are on the disk.
    let queue = owner.store().queue;
    let new = |number| vec![message(number, "a@remote.test")];
    queue.enqueue(new(1)).await.expect("queued");
    let lease = async |handle: &PostgresStore, at: i64| {
        let wanted = Wanted::Only(Destination(Arc::from("remote.test")));
        let queue = handle.store().queue;
        queue.lease("w", wanted, at, at + 60_000, 9).await
    };
    let held = lease(&owner, now()).await.expect("leased");
    assert_eq!(held.len(), 1);
    server.crash().expect("stopped");
    let away = async || {
        let leased = lease(&patient, now()).await;
        matches!(leased, Err(StoreError::Unavailable(why)) if why.contains("error connecting"))
    };
    until("the outage to be noticed", away).await;
    server.run().expect("started again");
    works_again(&patient.store(), 2).await;
    until("the owner to be back", async || {
        queue.enqueue(new(3)).await.is_ok()
    })
    .await;
    // A time at which the first lease has run out.
    let later = now() + 120_000;
    let mut found = None;
    until("leases to be given", async || {
        found = lease(&patient, later).await.ok();
        found.is_some()
    })
    .await;
    let taken = found.unwrap_or_default();
    assert_eq!(taken.len(), 1);
    assert_ne!(taken[0].lease.unit, held[0].lease.unit);
    let lost = queue.extend(vec![held[0].lease], later).await;
    assert_eq!(lost.expect("extended"), []);
    owner.close().await;
    patient.close().await;
}

/// Nothing acknowledged is lost, and nothing is there twice, whenever the database ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once() {
    const PRODUCERS: u64 = 20;
    let mut server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let (next, stop) = (
        Arc::new(AtomicU64::new(1)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..PRODUCERS {
        let (store, next, stop) = (store.clone(), Arc::clone(&next), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut acknowledged = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match store
                    .queue
                    .enqueue(vec![message(number, "alice@example.test")])
                    .await
                {
                    Ok(()) => acknowledged.push(number),
                    Err(StoreError::Unavailable(_)) => {
                        tokio::time::sleep(Duration::from_millis(5)).await
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        });
    }
    let accepted = Arc::new(AtomicBool::new(false));
    let worker = tokio::spawn(deliver(store.clone(), Arc::clone(&accepted)));
    for _ in 0..3 {
        let before = handle.statistics().commits;
        while handle.statistics().commits < before + 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.crash().expect("stopped");
        server.run().expect("started again");
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    // Not before: an answer may come long after `stop`, when the end of its commit was looked up.
    accepted.store(true, Ordering::Relaxed);
    tokio::time::timeout(PATIENCE, worker)
        .await
        .expect("the queue is emptied")
        .expect("the worker");
    let found = bodies(&store).await;
    assert!(acknowledged.len() > 60, "{}", acknowledged.len());
    for number in &acknowledged {
        assert_eq!(found.get(number), Some(&1), "message {number}");
    }
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    handle.close().await;
}

/// Delivers until all messages are `accepted` and the queue is empty, leased units included.
async fn deliver(store: mailpods_store::Store, accepted: Arc<AtomicBool>) {
    loop {
        let last = accepted.load(Ordering::Relaxed);
        // Whatever fails here is leased again.
        let worked = deliver_some(&store).await.is_ok_and(|some| some);
        if !worked {
            let left = store.queue.list(&QueueFilter::default(), None, 1).await;
            if last && left.is_ok_and(|left| left.is_empty()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whether there was something to do.
async fn deliver_some(store: &mailpods_store::Store) -> Result<bool, StoreError> {
    // Far in the future: leases that a crash left behind are taken over.
    let far = now() + 10_000_000;
    let units = store
        .queue
        .lease("w", Wanted::Local, far, far + 1, 50)
        .await?;
    let settlements = units.iter().map(|unit| Settlement {
        lease: unit.lease,
        done: Vec::new(),
        retry: None,
        deliveries: vec![delivery("alice@example.test")],
        enqueue: Vec::new(),
    });
    store.queue.settle(settlements.collect()).await?;
    Ok(!units.is_empty())
}

/// The numbers of the messages in INBOX, with how often each is there.
async fn bodies(store: &mailpods_store::Store) -> HashMap<u64, u32> {
    let account = store
        .mail
        .account(&address("alice@example.test"))
        .await
        .expect("an account");
    let inbox = store
        .mail
        .mailbox(account, "INBOX")
        .await
        .expect("mailboxes")
        .expect("INBOX");
    let entries = store
        .mail
        .entries(inbox.id, 1..=u32::MAX, 0, Columns::default(), usize::MAX)
        .await
        .expect("entries");
    let mut found = HashMap::new();
    for entry in entries {
        let body = store.mail.body(entry.body).await.expect("a body");
        let text = String::from_utf8_lossy(&body).into_owned();
        let number = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("Subject: "))
            .expect("a number");
        *found.entry(number.parse().expect("a number")).or_default() += 1;
    }
    found
}
