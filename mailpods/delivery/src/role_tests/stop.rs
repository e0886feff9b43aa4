use std::sync::Arc;
use std::time::Duration;

use mailpods_net::dns::fixed::Zone;
use mailpods_plan::PlanHandle;
use mailpods_store::queue::{QueueFilter, Wanted};
use mailpods_store::sqlite;

use crate::Clock;
use crate::testing::{Rig, Script, Sink, TestClock, build, message, plan};

fn zone() -> Zone {
    Zone::parse("remote.test A 127.0.0.1").unwrap()
}

#[tokio::test]
async fn what_a_dead_worker_held_is_delivered_after_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite::open(
        dir.path(),
        sqlite::Options {
            free_reserve: 0,
            ..sqlite::Options::default()
        },
    )
    .unwrap();
    let plan = plan(1);
    let now = TestClock::default().now();
    store
        .queue
        .enqueue(vec![message(&plan, "s@remote.test", &["bob@example.test"])])
        .await
        .unwrap();
    let held = store
        .queue
        .lease("dead", Wanted::Local, now, now + 60_000, 10)
        .await
        .unwrap();
    assert_eq!(held.len(), 1);

    let mut rig = Rig::on(store, dir, plan, Zone::new());
    rig.send("s@remote.test", &["alice@example.test"]).await;
    rig.until(|items| items.len() == 1).await;
    assert!(rig.mailbox("bob@example.test", "INBOX").await.is_empty());
    rig.clock.advance(Duration::from_secs(61));
    rig.send("s@remote.test", &["alice@example.test"]).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 1);
}

#[tokio::test]
async fn a_stop_hands_back_what_is_under_way() {
    let mut silent = Sink::start(Script {
        greeting: "",
        ..Script::default()
    })
    .await;
    let rig = Rig::start(plan(silent.addr.port()), zone()).await;
    for _ in 0..3 {
        rig.send("bob@example.test", &["carol@remote.test"]).await;
    }
    silent.connection().await;
    let (store, _dir) = rig.stop(true).await;
    let items = store
        .queue
        .list(&QueueFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(items.len(), 3);
    assert!(
        items.iter().all(|item| !item.leased && item.attempts == 0),
        "{items:?}"
    );
}

#[tokio::test]
async fn an_idle_role_stops_at_once() {
    let rig = Rig::start(plan(1), zone()).await;
    rig.stop(false).await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_delivers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = sqlite::Options {
        free_reserve: 0,
        ..sqlite::Options::default()
    };
    let store = sqlite::open(dir.path(), options).unwrap();
    let (plan, clock) = (plan(1), Arc::new(TestClock::default()));
    let mail = message(&plan, "s@remote.test", &["bob@example.test"]);
    store.queue.enqueue(vec![mail]).await.unwrap();
    let ctx = build(&store, &PlanHandle::new(plan), &clock, Zone::new()).ctx;
    let units = crate::scheduler::lease(&ctx, Wanted::Local, 10).await;
    assert_eq!(units.len(), 1);
    assert!(ctx.leases.extend(&ctx).await);
    assert!(ctx.leases.is_held(units[0].lease));

    clock.advance(Duration::from_secs(300));
    let now = clock.now();
    let taken = store
        .queue
        .lease("other", Wanted::Local, now, now + 60_000, 10)
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    assert!(ctx.leases.extend(&ctx).await);
    assert!(!ctx.leases.is_held(units[0].lease));
    crate::local::deliver(&ctx, units).await;
    let account = taken[0].recipients[0].address.parse().unwrap();
    let account = store.mail.account(&account).await.unwrap();
    assert_eq!(store.mail.usage(account).await.unwrap().messages, 0);
}
