//! mailbox list, import, export.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::world::{World, text_of};

pub const ALICE: &str = "alice@example.test";

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn mail(number: usize) -> String {
    format!(
        "Message-ID: <{number}@example.org>\nSubject: number {number}\n\nFrom the body of {number}\n"
    )
}

/// A Maildir with an INBOX of two, and one in Archive/2024.
pub fn maildir(world: &World) {
    let dir = world.path("maildir");
    for folder in [
        "cur",
        "new",
        "tmp",
        ".Archive.2024/cur",
        ".Archive.2024/new",
    ] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    write(&dir.join("cur/1700000000.a:2,FS"), &mail(1));
    write(&dir.join("new/1700000001.b"), &mail(2));
    write(&dir.join(".Archive.2024/cur/1700000002.c:2,Sa"), &mail(3));
    write(&dir.join(".Archive.2024/dovecot-keywords"), "0 work\n");
    let file = fs::File::options()
        .write(true)
        .open(dir.join("cur/1700000000.a:2,FS"))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000))
        .unwrap();
}

pub fn counts(world: &World) -> Vec<(String, u64, u64)> {
    let rows = world
        .run(&["mailbox", "list", ALICE, "--output", "json"])
        .exits(0)
        .rows();
    let used = rows.iter().filter(|row| row["messages"] != 0);
    let number = |row: &serde_json::Value, field: &str| row[field].as_u64().unwrap();
    used.map(|row| {
        (
            row["mailbox"].as_str().unwrap().to_owned(),
            number(row, "messages"),
            number(row, "unseen"),
        )
    })
    .collect()
}

/// A store without accounts.
pub fn with_empty_store() -> World {
    let world = World::new();
    world.with_store(async |_| ());
    world
}

#[test]
fn a_maildir_is_brought_in_once_with_its_flags() {
    let world = with_empty_store();
    maildir(&world);
    let run = world.run(&["mailbox", "import", ALICE, "maildir"]).exits(4);
    assert!(
        run.errors().contains("--create-account"),
        "{}",
        run.errors()
    );
    let import = ["mailbox", "import", ALICE, "maildir", "--create-account"];
    world
        .run(&[&import[..], &["--dry-run"]].concat())
        .exits(0)
        .says(&["Nothing was changed"]);
    world.run(&["mailbox", "list", ALICE]).exits(4);
    let rows = world
        .run(&[&import[..], &["--output", "json"]].concat())
        .exits(0)
        .rows();
    let imported: u64 = rows
        .iter()
        .map(|row| row["imported"].as_u64().unwrap())
        .sum();
    assert_eq!(imported, 3, "{rows:?}");
    let expected = [
        ("Archive/2024".to_owned(), 1, 0),
        ("INBOX".to_owned(), 2, 1),
    ];
    assert_eq!(counts(&world), expected);
    world.run(&import).exits(0).says(&["THERE ALREADY"]);
    assert_eq!(counts(&world), expected, "what is there is passed over");
}

#[test]
fn names_that_pop3_uses_come_along() {
    let world = with_empty_store();
    maildir(&world);
    // The UID in hexadecimal, then UIDVALIDITY: what Dovecot tells when nothing else is configured.
    let list = "3 V1700000000 N9 G00\n7 :1700000000.a\n8 Pold-name W80 :1700000001.b:2,\n";
    write(&world.path("maildir/dovecot-uidlist"), list);
    let import = ["mailbox", "import", ALICE, "maildir", "--create-account"];
    world.run(&import).exits(0);
    let names = world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap();
        store.mail.uidls(inbox.unwrap().id).await.unwrap()
    });
    let wanted = [(7, "000000076553f100"), (8, "old-name")];
    assert_eq!(names, wanted.map(|(uid, name)| (uid, name.to_owned())));
}

