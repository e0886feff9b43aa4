use std::time::Duration;

use mailpods_dkim::{Algorithm, PrivateKey};
use mailpods_net::dns::fixed::Zone;
use mailpods_plan::{DkimAlgorithm, DkimKey, Domain, HopTls, NextHop, Plan, SecretText};
use mailpods_store::queue::{BodyType, Notify, Origin};

use crate::testing::{Rig, Script, Sink, Tls, message, name, plan, relay};

pub(super) fn zone() -> Zone {
    Zone::parse("remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1").unwrap()
}

fn hop(sink: &Sink) -> NextHop {
    NextHop {
        host: "127.0.0.1".to_owned(),
        port: sink.addr.port(),
        tls: HopTls::None,
        lmtp: false,
        auth: None,
    }
}

async fn rig(sink: &Sink) -> Rig {
    Rig::start(plan(sink.addr.port()), zone()).await
}

#[tokio::test]
async fn mail_goes_to_the_exchanger_with_its_parameters() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = rig(&sink).await;
    let mut asked = message(
        &rig.plan.current(),
        "bob@example.test",
        &["Carol@remote.test"],
    );
    asked.recipients[0].notify = Notify {
        given: true,
        success: true,
        ..Notify::default()
    };
    asked.recipients[0].orcpt = Some("rfc822;c+d@remote.test".to_owned());
    asked.envelope.envid = Some("e=1".to_owned());
    asked.envelope.body_type = BodyType::EightBit;
    rig.queue(vec![asked]).await;
    let received = sink.message().await;
    assert!(received.has("EHLO mx.example.test"));
    let mail = received
        .commands
        .iter()
        .find(|line| line.starts_with("MAIL"))
        .unwrap();
    assert!(
        mail.starts_with("MAIL FROM:<bob@example.test> SIZE=")
            && mail.contains("BODY=8BITMIME")
            && mail.contains("ENVID=e+3D1"),
        "{mail}"
    );
    assert!(
        received.has("RCPT TO:<Carol@remote.test> NOTIFY=SUCCESS ORCPT=rfc822;c+2Bd@remote.test"),
        "{:?}",
        received.commands
    );
    assert!(
        received.body.ends_with("hello\r\n.dot\r\n"),
        "{}",
        received.body
    );
    rig.until_empty().await;
    assert!(
        rig.mailbox("bob@example.test", "INBOX").await.is_empty(),
        "the next server reports itself"
    );
}

