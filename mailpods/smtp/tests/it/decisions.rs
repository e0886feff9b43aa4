//! The decision at the end of data.

use mailpods_policy::Reason;
use mailpods_rpc::{Action, ScanError};

use crate::fixture;
use crate::world::{World, verdict};

const MESSAGE: &str = "Return-Path: <forged@x.test>\r\nSubject: x\r\n\r\n..dot";

#[tokio::test]
async fn what_is_accepted_is_in_the_queue_with_its_trace_fields() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    let reply = peer
        .send(
            "a@elsewhere.test",
            &["bob@example.test"],
            MESSAGE,
            "250 2.0.0 queued as ",
        )
        .await;
    let queue = world.queue().await;
    assert!(reply.contains(queue[0].message.id.as_str()));
    let body = world.body(&queue[0]).await;
    let (received, rest) = body.split_once("Subject").unwrap();
    assert!(
        received.starts_with(
            "Authentication-Results: mx.example.test; none\r\nReceived: from client.test ([192.0.2.1])\r\n\tby mx.example.test"
        ),
        "{received}"
    );
    assert!(received.contains(&format!(
        "with ESMTP\r\n\tid {}\r\n\tfor <bob@example.test>;",
        queue[0].message.id
    )));
    assert_eq!(rest, ": x\r\n\r\n.dot\r\n");
    assert_eq!(world.reasons(), ["accepted"]);
    let asked = world.filter.asked.lock().unwrap();
    assert_eq!(
        (asked[0].helo.as_str(), asked[0].mail_from.as_str()),
        ("client.test", "a@elsewhere.test")
    );
    assert!(
        asked[0]
            .message
            .as_ref()
            .unwrap()
            .starts_with(b"Return-Path")
    );
}

#[tokio::test]
async fn several_recipients_do_not_learn_of_each_other() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test", "alice@example.test"],
        MESSAGE,
        "250",
    )
    .await;
    let body = world.body(&world.queue().await[0]).await;
    assert!(!body.contains("bob@") && !body.contains("alice@"), "{body}");
}

#[tokio::test]
async fn the_verdict_decides() {
    let told = |action, reason, reply: Option<(u16, &str, &str)>| {
        let reply =
            reply.map(|(code, enhanced, text)| (code, enhanced.to_owned(), text.to_owned()));
        Ok(mailpods_rpc::Verdict {
            reply,
            ..verdict(action, reason)
        })
    };
    let table = [
        (
            told(
                Action::Reject,
                Reason::DmarcReject,
                Some((550, "5.7.1", "no")),
            ),
            "550 5.7.1 no",
        ),
        (
            told(Action::Reject, Reason::SpfFail, Some((550, "5.7.23", "no"))),
            "550 5.7.23 no",
        ),
        (told(Action::Reject, Reason::SpfFail, None), "550 5.7.1"),
        (
            told(
                Action::Defer,
                Reason::DnsTemporary,
                Some((451, "4.4.3", "later")),
            ),
            "451 4.4.3 later",
        ),
        (
            told(
                Action::Defer,
                Reason::DnsTemporary,
                Some((550, "5.7.1", "wrong")),
            ),
            "451 4.7.1",
        ),
        (
            Err(ScanError {
                reason: Reason::FilterUnavailable,
                text: "down".into(),
            }),
            "451 4.7.0",
        ),
        (told(Action::Junk, Reason::DmarcQuarantine, None), "250"),
    ];
    let world = World::new().await;
    let mut peer = world.mx().await;
    for (verdict, reply) in table {
        *world.filter.verdict.lock().unwrap() = Some(verdict);
        peer.send("a@elsewhere.test", &["bob@example.test"], MESSAGE, reply)
            .await;
    }
    let queue = world.queue().await;
    assert_eq!(queue.len(), 1);
    assert!(queue[0].message.junk);
    let wanted = [
        "dmarc-reject",
        "spf-fail",
        "spf-fail",
        "dns-temporary",
        "dns-temporary",
        "filter-unavailable",
        "dmarc-quarantine",
    ];
    assert_eq!(world.reasons(), wanted);
    let metrics = world.registry.encode().unwrap();
    assert!(
        metrics.contains(
            r#"mailpods_smtp_messages_total{action="reject",reason="spf-fail",service="smtp"} 2"#
        ),
        "{metrics}"
    );
}

