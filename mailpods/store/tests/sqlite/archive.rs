//! Backup and restore.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use mailpods_store::StoreError;
use mailpods_store::queue::QueueFilter;
use mailpods_store::sqlite::{DATABASE_FILE, FsckOptions, Progress, backup, fsck, restore};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{alice, append, message, noise, open};

/// Where a store, its backup and what is restored of it are.
struct Places(TempDir);

impl Places {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn all(&self) -> (PathBuf, PathBuf, PathBuf) {
        let place = |name| self.0.path().join(name);
        (place("store"), place("archive"), place("restored"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_store_in_use_is_restored_whole() {
    let places = Places::new();
    let (dir, archive, target) = places.all();
    let handle = open(&dir);
    let store = handle.store();
    let (_, inbox) = alice(&store).await;
    append(&store, inbox, noise(5_000)).await.expect("appended");
    append(&store, inbox, noise(500_000))
        .await
        .expect("appended");
    store
        .queue
        .enqueue(vec![message(1, "a@one.test")])
        .await
        .expect("queued");
    store
        .secrets
        .put_secret("dkim", Zeroizing::new(b"key".to_vec()))
        .await
        .expect("a secret");
    let before = store.mail.mailbox_by_id(inbox).await.expect("the mailbox");

    let writes = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..50 {
                append(&store, inbox, noise(200_000))
                    .await
                    .expect("appended");
            }
        }
    });
    let (from, to) = (dir.clone(), archive.clone());
    let mut reports = Vec::new();
    let reports = tokio::task::spawn_blocking(move || {
        backup(&from, &to, &mut |progress| reports.push(progress)).map(|()| reports)
    });
    let reports: Vec<Progress> = reports.await.expect("a backup").expect("a backup");
    writes.await.expect("the writes");
    assert!(
        reports
            .iter()
            .any(|progress| progress.done == progress.total)
    );

    let restored = restore(&archive, &target, &mut |_| ()).expect("restored");
    assert_eq!((restored.mailboxes, restored.held), (6, 1));
    let report = fsck(
        &target,
        FsckOptions {
            bodies: true,
            ..FsckOptions::default()
        },
        &mut |_| (),
    )
    .expect("a report");
    assert!(report.problems.is_empty(), "{report:?}");
    let copy = open(&target).store();
    let after = copy.mail.mailbox_by_id(inbox).await.expect("the mailbox");
    assert!(after.uid_validity > before.uid_validity && after.messages >= 2);
    assert_eq!(
        copy.mail
            .body(mailpods_store::BodyId(2))
            .await
            .expect("the body"),
        noise(500_000)
    );
    assert_eq!(
        copy.secrets
            .secret("dkim")
            .await
            .expect("the secret")
            .as_deref()
            .map(Vec::as_slice),
        Some(&b"key"[..])
    );
    assert!(
        copy.queue
            .list(&QueueFilter::default(), None, 10)
            .await
            .expect("a list")[0]
            .held
    );
}

/// The one file of a large body.
fn body_file(dir: &Path) -> PathBuf {
    let only = |folder: PathBuf| {
        let mut entries = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.file_name().is_none_or(|name| name != ".hold"));
        entries.next().expect("an entry")
    };
    only(only(dir.join("bodies")))
}

#[tokio::test]
async fn damage_of_one_copy_does_not_reach_the_others() {
    let places = Places::new();
    let (dir, archive, target) = places.all();
    let handle = open(&dir);
    let (_, inbox) = alice(&handle.store()).await;
    append(&handle.store(), inbox, noise(500_000))
        .await
        .expect("appended");
    handle.close().await.expect("closed");
    backup(&dir, &archive, &mut |_| ()).expect("a backup");
    restore(&archive, &target, &mut |_| ()).expect("restored");
    let damaged = body_file(&target);
    let mode = std::fs::metadata(&damaged).expect("metadata").mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = std::fs::File::options()
        .write(true)
        .open(damaged)
        .expect("the body");
    file.write_all_at(b"????", 1_000).expect("damage");
    let look = FsckOptions {
        bodies: true,
        ..FsckOptions::default()
    };
    let damage = |dir: &Path| fsck(dir, look, &mut |_| ()).expect("a report").problems;
    assert_eq!(damage(&target).len(), 1);
    assert_eq!((damage(&archive), damage(&dir)), (vec![], vec![]));
}

#[tokio::test]
async fn a_restore_that_was_cut_short_leaves_no_store_and_can_be_made_again() {
    let places = Places::new();
    let (dir, archive, target) = places.all();
    let handle = open(&dir);
    let (_, inbox) = alice(&handle.store()).await;
    append(&handle.store(), inbox, noise(5_000))
        .await
        .expect("appended");
    handle.close().await.expect("closed");
    backup(&dir, &archive, &mut |_| ()).expect("a backup");
    let cut = std::panic::catch_unwind(|| {
        restore(&archive, &target, &mut |progress| {
            assert_ne!(progress.step, "database pages", "cut short");
        })
    });
    assert!(cut.is_err());
    assert!(!target.join(DATABASE_FILE).exists());
    restore(&archive, &target, &mut |_| ()).expect("restored");
    let left: Vec<_> = std::fs::read_dir(&target)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().contains("restore"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let copy = open(&target).store();
    assert_eq!(copy.mail.uids(inbox).await.expect("UIDs"), [1]);
}

#[tokio::test]
async fn neither_overwrites_anything() {
    let places = Places::new();
    let (dir, archive, _) = places.all();
    open(&dir).close().await.expect("closed");
    backup(&dir, &archive, &mut |_| ()).expect("a backup");
    let exists =
        |result: Result<(), StoreError>| matches!(result, Err(StoreError::AlreadyExists(_)));
    assert!(exists(backup(&dir, &archive, &mut |_| ())));
    assert!(exists(restore(&archive, &dir, &mut |_| ()).map(drop)));
    let none = backup(
        &places.0.path().join("nothing"),
        &places.0.path().join("new"),
        &mut |_| (),
    );
    assert!(matches!(none, Err(StoreError::NotFound(_))));
}
