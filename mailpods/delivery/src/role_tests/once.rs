//! What the next server took is not sent again.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::dns::fixed::Zone;
use mailpods_store::sqlite;
use tokio::sync::Semaphore;

use crate::testing::{Flaky, Refuse, Rig, Script, Sink, plan};

fn zone() -> Zone {
    Zone::parse("remote.test A 127.0.0.1\nother.test A 127.0.0.1").unwrap()
}

fn rig(sink: &Sink, refuse: Refuse) -> (Rig, Arc<Flaky>) {
    let dir = tempfile::tempdir().unwrap();
    let options = sqlite::Options {
        free_reserve: 0,
        ..sqlite::Options::default()
    };
    let mut store = sqlite::open(dir.path(), options).unwrap();
    let flaky = Flaky::new(store.queue.clone(), refuse);
    store.queue = flaky.clone();
    (Rig::on(store, dir, plan(sink.addr.port()), zone()), flaky)
}

/// The next message is for `address`: nothing else came before it.
async fn next_is_for(sink: &mut Sink, address: &str) {
    let received = sink.message().await;
    assert!(
        received.has(&format!("RCPT TO:<{address}>")),
        "{:?}",
        received.commands
    );
}

#[tokio::test]
async fn a_store_that_fails_for_long_does_not_send_twice() {
    let mut sink = Sink::start(Script::default()).await;
    let (mut rig, _) = rig(&sink, Refuse::Calls(17));
    rig.send("bob@example.test", &["one@remote.test"]).await;
    next_is_for(&mut sink, "one@remote.test").await;
    rig.until_empty().await;
    rig.send("bob@example.test", &["two@remote.test"]).await;
    next_is_for(&mut sink, "two@remote.test").await;
    rig.until_empty().await;
}

#[tokio::test]
async fn a_connection_does_not_wait_for_the_store() {
    let mut sink = Sink::start(Script::default()).await;
    let (mut rig, flaky) = rig(&sink, Refuse::Calls(usize::MAX));
    for address in ["one@remote.test", "two@remote.test"] {
        rig.send("bob@example.test", &[address]).await;
        next_is_for(&mut sink, address).await;
    }
    flaky.set(Refuse::Nothing);
    rig.until_empty().await;
    rig.send("bob@example.test", &["last@remote.test"]).await;
    next_is_for(&mut sink, "last@remote.test").await;
}

#[tokio::test]
async fn a_notification_that_cannot_be_queued_does_not_send_twice() {
    let mut sink = Sink::start(Script {
        extensions: vec![],
        rules: vec![("RCPT TO:<bad@", "550 5.1.1 no such user")],
        ..Script::default()
    })
    .await;
    let (mut rig, flaky) = rig(&sink, Refuse::NewMessages);
    rig.send("bob@example.test", &["good@remote.test", "bad@remote.test"])
        .await;
    next_is_for(&mut sink, "good@remote.test").await;
    let left = rig.until_tried(1).await;
    assert_eq!(left[0].recipients.len(), 1);
    assert_eq!(left[0].recipients[0].address, "bad@remote.test");
    flaky.set(Refuse::Nothing);
    rig.pass(Duration::from_secs(300)).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 1);
    rig.send("bob@example.test", &["two@remote.test"]).await;
    next_is_for(&mut sink, "two@remote.test").await;
}

#[tokio::test]
async fn a_clock_that_jumps_forward_does_not_send_twice() {
    let gate = Arc::new(Semaphore::new(0));
    let mut sink = Sink::start(Script {
        gate: Some(gate.clone()),
        ..Script::default()
    })
    .await;
    let (mut rig, _) = rig(&sink, Refuse::Nothing);
    rig.send("bob@example.test", &["one@remote.test"]).await;
    sink.connection().await;
    rig.clock.advance(Duration::from_secs(3600));
    // Whoever leases this leases the first anew, as its lease seems to have run out.
    rig.send("bob@example.test", &["two@other.test"]).await;
    sink.connection().await;
    gate.add_permits(10);
    sink.message().await;
    sink.message().await;
    rig.until_empty().await;
    rig.send("bob@example.test", &["three@remote.test"]).await;
    next_is_for(&mut sink, "three@remote.test").await;
}
