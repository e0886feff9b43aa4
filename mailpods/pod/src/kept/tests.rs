use mailpods_store::sqlite::{Options, open};

use super::*;

fn entries(count: usize, mark: &str) -> Entries {
    let value = |index: usize| {
        let json = format!(r#"{{"mark": "{mark}", "fill": "{}"}}"#, "x".repeat(900));
        (format!("mailbox/p{index}@example.test"), entry(&json))
    };
    (0..count).map(value).collect()
}

fn entry(json: &str) -> Arc<Entry> {
    Arc::new(Entry::new(Zeroizing::new(json.to_owned())))
}

fn store(folder: &tempfile::TempDir) -> Arc<dyn SecretStore> {
    open(folder.path(), Options::default()).unwrap().secrets
}

#[tokio::test]
async fn a_plan_survives_and_a_change_writes_one_part() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = store(&folder);
    let kept = Kept::new(secrets.clone(), Role::Smtp);
    assert!(kept.load().await.unwrap().is_none());
    let old = entries(1000, "a");
    kept.save(&old).await.unwrap();
    assert_eq!(kept.load().await.unwrap().unwrap().digest(), old.digest());
    let before = secrets.secret_names("plan/smtp/").await.unwrap();
    assert!(before.len() > 5, "{}", before.len());

    let changed = ("mailbox/p7@example.test".into(), entry("{}"));
    let new: Entries = old.iter().chain([changed]).collect();
    kept.save(&new).await.unwrap();
    assert_eq!(kept.load().await.unwrap().unwrap().digest(), new.digest());
    // The old part stays for pods that are a step behind.
    let after = secrets.secret_names("plan/smtp/").await.unwrap();
    assert_eq!(after.len(), before.len() + 1);
    kept.save(&entries(1, "b")).await.unwrap();
    kept.save(&entries(1, "c")).await.unwrap();
    let last = secrets.secret_names("plan/smtp/").await.unwrap();
    assert_eq!(last.len(), 3, "{last:?}");
    let other = Kept::new(secrets, Role::Imap);
    assert!(other.load().await.unwrap().is_none());
}

#[tokio::test]
async fn two_pods_that_save_in_turn_do_not_break_it() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = store(&folder);
    let one = Kept::new(secrets.clone(), Role::All);
    let other = Kept::new(secrets.clone(), Role::All);
    let (old, new) = (entries(300, "old"), entries(300, "new"));
    for _ in 0..3 {
        one.save(&new).await.unwrap();
        other.save(&old).await.unwrap();
        let read = one.load().await.unwrap().unwrap();
        assert_eq!(read.digest(), old.digest());
    }
}

#[tokio::test]
async fn a_plan_that_is_not_whole_is_not_taken_and_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = store(&folder);
    let kept = Kept::new(secrets.clone(), Role::All);
    let entries = entries(300, "a");
    kept.save(&entries).await.unwrap();
    let names = secrets.secret_names("plan/all/").await.unwrap();
    secrets.delete_secret(&names[0]).await.unwrap();
    assert!(matches!(kept.load().await, Err(KeptError::Broken)));
    kept.save(&entries).await.unwrap();
    assert!(kept.load().await.unwrap().is_some());
    let head = Zeroizing::new(b"?".to_vec());
    secrets.put_secret("plan/all/head", head).await.unwrap();
    assert!(matches!(kept.load().await, Err(KeptError::Json(_))));
    kept.save(&entries).await.unwrap();
    assert!(kept.load().await.unwrap().is_some());
}

#[tokio::test]
async fn large_entries_get_parts_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::new(store(&folder), Role::All);
    let large = |index: usize| {
        let json = format!("\"{}\"", "x".repeat(200_000));
        (format!("list/l{index}@example.test"), entry(&json))
    };
    let all: Entries = (0..20).map(large).collect();
    kept.save(&all).await.unwrap();
    let read = kept.load().await.unwrap().unwrap();
    assert_eq!(read.digest(), all.digest());
}
