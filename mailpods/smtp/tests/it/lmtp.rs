//! LMTP.

use mailpods_api::{Allowance, Octets};
use mailpods_plan::{OverQuota, Protocol, QuotaRules};
use mailpods_store::queue::Origin;

use crate::world::World;

#[tokio::test]
async fn each_recipient_has_a_status() {
    let world = World::with(|plan| {
        let dave = plan
            .mailboxes
            .get_mut(&crate::fixture::address("dave@example.test"))
            .unwrap();
        std::sync::Arc::make_mut(dave).quota.octets = Some(10);
    })
    .await;
    let mut peer = world.dial(Protocol::Lmtp, "192.0.2.1");
    peer.expect("220").await;
    peer.ask("LHLO relay.test", "250").await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
    peer.ask("RCPT TO:<nobody@example.test>", "550 5.1.1").await;
    peer.ask("RCPT TO:<x@elsewhere.test>", "550 5.7.1").await;
    peer.ask("RCPT TO:<dave@example.test>", "250").await;
    peer.ask("DATA", "354").await;
    peer.ask(
        "Subject: longer than the quota\r\n\r\nhi\r\n.",
        "250 2.0.0 queued as",
    )
    .await;
    peer.expect("552 5.2.2").await;
    let queue = world.queue().await;
    assert_eq!(queue[0].recipients.len(), 1);
    assert_eq!(queue[0].message.origin, Origin::Lmtp);
    assert!(world.body(&queue[0]).await.contains("with LMTP\r\n"));
    assert!(world.filter.asked.lock().unwrap().is_empty());
    peer.ask("MAIL FROM:<>", "250").await;
    peer.ask("RCPT TO:<dave@example.test>", "250").await;
    peer.ask("DATA", "354").await;
    peer.ask("Subject: longer than the quota\r\n\r\nhi\r\n.", "552 5.2.2")
        .await;
    assert_eq!(world.queue().await.len(), 1);
}

#[tokio::test]
async fn each_recipient_has_a_reason_where_none_is_left() {
    let world = World::with(|plan| {
        let address = crate::fixture::address("dave@example.test");
        let dave = plan.mailboxes.get_mut(&address).unwrap();
        std::sync::Arc::make_mut(dave).quota.octets = Some(10);
        // The others' mailboxes have no quota but this.
        let name = address.domain().clone();
        let mut domain = (*plan.domains[&name]).clone();
        domain.quota.octets = Some(20);
        plan.domains.insert(name, domain.into());
    })
    .await;
    let mut peer = world.dial(Protocol::Lmtp, "192.0.2.1");
    peer.expect("220").await;
    peer.ask("LHLO relay.test", "250").await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    peer.ask("RCPT TO:<dave@example.test>", "250").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
    peer.ask("DATA", "354").await;
    let text = "Subject: longer than either quota\r\n\r\nhi\r\n.";
    peer.ask(text, "552 5.2.2 the message is larger").await;
    peer.expect("452 4.2.2 the mailboxes of the domain").await;
    assert!(world.queue().await.is_empty());
}

/// The fields that are added in front count as they do in the mailbox.
#[tokio::test]
async fn what_fits_only_without_its_trace_fields_is_refused() {
    let world = World::with(|plan| {
        let dave = plan
            .mailboxes
            .get_mut(&crate::fixture::address("dave@example.test"))
            .unwrap();
        std::sync::Arc::make_mut(dave).quota.octets = Some(100);
    })
    .await;
    let mut peer = world.dial(Protocol::Lmtp, "192.0.2.1");
    peer.expect("220").await;
    peer.ask("LHLO relay.test", "250").await;
    for others in [&[][..], &["bob"]] {
        peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
        peer.ask("RCPT TO:<dave@example.test>", "250").await;
        for other in others {
            peer.ask(&format!("RCPT TO:<{other}@example.test>"), "250")
                .await;
        }
        peer.ask("DATA", "354").await;
        peer.ask("Subject: a\r\n\r\nhi\r\n.", "552 5.2.2").await;
        for _ in others {
            peer.expect("250 2.0.0 queued as").await;
        }
    }
    let queue = world.queue().await;
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].recipients.len(), 1);
    assert_eq!(queue[0].recipients[0].address, "bob@example.test");
}

#[tokio::test]
async fn the_grace_counts_and_what_is_beyond_is_told_for_each_recipient() {
    let world = World::with(|plan| {
        plan.smtp.over_quota = OverQuota::Reject;
        let dave = plan
            .mailboxes
            .get_mut(&crate::fixture::address("dave@example.test"))
            .unwrap();
        std::sync::Arc::make_mut(dave).quota = QuotaRules {
            octets: Some(1_000),
            grace: Some(Allowance::Octets(Octets(1_000))),
            ..QuotaRules::default()
        };
    })
    .await;
    let mut peer = world.dial(Protocol::Lmtp, "192.0.2.1");
    peer.expect("220").await;
    peer.ask("LHLO relay.test", "250").await;
    for (lines, answer) in [(150, "250 2.0.0 queued as"), (500, "552 5.2.2")] {
        let text = format!("Subject: a\r\n\r\n{}.", "line\r\n".repeat(lines));
        peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
        peer.ask("RCPT TO:<bob@example.test>", "250").await;
        peer.ask("RCPT TO:<dave@example.test>", "250").await;
        peer.ask("DATA", "354").await;
        peer.ask(&text, "250 2.0.0 queued as").await;
        peer.expect(answer).await;
    }
}

#[tokio::test]
async fn a_domain_that_is_full_takes_nothing_for_any_mailbox() {
    let world = World::with(|plan| {
        plan.smtp.over_quota = OverQuota::Reject;
        let name = crate::fixture::address("bob@example.test").domain().clone();
        let mut domain = (*plan.domains[&name]).clone();
        domain.quota.octets = Some(0);
        plan.domains.insert(name, domain.into());
    })
    .await;
    let mut peer = world.dial(Protocol::Lmtp, "192.0.2.1");
    peer.expect("220").await;
    peer.ask("LHLO relay.test", "250").await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    for recipient in ["bob", "dave"] {
        let rcpt = format!("RCPT TO:<{recipient}@example.test>");
        peer.ask(&rcpt, "552 5.2.2").await;
    }
}
