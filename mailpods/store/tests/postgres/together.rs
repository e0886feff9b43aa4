//! Many changes at once, some of them given up half-way: counts, usage and references stay right.

use std::time::Duration;

use bytes::Bytes;
use mailpods_store::mail::{FlagOp, Flags, NewMail, SystemFlags};
use mailpods_store::types::{MailboxId, NewBody, Quota};
use mailpods_store::{Store, StoreError};

use super::support::{address, connect, options, server};

const TASKS: usize = 12;
const STEPS: usize = 25;

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn step(store: &Store, boxes: &[MailboxId], dice: &mut Dice) -> Result<(), StoreError> {
    let (from, to) = (boxes[dice.roll(4) as usize], boxes[dice.roll(4) as usize]);
    let uids: Vec<u32> = (0..4).map(|_| dice.roll(40) as u32 + 1).collect();
    let mail = &store.mail;
    let flags = Flags {
        system: SystemFlags::DELETED,
        keywords: if dice.roll(3) == 0 {
            vec![format!("k{}", dice.roll(5))]
        } else {
            Vec::new()
        },
    };
    match dice.roll(6) {
        0 | 1 => {
            let mails = (0..3).map(|number| NewMail {
                body: NewBody::Octets {
                    slices: vec![Bytes::from(format!("Subject: {number}\r\n\r\n"))],
                    meta: None,
                },
                prefix: Bytes::from_static(b"X: y\r\n"),
                flags: Flags::default(),
                received: 0,
            });
            mail.append(from, mails.collect(), Quota::default())
                .await
                .map(drop)
        }
        2 => mail
            .store_flags(from, uids, FlagOp::Add, flags, None)
            .await
            .map(drop),
        3 => mail.expunge(from, None).await.map(drop),
        4 => mail.copy(from, uids, to, Quota::default()).await.map(drop),
        _ => mail.move_messages(from, uids, to).await.map(drop),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_stay_right() {
    let server = server();
    let handles = [connect(&server.uri()).await, connect(&server.uri()).await];
    let mut boxes = Vec::new();
    for name in ["alice@example.test", "bob@example.test"] {
        let store = handles[0].store();
        let account = store
            .mail
            .account(&address(name))
            .await
            .expect("an account");
        for mailbox in ["INBOX", "Archive"] {
            boxes.push(
                store
                    .mail
                    .mailbox(account, mailbox)
                    .await
                    .expect("mailboxes")
                    .expect("one")
                    .id,
            );
        }
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (store, boxes) = (handles[task % 2].store(), boxes.clone());
        tasks.spawn(async move {
            let mut dice = Dice(0x9e37_79b9 + task as u64);
            for number in 0..STEPS {
                let change = step(&store, &boxes, &mut dice);
                // Every fifth is given up, wherever it is then.
                if number % 5 == 0 {
                    let _ = tokio::time::timeout(Duration::from_micros(700), change).await;
                } else {
                    change.await.expect("changed");
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a task");
    }
    for handle in handles {
        handle.close().await;
    }
    let wrong = server.execute(
        "SELECT 'mailbox', m.id FROM mailbox m LEFT JOIN LATERAL (
             SELECT count(*) n, count(*) FILTER (WHERE system & 1 = 0) unseen, count(*) FILTER (WHERE system & 8 <> 0) deleted,
                    coalesce(sum(size), 0)::bigint octets, coalesce(max(uid), 0) last, coalesce(max(modseq), 0) modseq
             FROM mail WHERE mailbox = m.id) c ON true
         WHERE (m.messages, m.unseen, m.deleted, m.octets) IS DISTINCT FROM (c.n, c.unseen, c.deleted, c.octets) OR m.uid_next <= c.last OR m.modseq < c.modseq
         UNION ALL SELECT 'account', a.id FROM account a
         WHERE a.messages <> (SELECT count(*) FROM mail WHERE account = a.id) OR a.octets <> (SELECT coalesce(sum(size), 0)::bigint FROM mail WHERE account = a.id)
         UNION ALL SELECT 'body', b.id FROM body b WHERE b.refs <> (SELECT count(*) FROM mail WHERE body = b.id)
         UNION ALL SELECT 'no body', m.body FROM mail m WHERE NOT EXISTS (SELECT FROM body JOIN body_data USING (shard, id) WHERE id = m.body)
         UNION ALL SELECT 'data', d.id FROM body_data d WHERE NOT EXISTS (SELECT FROM body WHERE id = d.id)
         UNION ALL SELECT 'signature', s.id FROM body_signature s WHERE NOT EXISTS (SELECT FROM body WHERE id = s.id)
         UNION ALL SELECT 'expunged', e.uid FROM expunged e JOIN mail m USING (mailbox, uid)",
    );
    assert_eq!(wrong.expect("looked"), "");
    assert_ne!(
        server
            .execute("SELECT count(*) FROM expunged")
            .expect("a count"),
        "0"
    );
}

/// More callers than connections wait for each other; no more connections are made than allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded() {
    let server = server();
    let mut options = options(&server.uri());
    options.max_connections = 3;
    options.name = "bounded".to_owned();
    let handle = mailpods_store::postgres::PostgresStore::connect(options)
        .await
        .expect("a store");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60 {
        let store = handle.store();
        tasks.spawn(async move {
            store
                .mail
                .account(&address(&format!("u{number}@example.test")))
                .await
                .expect("an account");
            store
                .tokens
                .count("k", Duration::from_secs(60), 1)
                .await
                .expect("counted")
        });
    }
    let counts = tasks.join_all().await;
    assert_eq!(counts.into_iter().max(), Some(60));
    let used = server
        .execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded'")
        .expect("a count");
    assert!(used.parse::<u32>().expect("a number") <= 4, "{used}");
    handle.close().await;
}

/// Whoever gets no connection in time is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_connection_has_an_end() {
    let server = server();
    let mut options = options(&server.uri());
    options.max_connections = 2;
    options.wait = Duration::from_millis(300);
    let handle = mailpods_store::postgres::PostgresStore::connect(options)
        .await
        .expect("a store");
    let store = handle.store();
    let account = store
        .mail
        .account(&address("alice@example.test"))
        .await
        .expect("an account");
    let hold = server.hold("LOCK TABLE secret").expect("a lock");
    let waiting: Vec<_> = (0..4)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.secrets.secret(&format!("s{number}")).await.map(drop) })
        })
        .collect();
    let told = async {
        while !matches!(store.mail.usage(account).await, Err(StoreError::Unavailable(text)) if text.contains("no connection"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::support::PATIENCE, told)
        .await
        .expect("told");
    drop(hold);
    let mut ended = 0;
    for call in waiting {
        ended += u32::from(call.await.expect("a task").is_ok());
    }
    assert!(ended >= 1);
    assert!(store.mail.usage(account).await.is_ok());
    handle.close().await;
}
