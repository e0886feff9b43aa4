//! Mail and the addresses that it may leave from.

use std::time::Duration;

use mailpods_policy::outbound::life::Order;

use super::remote::zone;
use crate::Clock as _;
use crate::ips::explain;
use crate::testing::{Rig, Script, Sink, outbound_ip, plan, with_addresses};

/// How soon mail without an address is looked at again at first, in milliseconds.
const SOON: i64 = 6_000;

#[tokio::test]
async fn a_domain_whose_addresses_are_gone_sends_from_no_other() {
    let mut sink = Sink::start(Script::default()).await;
    let mut missing = plan(sink.addr.port());
    with_addresses(&mut missing, "example.test", &["one"]);
    let mut rig = Rig::start(missing.clone(), zone()).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    let left = rig.until_held_back().await;
    assert_eq!(left[0].attempts, 0, "nobody was asked");
    let error = left[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("one, which example.test names"), "{error}");
    let wait = left[0].next_attempt - rig.clock.now();
    assert!(wait <= SOON, "{wait}");
    assert_eq!(sink.connections(), 0);
    let resolver = mailpods_net::dns::fixed::StaticResolver::new(zone());
    let asked = ("remote.test", "bob@example.test");
    let explained = explain(
        &missing,
        &resolver,
        rig.store.secrets.as_ref(),
        asked,
        rig.clock.now(),
    );
    let explained = explained.await.unwrap();
    let named = "MailDomain example.test names one";
    assert_eq!(explained.pool_by.as_deref(), Some(named));
    let waits = explained.waits.unwrap();
    assert!(waits.contains("one, which example.test names"), "{waits}");
    // It is back.
    let ip = outbound_ip("one", "127.0.0.1");
    missing.outbound_ips.insert("one".to_owned(), ip);
    missing.digest = "2".to_owned();
    rig.plan.swap(missing);
    rig.pass(Duration::from_secs(6)).await;
    assert!(sink.message().await.has("EHLO one.example.test"));
    rig.until_empty().await;
}

