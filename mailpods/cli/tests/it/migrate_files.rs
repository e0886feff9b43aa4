//! mailbox migrate, from Maildir and mbox files.
use std::fs;

use crate::world::{Run, World};

const ALICE: &str = "alice@example.test";

fn put(world: &World, path: &str, text: &str) {
    let path = world.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A Maildir whose list tells `N100` and the UIDs of `1.a` and `2.b`; `3.c` came after it was written.
fn maildir(world: &World) {
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(world.path("maildir").join(part)).unwrap();
    }
    put(world, "maildir/cur/1.a:2,S", "Subject: one\n\n1\n");
    put(world, "maildir/cur/2.b:2,", "Subject: two\n\n2\n");
    put(world, "maildir/new/3.c", "Subject: three\n\n3\n");
    let list = "3 V1500000000 N100\n4 :1.a\n9 :2.b\n";
    put(world, "maildir/dovecot-uidlist", list);
}

fn migrate(world: &World, more: &[&str]) -> Run {
    let first = [
        "mailbox",
        "migrate",
        ALICE,
        "--create-account",
        "--output",
        "json",
    ];
    world.run(&[&first[..], more].concat())
}

fn uids(world: &World) -> (u32, Vec<u32>) {
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let uids = store.mail.uids(inbox.id).await.unwrap();
        (inbox.uid_validity, uids)
    })
}

#[test]
fn files_without_a_uid_get_one_that_no_other_file_has() {
    let world = World::new();
    maildir(&world);
    migrate(&world, &["--from", "maildir:maildir"]).exits(0);
    let (validity, found) = uids(&world);
    assert_eq!(validity, 1_500_000_000);
    assert!(
        matches!(found[..], [4, 9, new] if new >= 100),
        "UIDs below 100 are the source's: {found:?}"
    );
    let imported = World::new();
    maildir(&imported);
    let import = ["mailbox", "import", ALICE, "maildir", "--create-account"];
    imported.run(&import).exits(0);
    assert_eq!(uids(&imported), (1_500_000_000, vec![4, 9, 100]));
}

#[test]
fn a_copy_with_other_flags_comes_once() {
    let world = World::new();
    maildir(&world);
    put(&world, "maildir/cur/1.a:2,FS", "Subject: one\n\n1\n");
    put(&world, "maildir/new/2.b", "Subject: another\n\n2\n");
    for (brought, present) in [(4, 0), (0, 4)] {
        let run = migrate(&world, &["--from", "maildir:maildir"]).exits(0);
        let folder = &run.rows()[0]["folders"][0];
        assert_eq!(
            (&folder["brought"], &folder["present"]),
            (&brought.into(), &present.into())
        );
    }
    assert_eq!(uids(&world).1.get(..2), Some(&[4, 9][..]));
}

#[test]
fn what_is_too_large_is_told_and_the_rest_comes() {
    let world = World::new();
    maildir(&world);
    let large = format!("Subject: large\n\n{}\n", "x".repeat(2000));
    put(&world, "maildir/cur/2.b:2,", &large);
    let from = "From a@example.test Thu Jan  1 00:00:00 1970\n";
    let mbox = format!("{from}{large}\n{from}Subject: small\n\nx\n");
    put(&world, "old.mbox", &mbox);
    for (source, brought) in [("maildir:maildir", 2), ("mbox:old.mbox", 1)] {
        let limit = ["--from", source, "--max-message-size", "1000"];
        let run = migrate(&world, &limit).exits(1);
        let account = &run.rows()[0];
        let folder = &account["folders"][0];
        assert_eq!(
            (&folder["brought"], &folder["leftOut"]),
            (&brought.into(), &1.into()),
            "{account}"
        );
        let why = account["leftOut"][0]["why"].as_str().unwrap();
        assert!(why.contains("more than 1000 octets"), "{why}");
    }
}

#[test]
fn a_store_that_fails_for_one_account_stops_no_other() {
    let world = World::new();
    maildir(&world);
    let config = world.config();
    let with_quota = crate::world::CONFIG.replace(
        "  passwordSecretRef",
        "  quota: {size: 1Gi}\n  passwordSecretRef",
    );
    fs::write(config.join("all.yaml"), with_quota).unwrap();
    world.with_store(async |_| ());
    let list = "address,from\nalice@example.test,maildir:maildir\nbob@example.test,maildir:maildir\ncarol@example.test,maildir:maildir\n";
    put(&world, "list.csv", list);
    world.with_store(async |store| {
        store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
    });
    // Her account goes while her mail comes.
    let database = rusqlite::Connection::open(world.data().join("mailpods.db")).unwrap();
    let gone = "CREATE TRIGGER gone AFTER UPDATE ON account WHEN new.id = 1 AND new.messages = 3
        BEGIN DELETE FROM account WHERE id = 1; END";
    database.execute_batch(gone).unwrap();
    drop(database);
    let run = world
        .run(&[
            "mailbox",
            "migrate",
            "--list",
            "list.csv",
            "--jobs",
            "1",
            "--create-account",
            "--config",
            config.to_str().unwrap(),
            "--output",
            "json",
        ])
        .exits(1);
    let rows = run.rows();
    assert_eq!(rows.len(), 3);
    let error = rows[0]["error"].as_str().unwrap();
    assert!(error.contains("what the account holds"), "{error}");
    for at in [1, 2] {
        assert_eq!(rows[at]["folders"][0]["brought"], 3, "{}", rows[at]);
    }
}
