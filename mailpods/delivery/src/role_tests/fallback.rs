//! The fallback relay takes what no mail exchanger takes for now, and nothing else.

use std::time::Duration;

use mailpods_net::dns::fixed::Zone;
use mailpods_plan::{HopTls, NextHop, Plan};
use mailpods_policy::outbound::life::Order;
use mailpods_policy::outbound::suspension::{Most, Rules, Verdicts};
use mailpods_policy::outbound::tls::{Minimum, Wish};
use mailpods_store::queue::{Origin, QueueItem};
use mailpods_store::suspension::all;
use mailpods_store::trace::TraceQuery;

use super::protection::{Case, Shown, send, waits};
use super::remote::zone;
use crate::Clock as _;
use crate::testing::{Rig, Script, Sink, Tls, World, message, name, outbound_ip, plan, web};

fn relay(sink: &Sink, tls: HopTls) -> NextHop {
    NextHop {
        host: "127.0.0.1".to_owned(),
        port: sink.addr.port(),
        tls,
        lmtp: false,
        auth: None,
    }
}

/// Exchangers at a port, and a relay.
fn with_relay(port: u16, sink: &Sink) -> Plan {
    let mut plan = plan(port);
    plan.outbound.fallback_relay = Some(relay(sink, HopTls::None));
    plan
}

fn rules(rules: Vec<(&'static str, &'static str)>) -> Script {
    Script {
        rules,
        ..Script::default()
    }
}

/// A port that nobody listens at.
async fn closed() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn what_exchangers_do_not_take_for_now_goes_to_the_relay_at_once() {
    for script in [
        rules(vec![("RCPT", "450 4.2.0 greylisted")]),
        rules(vec![("MAIL", "421 4.3.2 shutting down")]),
        rules(vec![("MAIL", "")]),
        rules(vec![("DATA", "451 4.3.0 not now")]),
        Script {
            after_body: "452 4.3.1 no room",
            ..Script::default()
        },
        Script {
            greeting: "554 5.3.2 not now",
            ..Script::default()
        },
        Script {
            greeting: "what?",
            ..Script::default()
        },
    ] {
        let exchanger = Sink::start(script).await;
        let mut sink = Sink::start(Script::default()).await;
        let plan = with_relay(exchanger.addr.port(), &sink);
        let mut rig = Rig::start(plan, zone()).await;
        rig.send("bob@example.test", &["carol@remote.test"]).await;
        assert!(sink.message().await.has("RCPT TO:<carol@remote.test>"));
        rig.until_empty().await;
        assert_eq!(exchanger.connections(), 1);
    }
}

#[tokio::test]
async fn exchangers_out_of_reach_are_passed_by_for_a_while() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = Rig::start(with_relay(closed().await, &sink), zone()).await;
    for address in ["one@remote.test", "two@remote.test", "three@remote.test"] {
        rig.send("bob@example.test", &[address]).await;
        let received = sink.message().await;
        assert!(received.has(&format!("RCPT TO:<{address}>")));
    }
    rig.until_empty().await;
    assert_eq!(sink.connections(), 1, "in the lane of the relay");
    assert!(rig.mailbox("bob@example.test", "INBOX").await.is_empty());
}

#[tokio::test]
async fn each_recipient_goes_its_own_way() {
    let exchanger = Sink::start(rules(vec![
        ("RCPT TO:<bad@", "550 5.1.1 no such user"),
        ("RCPT TO:<slow@", "450 4.2.0 greylisted"),
    ]))
    .await;
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = Rig::start(with_relay(exchanger.addr.port(), &sink), zone()).await;
    let recipients = ["bad@remote.test", "good@remote.test", "slow@remote.test"];
    rig.send("bob@example.test", &recipients).await;
    let received = sink.message().await;
    assert!(received.has("RCPT TO:<slow@remote.test>"), "{received:?}");
    let count = received.commands.iter();
    let count = count.filter(|line| line.starts_with("RCPT")).count();
    assert_eq!(
        count, 1,
        "nothing that is refused or delivered: {received:?}"
    );
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(inbox.len() == 1 && inbox[0].contains("bad@remote.test"));
}

