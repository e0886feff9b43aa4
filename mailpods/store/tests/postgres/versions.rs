//! Versions of the schema.

use bytes::Bytes;
use mailpods_message::Meta;
use mailpods_message::signature::Probes;
use mailpods_store::mail::{Flags, NewMail, SoughtText};
use mailpods_store::postgres::PostgresStore;
use mailpods_store::queue::QueueFilter;
use mailpods_store::{BodyId, NewBody, Quota, StoreError};

use super::support::{address, connect, message, options, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_used_as_long_as_it_allows() {
    let server = server();
    let first = connect(&server.uri()).await;
    assert_eq!(
        server
            .execute("SELECT version, oldest_reader FROM schema_version")
            .expect("a version"),
        "6|1"
    );
    // What a newer program does: it adds a column, and says that this version still works.
    server.execute("ALTER TABLE unit ADD COLUMN colour text; ALTER TABLE mail ADD COLUMN size_class smallint DEFAULT 1; UPDATE schema_version SET version = 7").expect("expanded");
    let second = connect(&server.uri()).await;
    for (number, store) in [&first, &second].into_iter().enumerate() {
        store
            .store()
            .queue
            .enqueue(vec![message(number as u64, "a@remote.test")])
            .await
            .expect("queued");
    }
    assert_eq!(
        second
            .store()
            .queue
            .list(&QueueFilter::default(), None, 9)
            .await
            .expect("listed")
            .len(),
        2
    );
    server
        .execute("UPDATE schema_version SET version = 7, oldest_reader = 7")
        .expect("contracted");
    let error = PostgresStore::connect(options(&server.uri()))
        .await
        .err()
        .expect("refused");
    assert!(
        matches!(&error, StoreError::Invalid(text) if text.contains("run the newer program")),
        "{error}"
    );
    first.close().await;
    second.close().await;
}

/// Programs of the version before go on signing bodies in their way until they are replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_of_a_program_before_says_nothing() {
    let server = server();
    let connected = connect(&server.uri()).await;
    let mail = connected.store().mail;
    let account = mail.account(&address("alice@example.test")).await;
    let inbox = mail.mailbox(account.expect("an account"), "INBOX").await;
    let inbox = inbox.expect("found").expect("an INBOX").id;
    let octets = Bytes::from_static(b"Subject: x\r\n\r\nthe invoice\r\n");
    let new = NewMail {
        body: NewBody::Octets {
            meta: Some(Meta::compute(&octets).encode()),
            slices: vec![octets],
        },
        prefix: Bytes::new(),
        flags: Flags::default(),
        received: 0,
    };
    let added = mail.append(inbox, vec![new], Quota::default()).await;
    added.expect("added");
    let found = async || {
        let sought = SoughtText {
            probes: Probes::of("invoice").expect("probes"),
            in_prefix: None,
        };
        let found = mail.may_have(inbox, 1..=u32::MAX, sought).await;
        found.expect("read").len()
    };
    let unsigned = async || mail.unsigned_bodies(BodyId(0), 9).await.expect("read");
    assert_eq!((found().await, unsigned().await.len()), (1, 0));
    // As such a program writes it: it knows nothing of the column, and does not find the text.
    let rewritten = "DELETE FROM body_signature; INSERT INTO body_signature (shard, id, bits) SELECT shard, id, decode('00', 'hex') FROM body";
    server.execute(rewritten).expect("rewritten");
    let bodies = unsigned().await;
    assert_eq!((found().await, bodies.len()), (1, 1));
    mail.sign_body(bodies[0]).await.expect("signed");
    assert_eq!((found().await, unsigned().await.len()), (1, 0));
    connected.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_start_together_make_one_schema() {
    let server = server();
    let uri = server.uri();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let uri = uri.clone();
        tasks.spawn(async move { PostgresStore::connect(options(&uri)).await });
    }
    for store in tasks.join_all().await {
        store.expect("a store").close().await;
    }
    assert_eq!(
        server
            .execute("SELECT count(*) FROM schema_version")
            .expect("a count"),
        "1"
    );
}

/// Times of a process whose clock is an hour behind are moved on by an hour; small differences are the way of the statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_told_from_a_slow_statement() {
    let server = server();
    connect(&server.uri()).await.close().await;
    let shift = |behind: i64| {
        let sql = format!(
            "SELECT clock_shift((extract(epoch FROM clock_timestamp()) * 1000)::bigint - {behind})"
        );
        let found = server.execute(&sql).expect("a shift");
        found.parse::<i64>().expect("a number")
    };
    assert_eq!(shift(0), 0);
    assert_eq!(shift(-1_000), 0);
    assert!((3_600_000..3_660_000).contains(&shift(3_600_000)));
    assert!((-3_600_000..-3_540_000).contains(&shift(-3_600_000)));
}
