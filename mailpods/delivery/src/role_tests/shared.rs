//! Two delivery pods on one PostgreSQL keep to one limit.

use std::sync::Arc;
use std::time::Duration;

use mailpods_store::postgres::{Options, PostgresStore};
use mailpods_test_postgres::Server;
use tokio::sync::Semaphore;

use super::remote::zone;
use super::sieve::{ALICE, count, to_alice, with_script};
use super::suspended::eventually;
use crate::testing::{Rig, Script, Sink, World, message, plan};

const LIMIT: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

async fn pod(server: &Server, port: u16, worker: &str) -> (PostgresStore, Rig) {
    let key = zeroize::Zeroizing::new([7; 32]);
    let store = PostgresStore::connect(Options::new(&server.uri(), key)).await;
    let store = store.unwrap();
    let mut plan = plan(port);
    plan.outbound.concurrency_per_destination = LIMIT;
    let world = World {
        worker: worker.to_owned(),
        ..World::of(zone())
    };
    let rig = Rig::on_in(store.store(), tempfile::tempdir().unwrap(), plan, world);
    (store, rig)
}

async fn queue(rig: &Rig, count: usize) {
    let plan = rig.plan.current();
    let one = |_| message(&plan, "bob@example.test", &["carol@remote.test"]);
    rig.queue((0..count).map(one).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_share_what_a_provider_takes_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let mut sink = Sink::start(Script {
        gate: Some(gate.clone()),
        ..Script::default()
    })
    .await;
    let server = Server::start().unwrap();
    let port = sink.addr.port();
    let (one_store, one) = pod(&server, port, "one").await;
    let (two_store, mut two) = pod(&server, port, "two").await;
    // The first message tells both whose servers these are.
    queue(&one, 400).await;
    let mut left = 400;
    let both = async {
        while one.settled() == 0 || two.settled() == 0 || sink.most() < LIMIT {
            gate.add_permits(1);
            sink.message().await;
            left -= 1;
            if left < 200 {
                queue(&one, 1).await;
                left += 1;
            }
        }
    };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("both have their share");
    assert_eq!(sink.most(), LIMIT);
    // One stops: the other one goes on with all of it.
    one.stopping();
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    two.until_empty().await;
    one.stop(false).await;
    let held = "SELECT count(*) FROM limit_share WHERE worker = 'one'";
    assert_eq!(server.execute(held).unwrap(), "0", "given back");
    assert_eq!(sink.most(), LIMIT, "never more at once");
    two.stop(false).await;
    one_store.close().await;
    two_store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_answer_once_for_somebody_who_is_away() {
    let server = Server::start().unwrap();
    let (one_store, one) = pod(&server, 1, "one").await;
    let (two_store, two) = pod(&server, 1, "two").await;
    for rig in [&one, &two] {
        let mut away = (*rig.plan.current()).clone();
        let text = "require \"vacation\"; vacation :days 2 \"I am away.\";";
        with_script(&mut away, ALICE, text);
        rig.plan.swap(away);
    }
    let plan = one.plan.current();
    let mut sent = 0;
    while sent == 0 || one.settled() == 0 || two.settled() == 0 {
        let batch = (0..20).map(|_| to_alice(&plan, "bob@example.test"));
        one.queue(batch.collect()).await;
        sent += 20;
        eventually("all of them", async || {
            (count(&one, ALICE, "INBOX").await == sent).then_some(())
        })
        .await;
    }
    eventually("an empty queue", async || {
        let all = one.store.queue.list(&Default::default(), None, 1).await;
        all.unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(count(&one, "bob@example.test", "INBOX").await, 1);
    one.stop(false).await;
    two.stop(false).await;
    one_store.close().await;
    two_store.close().await;
}
