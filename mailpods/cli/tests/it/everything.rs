//! An export leaves nothing behind, and an import brings all of it back.
use std::collections::BTreeMap;

use bytes::Bytes;
use mailpods_api::Rights;
use mailpods_store::acl::AclChange;
use mailpods_store::mail::{Columns, Flags, NewMail, SpecialUse, SystemFlags};
use mailpods_store::{NewBody, Quota, Store};

use crate::world::World;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";

fn mail(number: u32, keywords: Vec<String>) -> NewMail {
    let text = format!(
        "Message-ID: <{}@a.test>\r\nSubject: x\r\n\r\nbody\r\n.dot\r\n",
        number % 3
    );
    NewMail {
        body: NewBody::Octets {
            slices: vec![Bytes::from(text)],
            meta: None,
        },
        prefix: Bytes::from_static(b"Delivered-To: alice@example.test\r\n"),
        flags: Flags {
            system: SystemFlags(u8::try_from(number % 32).unwrap()),
            keywords,
        },
        received: 1_600_000_000 + i64::from(number),
    }
}

/// Mailboxes with gaps in their UIDs, equal messages, more keywords than letters, and all that is kept beside messages.
async fn fill(store: &Store) {
    let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
    for (name, special) in [
        ("Büro/a.b", None),
        ("Old drafts", Some(SpecialUse::Drafts)),
        ("Empty", None),
    ] {
        store
            .mail
            .create_mailbox(account, name, special)
            .await
            .unwrap();
    }
    for name in ["INBOX", "Büro/a.b", "Old drafts", "Sent"] {
        let mailbox = store.mail.mailbox(account, name).await.unwrap().unwrap().id;
        let words = |number: u32| -> Vec<String> {
            let few = (0..number % 4).map(|n| format!("word{n}"));
            let many = (0..40).map(|n| format!("many{n}")).filter(|_| number == 5);
            few.chain(many)
                .chain((number == 2).then(|| "$Forwarded".to_owned()))
                .collect()
        };
        let mails = (0..7).map(|number| mail(number, words(number))).collect();
        store
            .mail
            .append(mailbox, mails, Quota::default())
            .await
            .unwrap();
        // Those with \Deleted (8) are none of the first seven; UID 4 and the last one go.
        let deleted = Flags {
            system: SystemFlags::DELETED,
            keywords: Vec::new(),
        };
        let marked = store.mail.store_flags(
            mailbox,
            vec![4, 7],
            mailpods_store::mail::FlagOp::Add,
            deleted,
            None,
        );
        marked.await.unwrap();
        store.mail.expunge(mailbox, None).await.unwrap();
        let value = Some(Bytes::from_static(&[0xff, 0, b'x']));
        let note = vec![("/private/comment".to_owned(), value)];
        store
            .mail
            .annotate(account, Some(mailbox), note)
            .await
            .unwrap();
    }
    let inbox = store
        .mail
        .mailbox(account, "INBOX")
        .await
        .unwrap()
        .unwrap()
        .id;
    store
        .mail
        .set_uidls(inbox, vec![(3, "old-name".to_owned())])
        .await
        .unwrap();
    let note = vec![(
        "/private/vendor/x".to_owned(),
        Some(Bytes::from_static(b"of the account")),
    )];
    store.mail.annotate(account, None, note).await.unwrap();
    for (name, on) in [("Büro/a.b", true), ("Trash", false), ("gone", true)] {
        store.mail.subscribe(account, name, on).await.unwrap();
    }
    for (name, to, negative, rights) in [
        ("INBOX", "anyone", false, "lr"),
        ("INBOX", "carol@example.test", true, "r"),
        ("Büro/a.b", "carol@example.test", false, "lrswipkxtea"),
        ("Büro/a.b", BOB, false, "lr"),
    ] {
        let mailbox = store.mail.mailbox(account, name).await.unwrap().unwrap();
        let set = AclChange::Set(Rights::parse(rights).unwrap());
        let to = to.parse().unwrap();
        let changed = store.mail.change_acl(mailbox.id, to, negative, set);
        changed.await.unwrap();
    }
    for name in ["a/b", "mine"] {
        let source = Bytes::from(format!("# {name}\r\nkeep;\r\n"));
        store
            .scripts
            .put_script(account, name, source)
            .await
            .unwrap();
    }
    store
        .scripts
        .activate_script(account, Some("mine"))
        .await
        .unwrap();
}