#[tokio::test]
async fn what_is_refused_for_good_and_what_has_no_domain_is_not_the_relays() {
    let exchanger = Sink::start(rules(vec![("RCPT", "550 5.1.1 no such user")])).await;
    let sink = Sink::start(Script::default()).await;
    let names = "remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1\nnull.test MX 0 .\nbroken.test FAIL servfail";
    let zone = Zone::parse(names).unwrap();
    let mut rig = Rig::start(with_relay(exchanger.addr.port(), &sink), zone).await;
    for domain in ["remote.test", "null.test", "missing.test", "broken.test"] {
        rig.send("bob@example.test", &[&format!("a@{domain}")])
            .await;
    }
    // Nobody knows what a domain asks for whose records cannot be looked up.
    let left = rig
        .until(|items| items.len() == 1 && items[0].attempts == 1 && !items[0].leased)
        .await;
    assert_eq!(&*left[0].destination.0, "broken.test");
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 3);
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn a_message_that_a_server_may_have_is_given_to_no_other() {
    for after_body in ["", "what?"] {
        let mut exchanger = Sink::start(Script {
            after_body,
            ..Script::default()
        })
        .await;
        let sink = Sink::start(Script::default()).await;
        let mut plan = with_relay(exchanger.addr.port(), &sink);
        plan.outbound.timeouts.data_end = Duration::from_millis(200);
        let mut rig = Rig::start(plan, zone()).await;
        rig.send("bob@example.test", &["carol@remote.test"]).await;
        exchanger.message().await;
        rig.until_tried(1).await;
        assert_eq!(sink.connections(), 0, "{after_body:?}");
    }
}

#[tokio::test]
async fn a_young_message_waits_for_its_exchangers() {
    let exchanger = Sink::start(rules(vec![("RCPT", "450 4.2.0 greylisted")])).await;
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = with_relay(exchanger.addr.port(), &sink);
    plan.outbound.fallback_after = Duration::from_secs(1800);
    let mut rig = Rig::start(plan, zone()).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    rig.until_tried(1).await;
    rig.pass(Duration::from_secs(1799)).await;
    rig.until_tried(2).await;
    assert_eq!(sink.connections(), 0);
    rig.pass(Duration::from_secs(1)).await;
    sink.message().await;
    rig.until_empty().await;
}

#[tokio::test]
async fn what_is_old_enough_does_not_wait_behind_younger_mail() {
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = with_relay(closed().await, &sink);
    plan.outbound.fallback_after = Duration::from_secs(1800);
    let mut rig = Rig::start(plan, zone()).await;
    rig.send("bob@example.test", &["old@remote.test"]).await;
    rig.until_tried(1).await;
    // The exchangers are known to be out of reach for a minute of the machine's clock, whatever the test's says. The younger message wakes.
    rig.clock.advance(Duration::from_secs(1800));
    let mut young = message(
        &rig.plan.current(),
        "bob@example.test",
        &["young@remote.test"],
    );
    young.created = rig.clock.now();
    rig.queue(vec![young]).await;
    assert!(sink.message().await.has("RCPT TO:<old@remote.test>"));
    // The younger one waits, and was not tried.
    let waits = |item: &QueueItem| item.attempts == 0 && item.class.is_some() && !item.leased;
    rig.until(|items| items.len() == 1 && waits(&items[0]))
        .await;
    assert_eq!(sink.connections(), 1);
}

#[tokio::test]
async fn the_relay_may_refuse_too() {
    let exchanger = Sink::start(rules(vec![("RCPT", "450 4.2.0 greylisted")])).await;
    let answers = vec![
        ("RCPT TO:<later@", "451 4.7.1 relay is busy"),
        ("RCPT TO:<never@", "554 5.7.1 relay says no"),
    ];
    let sink = Sink::start(rules(answers)).await;
    let mut rig = Rig::start(with_relay(exchanger.addr.port(), &sink), zone()).await;
    let recipients = ["later@remote.test", "never@remote.test"];
    rig.send("bob@example.test", &recipients).await;
    let left = rig.until_tried(1).await;
    assert_eq!(left[0].recipients.len(), 1);
    let error = left[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("relay is busy"), "{error}");
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(inbox.len() == 1 && inbox[0].contains("relay says no"));
}

