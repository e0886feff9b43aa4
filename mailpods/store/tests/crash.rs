//! A process killed while it writes: what was acknowledged is there exactly once.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use mailpods_api::{MailboxAddress, QueueId};
use mailpods_store::Store;
use mailpods_store::mail::{Flags, NewMail};
use mailpods_store::queue::{
    BodyType, Delivery, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
    QueueFilter, Settlement, Wanted,
};
use mailpods_store::sqlite::{FsckOptions, Options, SqliteStore, fsck};
use mailpods_store::types::{NewBody, Quota};

const FOLDER: &str = "MAILPODS_CRASH_FOLDER";
const ROUNDS: u64 = 6;

fn options() -> Options {
    Options {
        free_reserve: 0,
        checkpoint_octets: 256 << 10,
        ..Options::default()
    }
}

fn alice() -> MailboxAddress {
    MailboxAddress::parse("alice@example.test").expect("an address")
}

fn body(number: u64) -> NewBody {
    // Some are large, so that they become files.
    let length = if number.is_multiple_of(7) {
        400_000
    } else {
        2_000
    };
    let mut state = number | 1;
    let mut octets = format!("Subject: {number}\r\n\r\n").into_bytes();
    while octets.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        octets.extend(state.to_be_bytes());
    }
    NewBody::Octets {
        slices: vec![octets.into()],
        meta: Some(Vec::new()),
    }
}

fn message(number: u64) -> NewMessage {
    NewMessage {
        id: QueueId::from_parts(1_700_000_000_000 + number, number),
        body: body(number),
        envelope: Envelope {
            sender: number.to_string(),
            ret: None,
            envid: None,
            smtputf8: false,
            tls: Default::default(),
            body_type: BodyType::EightBit,
        },
        origin: Origin::Inbound,
        junk: false,
        created: 1_700_000_000_000,
        recipients: vec![NewRecipient {
            destination: Destination::local(),
            address: "alice@example.test".to_owned(),
            orcpt: None,
            notify: Notify::default(),
        }],
    }
}

/// Not a test of its own: what the killed process does. Prints the number of each message that is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = SqliteStore::open(Path::new(&dir), options())
        .expect("a store")
        .store();
    let start = queued_and_delivered(&store).await.len() as u64 * 1_000;
    tokio::spawn(deliver(store.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in (0..).map(|step| start + step * 8 + task) {
                store
                    .queue
                    .enqueue(vec![message(number)])
                    .await
                    .expect("enqueue");
                println!("\nacknowledged {number}");
            }
        });
    }
    tasks.join_all().await;
}

async fn deliver(store: Store) {
    let mut changes = store.queue.watch_queue();
    loop {
        let units = store
            .queue
            .lease("crash", Wanted::Local, i64::MAX - 1, i64::MAX, 5)
            .await
            .expect("lease");
        if units.is_empty() {
            changes.changed().await.expect("a change");
        }
        for unit in units {
            let delivery = Delivery {
                account: alice(),
                mailbox: "INBOX".to_owned(),
                prefix: format!("X-Number: {}\r\n", unit.message.envelope.sender).into(),
                flags: Flags::default(),
                received: 0,
                quota: Quota::default(),
            };
            let settlement = Settlement {
                lease: unit.lease,
                done: vec![],
                retry: None,
                deliveries: vec![delivery],
                enqueue: vec![],
            };
            store
                .queue
                .settle(vec![settlement])
                .await
                .expect("settle")
                .remove(0)
                .expect("settled");
        }
    }
}

async fn queued_and_delivered(store: &Store) -> Vec<u64> {
    let queued = store
        .queue
        .list(&QueueFilter::default(), None, usize::MAX)
        .await
        .expect("list");
    let mut found: Vec<u64> = queued
        .iter()
        .map(|item| item.message.envelope.sender.parse().expect("a number"))
        .collect();
    let account = store.mail.account(&alice()).await.expect("an account");
    let inbox = store
        .mail
        .mailbox(account, "INBOX")
        .await
        .expect("a mailbox")
        .expect("INBOX")
        .id;
    let columns = mailpods_store::mail::Columns {
        prefix: true,
        meta: false,
        reader: None,
    };
    for entry in store
        .mail
        .entries(inbox, 1..=u32::MAX, 0, columns, usize::MAX)
        .await
        .expect("entries")
    {
        let prefix = String::from_utf8(entry.prefix.expect("a prefix").to_vec()).expect("text");
        found.push(
            prefix
                .trim_start_matches("X-Number: ")
                .trim()
                .parse()
                .expect("a number"),
        );
    }
    found
}

fn run_and_kill(dir: &Path, after: usize) -> Vec<u64> {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["child_writes_until_it_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let number = |line: std::io::Result<String>| {
        line.ok()?
            .strip_prefix("acknowledged ")?
            .parse::<u64>()
            .ok()
    };
    let mut seen: Vec<u64> = lines.by_ref().filter_map(number).take(after).collect();
    child.kill().expect("killed");
    // What it could still say before it died counts too.
    seen.extend(lines.filter_map(number));
    child.wait().expect("its end");
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_survive_a_kill_exactly_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 0..ROUNDS {
        let at = usize::try_from(15 + 23 * round).expect("small");
        let path = dir.path().to_owned();
        acknowledged.extend(
            tokio::task::spawn_blocking(move || run_and_kill(&path, at))
                .await
                .expect("a round"),
        );
        assert!(acknowledged.len() >= at, "the child wrote too little");
        let store = SqliteStore::open(dir.path(), options()).expect("a store");
        let mut found = queued_and_delivered(&store.store()).await;
        store.close().await.expect("closed");
        found.sort_unstable();
        assert!(
            found.windows(2).all(|pair| pair[0] != pair[1]),
            "a message is there twice after round {round}"
        );
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|number| found.binary_search(number).is_err())
            .collect();
        assert!(lost.is_empty(), "lost after round {round}: {lost:?}");
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
        assert!(report.problems.is_empty(), "round {round}: {report:?}");
    }
}

#[tokio::test]
async fn appended_mail_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(dir.path(), options()).expect("a store");
    let account = store
        .store()
        .mail
        .account(&alice())
        .await
        .expect("an account");
    let inbox = store
        .store()
        .mail
        .mailbox(account, "INBOX")
        .await
        .expect("a mailbox")
        .expect("INBOX")
        .id;
    let mail = NewMail {
        body: body(7),
        prefix: bytes::Bytes::new(),
        flags: Flags::default(),
        received: 0,
    };
    let (_, uids) = store
        .store()
        .mail
        .append(inbox, vec![mail], Quota::default())
        .await
        .expect("append");
    drop(store);
    let store = SqliteStore::open_existing(dir.path(), options())
        .expect("the store")
        .store();
    assert_eq!(store.mail.uids(inbox).await.expect("UIDs"), uids);
    let NewBody::Octets { slices, .. } = body(7) else {
        unreachable!("octets were given")
    };
    assert_eq!(
        store
            .mail
            .body(mailpods_store::BodyId(1))
            .await
            .expect("the body"),
        slices[0]
    );
}
