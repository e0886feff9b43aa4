//! Mail to some domains leaves in a way of its own.

use std::sync::Arc;

use mailpods_net::dns::fixed::Zone;
use mailpods_plan::{HopTls, NextHop, TransportRule, TransportRules};
use tokio::sync::Semaphore;

use super::remote::zone;
use crate::Clock as _;
use crate::ips::explain;
use crate::testing::{Rig, Script, Sink, message, name, plan};

fn hop(sink: &Sink) -> NextHop {
    NextHop {
        host: "127.0.0.1".to_owned(),
        port: sink.addr.port(),
        tls: HopTls::None,
        lmtp: false,
        auth: None,
    }
}

fn rule(domain: &str) -> TransportRule {
    TransportRule {
        domains: vec![name(domain)],
        ..TransportRule::default()
    }
}

#[tokio::test]
async fn a_transport_names_the_next_hop_of_some_domains() {
    let (mut usual, mut other) = (
        Sink::start(Script::default()).await,
        Sink::start(Script::default()).await,
    );
    let mut plan = plan(1);
    plan.outbound.smart_host = Some(hop(&usual));
    plan.outbound.transports = TransportRules::new(vec![TransportRule {
        suffixes: vec![name("partner.test")],
        next_hop: Some(hop(&other)),
        ..TransportRule::default()
    }]);
    let resolver = mailpods_net::dns::fixed::StaticResolver::new(Zone::new());
    let mut rig = Rig::start(plan.clone(), Zone::new()).await;
    for address in ["a@remote.test", "b@sub.partner.test", "c@[192.0.2.1]"] {
        rig.send("bob@example.test", &[address]).await;
    }
    assert!(other.message().await.has("RCPT TO:<b@sub.partner.test>"));
    usual.message().await;
    usual.message().await;
    rig.until_empty().await;
    for (domain, way) in [
        ("sub.partner.test", "transport"),
        ("remote.test", "smart-host"),
    ] {
        let asked = (domain, "bob@example.test");
        let secrets = rig.store.secrets.as_ref();
        let explained = explain(&plan, &resolver, secrets, asked, rig.clock.now());
        let explained = explained.await.unwrap();
        assert_eq!(explained.way, way);
        let place = explained.transport.map(|used| used.place);
        assert_eq!(place, (way == "transport").then_some(0));
    }
}

#[tokio::test]
async fn what_a_transport_rules_out_is_not_explained() {
    let relay = Sink::start(Script::default()).await;
    let mut plan = plan(1);
    plan.outbound.concurrency_per_destination = 20;
    plan.outbound.fallback_relay = Some(hop(&relay));
    plan.outbound.transports = TransportRules::new(vec![TransportRule {
        once: true,
        serial: true,
        ..rule("remote.test")
    }]);
    let resolver = mailpods_net::dns::fixed::StaticResolver::new(Zone::new());
    let rig = Rig::start(plan.clone(), Zone::new()).await;
    for (domain, is_ruled) in [("remote.test", true), ("other.test", false)] {
        let asked = (domain, "bob@example.test");
        let secrets = rig.store.secrets.as_ref();
        let explained = explain(&plan, &resolver, secrets, asked, rig.clock.now());
        let explained = explained.await.unwrap();
        assert_eq!(explained.fallback.is_none(), is_ruled);
        assert_eq!(explained.connections == 1, is_ruled);
    }
}

#[tokio::test]
async fn one_attempt_and_then_the_message_goes_back() {
    let sink = Sink::start(Script {
        rules: vec![("RCPT TO:<slow@", "450 4.2.0 greylisted")],
        ..Script::default()
    })
    .await;
    let mut plan = plan(sink.addr.port());
    let once = |domain: &str| TransportRule {
        once: true,
        ..rule(domain)
    };
    plan.outbound.transports = TransportRules::new(vec![
        once("remote.test"),
        once("closed.test"),
        once("broken.test"),
    ]);
    let names = "remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1\nclosed.test A 127.0.0.9\nbroken.test FAIL servfail";
    let mut rig = Rig::start(plan, Zone::parse(names).unwrap()).await;
    let all = [
        "slow@remote.test",
        "good@remote.test",
        "a@closed.test",
        "b@closed.test",
    ];
    rig.send("bob@example.test", &all[..2]).await;
    rig.send("bob@example.test", &all[2..3]).await;
    rig.send("bob@example.test", &all[3..]).await;
    // No server was asked: DNS is out, which is no attempt.
    rig.send("bob@example.test", &["x@broken.test"]).await;
    let left = rig
        .until(|items| items.len() == 1 && items[0].attempts == 1 && !items[0].leased)
        .await;
    assert_eq!(&*left[0].destination.0, "broken.test");
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 3);
    for (recipient, text) in [
        ("slow@remote.test", "450 4.2.0 greylisted"),
        ("a@closed.test", "one attempt is made for this domain"),
        ("b@closed.test", "one attempt is made for this domain"),
    ] {
        let told = |message: &&String| message.contains(recipient) && message.contains(text);
        assert!(inbox.iter().any(|message| told(&message)), "{recipient}");
        let tried =
            |message: &&String| message.contains(recipient) && message.contains("not tried");
        assert!(!inbox.iter().any(|message| tried(&message)), "{recipient}");
    }
}

#[tokio::test]
async fn a_serial_transport_has_one_connection_and_one_message_on_it() {
    const MESSAGES: usize = 12;
    let gate = Arc::new(Semaphore::new(0));
    let script = || Script {
        gate: Some(gate.clone()),
        ..Script::default()
    };
    let (mut serial, mut usual) = (Sink::start(script()).await, Sink::start(script()).await);
    let mut plan = plan(serial.addr.port());
    plan.outbound.concurrency_per_destination = 4;
    plan.outbound.transports = TransportRules::new(vec![
        TransportRule {
            serial: true,
            ..rule("remote.test")
        },
        TransportRule {
            next_hop: Some(hop(&usual)),
            ..rule("usual.test")
        },
    ]);
    let mut rig = Rig::start(plan.clone(), zone()).await;
    let one = |address: &str| message(&plan, "bob@example.test", &[address]);
    let all = |address: &str| (0..MESSAGES).map(|_| one(address)).collect();
    rig.queue(all("carol@remote.test")).await;
    rig.queue(all("carol@usual.test")).await;
    // The other one has as many as it may have before anything is answered.
    for _ in 0..4 {
        usual.connection().await;
    }
    serial.connection().await;
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    for _ in 0..MESSAGES {
        serial.message().await;
        usual.message().await;
    }
    rig.until_empty().await;
    assert_eq!((serial.most(), serial.connections()), (1, 1));
    assert!(usual.most() > 1, "{}", usual.most());
    // What is kept idle is that one connection.
    rig.send("bob@example.test", &["dave@remote.test"]).await;
    serial.message().await;
    rig.until_empty().await;
    assert_eq!(serial.connections(), 1);
}