/// All that people could miss, as text.
async fn snapshot(store: &Store, address: &str) -> BTreeMap<String, String> {
    let account = store.mail.account(&address.parse().unwrap()).await.unwrap();
    let mut all = BTreeMap::new();
    let mut names = BTreeMap::new();
    for mailbox in store.mail.mailboxes(account).await.unwrap() {
        names.insert(mailbox.id, mailbox.name.clone());
        let told = store.mail.uidls(mailbox.id).await.unwrap();
        let told: BTreeMap<u32, String> = told.into_iter().collect();
        let entries = store.mail.entries(
            mailbox.id,
            1..=u32::MAX,
            0,
            Columns {
                prefix: true,
                ..Columns::default()
            },
            99,
        );
        let mut validity = 0;
        for entry in entries.await.unwrap() {
            validity = mailbox.uid_validity;
            let body = store.mail.body(entry.body).await.unwrap();
            let whole = [entry.prefix.unwrap().as_ref(), &body].concat();
            let mut words = entry.flags.keywords.clone();
            words.sort();
            let name = told
                .get(&entry.uid)
                .cloned()
                .unwrap_or_else(|| format!("{validity}.{}", entry.uid));
            let name = if mailbox.name == "INBOX" {
                name
            } else {
                String::new()
            };
            let row = format!(
                "{:?} {words:?} {} {name} {}",
                entry.flags.system,
                entry.received,
                String::from_utf8(whole).unwrap()
            );
            all.insert(format!("mail {} {}", mailbox.name, entry.uid), row);
        }
        for entry in store.mail.acl(mailbox.id).await.unwrap() {
            // Bob, who is let into her mailbox, needs no entry in his own.
            if entry.to.to_string() != BOB {
                let key = format!("acl {} {} {}", mailbox.name, entry.negative, entry.to);
                all.insert(key, entry.rights.to_string());
            }
        }
        // An empty mailbox that every account has is not made anew for its UIDVALIDITY.
        let next = if validity == 0 { 0 } else { mailbox.uid_next };
        let facts = format!(
            "{:?} {} {validity} {next}",
            mailbox.special_use, mailbox.subscribed
        );
        all.insert(format!("mailbox {}", mailbox.name), facts);
    }
    for (mailbox, annotation) in store.mail.all_annotations(account).await.unwrap() {
        let of = mailbox.map(|id| names[&id].clone());
        all.insert(
            format!("annotation {of:?} {}", annotation.entry),
            format!("{:?}", annotation.value),
        );
    }
    let subscriptions = store.mail.subscriptions(account).await.unwrap();
    all.insert("subscriptions".to_owned(), format!("{subscriptions:?}"));
    let scripts = store.scripts.personal_scripts(account).await.unwrap();
    let scripts = scripts.map(|kept| (kept.active, kept.scripts));
    all.insert("scripts".to_owned(), format!("{scripts:?}"));
    all
}

#[test]
fn export_and_import_give_an_equal_account() {
    let world = World::new();
    let wanted = world.with_store(async |store| {
        fill(store).await;
        snapshot(store, ALICE).await
    });
    assert!(wanted.len() > 30, "{wanted:#?}");
    let rights = wanted.keys().filter(|key| key.starts_with("acl "));
    assert_eq!(rights.count(), 3);
    world.run(&["mailbox", "export", ALICE, "out"]).exits(0);
    let import = ["mailbox", "import", BOB, "out", "--create-account"];
    world.run(&import).exits(0);
    let found = world.with_store(async |store| snapshot(store, BOB).await);
    assert_eq!(found, wanted);
    // Again, and nothing changes; nor does a second export.
    world.run(&import).exits(0);
    world.run(&["mailbox", "export", ALICE, "out"]).exits(0);
    let found = world.with_store(async |store| snapshot(store, BOB).await);
    assert_eq!(found, wanted);
}

#[test]
fn what_was_deleted_here_comes_back_by_an_import_and_not_by_a_move() {
    let world = World::new();
    world.with_store(async |store| fill(store).await);
    world.run(&["mailbox", "export", ALICE, "out"]).exits(0);
    let from = format!("maildir:{}", world.path("out").display());
    let migrate = [
        "mailbox",
        "migrate",
        BOB,
        "--from",
        &from,
        "--create-account",
        "--output",
        "json",
    ];
    let refused = world.run(&[&migrate[..], &["--delete"]].concat()).exits(2);
    assert!(refused.errors().contains("--delete is for IMAP servers"));
    let run = world.run(&migrate).exits(0);
    assert!(run.text().contains("\"uidsKept\": true"), "{}", run.text());
    world.with_store(async |store| {
        let account = store.mail.account(&BOB.parse().unwrap()).await.unwrap();
        let inbox = store
            .mail
            .mailbox(account, "INBOX")
            .await
            .unwrap()
            .unwrap()
            .id;
        let deleted = Flags {
            system: SystemFlags::DELETED,
            keywords: Vec::new(),
        };
        let marked = store.mail.store_flags(
            inbox,
            vec![5],
            mailpods_store::mail::FlagOp::Add,
            deleted,
            None,
        );
        marked.await.unwrap();
        store.mail.expunge(inbox, None).await.unwrap();
    });
    let count = || {
        world.with_store(async |store| {
            let account = store.mail.account(&BOB.parse().unwrap()).await.unwrap();
            store
                .mail
                .mailbox(account, "INBOX")
                .await
                .unwrap()
                .unwrap()
                .messages
        })
    };
    world.run(&migrate).exits(0);
    assert_eq!(count(), 4);
    world.run(&["mailbox", "import", BOB, "out"]).exits(0);
    assert_eq!(count(), 5);
}