#[test]
fn names_that_pop3_uses_come_along_later_too() {
    let world = with_empty_store();
    maildir(&world);
    let import = ["mailbox", "import", ALICE, "maildir", "--create-account"];
    world.run(&import).exits(0);
    let list = "3 V1700000000 N9 G00\n7 :1700000000.a\n8 Pold-name W80 :1700000001.b:2,\n";
    write(&world.path("maildir/dovecot-uidlist"), list);
    world.run(&import).exits(0);
    let (names, uids) = world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let uids = store.mail.uids(inbox.id).await.unwrap();
        (store.mail.uidls(inbox.id).await.unwrap(), uids)
    });
    let wanted = [(1, "000000076553f100"), (2, "old-name")];
    assert_eq!(names, wanted.map(|(uid, name)| (uid, name.to_owned())));
    assert_eq!(uids, [1, 2], "nothing came twice");
}

#[test]
fn a_new_file_is_added_to_what_is_there() {
    let world = with_empty_store();
    maildir(&world);
    let import = [
        "mailbox",
        "import",
        ALICE,
        "maildir",
        "--create-account",
        "--output",
        "json",
    ];
    world.run(&import).exits(0);
    write(&world.path("maildir/new/1700000009.d"), &mail(9));
    // The same Message-ID with another body is another message.
    write(
        &world.path("maildir/new/1700000010.e"),
        &mail(1).replace("body", "b0dy"),
    );
    let rows = world.run(&import).exits(0).rows();
    let inbox = rows.iter().find(|row| row["mailbox"] == "INBOX").unwrap();
    assert_eq!(
        (inbox["imported"].as_u64(), inbox["present"].as_u64()),
        (Some(2), Some(2)),
        "{rows:?}"
    );
}

