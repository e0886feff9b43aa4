//! What `fsck` finds and mends.

use std::path::Path;

use mailpods_store::StoreError;
use mailpods_store::sqlite::{FsckOptions, SqliteStore, backup, fsck};

use super::{alice, append, message, noise, open, options, raw};

const LOOK: FsckOptions = FsckOptions {
    repair: false,
    bodies: false,
    forget_secrets: false,
};
const REPAIR: FsckOptions = FsckOptions {
    repair: true,
    bodies: false,
    forget_secrets: false,
};

/// Each damages a store in one way; the number is that of the rules it breaks at least.
const DAMAGE: &[(&str, usize)] = &[
    ("UPDATE body SET refs = refs + 1", 1),
    (
        "UPDATE mailbox SET messages = 7, unseen = 9, octets = 1 WHERE name = 'INBOX'",
        2,
    ),
    ("UPDATE mailbox SET uid_next = 1 WHERE name = 'INBOX'", 1),
    ("UPDATE mailbox SET modseq = 1 WHERE name = 'INBOX'", 1),
    ("UPDATE account SET octets = 99", 1),
    ("DELETE FROM queued", 2),
    ("DELETE FROM unit", 1),
    ("UPDATE queued SET units_left = 5", 1),
    ("INSERT INTO body_data VALUES (77, x'00')", 1),
    ("DELETE FROM mailbox WHERE name = 'INBOX'", 2),
    ("UPDATE counter SET body = 0, unit = 0, mailbox = 0", 1),
    ("INSERT INTO expunged SELECT mailbox, 1, uid FROM mail", 1),
    ("DELETE FROM mail", 2),
    ("INSERT INTO reader_seen VALUES (1, 99, 1, 1, 1)", 1),
    (
        "INSERT INTO acl VALUES (99, 'anyone', 0, 3, 'example.test')",
        1,
    ),
];

#[tokio::test]
async fn each_damage_is_found_and_mended() {
    for (damage, rules) in DAMAGE {
        let dir = tempfile::tempdir().expect("a folder");
        let handle = open(dir.path());
        let (_, inbox) = alice(&handle.store()).await;
        append(&handle.store(), inbox, noise(2_000))
            .await
            .expect("appended");
        append(&handle.store(), inbox, noise(2_000))
            .await
            .expect("appended");
        handle
            .store()
            .queue
            .enqueue(vec![message(1, "a@one.test")])
            .await
            .expect("queued");
        handle.close().await.expect("closed");
        assert!(
            fsck(dir.path(), LOOK, &mut |_| ())
                .expect("a report")
                .problems
                .is_empty()
        );
        raw(dir.path()).execute_batch(damage).expect("damage");
        let found = fsck(dir.path(), LOOK, &mut |_| ()).expect("a report");
        assert!(
            found.problems.len() >= *rules && !found.is_clean(),
            "{damage}: {found:?}"
        );
        let repaired = fsck(dir.path(), REPAIR, &mut |_| ()).expect("a report");
        assert!(repaired.is_clean(), "{damage}: {repaired:?}");
        let again = fsck(dir.path(), LOOK, &mut |_| ()).expect("a report");
        assert!(again.problems.is_empty(), "{damage}: {again:?}");
    }
}

/// A store with a sealed secret, closed.
async fn with_secret(dir: &Path) {
    let handle = open(dir);
    let put = handle
        .store()
        .secrets
        .put_secret("dkim/example.test/s1", b"key".to_vec().into())
        .await;
    put.expect("a secret");
    handle.close().await.expect("closed");
}

