//! How much is remembered of what is gone.

use mailpods_store::mail::{FlagOp, Flags, SystemFlags};
use mailpods_store::queue::QueueFilter;
use mailpods_store::sqlite::{FsckOptions, fsck};

use super::{alice, append, noise, open, raw};

#[tokio::test]
async fn old_expunged_uids_are_forgotten_and_nobody_is_told_too_little() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    let store = handle.store();
    let (_, inbox) = alice(&store).await;
    append(&store, inbox, noise(10)).await.expect("appended");
    handle.close().await.expect("closed");
    // Twelve thousand messages came and went, two with each change.
    raw(dir.path())
        .execute_batch(&format!(
            "WITH RECURSIVE n (x) AS (VALUES (2) UNION ALL SELECT x + 1 FROM n WHERE x < 12001)
             INSERT INTO expunged (mailbox, modseq, uid) SELECT {0}, 10 + x / 2, x FROM n;
             UPDATE mailbox SET uid_next = 12002, modseq = 6010 WHERE id = {0};",
            inbox.0
        ))
        .expect("history");
    let store = open(dir.path()).store();
    let mut last = 0;
    // One look at least at how many there are.
    for _ in 0..200 {
        last = append(&store, inbox, noise(10)).await.expect("appended");
        let deleted = Flags {
            system: SystemFlags::DELETED,
            keywords: Vec::new(),
        };
        store
            .mail
            .store_flags(inbox, vec![last], FlagOp::Add, deleted, None)
            .await
            .expect("flags");
        store.mail.expunge(inbox, None).await.expect("expunged");
    }
    let remembered: i64 = raw(dir.path())
        .query_row("SELECT count(*) FROM expunged", [], |row| row.get(0))
        .expect("a count");
    assert!(remembered < 10_300, "{remembered}");
    let all: Vec<u32> = (2..=last).collect();
    for long_ago in [0, 20] {
        let told = store.mail.vanished(inbox, long_ago).await.expect("UIDs");
        assert_eq!(told, all, "since {long_ago}");
    }
    let lately = store.mail.vanished(inbox, 6009).await.expect("UIDs");
    assert_eq!(lately, (12_000..=last).collect::<Vec<u32>>());
    assert_eq!(store.mail.uids(inbox).await.expect("UIDs"), [1]);
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
    assert!(
        store
            .queue
            .list(&QueueFilter::default(), None, 1)
            .await
            .expect("a list")
            .is_empty()
    );
}
