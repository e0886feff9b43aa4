//! Two handles to one store, as two processes have them.

use std::time::Duration;

use mailpods_store::queue::{QueueAction, QueueFilter, Wanted};

use super::{alice, append, message, noise, open, raw};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_by_another_process_wake_those_who_wait() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, tool) = (open(dir.path()), open(dir.path()));
    let (server, tool) = (server.store(), tool.store());
    let (account, inbox) = alice(&server).await;
    let (mut mailbox, mut queue) = (server.mail.watch(inbox), server.queue.watch_queue());
    let mut changes = server.mail.watch_account(account);
    let before = *mailbox.borrow();
    append(&tool, inbox, noise(10)).await.expect("appended");
    tokio::time::timeout(PATIENCE, mailbox.changed())
        .await
        .expect("in time")
        .expect("woken");
    assert!(*mailbox.borrow() > before);
    assert_eq!(server.mail.uids(inbox).await.expect("UIDs"), [1]);
    changes.mark_unchanged();
    tool.mail
        .subscribe(account, "News", true)
        .await
        .expect("subscribed");
    tokio::time::timeout(PATIENCE, changes.changed())
        .await
        .expect("in time")
        .expect("woken");
    queue.mark_unchanged();
    tool.queue
        .enqueue(vec![message(1, "a@one.test")])
        .await
        .expect("queued");
    tokio::time::timeout(PATIENCE, queue.changed())
        .await
        .expect("in time")
        .expect("woken");
    let all = Wanted::remote();
    let units = server
        .queue
        .lease(
            "server",
            all.clone(),
            1_800_000_000_000,
            1_800_000_001_000,
            10,
        )
        .await
        .expect("leased");
    assert_eq!(units.len(), 1);
    assert!(
        tool.queue
            .lease("tool", all, 1_800_000_000_000, 1_800_000_001_000, 10)
            .await
            .expect("leased")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_write_and_nothing_is_mixed_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, other) = (open(dir.path()), open(dir.path()));
    let (_, inbox) = alice(&one.store()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = if number % 2 == 0 {
            one.store()
        } else {
            other.store()
        };
        tasks.spawn(async move {
            append(&store, inbox, noise(100 + number))
                .await
                .expect("appended");
            store
                .queue
                .enqueue(vec![message(number as u64, "a@one.test")])
                .await
                .expect("queued");
        });
    }
    tasks.join_all().await;
    let mut uids = one.store().mail.uids(inbox).await.expect("UIDs");
    uids.dedup();
    assert_eq!(uids.len(), 40);
    for entry in one
        .store()
        .mail
        .entries(inbox, 1..=u32::MAX, 0, Default::default(), 100)
        .await
        .expect("entries")
    {
        let body = other.store().mail.body(entry.body).await.expect("the body");
        assert_eq!(body, noise(usize::try_from(entry.size).expect("small")));
    }
    assert_eq!(
        other
            .store()
            .queue
            .act(&QueueFilter::default(), QueueAction::Delete, 0)
            .await
            .expect("deleted"),
        40
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_lifted_by_a_tool_is_lifted_in_the_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, tool) = (open(dir.path()), open(dir.path()));
    let (server, tool) = (server.store(), tool.store());
    let far = i64::MAX / 2;
    server.tokens.ban("192.0.2.1", far).await.expect("banned");
    // Anything that the other writes makes it look.
    alice(&tool).await;
    assert_eq!(
        tool.tokens.banned("192.0.2.1", 0).await.expect("known"),
        Some(far)
    );
    tool.tokens.forget("192.0.2.1").await.expect("forgotten");
    server
        .secrets
        .delete_secret("nothing")
        .await
        .expect("a write");
    assert_eq!(
        server.tokens.banned("192.0.2.1", 0).await.expect("known"),
        None
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_has_just_held_is_neither_deleted_nor_bounced() {
    let dir = tempfile::tempdir().expect("a folder");
    let (handle, other) = (open(dir.path()), raw(dir.path()));
    let store = handle.store();
    for action in [QueueAction::Delete, QueueAction::Bounce] {
        let number = action as u64;
        let queued = store.queue.enqueue(vec![message(number, "a@one.test")]);
        queued.await.expect("queued");
        other
            .execute_batch("BEGIN IMMEDIATE; UPDATE unit SET held = 1")
            .expect("held");
        let before = handle.statistics().commits;
        let free = QueueFilter {
            held: Some(false),
            ..QueueFilter::default()
        };
        let queue = store.queue.clone();
        let acting = tokio::spawn(async move { queue.act(&free, action, 0).await });
        // It has found the unit by then, and waits for the other process.
        let deadline = std::time::Instant::now() + PATIENCE;
        while handle.statistics().commits == before {
            assert!(std::time::Instant::now() < deadline, "{action:?}");
            tokio::task::yield_now().await;
        }
        other.execute_batch("COMMIT").expect("committed");
        let changed = acting.await.expect("no panic").expect("acted");
        assert_eq!(changed, 0, "{action:?}");
        let all = QueueFilter::default();
        let listed = store.queue.list(&all, None, 9).await.expect("listed");
        assert!(
            listed.len() == 1 && listed[0].held,
            "{action:?}: {listed:?}"
        );
        let cleared = store.queue.act(&all, QueueAction::Delete, 0).await;
        assert_eq!(cleared.expect("deleted"), 1);
    }
}