#[tokio::test]
async fn a_server_without_dsn_makes_us_report_the_relay() {
    let mut sink = Sink::start(Script {
        extensions: vec![],
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    let mut asked = message(
        &rig.plan.current(),
        "bob@example.test",
        &["carol@remote.test"],
    );
    asked.recipients[0].notify = Notify {
        given: true,
        success: true,
        ..Notify::default()
    };
    rig.queue(vec![asked]).await;
    sink.message().await;
    rig.until_empty().await;
    assert!(rig.mailbox("bob@example.test", "INBOX").await[0].contains("Action: relayed"));
}

#[tokio::test]
async fn each_recipient_has_its_own_fate() {
    let rules = vec![
        ("RCPT TO:<bad@", "550 5.1.1 no such user"),
        ("RCPT TO:<slow@", "450 4.2.0 greylisted"),
    ];
    let mut sink = Sink::start(Script {
        rules,
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    rig.send(
        "bob@example.test",
        &["bad@remote.test", "good@remote.test", "slow@remote.test"],
    )
    .await;
    sink.message().await;
    let left = rig
        .until(|items| items.len() == 1 && items[0].attempts == 1 && !items[0].leased)
        .await;
    assert_eq!(left[0].recipients.len(), 1);
    assert_eq!(left[0].recipients[0].address, "slow@remote.test");
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    for text in [
        "Final-Recipient: rfc822;bad@remote.test",
        "Remote-MTA: dns;mx.remote.test",
        "smtp; 550 5.1.1 no such user",
    ] {
        assert!(inbox[0].contains(text), "{text} is not in {}", inbox[0]);
    }
}

#[tokio::test]
async fn a_delay_is_told_once_and_then_given_up() {
    let rules = vec![("RCPT", "450 4.2.0 try later")];
    let sink = Sink::start(Script {
        rules,
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    rig.until_tried(1).await;
    assert!(rig.mailbox("bob@example.test", "INBOX").await.is_empty());
    for attempts in 2..=3 {
        rig.pass(Duration::from_secs(5 * 3600)).await;
        rig.until(|items| items.len() == 1 && items[0].attempts == attempts && !items[0].leased)
            .await;
    }
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].contains("Action: delayed") && inbox[0].contains("Will-Retry-Until:"));
    rig.pass(Duration::from_secs(5 * 86_400)).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 2);
    assert!(inbox[1].contains("Action: failed") && inbox[1].contains("450 4.2.0 try later"));
}

#[tokio::test]
async fn names_decide_between_waiting_and_returning() {
    let text = "null.test MX 0 .\nbroken.test FAIL servfail\nself.test MX 10 mx.example.test\nnoaddress.test MX 10 nothing.test\nnothing.test TXT \"x\"";
    let mut rig = Rig::start(plan(1), Zone::parse(text).unwrap()).await;
    let recipients = [
        "a@null.test",
        "a@missing.test",
        "a@self.test",
        "a@noaddress.test",
        "a@broken.test",
    ];
    for recipient in recipients {
        rig.send("bob@example.test", &[recipient]).await;
    }
    let left = rig
        .until(|items| items.len() == 1 && items[0].attempts == 1 && !items[0].leased)
        .await;
    assert_eq!(&*left[0].destination.0, "broken.test");
    let inbox = rig.mailbox("bob@example.test", "INBOX").await.join("");
    for status in ["5.1.10", "5.1.2", "5.4.6", "5.4.4"] {
        assert!(
            inbox.contains(&format!("Status: {status}")),
            "{status} is not in {inbox}"
        );
    }
}

#[tokio::test]
async fn the_next_exchanger_takes_what_the_first_cannot() {
    let refusing = Sink::start(Script {
        greeting: "554 5.3.2 not now",
        ..Script::default()
    })
    .await;
    let port = refusing.addr.port();
    let mut taking = Sink::bind(&format!("127.0.0.3:{port}"), Script::default()).await;
    let zone = Zone::parse(
        "remote.test MX 5 closed.test\nremote.test MX 10 refusing.test\nremote.test MX 20 taking.test\nclosed.test A 127.0.0.2\n\
         refusing.test A 127.0.0.1\ntaking.test A 127.0.0.3",
    );
    let mut rig = Rig::start(plan(port), zone.unwrap()).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    taking.message().await;
    rig.until_empty().await;
    assert_eq!(refusing.connections(), 1);
}

#[tokio::test]
async fn tls_is_used_where_it_works_and_left_where_it_does_not() {
    let mut good = Sink::start(Script {
        tls: Tls::good("mx.remote.test"),
        ..Script::default()
    })
    .await;
    let mut rig_good = rig(&good).await;
    rig_good
        .send("bob@example.test", &["carol@remote.test"])
        .await;
    assert!(good.message().await.tls);
    rig_good.until_empty().await;

    let mut broken = Sink::start(Script {
        tls: Tls::Broken,
        ..Script::default()
    })
    .await;
    let mut rig_broken = rig(&broken).await;
    rig_broken
        .send("bob@example.test", &["carol@remote.test"])
        .await;
    assert!(!broken.message().await.tls);
    rig_broken.until_empty().await;
    assert_eq!(broken.connections(), 2);
}

#[tokio::test]
async fn a_hop_that_must_verify_gets_no_mail_over_a_bad_certificate() {
    let sink = Sink::start(Script {
        tls: Tls::good("localhost"),
        ..Script::default()
    })
    .await;
    let mut plan = plan(1);
    relay(
        &mut plan,
        "inside.test",
        NextHop {
            tls: HopTls::Verify,
            ..hop(&sink)
        },
    );
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("bob@example.test", &["x@inside.test"]).await;
    let left = rig.until_tried(1).await;
    assert!(
        left[0]
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("certificate")),
        "{left:?}"
    );
}

#[tokio::test]
async fn one_connection_serves_many_messages_until_the_server_closes_it() {
    let mut sink = Sink::start(Script {
        messages: 3,
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    let messages = (0..6)
        .map(|_| {
            message(
                &rig.plan.current(),
                "bob@example.test",
                &["carol@remote.test"],
            )
        })
        .collect();
    rig.queue(messages).await;
    for _ in 0..6 {
        sink.message().await;
    }
    rig.until_empty().await;
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn the_smart_host_gets_everything_after_a_log_in() {
    let rules = vec![
        ("AUTH PLAIN AHVzZXIAcGFzcw==", "235 2.7.0 welcome"),
        ("AUTH", "535 5.7.8 no"),
    ];
    let mut sink = Sink::start(Script {
        extensions: vec!["AUTH PLAIN LOGIN"],
        rules,
        ..Script::default()
    })
    .await;
    let mut plan = plan(1);
    let auth = Some(("user".to_owned(), SecretText::new("pass".to_owned())));
    plan.outbound.smart_host = Some(NextHop { auth, ..hop(&sink) });
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send(
        "bob@example.test",
        &["carol@remote.test", "dave@other.test"],
    )
    .await;
    assert!(sink.message().await.has("AUTH PLAIN"));
    sink.message().await;
    rig.until_empty().await;
    assert_eq!(
        sink.connections(),
        1,
        "domains behind one smart host share its connection"
    );
}

#[tokio::test]
async fn lmtp_tells_each_recipient_apart() {
    let script = Script {
        after_body: "250 2.1.5 delivered\r\n552 5.2.2 full",
        ..Script::default()
    };
    let mut sink = Sink::start(script).await;
    let mut plan = plan(1);
    relay(
        &mut plan,
        "inside.test",
        NextHop {
            lmtp: true,
            ..hop(&sink)
        },
    );
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("bob@example.test", &["one@inside.test", "two@inside.test"])
        .await;
    assert!(sink.message().await.has("LHLO"));
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(
        inbox[0].contains("two@inside.test") && !inbox[0].contains("one@inside.test"),
        "{}",
        inbox[0]
    );
}

#[tokio::test]
async fn utf8_that_the_server_does_not_know_comes_back() {
    let sink = Sink::start(Script::default()).await;
    let mut rig = rig(&sink).await;
    let mut utf8 = message(
        &rig.plan.current(),
        "bob@example.test",
        &["jürgen@remote.test"],
    );
    utf8.envelope.smtputf8 = true;
    rig.queue(vec![utf8]).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(
        inbox[0].contains("Status: 5.6.7") && inbox[0].contains("utf-8;jürgen@remote.test"),
        "{}",
        inbox[0]
    );
}

pub(super) fn with_keys(plan: &mut Plan) {
    let old = plan.names.get(&name("example.test")).unwrap().clone();
    let key = |selector: &str, algorithm| DkimKey {
        selector: selector.parse().unwrap(),
        algorithm,
        private_key: None,
    };
    let dkim = vec![
        key("ed", DkimAlgorithm::Ed25519Sha256),
        key("lost", DkimAlgorithm::RsaSha256),
    ];
    let domain = std::sync::Arc::new(Domain {
        dkim,
        ..(*old).clone()
    });
    plan.domains.insert(domain.name.clone(), domain.clone());
    plan.names.insert(domain.name.clone(), domain);
}

#[tokio::test]
async fn what_a_person_sends_is_signed() {
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = plan(sink.addr.port());
    with_keys(&mut plan);
    let mut rig = Rig::start(plan, zone()).await;
    let pem =
        PrivateKey::generate(Algorithm::Ed25519Sha256, &ring::rand::SystemRandom::new()).unwrap();
    rig.store
        .secrets
        .put_secret("dkim/example.test/ed", pem.as_bytes().to_vec().into())
        .await
        .unwrap();

    let mut own = message(
        &rig.plan.current(),
        "bob@example.test",
        &["carol@remote.test"],
    );
    own.origin = Origin::Submission("bob@example.test".to_owned());
    rig.queue(vec![own]).await;
    let received = sink.message().await;
    assert!(
        received
            .body
            .starts_with("DKIM-Signature: v=1; a=ed25519-sha256;"),
        "{}",
        received.body
    );
    assert!(
        received.body.contains("d=example.test; s=ed;")
            && received.body.matches("DKIM-Signature").count() == 1
    );

    rig.until_empty().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_leaves_the_message_to_the_next() {
    for rule in [("MAIL", "421 4.3.2 shutting down"), ("MAIL", "")] {
        let going = Sink::start(Script {
            rules: vec![rule],
            ..Script::default()
        })
        .await;
        let port = going.addr.port();
        let mut taking = Sink::bind(&format!("127.0.0.3:{port}"), Script::default()).await;
        let zone = "remote.test MX 10 going.test\nremote.test MX 20 taking.test\ngoing.test A 127.0.0.1\ntaking.test A 127.0.0.3";
        let mut rig = Rig::start(plan(port), Zone::parse(zone).unwrap()).await;
        rig.send("bob@example.test", &["carol@remote.test"]).await;
        taking.message().await;
        rig.until_empty().await;
        assert_eq!(going.connections(), 1);
    }
}

#[tokio::test]
async fn what_a_server_says_as_it_hangs_up_is_understood() {
    let sink = Sink::start(Script {
        rules: vec![("MAIL", "421 4.7.0 too many messages, slow down")],
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    let left = rig.until_tried(1).await;
    assert_eq!(left[0].class.as_deref(), Some("rate"));
}

#[tokio::test]
async fn an_address_literal_needs_no_name() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = Rig::start(plan(sink.addr.port()), Zone::new()).await;
    rig.send("bob@example.test", &["carol@[127.0.0.1]"]).await;
    assert!(sink.message().await.has("RCPT TO:<carol@[127.0.0.1]>"));
    rig.until_empty().await;
}

#[tokio::test]
async fn many_recipients_go_in_transactions_of_a_hundred() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = rig(&sink).await;
    let addresses: Vec<String> = (0..150)
        .map(|number| format!("u{number}@remote.test"))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    rig.send("bob@example.test", &addresses).await;
    let counts = [sink.message().await, sink.message().await];
    let counts = counts.map(|message| {
        message
            .commands
            .iter()
            .filter(|line| line.starts_with("RCPT"))
            .count()
    });
    assert_eq!(counts, [100, 50]);
    rig.until_empty().await;
    assert_eq!(sink.connections(), 1);
}

#[tokio::test]
async fn an_order_for_an_address_outlasts_a_restart() {
    use mailpods_policy::outbound::life::Order;

    use crate::ips::kept;
    let sink = Sink::start(Script::default()).await;
    let mut with_ip = plan(sink.addr.port());
    let ip = mailpods_plan::OutboundIp {
        name: "one".to_owned(),
        address: "127.0.0.1".parse().unwrap(),
        hostname: name("out.example.test"),
        sending: true,
        pool: "default".to_owned(),
        weight: 1,
        warm_up: None,
        attachment: mailpods_plan::Attachment::Host,
    };
    with_ip.outbound_ips.insert("one".to_owned(), ip);
    let rig = Rig::start(with_ip.clone(), zone()).await;
    let until = crate::Clock::now(rig.clock.as_ref()) + 3_600_000;
    let order = Order::Rest {
        provider: None,
        until,
    };
    let secrets = rig.store.secrets.clone();
    kept::give(secrets.as_ref(), "one", &order).await.unwrap();
    let obeyed = async {
        while kept::order(secrets.as_ref(), "one")
            .await
            .unwrap()
            .is_some()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), obeyed)
        .await
        .expect("nobody takes the order");
    let (store, dir) = rig.stop(false).await;
    let life = kept::life(secrets.as_ref(), &with_ip.outbound_ips["one"])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(life.rested_until, Some(until));
    let mut rig = Rig::on(store, dir, with_ip, zone());
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    let left = rig.until_held_back().await;
    assert!(
        left[0]
            .last_error
            .as_deref()
            .unwrap_or_default()
            .contains("no outbound address may send"),
        "{left:?}"
    );
    let why = left[0].last_error.as_deref().unwrap_or_default();
    assert!(why.contains("one of pool default rests until "), "{why}");
    assert!(
        left[0].next_attempt < until,
        "looks whether the rest ends early"
    );
    rig.pass(Duration::from_secs(3_601)).await;
    rig.until_empty().await;
}

#[tokio::test]
async fn mail_to_and_from_a_domain_on_hold_waits_for_its_plan() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = rig(&sink).await;
    let mut held = (*rig.plan.current()).clone();
    held.held = mailpods_plan::Held {
        domains: [name("held.test")].into(),
        ..Default::default()
    }
    .into();
    rig.plan.swap(held);
    rig.send("bob@held.test", &["carol@remote.test"]).await;
    rig.send("x@remote.test", &["carol@held.test"]).await;
    let waiting = rig.until_tried(1).await;
    assert_eq!(waiting.len(), 2);
    for item in waiting {
        let error = item.last_error.unwrap_or_default();
        assert!(error.contains("on hold"), "{error}");
    }
    // Mended: what would have gone out unsigned, or come back, is on its way.
    rig.plan.swap(plan(sink.addr.port()));
    rig.pass(Duration::from_secs(60)).await;
    let received = sink.message().await;
    assert!(received.has("MAIL FROM:<bob@held.test>"), "{received:?}");
}