#[test]
fn maildir_and_mbox_lead_back_to_the_same_mail() {
    let world = with_empty_store();
    maildir(&world);
    world
        .run(&["mailbox", "import", ALICE, "maildir", "--create-account"])
        .exits(0);
    world
        .run(&["mailbox", "export", ALICE, "out"])
        .exits(0)
        .says(&["INBOX", ".Archive.2024"]);
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(world.path(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let inbox = names("out/cur");
    assert!(
        inbox.len() == 2 && inbox[0].starts_with("1600000000.") && inbox[0].ends_with(":2,FS"),
        "{inbox:?}"
    );
    assert!(names("out/.Archive.2024/cur")[0].ends_with(":2,Sa"));
    assert_eq!(
        fs::read_to_string(world.path("out/cur").join(&inbox[0])).unwrap(),
        mail(1)
    );
    let rows = world
        .run(&["mailbox", "export", ALICE, "out", "--output", "json"])
        .exits(0)
        .rows();
    assert!(rows.iter().all(|row| row["exported"] == 0), "{rows:?}");

    world
        .run(&[
            "mailbox",
            "export",
            ALICE,
            "boxes/",
            "--format",
            "mbox",
            "--dry-run",
        ])
        .exits(0);
    assert!(!world.path("boxes").exists());
    world
        .run(&["mailbox", "export", ALICE, "boxes/", "--format", "mbox"])
        .exits(0);
    let text = fs::read_to_string(world.path("boxes/INBOX.mbox")).unwrap();
    assert!(
        text.contains("\n>From the body of 1\n") && text.contains("Status: RO\nX-Status: F\n"),
        "{text}"
    );
    let run = world
        .run(&["mailbox", "export", ALICE, "boxes/", "--format", "mbox"])
        .exits(1);
    assert!(run.errors().contains("--force"), "{}", run.errors());
    world
        .run(&[
            "mailbox", "export", ALICE, "boxes/", "--format", "mbox", "--force",
        ])
        .exits(0);
    let rows = world
        .run(&["mailbox", "import", ALICE, "boxes", "--output", "json"])
        .exits(0)
        .rows();
    assert!(
        rows.iter().all(|row| row["imported"] == 0),
        "the mbox holds what is there: {rows:?}"
    );

    let bob = [
        "mailbox",
        "import",
        "bob@example.test",
        "boxes",
        "--create-account",
    ];
    world.run(&bob).exits(0);
    world
        .run(&["mailbox", "export", "bob@example.test", "bob"])
        .exits(0);
    let letters = |names: Vec<String>| -> Vec<String> {
        names
            .iter()
            .map(|name| name.rsplit(',').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(letters(names("bob/cur")), letters(inbox));
}

#[test]
fn an_export_is_its_owners_alone() {
    let world = with_empty_store();
    maildir(&world);
    world
        .run(&["mailbox", "import", ALICE, "maildir", "--create-account"])
        .exits(0);
    let export = |target: &str, format: &str| {
        world
            .run(&["mailbox", "export", ALICE, target, "--format", format])
            .exits(0);
    };
    export("out", "maildir");
    export("boxes/", "mbox");
    let mut waiting = vec![world.path("out"), world.path("boxes")];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let metadata = fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
        seen += 1;
        if metadata.is_dir() {
            waiting.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn one_file_takes_one_mailbox_or_all() {
    let world = with_empty_store();
    maildir(&world);
    world
        .run(&["mailbox", "import", ALICE, "maildir", "--create-account"])
        .exits(0);
    let subjects = |file: &str| {
        fs::read_to_string(world.path(file))
            .unwrap()
            .matches("\nSubject: ")
            .count()
    };
    world
        .run(&["mailbox", "export", ALICE, "all.mbox", "--format", "mbox"])
        .exits(0);
    assert_eq!(subjects("all.mbox"), 3);
    world
        .run(&[
            "mailbox",
            "export",
            ALICE,
            "one.mbox",
            "--format",
            "mbox",
            "--mailbox",
            "Archive/2024",
        ])
        .exits(0);
    assert_eq!(subjects("one.mbox"), 1);
    world
        .run(&[
            "mailbox",
            "export",
            ALICE,
            "x.mbox",
            "--format",
            "mbox",
            "--mailbox",
            "Nothing",
        ])
        .exits(4);
    world
        .run(&[
            "mailbox",
            "import",
            ALICE,
            "one.mbox",
            "--mailbox",
            "Copies",
        ])
        .exits(0);
    assert!(counts(&world).contains(&("Copies".to_owned(), 1, 0)));
}

#[test]
fn what_is_no_mail_is_refused() {
    let world = with_empty_store();
    write(&world.path("notes.txt"), "Not an mbox\n");
    fs::create_dir(world.path("empty")).unwrap();
    let import = |source: &str| {
        world
            .run(&["mailbox", "import", ALICE, source, "--create-account"])
            .exits(1)
            .errors()
    };
    assert!(import("notes.txt").contains("no mbox"));
    assert!(import("empty").contains("neither"));
    assert!(import("absent").contains("absent"));
    let _ = world
        .run(&["mailbox", "import", "alice", text_of(&world.path("empty"))])
        .exits(2);
}

const CAROL: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: Mailbox
metadata: {name: carol}
spec: {address: carol@example.test, quota: {messages: 2}}
";

#[test]
fn configured_mailboxes_are_known_before_their_first_mail() {
    let world = World::new();
    write(&world.path("config/carol.yaml"), CAROL);
    maildir(&world);
    let import = |address: &str, more: &[&str]| {
        let command = [&["mailbox", "import", address, "maildir"], more].concat();
        world.run(&command)
    };
    let config = ["--config", "config"];
    let run = import("alicia@example.test", &config).exits(4);
    let errors = run.errors();
    assert!(
        errors.contains("config has no Mailbox alicia@") && errors.contains("--create-account")
    );
    assert!(!world.data().exists(), "a slip of the pen makes nothing");
    let run = import(ALICE, &config).exits(0);
    assert_eq!(run.errors(), "");
    assert_eq!(counts(&world).len(), 2);
    let run = import("carol@example.test", &config).exits(0);
    assert!(
        run.errors()
            .contains("carol@example.test is over its quota with 3 messages"),
        "{}",
        run.errors()
    );
    let run = import("dave@example.test", &[]).exits(4);
    assert!(run.errors().contains("--config"), "{}", run.errors());
}

#[test]
fn an_account_without_a_mailbox_is_told_and_deleted() {
    let world = World::new();
    write(&world.path("config/carol.yaml"), CAROL);
    maildir(&world);
    for address in ["carol@example.test", "old@example.test"] {
        world
            .run(&["mailbox", "import", address, "maildir", "--create-account"])
            .exits(0);
    }
    let list = ["mailbox", "list", "--config", "config"];
    let rows: Vec<String> = world
        .run(&list)
        .exits(0)
        .text()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let has = |start: &str, end: &str| {
        let row = |row: &&String| row.starts_with(start) && row.ends_with(end);
        assert!(rows.iter().any(|one| row(&one)), "{start} {end}: {rows:#?}");
    };
    has("alice@example.test 0 0 B -", "no mail yet");
    has("carol@example.test 3 ", "150 % of 2 messages -");
    has(
        "old@example.test 3 ",
        "no Mailbox has the address (any more)",
    );
    let rows = world
        .run(&[&list[..], &["--output", "json", "old@example.test"]].concat())
        .exits(0)
        .rows();
    assert!(rows.len() > 2 && rows.iter().all(|row| row["configured"] == false));

    let delete = |address: &str, more: &[&str]| {
        let command = [&["mailbox", "delete", address], more].concat();
        world.run(&command)
    };
    let run = delete("carol@example.test", &["--config", "config"]).exits(1);
    assert!(
        run.errors().contains("is a Mailbox of config"),
        "{}",
        run.errors()
    );
    delete("old@example.test", &[]).exits(2);
    delete("old@example.test", &["--config", "config", "--dry-run"])
        .exits(0)
        .says(&["3 messages", "would be deleted"]);
    delete("old@example.test", &["--config", "config"])
        .exits(0)
        .says(&["3 messages", "deleted"]);
    delete("old@example.test", &["--force"]).exits(4);
    world.run(&["mailbox", "list", "old@example.test"]).exits(4);
    world.run(&["fsck"]).exits(0).says(&["no damage"]);
}

#[test]
fn rights_are_shown_and_changed() {
    let world = World::new();
    world.with_store(async |store| {
        let alice = ALICE.parse().unwrap();
        store.mail.account(&alice).await.unwrap();
    });
    let acl = |more: &[&str]| {
        let mut line = vec!["mailbox", "acl", ALICE];
        line.extend(more);
        line.extend(["--output", "json"]);
        world.run(&line)
    };
    acl(&["Sent", "--set", "bob@example.test", "lrd"]).exits(0);
    acl(&["Sent", "--set", "-anyone", "l"]).exits(0);
    let rows = acl(&[]).exits(0).rows();
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |field: &str| row[field].as_str().unwrap().to_owned();
            [text("mailbox"), text("identifier"), text("rights")].join(" ")
        })
        .collect();
    assert_eq!(told, ["Sent -anyone l", "Sent bob@example.test lrte"]);
    acl(&["Sent", "--delete", "-anyone"]).exits(0);
    assert_eq!(acl(&["Sent"]).exits(0).rows().len(), 1);
    let run = acl(&["Sent", "--set", "bob@example.test", "lq"]).exits(2);
    assert!(run.errors().contains("lrswipkxtea"), "{}", run.errors());
    acl(&["Sent", "--set", ALICE, "l"]).exits(2);
    acl(&["--set", "anyone", "l"]).exits(2);
    acl(&["Nothing"]).exits(4);
    let run = acl(&["Sent", "--delete", "carol@example.test"]).exits(4);
    assert!(run.errors().contains("no entry"), "{}", run.errors());
}

#[test]
fn old_mail_is_shown_and_then_goes() {
    let world = with_empty_store();
    maildir(&world);
    world
        .run(&["mailbox", "import", ALICE, "maildir", "--create-account"])
        .exits(0);
    let database = rusqlite::Connection::open(world.data().join("mailpods.db")).unwrap();
    let old = "UPDATE mail SET saved = saved - 40 * 86400 WHERE uid = 1";
    assert_eq!(database.execute(old, []).unwrap(), 2, "one of each folder");
    let expunge = |folder: &str, more: &[&str]| {
        let command = [
            "mailbox",
            "expunge",
            ALICE,
            "--older-than",
            "30d",
            "--folder",
            folder,
            "--output",
            "json",
        ];
        world.run(&[&command, more].concat())
    };
    let removed = |run: &crate::world::Run| {
        let rows = run.rows();
        (rows[0]["messages"].as_u64(), rows[0]["octets"].as_u64())
    };
    let before = counts(&world);
    let would = removed(&expunge("INBOX", &["--dry-run"]).exits(0));
    assert_eq!(would.0, Some(1));
    assert!(would.1 > Some(50), "{would:?}");
    assert_eq!(counts(&world), before);
    assert_eq!(removed(&expunge("INBOX", &[]).exits(0)), would);
    assert_eq!(removed(&expunge("INBOX", &[]).exits(0)), (Some(0), Some(0)));
    let inbox = counts(&world).into_iter().find(|row| row.0 == "INBOX");
    assert_eq!(inbox.map(|row| row.1), Some(1));
    let run = expunge("Nowhere", &["--folder", "Archive/2024"]).exits(4);
    assert!(
        run.errors().contains("no folder Nowhere"),
        "{}",
        run.errors()
    );
    expunge("Archive/2024", &[]).exits(0);
    world.run(&["fsck"]).exits(0).says(&["no damage"]);
}

#[test]
fn scripts_of_others_are_seen_and_changed() {
    let world = with_empty_store();
    maildir(&world);
    let sieve = |arguments: &[&str]| world.run(&[&["sieve"], arguments].concat());
    sieve(&["list", ALICE]).exits(4);
    world
        .run(&["mailbox", "import", ALICE, "maildir", "--create-account"])
        .exits(0);
    let list = || {
        let rows = sieve(&["list", ALICE, "--output", "json"]).exits(0).rows();
        let row = |row: &serde_json::Value| {
            (
                row["name"].as_str().unwrap().to_owned(),
                row["active"].as_bool().unwrap(),
            )
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(list(), []);
    write(&world.path("good.sieve"), "keep;\n");
    write(&world.path("bad.sieve"), "kepp;\n");
    let run = sieve(&["put", ALICE, "work", "bad.sieve"]).exits(1);
    assert!(run.errors().contains("bad.sieve:1:1"), "{}", run.errors());
    sieve(&["put", ALICE, "Mailbox resource", "good.sieve"]).exits(2);
    assert_eq!(list(), []);
    sieve(&["put", ALICE, "work", "good.sieve"]).exits(0);
    sieve(&["put", ALICE, "away", "good.sieve", "--activate"]).exits(0);
    let state = |away: bool| [("away".to_owned(), away), ("work".to_owned(), !away)];
    assert_eq!(list()[0], state(true)[0]);
    assert_eq!(sieve(&["get", ALICE, "work"]).exits(0).text(), "keep;\n");
    sieve(&["get", ALICE, "none"]).exits(4);
    let run = sieve(&["delete", ALICE, "away"]).exits(1);
    assert!(run.errors().contains("deactivate"), "{}", run.errors());
    sieve(&["activate", ALICE, "work"]).exits(0);
    assert_eq!(list(), state(false));
    sieve(&["activate", ALICE, "none"]).exits(4);
    sieve(&["delete", ALICE, "away"]).exits(0);
    sieve(&["deactivate", ALICE]).exits(0);
    assert_eq!(list(), [("work".to_owned(), false)]);
}

#[test]
fn the_examples_of_the_document_are_taken() {
    let world = World::new();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mailboxes.md");
    let document = fs::read_to_string(document).unwrap();
    let examples = document.split("```yaml\napiVersion:").skip(1);
    let examples = examples.map(|rest| rest.split("```").next().unwrap());
    let examples: Vec<String> = examples.map(|text| format!("apiVersion:{text}")).collect();
    assert!(examples.len() >= 3, "{examples:?}");
    let cluster = crate::world::CONFIG.split("---").next().unwrap();
    let all = [&[cluster.to_owned()], examples.as_slice()].concat();
    write(&world.path("config/all.yaml"), &all.join("---\n"));
    world
        .run(&["check", text_of(&world.config())])
        .exits(0)
        .says(&["no mistakes", "2 domains", "1 mailbox"]);
}