#[tokio::test]
async fn what_must_be_protected_goes_to_a_relay_that_proves_its_name_alone() {
    // The exchanger offers no TLS, which the administrator asks for.
    let exchanger = Sink::start(Script::default()).await;
    let pem =
        mailpods_net::tls::self_signed(&["127.0.0.1".to_owned()], std::time::SystemTime::now(), 30)
            .unwrap();
    let identity = mailpods_net::tls::ServerIdentity::from_pem(
        pem.chain.as_bytes(),
        pem.key.as_bytes(),
        mailpods_net::tls::MinimumVersion::Tls12,
    );
    let mut sink = Sink::start(Script {
        tls: Tls::Good(mailpods_net::TlsServer::new(identity.unwrap())),
        ..Script::default()
    })
    .await;
    let mut plan = plan(exchanger.addr.port());
    let destinations = &mut plan.outbound.tls.destinations;
    destinations.insert(name("remote.test"), Minimum::Encrypt);
    for tls in [HopTls::None, HopTls::Opportunistic] {
        plan.outbound.fallback_relay = Some(relay(&sink, tls));
        let mut rig = Rig::start(plan.clone(), zone()).await;
        rig.send("bob@example.test", &["carol@remote.test"]).await;
        rig.until_tried(1).await;
        assert_eq!(sink.connections(), 0, "{tls:?}");
    }
    plan.outbound.fallback_relay = Some(relay(&sink, HopTls::Verify));
    let world = World {
        roots: pem.chain.clone(),
        ..World::of(zone())
    };
    let mut rig = Rig::start_in(plan, world).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    assert!(sink.message().await.tls);
    rig.until_empty().await;
}

#[tokio::test]
async fn an_enforced_policy_is_not_evaded_by_the_relay() {
    let sink = Sink::start(Script::default()).await;
    let policy = web::policy("enforce", "mx.remote.test", 86_400);
    let with = |plan: &mut Plan| plan.outbound.fallback_relay = Some(relay(&sink, HopTls::None));
    let mut case = Case::sts(Shown::Stripped, policy, with).await;
    send(&case.rig, Wish::Usual).await;
    let error = waits(&mut case.rig, 1).await;
    assert!(error.contains("offers no TLS"), "{error}");
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn a_relay_out_of_reach_keeps_no_mail_from_the_exchangers() {
    // Without PIPELINING no DATA follows a recipient that is refused.
    let script = Script {
        rules: vec![("RCPT TO:<old@", "450 4.2.0 greylisted")],
        extensions: vec!["8BITMIME"],
        ..Script::default()
    };
    let mut exchanger = Sink::start(script).await;
    let mut plan = plan(exchanger.addr.port());
    plan.outbound.fallback_after = Duration::from_secs(1800);
    plan.outbound.fallback_relay = Some(NextHop {
        host: "127.0.0.1".to_owned(),
        port: closed().await,
        tls: HopTls::None,
        lmtp: false,
        auth: None,
    });
    let mut rig = Rig::start(plan, zone()).await;
    rig.send("bob@example.test", &["old@remote.test"]).await;
    rig.until_tried(1).await;
    rig.pass(Duration::from_secs(1800)).await;
    let left = rig.until_tried(2).await;
    let error = left[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("refused"), "the relay is asked: {error}");
    let mut young = message(
        &rig.plan.current(),
        "bob@example.test",
        &["young@remote.test"],
    );
    young.created = rig.clock.now();
    rig.queue(vec![young]).await;
    assert!(exchanger.message().await.has("RCPT TO:<young@remote.test>"));
}

#[tokio::test]
async fn the_trace_tells_what_exchangers_said_before_and_from_where() {
    let exchanger = Sink::start(rules(vec![("RCPT", "450 4.2.0 greylisted")])).await;
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = with_relay(exchanger.addr.port(), &sink);
    let ip = outbound_ip("one", "127.0.0.1");
    plan.outbound_ips.insert("one".to_owned(), ip);
    let mut rig = Rig::start(plan, zone()).await;
    rig.order("one", &Order::Activate).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    sink.message().await;
    rig.until_empty().await;
    let query = TraceQuery::Recipient("carol@remote.test".to_owned());
    let events = rig.store.trace.events(&query, 0, 10).await.unwrap();
    let told: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event.peer.as_str(), event.text.as_str()))
        .collect();
    let [(exchanger, refused), (relay, taken)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!((*exchanger, *relay), ("mx.remote.test", "127.0.0.1"));
    let from = "from one (127.0.0.1): ";
    assert!(
        refused.contains(&format!("{from}450 4.2.0 greylisted")),
        "{refused}"
    );
    assert!(taken.starts_with(&format!("{from}250 ")), "{taken}");
}

