//! Full disks and damaged octets.

use bytes::Bytes;
use mailpods_store::StoreError;
use mailpods_store::mail::{FlagOp, Flags, SystemFlags};
use mailpods_store::queue::{Destination, QueueFilter, Settlement, Wanted};
use mailpods_store::sqlite::{FsckOptions, Options, SqliteStore, fsck};

use super::{alice, append, message, new_body, noise, open, options, raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_refuses_and_goes_on_when_space_returns() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = SqliteStore::open(
        dir.path(),
        Options {
            max_pages: Some(400),
            ..options()
        },
    )
    .expect("a store");
    let store = handle.store();
    let (_, inbox) = alice(&store).await;
    let mut taken = 0;
    let refusal = loop {
        // Several at once, so that they share a transaction.
        let append = || append(&store, inbox, noise(20_000));
        let (one, two, three) = tokio::join!(append(), append(), append());
        let results = [one, two, three];
        taken += results.iter().filter(|result| result.is_ok()).count();
        if let Some(error) = results.into_iter().find_map(Result::err) {
            break error;
        }
    };
    assert!(matches!(refusal, StoreError::Full), "{refusal:?}");
    assert_eq!(store.mail.uids(inbox).await.expect("UIDs").len(), taken);
    let deleted = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    let half: Vec<u32> = (1..=u32::try_from(taken / 2).expect("small")).collect();
    store
        .mail
        .store_flags(inbox, half.clone(), FlagOp::Add, deleted, None)
        .await
        .expect("flags");
    assert_eq!(
        store.mail.expunge(inbox, None).await.expect("expunged"),
        half
    );
    append(&store, inbox, noise(20_000))
        .await
        .expect("space has returned");
    handle.close().await.expect("closed");
    let report = fsck(
        dir.path(),
        FsckOptions {
            repair: false,
            bodies: true,
            ..FsckOptions::default()
        },
        &mut |_| (),
    )
    .expect("a report");
    assert!(report.problems.is_empty(), "{report:?}");
}

#[tokio::test]
async fn the_reserve_keeps_new_mail_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(
        dir.path(),
        Options {
            free_reserve: u64::MAX,
            ..options()
        },
    )
    .expect("a store")
    .store();
    let (_, inbox) = alice(&store).await;
    assert!(matches!(
        append(&store, inbox, noise(10)).await,
        Err(StoreError::Full)
    ));
    assert!(matches!(
        append(&store, inbox, noise(500_000)).await,
        Err(StoreError::Full)
    ));
    assert!(matches!(
        store.queue.enqueue(vec![message(1, "a@one.test")]).await,
        Err(StoreError::Full)
    ));
    assert!(
        store
            .queue
            .list(&QueueFilter::default(), None, 10)
            .await
            .expect("a list")
            .is_empty()
    );
    assert_eq!(files(dir.path()), 0);
}

#[tokio::test]
async fn the_reserve_lets_settlements_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    handle
        .store()
        .queue
        .enqueue(vec![message(1, "a@one.test")])
        .await
        .expect("queued");
    handle.close().await.expect("closed");
    let store = SqliteStore::open(
        dir.path(),
        Options {
            free_reserve: u64::MAX,
            ..options()
        },
    )
    .expect("a store")
    .store();
    let now = 1_700_000_000_000;
    let units = store
        .queue
        .lease(
            "test",
            Wanted::Only(Destination("one.test".into())),
            now,
            now + 60_000,
            10,
        )
        .await
        .expect("leased");
    let mut notification = message(2, "b@two.test");
    notification.body = new_body(noise(500_000));
    let settlement = Settlement {
        lease: units[0].lease,
        done: vec![0],
        retry: None,
        deliveries: Vec::new(),
        enqueue: vec![notification],
    };
    let results = store.queue.settle(vec![settlement]).await.expect("settled");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

fn files(dir: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(dir.join("bodies"))
        .expect("bodies")
        .map(|folder| folder.expect("a folder").path());
    folders
        .filter(|path| path.is_dir())
        .map(|path| std::fs::read_dir(path).expect("files").count())
        .sum()
}

#[tokio::test]
async fn a_file_whose_row_is_refused_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).store();
    alice(&store).await;
    let mut large = message(1, "a@one.test");
    large.body = new_body(noise(500_000));
    store
        .queue
        .enqueue(vec![large.clone()])
        .await
        .expect("queued");
    assert_eq!(files(dir.path()), 1);
    assert!(matches!(
        store.queue.enqueue(vec![large]).await,
        Err(StoreError::AlreadyExists(_))
    ));
    assert_eq!(files(dir.path()), 1);
    store
        .queue
        .act(
            &QueueFilter::default(),
            mailpods_store::queue::QueueAction::Delete,
            i64::MAX,
        )
        .await
        .expect("deleted");
    assert_eq!(files(dir.path()), 0);
}

#[tokio::test]
async fn damaged_bodies_are_told_not_given_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    let (_, inbox) = alice(&handle.store()).await;
    for octets in [
        Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n"),
        noise(100_000),
        noise(1_000_000),
    ] {
        append(&handle.store(), inbox, octets)
            .await
            .expect("appended");
    }
    handle.close().await.expect("closed");
    let connection = raw(dir.path());
    connection
        .execute(
            "UPDATE body_data SET data = zeroblob(length(data)) WHERE id = 1",
            [],
        )
        .expect("damage");
    connection
        .execute(
            "UPDATE body_data SET data = substr(data, 1, length(data) - 9) WHERE id = 2",
            [],
        )
        .expect("damage");
    let name: String = connection
        .query_row("SELECT file FROM body WHERE id = 3", [], |row| row.get(0))
        .expect("a name");
    let path = dir.path().join("bodies").join(&name[..2]).join(&name);
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(1_000))
        .expect("damage");
    drop(connection);
    let store = open(dir.path()).store();
    for id in 1..=3 {
        let read = store.mail.body(mailpods_store::BodyId(id)).await;
        assert!(
            matches!(read, Err(StoreError::Corrupt(_))),
            "body {id}: {read:?}"
        );
    }
    // What lies before the damage can still be read.
    assert_eq!(
        store
            .mail
            .body_range(mailpods_store::BodyId(2), 0..100)
            .await
            .expect("the head"),
        noise(100)
    );
    let report = fsck(
        dir.path(),
        FsckOptions {
            repair: false,
            bodies: true,
            ..FsckOptions::default()
        },
        &mut |_| (),
    )
    .expect("a report");
    assert_eq!(
        report
            .problems
            .iter()
            .map(|problem| problem.count)
            .collect::<Vec<_>>(),
        [3]
    );
}
