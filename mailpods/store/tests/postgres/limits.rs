//! A database that does not take what is asked of it: no room for connections, read-only, a schema that is too new.

use std::time::Duration;

use mailpods_store::StoreError;
use mailpods_store::postgres::{Options, PostgresStore};
use mailpods_store::queue::{QueueFilter, Wanted};
use mailpods_test_postgres::Server;

use super::support::{address, connect, message, now, options, queued, server, until, works_again};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_connections_are_used_in_turns() {
    let server = Server::with_settings(&[
        "fsync=off",
        "max_connections=4",
        "superuser_reserved_connections=0",
    ])
    .expect("a server");
    // Eight would be asked for, and one listens.
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        calls.spawn(async move {
            let person = address(&format!("p{number}@example.test"));
            store.mail.account(&person).await?;
            store
                .queue
                .enqueue(vec![message(number, "a@remote.test")])
                .await
        });
    }
    for result in calls.join_all().await {
        result.expect("done");
    }
    handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_connection_calls_fail_and_work_later() {
    let server = Server::with_settings(&[
        "fsync=off",
        "max_connections=3",
        "superuser_reserved_connections=0",
    ])
    .expect("a server");
    connect(&server.uri()).await.close().await;
    let mut held = Vec::new();
    until("all connections to be taken", async || {
        // The last ones of the store may still be closing.
        held.extend(server.hold("SET LOCAL jit = off").ok());
        held.len() == 3
    })
    .await;
    let refused = PostgresStore::connect(options(&server.uri())).await.err();
    let full = |error: &StoreError| matches!(error, StoreError::Unavailable(why) if why.contains("too many clients"));
    assert!(refused.as_ref().is_some_and(full), "{refused:?}");
    drop(held);
    let mut store = None;
    until("room for connections", async || {
        store = PostgresStore::connect(options(&server.uri())).await.ok();
        store.is_some()
    })
    .await;
    let handle = store.expect("a store");
    works_again(&handle.store(), 1).await;
    handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_database_takes_no_mail_and_loses_none() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    let new = |number| vec![message(number, "alice@example.test")];
    store.queue.enqueue(new(1)).await.expect("queued");
    let set = |value: &str| {
        server
            .execute(&format!(
                "ALTER SYSTEM SET default_transaction_read_only = {value}"
            ))
            .expect("set");
        server.execute("SELECT pg_reload_conf()").expect("reloaded");
    };
    set("on");
    let mut number = 2;
    until("the setting to reach the sessions", async || {
        number += 1;
        match store.queue.enqueue(new(number)).await {
            Ok(()) => false,
            Err(StoreError::Unavailable(_)) => true,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let leased = store
        .queue
        .lease("w", Wanted::Local, now(), now() + 60_000, 9)
        .await;
    assert!(
        matches!(leased, Err(StoreError::Unavailable(_))),
        "{leased:?}"
    );
    let account = store.mail.account(&address("new@example.test")).await;
    assert!(
        matches!(account, Err(StoreError::Unavailable(_))),
        "{account:?}"
    );
    // A pod that starts now waits.
    let newcomer = PostgresStore::connect(options(&server.uri())).await.err();
    assert!(
        matches!(newcomer, Some(StoreError::Unavailable(_))),
        "{newcomer:?}"
    );
    set("off");
    works_again(&store, 900).await;
    let found = queued(&store).await.len() as u64;
    // Those before the refusal, and the last one.
    assert_eq!(found, number - 2 + 1);
    handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_program_leaves_a_schema_that_is_too_new() {
    let server = server();
    let handle = PostgresStore::connect(Options {
        poll: Duration::from_millis(50),
        ..options(&server.uri())
    })
    .await
    .expect("a store");
    let store = handle.store();
    let contract = |version: u32| {
        let sql =
            format!("UPDATE schema_version SET version = {version}, oldest_reader = {version}");
        server.execute(&sql).expect("changed");
    };
    let mut queued = 0;
    contract(9);
    until("the schema to be left", async || {
        match store
            .queue
            .enqueue(vec![message(queued, "a@remote.test")])
            .await
        {
            Ok(()) => queued += 1,
            Err(StoreError::Unavailable(why)) => return why.contains("run the newer program"),
            Err(error) => panic!("{error}"),
        }
        false
    })
    .await;
    let read = store.queue.list(&QueueFilter::default(), None, 9).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    // It was a mistake, and is taken back.
    contract(1);
    works_again(&store, queued).await;
    handle.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_password_is_read_again() {
    let mut server = server();
    server
        .execute("CREATE ROLE pods LOGIN SUPERUSER PASSWORD 'one'")
        .expect("a role");
    server
        .demand_passwords("pods")
        .expect("passwords are demanded");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let uri = |password: &str| {
        let place = server.place();
        format!("postgresql://pods:{password}@{place}/mailpods?sslmode=disable")
    };
    std::fs::write(file.path(), uri("one")).expect("written");
    let second = uri("two");
    let handle = PostgresStore::connect(Options {
        uri_file: Some(file.path().to_owned()),
        ..options(&uri("one"))
    })
    .await
    .expect("a store");
    let store = handle.store();
    works_again(&store, 1).await;
    server
        .execute("ALTER ROLE pods PASSWORD 'two'")
        .expect("changed");
    server.crash().expect("stopped");
    server.run().expect("started again");
    until("the log-in to be refused", async || {
        let queued = store.queue.enqueue(vec![message(2, "a@remote.test")]).await;
        matches!(queued, Err(StoreError::Unavailable(why)) if why.contains("password"))
    })
    .await;
    std::fs::write(file.path(), second).expect("written");
    works_again(&store, 3).await;
    handle.close().await;
}
