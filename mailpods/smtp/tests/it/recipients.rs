//! What RCPT takes, and where it goes.

use mailpods_plan::OverQuota;
use mailpods_policy::outbound::tls::Wish;

use crate::world::World;

#[tokio::test]
async fn each_recipient_has_its_answer_and_reason() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    peer.ask("MAIL FROM:<someone@elsewhere.test>", "250").await;
    let table = [
        ("bob@example.test", "250 2.1.5", None),
        ("Bob+tag@ALIAS.test", "250 2.1.5", None),
        ("sales@alias.test", "250 2.1.5", None),
        ("Postmaster", "250 2.1.5", None),
        ("bob@EXAMPLE.test", "250 2.1.5", None),
        ("anyone@relayed.test", "250 2.1.5", None),
        (
            "nobody@example.test",
            "550 5.1.1",
            Some("unknown-recipient"),
        ),
        ("x@elsewhere.test", "550 5.7.1", Some("relay-denied")),
        ("x@[192.0.2.9]", "550 5.7.1", Some("relay-denied")),
        (
            "\"x@elsewhere.test\"@example.test",
            "550 5.1.1",
            Some("unknown-recipient"),
        ),
        (
            "x%elsewhere.test@example.test",
            "550 5.1.1",
            Some("unknown-recipient"),
        ),
        ("carol@example.test", "550 5.2.1", Some("mailbox-disabled")),
        ("dave@example.test", "452 4.2.2", Some("over-quota")),
        ("round@example.test", "451 4.4.6", Some("alias-loop")),
        ("erin@example.test", "451 4.3.5", Some("on-hold")),
        ("Erin+tag@alias.test", "451 4.3.5", Some("on-hold")),
        ("anyone@held.test", "451 4.3.5", Some("on-hold")),
        ("all@example.test", "451 4.3.5", Some("on-hold")),
        ("nowhere@example.test", "451 4.3.5", Some("on-hold")),
    ];
    for (recipient, reply, reason) in table {
        let before = world.reasons().len();
        peer.ask(&format!("RCPT TO:<{recipient}>"), reply).await;
        assert_eq!(world.reasons().get(before).copied(), reason, "{recipient}");
    }
    peer.ask("DATA", "354").await;
    peer.ask("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0 queued as ")
        .await;
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for item in world.queue().await {
        let addresses = item
            .recipients
            .iter()
            .map(|recipient| recipient.address.clone())
            .collect();
        found.push((item.destination.0.to_string(), addresses));
    }
    found.sort();
    let local = [
        "bob@example.test",
        "Bob+tag@alias.test",
        "sales@alias.test",
        "alice@example.test",
    ];
    assert_eq!(
        found[0],
        ("local".to_owned(), local.map(str::to_owned).to_vec())
    );
    assert_eq!(
        found[1],
        (
            "relayed.test".to_owned(),
            vec!["anyone@relayed.test".to_owned()]
        )
    );
}

#[tokio::test]
async fn over_quota_is_final_where_the_plan_says_so() {
    let world = World::with(|plan| plan.smtp.over_quota = OverQuota::Reject).await;
    let mut peer = world.mx().await;
    peer.ask("MAIL FROM:<>", "250").await;
    peer.ask("RCPT TO:<dave@example.test>", "552 5.2.2").await;
}

#[tokio::test]
async fn what_can_never_fit_is_refused_for_good() {
    let world = World::with(|plan| {
        let dave = plan
            .mailboxes
            .get_mut(&crate::fixture::address("dave@example.test"))
            .unwrap();
        std::sync::Arc::make_mut(dave).quota.octets = Some(20 << 10);
    })
    .await;
    let mut peer = world.mx().await;
    peer.ask("MAIL FROM:<a@elsewhere.test> SIZE=90000", "250")
        .await;
    peer.ask("RCPT TO:<dave@example.test>", "552 5.2.2").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
}

#[tokio::test]
async fn dsn_parameters_reach_the_queue() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    peer.ask(
        "MAIL FROM:<a@elsewhere.test> RET=HDRS ENVID=a+2Bb BODY=8BITMIME",
        "250",
    )
    .await;
    peer.ask(
        "RCPT TO:<bob@example.test> NOTIFY=NEVER ORCPT=rfc822;q+40x@y.test",
        "250",
    )
    .await;
    peer.ask("BDAT 4 LAST\r\nhi", "250").await;
    let queue = world.queue().await;
    assert_eq!(queue[0].message.envelope.envid.as_deref(), Some("a+b"));
    let recipient = &queue[0].recipients[0];
    assert_eq!(recipient.orcpt.as_deref(), Some("rfc822;q@x@y.test"));
    assert!(recipient.notify.given && !recipient.notify.failure);
}

#[tokio::test]
async fn what_a_sender_wants_of_tls_reaches_the_queue() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    peer.ask("MAIL FROM:<a@elsewhere.test> REQUIRETLS", "555")
        .await;
    peer.start_tls().await;
    let offered = peer.ask("EHLO client.test", "250").await;
    assert!(offered.contains("REQUIRETLS"), "{offered}");
    let message = |field: &str| format!("From: a@elsewhere.test\r\n{field}\r\nhi");
    for (option, field, wanted) in [
        (" REQUIRETLS", "TLS-Required: No\r\n", Wish::Required),
        ("", "tls-required:  no \r\n", Wish::Waived),
        ("", "TLS-Required: Maybe\r\n", Wish::Usual),
        ("", "", Wish::Usual),
    ] {
        peer.ask(&format!("MAIL FROM:<a@elsewhere.test>{option}"), "250")
            .await;
        peer.ask("RCPT TO:<bob@example.test>", "250").await;
        let message = message(field);
        peer.ask(
            &format!("BDAT {} LAST\r\n{message}", message.len() + 2),
            "250",
        )
        .await;
        let queue = world.queue().await;
        let queued = queue.iter().max_by_key(|item| item.unit.0).unwrap();
        assert_eq!(queued.message.envelope.tls, wanted, "{option} {field}");
    }
}