#[tokio::test]
async fn mail_that_comes_while_the_last_address_drains_is_looked_at_again_soon() {
    let mut sink = Sink::start(Script::default()).await;
    let mut draining = plan(sink.addr.port());
    let ip = outbound_ip("one", "127.0.0.1");
    draining.outbound_ips.insert("one".to_owned(), ip);
    let after = draining.clone();
    draining.outbound.draining.insert("one".to_owned());
    let mut rig = Rig::start(draining, zone()).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    for look in 1..=5 {
        let left = rig.until_held_back().await;
        let wait = left[0].next_attempt - rig.clock.now();
        assert!(wait <= SOON, "look {look}: {wait}");
        assert_eq!(left[0].attempts, 0);
        if look < 5 {
            rig.pass(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(sink.connections(), 0);
    rig.plan.swap(after);
    rig.pass(Duration::from_secs(6)).await;
    sink.message().await;
    rig.until_empty().await;
}

#[tokio::test]
async fn what_a_new_address_may_not_send_today_goes_from_the_warm_standby() {
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = pair(sink.addr.port());
    for (name, sending) in [("one", true), ("two", false)] {
        let mut ip = outbound_ip(name, &plan.outbound_ips[name].address.to_string());
        ip.sending = sending;
        ip.warm_up = sending.then_some(mailpods_plan::WarmUp {
            initial_per_day: 1,
            duration: Duration::from_secs(30 * 86_400),
        });
        plan.outbound_ips.insert(name.to_owned(), ip);
    }
    let mut rig = Rig::start(plan, zone()).await;
    for ip in ["one", "two"] {
        rig.order(ip, &Order::Activate).await;
    }
    for from in ["one", "two"] {
        rig.send("bob@example.test", &["carol@remote.test"]).await;
        let received = sink.message().await;
        let greeting = format!("EHLO {from}.example.test");
        assert!(received.has(&greeting), "{:?}", received.commands);
        rig.until_empty().await;
    }
}

const BLOCKED: &str =
    "554 5.7.1 Service unavailable; Client host [127.0.0.7] blocked using zen.spamhaus.org";

/// Two addresses that are meant to send, of which one is kept back.
fn pair(port: u16) -> mailpods_plan::Plan {
    let mut plan = plan(port);
    plan.outbound.min_standby = 1;
    plan.outbound.retry_initial = Duration::from_secs(300);
    for (name, address) in [("one", "127.0.0.7"), ("two", "127.0.0.8")] {
        let ip = outbound_ip(name, address);
        plan.outbound_ips.insert(name.to_owned(), ip);
    }
    plan
}

#[tokio::test]
async fn the_standby_stands_in_for_an_address_that_was_refused() {
    let rules = vec![("EHLO one", BLOCKED), ("HELO one", BLOCKED)];
    let mut sink = Sink::start(Script {
        rules,
        ..Script::default()
    })
    .await;
    let mut rig = Rig::start(pair(sink.addr.port()), zone()).await;
    for ip in ["one", "two"] {
        rig.order(ip, &Order::Activate).await;
    }
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    let left = rig.until_tried(1).await;
    let wait = left[0].next_attempt - rig.clock.now();
    assert!(wait <= SOON, "{wait}");
    rig.pass(Duration::from_secs(6)).await;
    assert!(sink.message().await.has("EHLO two.example.test"));
    rig.until_empty().await;
    // Others are not kept from the first one.
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    rig.until_tried(1).await;
}

#[tokio::test]
async fn what_every_address_is_refused_with_waits_as_always() {
    let rules = vec![("MAIL", BLOCKED)];
    let sink = Sink::start(Script {
        rules,
        ..Script::default()
    })
    .await;
    let mut rig = Rig::start(pair(sink.addr.port()), zone()).await;
    for ip in ["one", "two"] {
        rig.order(ip, &Order::Activate).await;
    }
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    rig.until_tried(1).await;
    rig.pass(Duration::from_secs(6)).await;
    let left = rig.until_tried(2).await;
    let wait = left[0].next_attempt - rig.clock.now();
    assert!(wait > 60_000, "{wait}");
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn mail_that_waits_for_a_rest_looks_whether_it_ended_early() {
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = plan(sink.addr.port());
    let ip = outbound_ip("one", "127.0.0.1");
    plan.outbound_ips.insert("one".to_owned(), ip);
    let mut rig = Rig::start(plan, zone()).await;
    let rest = Order::Rest {
        provider: None,
        until: rig.clock.now() + 3_600_000,
    };
    rig.order("one", &rest).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    let left = rig.until_held_back().await;
    let wait = left[0].next_attempt - rig.clock.now();
    assert!(wait <= SOON, "{wait}");
    rig.clock.advance(Duration::from_secs(1_800));
    rig.act(mailpods_store::queue::QueueAction::Retry).await;
    let left = rig.until_held_back().await;
    let wait = left[0].next_attempt - rig.clock.now();
    assert!((60_000..=72_000).contains(&wait), "{wait}");
    rig.order("one", &Order::Activate).await;
    rig.pass(Duration::from_secs(72)).await;
    sink.message().await;
    rig.until_empty().await;
}

/// What is counted of the address `one`, taken and refused, once the role has stopped.
async fn counted(rig: Rig) -> ((u64, u64), mailpods_store::Store, tempfile::TempDir) {
    let (plan, now) = (rig.plan.current(), rig.clock.now());
    let (store, dir) = rig.stop(false).await;
    let one = &plan.outbound_ips["one"];
    let states = crate::ips::AddressState::all([one], 1, store.secrets.as_ref(), now);
    let state = states.await.unwrap().remove(0);
    ((state.sent, state.refused), store, dir)
}

#[tokio::test]
async fn what_an_address_sent_is_counted_on_after_a_restart() {
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = plan(sink.addr.port());
    let ip = outbound_ip("one", "127.0.0.1");
    plan.outbound_ips.insert("one".to_owned(), ip);
    let mut rig = Rig::start(plan.clone(), zone()).await;
    rig.order("one", &Order::Activate).await;
    for number in 1..=2 {
        rig.send("bob@example.test", &["carol@remote.test"]).await;
        sink.message().await;
        rig.until_empty().await;
        let (counts, store, dir) = counted(rig).await;
        assert_eq!(counts, (number, 0));
        rig = Rig::on(store, dir, plan.clone(), zone());
    }
}

#[tokio::test]
async fn what_no_server_took_is_not_counted_as_sent() {
    let rules = vec![("RCPT", "550 5.1.1 no such user")];
    let sink = Sink::start(Script {
        rules,
        extensions: vec!["8BITMIME"],
        ..Script::default()
    })
    .await;
    let mut plan = plan(sink.addr.port());
    let ip = outbound_ip("one", "127.0.0.1");
    plan.outbound_ips.insert("one".to_owned(), ip);
    let mut rig = Rig::start(plan, zone()).await;
    rig.order("one", &Order::Activate).await;
    rig.send("", &["nobody@remote.test"]).await;
    rig.until_empty().await;
    assert_eq!(counted(rig).await.0, (0, 0));
    assert_eq!(sink.connections(), 1);
}