#[tokio::test]
async fn a_lost_sealing_key_is_never_replaced_while_it_is_needed() {
    let dir = tempfile::tempdir().expect("a folder");
    with_secret(dir.path()).await;
    let key = dir.path().join("seal.key");
    let kept = std::fs::read(&key).expect("the key");
    std::fs::remove_file(&key).expect("removed");
    let missing = |result: Result<(), StoreError>| {
        let error = result.expect_err("no key");
        assert!(error.to_string().contains("seal.key is missing"), "{error}");
    };
    missing(SqliteStore::open(dir.path(), options()).map(drop));
    missing(SqliteStore::open_existing(dir.path(), options()).map(drop));
    let archive = dir.path().join("archive");
    missing(backup(dir.path(), &archive, &mut |_| ()));
    assert!(!key.exists());

    let found = fsck(dir.path(), REPAIR, &mut |_| ()).expect("a report");
    let problem = found.problems.first().expect("a problem");
    assert_eq!(problem.examples, ["dkim/example.test/s1"]);
    assert!(!found.is_clean() && problem.advice.is_some_and(|text| text.contains("seal.key")));
    std::fs::write(&key, [0; 32]).expect("another key");
    let found = fsck(dir.path(), LOOK, &mut |_| ()).expect("a report");
    assert_eq!(
        found.problems.len(),
        1,
        "a key that opens nothing is told too"
    );
    std::fs::write(&key, kept).expect("the key");
    let found = fsck(dir.path(), LOOK, &mut |_| ()).expect("a report");
    assert!(found.problems.is_empty(), "{found:?}");
}

#[tokio::test]
async fn secrets_that_do_not_open_are_forgotten_when_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    with_secret(dir.path()).await;
    std::fs::remove_file(dir.path().join("seal.key")).expect("removed");
    let forget = FsckOptions {
        forget_secrets: true,
        ..LOOK
    };
    assert!(
        fsck(dir.path(), forget, &mut |_| ())
            .expect("a report")
            .is_clean()
    );
    let store = open(dir.path()).store();
    assert!(
        store
            .secrets
            .secret_names("")
            .await
            .expect("names")
            .is_empty()
    );
}

#[tokio::test]
async fn a_damaged_message_is_named_as_people_know_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    let (_, inbox) = alice(&handle.store()).await;
    for _ in 0..2 {
        append(&handle.store(), inbox, noise(2_000))
            .await
            .expect("appended");
    }
    handle.close().await.expect("closed");
    raw(dir.path())
        .execute_batch("UPDATE body_data SET data = x'00' WHERE id = 2")
        .expect("damage");
    let look = FsckOptions {
        bodies: true,
        ..REPAIR
    };
    let report = fsck(dir.path(), look, &mut |_| ()).expect("a report");
    let [problem] = report.problems.as_slice() else {
        panic!("{report:?}");
    };
    assert!(
        problem.examples[0].starts_with("alice@example.test INBOX uid 2: body 2: "),
        "{problem:?}"
    );
    assert!(!problem.repaired && problem.advice.is_some());
}

/// What cannot be looked at may well be there.
#[tokio::test]
async fn only_a_store_that_is_not_there_is_not_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let not_found = |result: Result<(), StoreError>| matches!(result, Err(StoreError::NotFound(_)));
    for (path, wanted) in [(dir.path().join("none"), true), (file, false)] {
        let opened = SqliteStore::open_existing(&path, options()).map(drop);
        let looked = fsck(&path, LOOK, &mut |_| ()).map(drop);
        let saved = backup(&path, &dir.path().join("archive"), &mut |_| ());
        let found = [not_found(opened), not_found(looked), not_found(saved)];
        assert_eq!(found, [wanted; 3], "{}", path.display());
    }
}

#[tokio::test]
async fn a_missing_file_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    let (_, inbox) = alice(&handle.store()).await;
    append(&handle.store(), inbox, noise(500_000))
        .await
        .expect("appended");
    handle.close().await.expect("closed");
    std::fs::remove_dir_all(dir.path().join("bodies")).expect("removed");
    let report = fsck(dir.path(), REPAIR, &mut |_| ()).expect("a report");
    assert_eq!(
        report
            .problems
            .iter()
            .map(|problem| (problem.count, problem.repaired))
            .collect::<Vec<_>>(),
        [(1, false)]
    );
    let told = &report.problems[0].examples[0];
    assert!(
        told.starts_with("alice@example.test INBOX uid 1: body 1: no file "),
        "{told}"
    );
}
