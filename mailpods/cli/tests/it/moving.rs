//! What comes in from files that others have written, and what goes out into them; rights.
use std::fs;

use crate::mailboxes::{ALICE, counts, mail, maildir, with_empty_store, write};
use crate::world::World;

#[test]
fn rights_of_the_configuration_are_shown_and_bound_what_is_set() {
    let world = World::new();
    let config = world.config().join("all.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let grants = "  address: alice@example.test\n  sharing: {grants: [{to: anyone, rights: lr, mailbox: Sent}]}\n";
    let text = text.replace("  address: alice@example.test\n", grants);
    let text = text.replace(
        "{domain: example.test}",
        "{domain: example.test, domainAliases: [alias.test]}",
    );
    let other = "---\napiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {name: other}\nspec: {domain: other.test}\n";
    fs::write(&config, text + other).unwrap();
    world.with_store(async |store| {
        let alice = ALICE.parse().unwrap();
        store.mail.account(&alice).await.unwrap();
    });
    let acl = |more: &[&str]| {
        let mut line = vec!["mailbox", "acl", ALICE];
        line.extend(more);
        line.extend(["--config", "config", "--output", "json"]);
        world.run(&line)
    };
    let rows = acl(&[]).exits(0).rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (&rows[0]["mailbox"], &rows[0]["rights"], &rows[0]["givenBy"]),
        (&"Sent".into(), &"lr".into(), &"yaml".into())
    );
    let run = acl(&["Sent", "--set", "bob@other.test", "lr"]).exits(2);
    assert!(run.errors().contains("acrossDomains"), "{}", run.errors());
    acl(&["Sent", "--set", "bob@nowhere.test", "lr"]).exits(2);
    acl(&["Sent", "--set", "bob@example.test", "lr"]).exits(0);
    assert_eq!(acl(&["Sent"]).exits(0).rows().len(), 2);
    // Another name of the domain is the same people.
    let run = acl(&["Sent", "--set", "alice@alias.test", "lr"]).exits(2);
    assert!(run.errors().contains("is the owner"), "{}", run.errors());
    acl(&["Sent", "--delete", "carol@alias.test"]).exits(4);
    acl(&["Sent", "--delete", "bob@alias.test"]).exits(0);
    assert_eq!(acl(&["Sent"]).exits(0).rows().len(), 1);
}

#[test]
fn what_leads_elsewhere_and_what_is_no_message_stays_outside() {
    use std::os::unix::fs::symlink;
    let world = with_empty_store();
    maildir(&world);
    write(
        &world.path("secret"),
        "Subject: secret\n\nof somebody else\n",
    );
    write(&world.path("theirs/cur/1.x"), &mail(7));
    write(&world.path("theirs/new/2.x"), &mail(8));
    symlink(world.path("secret"), world.path("maildir/new/1.link")).unwrap();
    symlink(world.path("theirs"), world.path("maildir/.Theirs")).unwrap();
    fs::create_dir_all(world.path("maildir/.Half/cur")).unwrap();
    symlink(world.path("theirs/new"), world.path("maildir/.Half/new")).unwrap();
    symlink(
        world.path("secret"),
        world.path("maildir/.Archive.2024/dovecot.sieve"),
    )
    .unwrap();
    for list in ["dovecot-keywords", "subscriptions"] {
        symlink(world.path("secret"), world.path("maildir").join(list)).unwrap();
    }
    fs::create_dir(world.path("maildir/.Archive.2024/dovecot-uidlist")).unwrap();
    fs::create_dir(world.path("maildir/cur/3.folder")).unwrap();
    write(&world.path("maildir/cur/4.empty"), "");
    let pipe = std::process::Command::new("mkfifo")
        .arg(world.path("maildir/new/5.pipe"))
        .status();
    assert!(pipe.unwrap().success());
    for line in [
        vec!["mailbox", "import", ALICE, "maildir", "--create-account"],
        vec![
            "mailbox",
            "migrate",
            ALICE,
            "--from",
            "maildir:maildir",
            "--create-account",
        ],
    ] {
        let run = world.run(&line).exits(1);
        let told = run.errors();
        for (name, what) in [
            ("new/1.link", "a symbolic link"),
            (".Theirs", "a symbolic link"),
            (".Half/new", "a symbolic link"),
            ("maildir/dovecot-keywords", "a symbolic link"),
            ("maildir/subscriptions", "a symbolic link"),
            ("2024/dovecot-uidlist", "a folder"),
            ("cur/3.folder", "a folder"),
            ("cur/4.empty", "empty"),
            ("new/5.pipe", "a named pipe"),
        ] {
            let is_it = |line: &str| line.contains(name) && line.contains(what);
            assert!(told.lines().any(is_it), "{name} {what}: {told}");
        }
        assert!(!told.contains("dovecot.sieve"), "{told}");
        let expected = [
            ("Archive/2024".to_owned(), 1, 0),
            ("INBOX".to_owned(), 2, 1),
        ];
        assert_eq!(counts(&world), expected);
    }
    symlink(world.path("theirs"), world.path("link")).unwrap();
    for source in ["link", "link/"] {
        let run = world.run(&["mailbox", "import", ALICE, source]).exits(1);
        assert!(run.errors().contains("symbolic link"), "{}", run.errors());
    }
    let mbox = "From a@b Thu Jan  1 00:00:00 1970\nSubject: x\n\nbody\n";
    write(&world.path("secret.mbox"), mbox);
    write(&world.path("boxes/Own.mbox"), mbox);
    symlink(world.path("secret.mbox"), world.path("boxes/Theirs.mbox")).unwrap();
    let run = world.run(&["mailbox", "import", ALICE, "boxes"]).exits(1);
    assert!(
        run.errors().contains("Theirs.mbox is a symbolic link"),
        "{}",
        run.errors()
    );
    assert!(counts(&world).contains(&("Own".to_owned(), 1, 1)));
    assert!(counts(&world).iter().all(|(name, ..)| name != "Theirs"));
}

