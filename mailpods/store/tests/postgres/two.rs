//! Two stores on one database, as two pods have them.

use std::collections::HashSet;

use mailpods_store::StoreError;
use mailpods_store::queue::{Destination, QueueAction, QueueFilter, Settlement, Wanted};
use mailpods_store::types::MailboxId;
use mailpods_store::{Store, mail::Columns};
use tokio::sync::watch;

use super::support::{PATIENCE, address, connect, delivery, message, now, server};

async fn inbox(store: &Store, account: &str) -> MailboxId {
    let account = store
        .mail
        .account(&address(account))
        .await
        .expect("an account");
    let inbox = store
        .mail
        .mailbox(account, "INBOX")
        .await
        .expect("mailboxes");
    inbox.expect("INBOX").id
}

async fn woken(receiver: &mut watch::Receiver<u64>) {
    let changed = tokio::time::timeout(PATIENCE, receiver.changed()).await;
    changed.expect("woken in time").expect("a store");
}

fn done(unit: &mailpods_store::queue::LeasedUnit, account: Option<&str>) -> Settlement {
    Settlement {
        lease: unit.lease,
        done: Vec::new(),
        retry: None,
        deliveries: account.map(delivery).into_iter().collect(),
        enqueue: Vec::new(),
    }
}

fn remote() -> Wanted {
    Wanted::remote()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_by_one_wakes_the_other() {
    let server = server();
    let (one, other) = (connect(&server.uri()).await, connect(&server.uri()).await);
    let (store, seen) = (one.store(), other.store());
    let mailbox = inbox(&store, "alice@example.test").await;
    let (mut queue, mut mails) = (seen.queue.watch_queue(), seen.mail.watch(mailbox));
    store
        .queue
        .enqueue(vec![message(1, "alice@example.test")])
        .await
        .expect("queued");
    woken(&mut queue).await;
    let units = store
        .queue
        .lease("one", Wanted::Local, now(), now() + 60_000, 5)
        .await
        .expect("leased");
    let results = store
        .queue
        .settle(vec![done(&units[0], Some("alice@example.test"))])
        .await;
    assert!(results.expect("settled")[0].is_ok());
    woken(&mut mails).await;
    let entries = seen
        .mail
        .entries(mailbox, 1..=9, 0, Columns::default(), 9)
        .await
        .expect("entries");
    assert_eq!(entries.len(), 1);
    // A remote unit that one queues is found by the other, whose index of destinations did not know it.
    queue.mark_unchanged();
    store
        .queue
        .enqueue(vec![message(2, "x@remote.test")])
        .await
        .expect("queued");
    woken(&mut queue).await;
    let units = seen
        .queue
        .lease("other", remote(), now(), now() + 60_000, 5)
        .await
        .expect("leased");
    assert_eq!(units.len(), 1);
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_does_to_an_account_wakes_the_other() {
    let server = server();
    let (one, other) = (connect(&server.uri()).await, connect(&server.uri()).await);
    let (store, seen) = (one.store(), other.store());
    let alice = address("alice@example.test");
    let account = store.mail.account(&alice).await.expect("an account");
    let mut changes = seen.mail.watch_account(account);
    store
        .mail
        .create_mailbox(account, "new", None)
        .await
        .expect("made");
    woken(&mut changes).await;
    store
        .mail
        .subscribe(account, "new", true)
        .await
        .expect("subscribed");
    woken(&mut changes).await;
    let names = seen.mail.subscriptions(account).await.expect("names");
    assert!(names.contains(&"new".to_owned()), "{names:?}");
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_lease_is_taken_over_by_the_other() {
    let server = server();
    let (one, other) = (connect(&server.uri()).await, connect(&server.uri()).await);
    let (store, second) = (one.store(), other.store());
    store
        .queue
        .enqueue(vec![message(1, "a@remote.test")])
        .await
        .expect("queued");
    let first = store
        .queue
        .lease("one", remote(), now(), now() + 300, 5)
        .await
        .expect("leased");
    assert_eq!(first.len(), 1);
    assert!(
        second
            .queue
            .lease("other", remote(), now(), now() + 60_000, 5)
            .await
            .expect("none")
            .is_empty()
    );
    let wanted = Wanted::Only(Destination("remote.test".into()));
    let taken = loop {
        let units = second
            .queue
            .lease("other", wanted.clone(), now(), now() + 60_000, 5)
            .await
            .expect("leased");
        if !units.is_empty() {
            break units;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(taken[0].lease.unit, first[0].lease.unit);
    let late = store
        .queue
        .settle(vec![done(&first[0], None)])
        .await
        .expect("results");
    assert!(matches!(late[0], Err(StoreError::LeaseLost)), "{late:?}");
    let lost = store
        .queue
        .extend(vec![first[0].lease], now() + 60_000)
        .await
        .expect("answered");
    assert_eq!(lost, [first[0].lease]);
    let ended = second
        .queue
        .settle(vec![done(&taken[0], None)])
        .await
        .expect("results");
    assert!(ended[0].is_ok(), "{ended:?}");
    assert!(
        store
            .queue
            .list(&QueueFilter::default(), None, 5)
            .await
            .expect("listed")
            .is_empty()
    );
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_comes_back_reclaims_its_own_leases_alone() {
    let server = server();
    let (one, other) = (connect(&server.uri()).await, connect(&server.uri()).await);
    let store = one.store();
    let new = (0..4)
        .map(|number| message(number, "a@remote.test"))
        .collect();
    store.queue.enqueue(new).await.expect("queued");
    store
        .queue
        .lease("pod-0", remote(), now(), now() + 60_000, 3)
        .await
        .expect("leased");
    store
        .queue
        .lease("pod-1", remote(), now(), now() + 60_000, 1)
        .await
        .expect("leased");
    assert_eq!(other.reclaim("pod-0").await.expect("reclaimed"), 3);
    let again = other
        .store()
        .queue
        .lease("pod-0", remote(), now(), now() + 60_000, 9)
        .await
        .expect("leased");
    assert_eq!(again.len(), 3);
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_lease_at_once_and_never_the_same() {
    const UNITS: u64 = 300;
    let server = server();
    let stores = [connect(&server.uri()).await, connect(&server.uri()).await];
    let new = |number| {
        let recipient = match number % 3 {
            0 => "a@example.test".to_owned(),
            rest => format!("a@d{}.test", (number + rest) % 7),
        };
        message(number, &recipient)
    };
    stores[0]
        .store()
        .queue
        .enqueue((0..UNITS).map(new).collect())
        .await
        .expect("queued");
    let mut changes = stores[1].store().queue.watch_queue();
    if *changes.borrow_and_update() == 0 {
        woken(&mut changes).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (worker, store) in stores
        .iter()
        .chain(&stores)
        .map(|one| one.store())
        .enumerate()
    {
        tasks.spawn(async move {
            let mut mine = Vec::new();
            // A look that finds others at it says nothing of the rest: only several in a row do.
            let mut idle = 0;
            while idle < 5 {
                let before = mine.len();
                for wanted in [Wanted::Local, remote()] {
                    let units = store
                        .queue
                        .lease(&format!("w{worker}"), wanted, now(), now() + 60_000, 7)
                        .await
                        .expect("leased");
                    mine.extend(units.into_iter().map(|unit| unit.lease.unit));
                }
                idle = if mine.len() == before { idle + 1 } else { 0 };
            }
            mine
        });
    }
    let all: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (300, 300));
    for store in stores {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_one_has_just_held_is_neither_deleted_nor_bounced() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let (other, connection) = tokio_postgres::connect(&server.uri(), tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    for action in [QueueAction::Delete, QueueAction::Bounce] {
        let queued = store
            .queue
            .enqueue(vec![message(action as u64, "a@one.test")]);
        queued.await.expect("queued");
        other
            .batch_execute("BEGIN; UPDATE unit SET held = true")
            .await
            .expect("held");
        let free = QueueFilter {
            held: Some(false),
            ..QueueFilter::default()
        };
        let queue = store.queue.clone();
        let acting = tokio::spawn(async move { queue.act(&free, action, now()).await });
        // It has found the unit by then, and waits for the other one.
        let deadline = std::time::Instant::now() + PATIENCE;
        let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted";
        while other.query(waiting, &[]).await.expect("locks").is_empty() {
            assert!(std::time::Instant::now() < deadline, "{action:?}");
        }
        other.batch_execute("COMMIT").await.expect("committed");
        let changed = acting.await.expect("no panic").expect("acted");
        assert_eq!(changed, 0, "{action:?}");
        let all = QueueFilter::default();
        let listed = store.queue.list(&all, None, 9).await.expect("listed");
        assert!(
            listed.len() == 1 && listed[0].held,
            "{action:?}: {listed:?}"
        );
        let cleared = store.queue.act(&all, QueueAction::Delete, now()).await;
        assert_eq!(cleared.expect("deleted"), 1);
    }
}
