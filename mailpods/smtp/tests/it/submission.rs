//! Submission.

use mailpods_plan::{Protocol, RateLimits};
use mailpods_store::queue::Origin;

use crate::world::{World, plain};

const FROM_ALICE: &str = "From: Alice <alice@example.test>\r\nTo: x@elsewhere.test\r\nBcc: secret@elsewhere.test\r\n\r\nhi";

#[tokio::test]
async fn nothing_without_tls_and_log_in() {
    let world = World::new().await;
    let mut peer = world.dial(Protocol::Submission, "198.51.100.7");
    peer.expect("220").await;
    let offered = peer.ask("EHLO laptop.test", "250").await;
    assert!(
        offered.contains("STARTTLS") && !offered.contains("AUTH"),
        "{offered}"
    );
    peer.ask(
        &format!("AUTH PLAIN {}", plain("alice@example.test", "quickstart")),
        "530 5.7.0",
    )
    .await;
    peer.ask("MAIL FROM:<alice@example.test>", "530 5.7.0")
        .await;
    peer.start_tls().await;
    let offered = peer.ask("EHLO laptop.test", "250").await;
    assert!(
        offered.contains("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"),
        "{offered}"
    );
    peer.ask("MAIL FROM:<alice@example.test>", "530 5.7.0")
        .await;
    peer.ask(
        &format!("AUTH PLAIN {}", plain("alice@example.test", "wrong")),
        "535 5.7.8",
    )
    .await;
    peer.ask(
        &format!("AUTH PLAIN {}", plain("carol@example.test", "quickstart")),
        "535 5.7.8",
    )
    .await;
    peer.ask("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    peer.ask("*", "501 5.7.0").await;
    peer.ask(
        &format!("AUTH PLAIN {}", plain("alice@example.test", "quickstart")),
        "235 2.7.0",
    )
    .await;
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
}

#[tokio::test]
async fn a_recipient_that_does_not_exist_is_refused_to_the_domain_that_has_tried() {
    use mailpods_store::suppression::{Suppressed, suppress};
    let world = World::with(|plan| {
        plan.outbound.suppression = Some(mailpods_plan::Suppression {
            hard_bounces: std::time::Duration::from_secs(86_400),
            complaints: std::time::Duration::from_secs(86_400),
        });
    })
    .await;
    let secrets = world.store.secrets.as_ref();
    let entry = |until| Suppressed {
        since: 0,
        until,
        why: Default::default(),
        reply: "550 5.1.1 no such user\r\nhere".to_owned(),
    };
    for (sender, recipient, until) in [
        ("bob@example.test", "gone@elsewhere.test", i64::MAX),
        ("bob@example.test", "back@elsewhere.test", 1),
        ("x@other.test", "there@elsewhere.test", i64::MAX),
    ] {
        let kept = suppress(secrets, sender, recipient, entry(until)).await;
        kept.unwrap();
    }
    let mut peer = world.submit("alice@example.test").await;
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
    let refused = peer.ask("RCPT TO:<Gone@elsewhere.test>", "550 5.1.1").await;
    assert!(
        refused.contains("its server said before: 550 5.1.1 no such user  here"),
        "{refused}"
    );
    // One whose time is over, and what another sender domain has met.
    peer.ask("RCPT TO:<back@elsewhere.test>", "250").await;
    peer.ask("RCPT TO:<there@elsewhere.test>", "250").await;
    assert!(world.reasons().contains(&"suppressed-recipient"));
    // What cannot be read is no reason to take mail that would be refused, nor to refuse it for good.
    let broken = zeroize::Zeroizing::new(b"no entry".to_vec());
    let name = "suppressed/example.test/odd@elsewhere.test";
    secrets.put_secret(name, broken).await.unwrap();
    peer.ask("RCPT TO:<odd@elsewhere.test>", "451").await;
}

#[tokio::test]
async fn without_the_setting_nobody_is_refused_for_what_was_said_before() {
    use mailpods_store::suppression::{Suppressed, suppress};
    let world = World::new().await;
    let entry = Suppressed {
        since: 0,
        until: i64::MAX,
        why: Default::default(),
        reply: "550 no".to_owned(),
    };
    let secrets = world.store.secrets.as_ref();
    let kept = suppress(secrets, "bob@example.test", "gone@elsewhere.test", entry).await;
    kept.unwrap();
    let mut peer = world.submit("alice@example.test").await;
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
    peer.ask("RCPT TO:<gone@elsewhere.test>", "250").await;
}

#[tokio::test]
async fn a_message_is_mended_and_does_not_tell_where_it_came_from() {
    let world = World::new().await;
    let mut peer = world.submit("alice@example.test").await;
    peer.send(
        "alice@example.test",
        &["x@elsewhere.test", "bob@example.test"],
        FROM_ALICE,
        "250",
    )
    .await;
    let queue = world.queue().await;
    let mut destinations: Vec<&str> = queue.iter().map(|item| &*item.destination.0).collect();
    destinations.sort_unstable();
    assert_eq!(destinations, ["elsewhere.test", "local"]);
    assert_eq!(
        queue[0].message.origin,
        Origin::Submission("alice@example.test".into())
    );
    let body = world.body(&queue[0]).await;
    assert!(
        !body.contains("198.51.100.7") && !body.contains("laptop"),
        "{body}"
    );
    assert!(!body.contains("Bcc") && !body.contains("secret@"), "{body}");
    assert!(
        body.contains("\r\nReceived: by mx.example.test (Mailpods) with ESMTPSA\r\n"),
        "{body}"
    );
    assert!(body.contains("\r\n\t(header mended)\r\n"), "{body}");
    assert!(
        body.contains("\r\nDate: ") && body.contains("\r\nMessage-ID: <"),
        "{body}"
    );
    let asked = world.filter.asked.lock().unwrap();
    assert_eq!(
        asked[0].authenticated.as_deref(),
        Some("alice@example.test")
    );
}

#[tokio::test]
async fn sender_and_from_belong_to_the_log_in() {
    let world = World::new().await;
    let mut peer = world.submit("alice@alias.test").await;
    for own in [
        "alice@example.test",
        "alice@alias.test",
        "alice+tag@example.test",
        "sales@example.test",
    ] {
        peer.ask(&format!("MAIL FROM:<{own}>"), "250").await;
        peer.ask("RSET", "250").await;
    }
    for foreign in [
        "bob@example.test",
        "alice@elsewhere.test",
        "alice@[192.0.2.1]",
    ] {
        peer.ask(&format!("MAIL FROM:<{foreign}>"), "550 5.7.1")
            .await;
    }
    let forged = FROM_ALICE.replace("alice@", "bob@");
    peer.send(
        "alice@example.test",
        &["x@elsewhere.test"],
        &forged,
        "550 5.7.1",
    )
    .await;
    let two = FROM_ALICE.replace(
        "Alice <alice@example.test>",
        "alice@example.test, bob@example.test",
    );
    peer.send(
        "alice@example.test",
        &["x@elsewhere.test"],
        &two,
        "554 5.6.0",
    )
    .await;
    peer.send(
        "alice@example.test",
        &["x@elsewhere.test"],
        "Subject: x\r\n\r\nno From",
        "554 5.6.0",
    )
    .await;
    let aliased = FROM_ALICE.replace("alice@example.test", "sales@alias.test");
    peer.send("", &["x@elsewhere.test"], &aliased, "250").await;
    let reasons = world.reasons();
    let owned = ["sender-not-owned"; 3].into_iter();
    let wanted: Vec<&str> = owned
        .chain([
            "from-not-owned",
            "malformed-header",
            "malformed-header",
            "accepted",
        ])
        .collect();
    let decided: Vec<&str> = reasons
        .into_iter()
        .filter(|reason| *reason != "logged-in")
        .collect();
    assert_eq!(decided, wanted);
}

#[tokio::test]
async fn whose_a_held_address_is_will_be_known_again() {
    let world = World::new().await;
    let mut peer = world.submit("alice@example.test").await;
    peer.ask("MAIL FROM:<me@held.test>", "451 4.3.5").await;
    let held = FROM_ALICE.replace("alice@example.test", "me@held.test");
    peer.send("", &["x@elsewhere.test"], &held, "451 4.3.5")
        .await;
}

#[tokio::test]
async fn recipients_are_fully_qualified() {
    let world = World::new().await;
    let mut peer = world.submit("alice@example.test").await;
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
    peer.ask("RCPT TO:<root@localhost>", "554 5.1.2").await;
    peer.ask("RCPT TO:<root>", "501 5.1.3").await;
    peer.ask("RCPT TO:<root@elsewhere.test>", "250").await;
    assert_eq!(world.reasons().last(), Some(&"no-such-domain"));
}

#[tokio::test]
async fn limits_count_messages_and_recipients_apart() {
    let world = World::with(|plan| {
        plan.submission.account = RateLimits {
            messages_per_hour: Some(2),
            ..RateLimits::default()
        };
        plan.submission.domain = RateLimits {
            recipients_per_day: Some(4),
            ..RateLimits::default()
        };
    })
    .await;
    let mut alice = world.submit("alice@example.test").await;
    let to = ["x@elsewhere.test", "y@elsewhere.test"];
    let refused = FROM_ALICE.replace("From", "Subject");
    alice.send("alice@example.test", &to, &refused, "554").await;
    alice
        .send("alice@example.test", &to, FROM_ALICE, "250")
        .await;
    alice
        .send("alice@example.test", &to[..1], FROM_ALICE, "250")
        .await;
    let reply = alice
        .send("alice@example.test", &to[..1], FROM_ALICE, "450 4.7.1")
        .await;
    assert!(
        reply.contains("messages/hour/account/alice@example.test"),
        "{reply}"
    );
    let mut bob = world.submit("bob@example.test").await;
    let from_bob = FROM_ALICE.replace("alice@", "bob@");
    let reply = bob
        .send("bob@example.test", &to, &from_bob, "450 4.7.1")
        .await;
    assert!(
        reply.contains("recipients/day/domain/example.test"),
        "{reply}"
    );
    bob.send("bob@example.test", &to[..1], &from_bob, "250")
        .await;
}

#[tokio::test]
async fn implicit_tls_greets_under_tls() {
    let world = World::new().await;
    let mut peer = world.dial(Protocol::Submissions, "198.51.100.7");
    peer.tls().await;
    peer.expect("220").await;
    let offered = peer.ask("EHLO laptop.test", "250").await;
    assert!(
        offered.contains("AUTH") && !offered.contains("STARTTLS"),
        "{offered}"
    );
}
