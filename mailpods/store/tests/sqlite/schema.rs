//! Versions of the schema.

use std::time::{SystemTime, UNIX_EPOCH};

use mailpods_store::StoreError;
use mailpods_store::queue::QueueFilter;
use mailpods_store::sqlite::{DATABASE_FILE, FsckOptions, SqliteStore, fsck};

use super::{alice, open, options, raw};

/// A store as version 1 wrote it, as SQL.
const VERSION_1: &str = include_str!("../fixtures/store_1.sql");

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs().cast_signed()
}

#[tokio::test]
async fn a_store_of_version_1_opens_with_its_mail() {
    let dir = tempfile::tempdir().expect("a folder");
    raw(dir.path())
        .execute_batch(VERSION_1)
        .expect("the fixture");
    let store = open(dir.path()).store();
    let (account, inbox) = alice(&store).await;
    assert_eq!(store.mail.uids(inbox).await.expect("UIDs"), [1, 2]);
    assert_eq!(store.mail.usage(account).await.expect("usage").messages, 2);
    // When they came in is not known, and their dates are old: they count from now on.
    for (seconds, old) in [(-3600, vec![]), (3600, vec![1, 2])] {
        let before = unix_now() + seconds;
        let found = store.upkeep.saved_before(inbox, before, 10).await;
        assert_eq!(found.expect("UIDs"), old, "{seconds}");
    }
    let body = store
        .mail
        .body(mailpods_store::BodyId(1))
        .await
        .expect("the body");
    assert_eq!(&body[..], b"Subject: one\r\n\r\none\r\n");
    let queued = store
        .queue
        .list(&QueueFilter::default(), None, 10)
        .await
        .expect("a list");
    assert_eq!(
        (&*queued[0].destination.0, queued[0].recipients.len()),
        ("one.test", 1)
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
    assert!(report.problems.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).close().await.expect("closed");
    raw(dir.path())
        .pragma_update(None, "user_version", 999)
        .expect("the version");
    let Err(StoreError::Invalid(text)) = SqliteStore::open(dir.path(), options()) else {
        panic!("it was opened")
    };
    assert!(text.contains("999"), "{text}");
    let version: i64 = raw(dir.path())
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("the version");
    assert_eq!(version, 999);
}

#[test]
fn open_existing_makes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let opened = SqliteStore::open_existing(dir.path(), options());
    assert!(matches!(opened.err(), Some(StoreError::NotFound(_))));
    assert!(!dir.path().join(DATABASE_FILE).exists());
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    let store = handle.store();
    let (account, inbox) = alice(&store).await;
    handle.close().await.expect("closed");
    assert!(matches!(
        store.mail.usage(account).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(matches!(
        store.mail.expunge(inbox, None).await,
        Err(StoreError::Unavailable(_))
    ));
}