#[tokio::test]
async fn what_exchangers_were_asked_counts_though_the_relay_has_no_address() {
    let unknown = "450 4.1.1 no such user";
    let exchanger = Sink::start(rules(vec![("RCPT", unknown)])).await;
    let sink = Sink::start(Script::default()).await;
    let mut plan = with_relay(exchanger.addr.port(), &sink);
    if let Some(relay) = plan.outbound.fallback_relay.as_mut() {
        relay.host = "relay.hop.test".to_owned();
    }
    let off = Most {
        most: 0,
        within: Duration::from_secs(86_400),
    };
    plan.outbound.suspension = Some(Rules {
        burst: off,
        verdicts: Verdicts {
            refusals: 2,
            percent: 50,
            within: off.within,
        },
        complaints: off,
        length: Duration::ZERO,
    });
    plan.outbound.retry_initial = Duration::from_secs(300);
    let ip = outbound_ip("one", "127.0.0.1");
    plan.outbound_ips.insert("one".to_owned(), ip);
    let names =
        "remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1\nrelay.hop.test A 127.0.0.1";
    let mut rig = Rig::start(plan, Zone::parse(names).unwrap()).await;
    rig.order("one", &Order::Activate).await;
    let rest = Order::Rest {
        provider: Some("hop.test".to_owned()),
        until: rig.clock.now() + 86_400_000,
    };
    rig.order("one", &rest).await;
    let mut new = message(
        &rig.plan.current(),
        "bob@example.test",
        &["gone@remote.test"],
    );
    new.origin = Origin::Submission("bob@example.test".to_owned());
    rig.queue(vec![new]).await;
    for attempts in 1..=4 {
        let left = rig.until_tried(attempts).await;
        assert_eq!(left[0].class.as_deref(), Some("held-back"));
        let wait = left[0].next_attempt - rig.clock.now();
        assert!(
            wait >= 240_000,
            "exchangers are asked by the schedule: {wait}"
        );
        rig.pass(Duration::from_secs(60)).await;
    }
    rig.until_tried(5).await;
    assert_eq!(sink.connections(), 0);
    // One refusal, however often it is tried again.
    let suspended = all(rig.store.secrets.as_ref()).await.unwrap();
    assert!(suspended.0.is_empty(), "{suspended:?}");
}

#[tokio::test]
async fn mail_that_is_not_tried_has_no_attempt_and_no_address() {
    let mut plan = plan(closed().await);
    plan.outbound.concurrency_per_destination = 1;
    plan.outbound.retry_initial = Duration::from_secs(300);
    let ip = outbound_ip("one", "127.0.0.1");
    plan.outbound_ips.insert("one".to_owned(), ip);
    let mut rig = Rig::start(plan, zone()).await;
    rig.order("one", &Order::Activate).await;
    let both = ["a@remote.test", "b@remote.test"];
    let both = both.map(|to| message(&rig.plan.current(), "bob@example.test", &[to]));
    rig.queue(both.into()).await;
    let left = rig
        .until(|items| {
            items
                .iter()
                .all(|item| item.class.is_some() && !item.leased)
        })
        .await;
    let mut attempts: Vec<u32> = left.iter().map(|item| item.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 1], "{left:?}");
    let mut texts = Vec::new();
    for to in ["a@remote.test", "b@remote.test"] {
        let query = TraceQuery::Recipient(to.to_owned());
        let events = rig.store.trace.events(&query, 0, 10).await.unwrap();
        texts.extend(events.into_iter().map(|event| event.text));
    }
    let (skipped, tried): (Vec<String>, Vec<String>) = texts
        .into_iter()
        .partition(|text| text.contains("not tried now"));
    assert!(
        skipped.len() == 1 && !skipped[0].contains("from one"),
        "{skipped:?}"
    );
    assert!(
        tried.len() == 1 && tried[0].contains("from one"),
        "{tried:?}"
    );
    let skipped = left.iter().find(|item| item.attempts == 0).unwrap();
    let wait = skipped.next_attempt - rig.clock.now();
    assert!((240_000..=360_000).contains(&wait), "{wait}");
}
