//! What `fsck` finds and mends.

use mailpods_store::sqlite::{FsckOptions, fsck};

use super::{alice, append, message, noise, open, raw};

const LOOK: FsckOptions = FsckOptions {
    repair: false,
    bodies: false,
};
const REPAIR: FsckOptions = FsckOptions {
    repair: true,
    bodies: false,
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
}
