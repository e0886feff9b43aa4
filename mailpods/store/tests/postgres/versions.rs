//! Versions of the schema.

use mailpods_store::StoreError;
use mailpods_store::postgres::PostgresStore;
use mailpods_store::queue::QueueFilter;

use super::support::{connect, message, options, server};

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