#[test]
fn a_message_that_an_mbox_has_twice_comes_twice_and_once() {
    let world = with_empty_store();
    let one = "From a@b Thu Jan  1 00:00:00 1970\nMessage-ID: <1@x>\nSubject: x\n\nbody\n\n";
    let read = one.replace("Subject", "Status: RO\nSubject");
    write(&world.path("box"), &format!("{one}{read}"));
    let import = ["mailbox", "import", ALICE, "box", "--create-account"];
    for _ in 0..2 {
        world.run(&import).exits(0);
        assert_eq!(counts(&world), [("INBOX".to_owned(), 2, 1)]);
    }
}

#[test]
fn an_export_is_of_one_account_and_takes_rights_along() {
    const BOB: &str = "bob@example.test";
    let world = with_empty_store();
    maildir(&world);
    for account in [ALICE, BOB] {
        world
            .run(&["mailbox", "import", account, "maildir", "--create-account"])
            .exits(0);
    }
    for (id, rights) in [("carol@example.test", "lrs"), ("-anyone", "l")] {
        world
            .run(&["mailbox", "acl", ALICE, "INBOX", "--set", id, rights])
            .exits(0);
    }
    world.run(&["mailbox", "export", ALICE, "out"]).exits(0);
    for dry in [&[][..], &["--dry-run"]] {
        let run = world
            .run(&[&["mailbox", "export", BOB, "out"], dry].concat())
            .exits(1);
        assert!(run.errors().contains(ALICE), "{}", run.errors());
    }
    for target in ["maildir", "config"] {
        world.run(&["mailbox", "export", BOB, target]).exits(1);
    }
    // Parts of an account say whose they are, too.
    world
        .run(&["mailbox", "export", BOB, "part", "--mailbox", "INBOX"])
        .exits(0);
    world.run(&["mailbox", "export", ALICE, "part"]).exits(1);
    world.run(&["mailbox", "export", BOB, "part"]).exits(0);
    world.run(&["mailbox", "export", ALICE, "out"]).exits(0);

    let dave = "dave@example.test";
    world
        .run(&["mailbox", "import", dave, "out", "--create-account"])
        .exits(0);
    let acl = |of: &str| {
        let run = world.run(&["mailbox", "acl", of, "--output", "json"]);
        let rows = run.exits(0).rows();
        let text = |row: &serde_json::Value| {
            let field = |name: &str| row[name].as_str().unwrap().to_owned();
            [field("mailbox"), field("identifier"), field("rights")].join(" ")
        };
        rows.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        acl(dave),
        ["INBOX -anyone l", "INBOX carol@example.test lrs"]
    );
    world
        .run(&[
            "mailbox",
            "acl",
            dave,
            "INBOX",
            "--set",
            "carol@example.test",
            "l",
        ])
        .exits(0);
    world.run(&["mailbox", "import", dave, "out"]).exits(0);
    assert_eq!(acl(dave), ["INBOX -anyone l", "INBOX carol@example.test l"]);

    // What is told of INBOX goes where its mail goes.
    let erin = "erin@example.test";
    let restored = ["mailbox", "import", erin, "out", "--mailbox", "Restored"];
    world
        .run(&[&restored[..], &["--create-account"]].concat())
        .exits(0);
    let wanted = ["Restored -anyone l", "Restored carol@example.test lrs"];
    assert_eq!(acl(erin), wanted);

    // An earlier release did not tell whose an export is.
    let file = world.path("part/mailpods-account.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen(BOB, "", 1)).unwrap();
    let run = world.run(&["mailbox", "export", BOB, "part"]).exits(1);
    assert!(
        run.errors().contains("an earlier release"),
        "{}",
        run.errors()
    );
    assert!(!world.path("part/mailpods-account.json.new").exists());
    // A move gives rights once; what cannot be read is counted.
    let frank = "frank@example.test";
    let migrate = ["mailbox", "migrate", frank, "--from", "maildir:out"];
    let take = ["mailbox", "acl", frank, "INBOX", "--delete", "-anyone"];
    world
        .run(&[&migrate[..], &["--create-account"]].concat())
        .exits(0);
    world.run(&take).exits(0);
    world.run(&migrate).exits(0);
    assert_eq!(acl(frank), ["INBOX carol@example.test lrs"]);
    let file = world.path("out/mailpods-account.json");
    let text = fs::read_to_string(&file).unwrap();
    let many: String = (0..101)
        .map(|n| format!("\"p{n}@a.test\": \"l\", "))
        .collect();
    for (entries, why) in [
        ("\"carol@b.test\": \"q\", ", "carol@b.test"),
        (&many, "at most 100"),
    ] {
        let entries = format!("{entries}\"-anyone\"");
        fs::write(&file, text.replace("\"-anyone\"", &entries)).unwrap();
        let run = world.run(&["mailbox", "import", frank, "out"]).exits(1);
        assert!(run.errors().contains(why), "{}", run.errors());
    }
}