#[tokio::test]
async fn junk_that_nobody_here_gets_is_refused() {
    let world = World::with(|plan| {
        let away = (
            fixture::address("away@example.test"),
            vec![fixture::address("out@elsewhere.test")],
        );
        plan.aliases.insert(away.0, away.1);
    })
    .await;
    *world.filter.verdict.lock().unwrap() =
        Some(Ok(verdict(Action::Junk, Reason::DmarcQuarantine)));
    let mut peer = world.mx().await;
    let sender = "a@elsewhere.test";
    let reply = peer
        .send(sender, &["away@example.test"], MESSAGE, "550 5.7.1")
        .await;
    assert!(reply.contains("dmarc-quarantine"), "{reply}");
    for taken in [
        &["away@example.test", "bob@example.test"][..],
        &["sales@example.test"],
        &["somebody@relayed.test"],
    ] {
        peer.send(sender, taken, MESSAGE, "250").await;
    }
    assert_eq!(world.reasons()[0], "spam-not-forwarded");
    assert_eq!(world.queue().await.len(), 3);
}

#[tokio::test]
async fn loops_are_cut() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    let hops = format!(
        "{}Subject: x\r\n\r\nhi",
        "Received: from a by b; c\r\n".repeat(6)
    );
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        &hops,
        "554 5.4.6",
    )
    .await;
    let seen = "Delivered-To: bob@example.test\r\n\r\nhi";
    peer.send(
        "a@elsewhere.test",
        &["bob+x@example.test"],
        seen,
        "554 5.4.6",
    )
    .await;
    peer.send("a@elsewhere.test", &["alice@example.test"], seen, "250")
        .await;
    assert_eq!(world.reasons(), ["mail-loop", "mail-loop", "accepted"]);
}

#[tokio::test]
async fn faults_of_the_body_have_their_reasons() {
    let world = World::with(|plan| plan.smtp.max_text_line = 100).await;
    let mut peer = world.mx().await;
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        "bare\nlf",
        "550 5.6.11",
    )
    .await;
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        &"x".repeat(99),
        "554 5.6.0",
    )
    .await;
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        &"x\r\n".repeat(40_000),
        "552 5.3.4",
    )
    .await;
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        "nul\0",
        "554 5.6.0",
    )
    .await;
    assert_eq!(
        world.reasons(),
        [
            "bare-newline",
            "line-too-long",
            "message-too-large",
            "nul-octet"
        ]
    );
    assert!(world.queue().await.is_empty());
}

#[tokio::test]
async fn a_client_may_be_exempt_from_the_rule_on_line_ends() {
    let world =
        World::with(|plan| plan.smtp.bare_newline_exempt = vec!["192.0.2.0/24".parse().unwrap()])
            .await;
    let mut peer = world.mx().await;
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        "Subject: x\n\nbare\n.\nlf",
        "250",
    )
    .await;
    let body = world.body(&world.queue().await[0]).await;
    assert!(
        body.ends_with("Subject: x\r\n\r\nbare\r\n.\r\nlf\r\n"),
        "{body}"
    );
}

#[tokio::test]
async fn no_250_without_the_store() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    world.sqlite.close().await.unwrap();
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        MESSAGE,
        "451 4.3.0",
    )
    .await;
    assert_eq!(world.reasons(), ["store-unavailable"]);
}

#[tokio::test]
async fn memory_is_bounded_over_all_sessions() {
    let world = World::with(|plan| plan.smtp.max_octets_in_flight = 20_000).await;
    let mut first = world.mx().await;
    first.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    first.ask("RCPT TO:<bob@example.test>", "250").await;
    first.ask("DATA", "354").await;
    let text = "x\r\n".repeat(5_000);
    first.say(&text).await;
    let mut second = world.mx().await;
    second
        .ask("MAIL FROM:<a@elsewhere.test> SIZE=90000", "250")
        .await;
    second.ask("RCPT TO:<bob@example.test>", "250").await;
    second.ask("DATA", "452 4.3.1").await;
    first.ask(&format!("{text}."), "452 4.3.1").await;
    first
        .send("a@elsewhere.test", &["bob@example.test"], MESSAGE, "250")
        .await;
    assert_eq!(
        world.reasons(),
        ["insufficient-storage", "insufficient-storage", "accepted"]
    );
}
