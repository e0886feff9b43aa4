//! A full disk: of the tables alone, and of the whole server.

use bytes::Bytes;
use mailpods_store::queue::NewMessage;
use mailpods_store::types::NewBody;
use mailpods_store::{Store, StoreError};
use mailpods_test_postgres::Server;

use super::support::{connect, message, queued, server, works_again};

/// A message of 64 KiB that compression does not make smaller.
fn large(number: u64) -> NewMessage {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut octets = Vec::with_capacity(64 << 10);
    while octets.len() < 64 << 10 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    NewMessage {
        body: NewBody::Octets {
            slices: vec![Bytes::from(octets)],
            meta: None,
        },
        ..message(number, "a@remote.test")
    }
}

/// Queues until the disk is full; how many were taken, and the refusal.
async fn queue_until_refused(store: &Store) -> (u64, StoreError) {
    let mut taken = 0;
    loop {
        match store.queue.enqueue(vec![large(taken)]).await {
            Ok(()) => taken += 1,
            Err(error) => return (taken, error),
        }
        assert!(taken < 10_000, "the disk never is full");
    }
}

async fn all_are_there(store: &Store, taken: u64) {
    let listed = queued(store).await;
    assert_eq!(listed.len() as u64, taken);
    for item in [listed.first(), listed.last()].into_iter().flatten() {
        store.mail.body(item.message.body).await.expect("a body");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_without_room_refuse_and_go_on_later() {
    let disk = Server::small_disk(64).expect("a small disk");
    let server = server();
    let place = disk.path().display();
    server
        .execute(&format!("CREATE TABLESPACE small LOCATION '{place}'"))
        .expect("a tablespace");
    server
        .execute("ALTER DATABASE mailpods SET default_tablespace = small")
        .expect("set");
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    disk.fill(8 << 10).expect("filled");
    let (taken, refusal) = queue_until_refused(&store).await;
    assert!(matches!(refusal, StoreError::Full), "{refusal:?}");
    assert!(taken > 10, "{taken}");
    all_are_there(&store, taken).await;
    // Others that share the group, and small ones, are refused the same way, and never in part.
    let (one, two) = tokio::join!(
        store.queue.enqueue(vec![large(20_000), large(20_001)]),
        store.queue.enqueue(vec![large(20_002)])
    );
    for refused in [one, two] {
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    }
    all_are_there(&store, taken).await;
    disk.relieve().expect("room");
    works_again(&store, 30_000).await;
    all_are_there(&store, taken + 1).await;
    handle.close().await;
    drop(server);
}

/// A write-ahead log without room ends the server; what was acknowledged is there when it starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_loses_nothing() {
    let disk = Server::small_disk(220).expect("a small disk");
    let settings = ["fsync=off", "max_wal_size=32MB", "min_wal_size=32MB"];
    let mut server = Server::in_folder(disk.path(), &settings).expect("a server");
    let handle = connect(&server.uri()).await;
    let store = handle.store();
    disk.fill(24 << 10).expect("filled");
    let (taken, refusal) = queue_until_refused(&store).await;
    assert!(
        matches!(refusal, StoreError::Full | StoreError::Unavailable(_)),
        "{refusal:?}"
    );
    disk.relieve().expect("room");
    if !server.runs().expect("asked") {
        server.run().expect("started again");
    }
    works_again(&store, 30_000).await;
    // The one whose end was unknown may be there, too: its sender was told to come again.
    let extra = queued(&store).await.len() as u64 - taken - 1;
    assert!(extra <= 1, "{extra}");
    handle.close().await;
    server.crash().expect("stopped");
}
