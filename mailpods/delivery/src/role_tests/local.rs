use std::time::Duration;

use mailpods_api::{Grantee, Rights};
use mailpods_net::dns::fixed::Zone;
use mailpods_plan::OverQuota;
use mailpods_policy::Reason;
use mailpods_store::acl::AclChange;
use mailpods_store::queue::{Notify, QueueAction};

use crate::testing::{Rig, Script, Sink, address, message, plan, with_mailbox};

#[tokio::test]
async fn one_copy_reaches_a_mailbox_that_several_recipients_lead_to() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    rig.send(
        "sender@remote.test",
        &["info@example.test", "Alice+tag@alias.test"],
    )
    .await;
    rig.until_empty().await;
    let inbox = rig.mailbox("alice@example.test", "INBOX").await;
    let wanted = "Return-Path: <sender@remote.test>\r\nDelivered-To: alice@example.test\r\nX-Original-To: info@example.test\r\nFrom:";
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].starts_with(wanted), "{}", inbox[0]);
    assert!(inbox[0].ends_with("\r\n\r\nhello\r\n.dot\r\n"));
}

#[tokio::test]
async fn plus_addresses_lead_into_mailboxes_where_posting_is_allowed() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    let mail = rig.store.mail.clone();
    let account = mail.account(&address("alice@example.test")).await.unwrap();
    let work = mail
        .create_mailbox(account, "Work/Lists", None)
        .await
        .unwrap();
    let change = AclChange::Set(Rights::POST);
    mail.change_acl(work, Grantee::Anyone, false, change)
        .await
        .unwrap();
    rig.send("s@remote.test", &["alice+work/lists@example.test"])
        .await;
    rig.send("s@remote.test", &["alice+work@example.test"])
        .await;
    rig.send("s@remote.test", &["alice+nothing@example.test"])
        .await;
    rig.until_empty().await;
    assert_eq!(
        rig.mailbox("alice@example.test", "Work/Lists").await.len(),
        1
    );
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 2);
    let taken = AclChange::Set(Rights::POST);
    mail.change_acl(work, Grantee::Anyone, true, taken)
        .await
        .unwrap();
    rig.send("s@remote.test", &["alice+work/lists@example.test"])
        .await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 3);
}

#[tokio::test]
async fn a_batch_is_delivered() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    let messages = (0..300)
        .map(|_| message(&rig.plan.current(), "s@remote.test", &["bob@example.test"]))
        .collect();
    rig.queue(messages).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 300);
}

#[tokio::test]
async fn junk_goes_to_its_mailbox() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    let mut junk = message(&rig.plan.current(), "s@remote.test", &["bob@example.test"]);
    junk.junk = true;
    rig.queue(vec![junk]).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("bob@example.test", "Junk").await.len(), 1);
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 0);
}

#[tokio::test]
async fn what_cannot_be_delivered_comes_back_in_one_notification() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    let recipients = [
        "nobody@example.test",
        "gone@example.test",
        "alice@example.test",
    ];
    rig.send("bob@example.test", &recipients).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 1);
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].starts_with("Return-Path: <>\r\n"));
    for text in [
        "Status: 5.1.1",
        "Status: 5.2.1",
        "Final-Recipient: rfc822;nobody@example.test",
        "Subject: a test",
    ] {
        assert!(inbox[0].contains(text), "{text} is not in {}", inbox[0]);
    }
    assert!(!inbox[0].contains("alice@example.test") && !inbox[0].contains("\r\nhello\r\n"));
}

#[tokio::test]
async fn success_is_told_when_asked_for_and_failure_not_when_not() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    let mut asked = message(
        &rig.plan.current(),
        "bob@example.test",
        &["alice@example.test", "nobody@example.test"],
    );
    asked.recipients[0].notify = Notify {
        given: true,
        success: true,
        ..Notify::default()
    };
    asked.recipients[1].notify = Notify {
        given: true,
        ..Notify::default()
    };
    asked.envelope.envid = Some("env-1".to_owned());
    rig.queue(vec![asked]).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    assert!(
        inbox[0].contains("Action: delivered") && inbox[0].contains("Original-Envelope-Id: env-1"),
        "{}",
        inbox[0]
    );
}

#[tokio::test]
async fn an_alias_sends_on_with_a_mark_against_loops() {
    let mut sink = Sink::start(Script::default()).await;
    let zone = Zone::parse("remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1").unwrap();
    let mut rig = Rig::start(plan(sink.addr.port()), zone).await;
    rig.send(
        "sender@other.test",
        &["team@example.test", "away@example.test"],
    )
    .await;
    let received = sink.message().await;
    assert!(
        received
            .body
            .starts_with("Delivered-To: team@example.test\r\nFrom:"),
        "{}",
        received.body
    );
    assert!(received.has("MAIL FROM:<sender@other.test>"));
    assert!(
        received.has("RCPT TO:<carol@remote.test> ORCPT=rfc822;team@example.test"),
        "{:?}",
        received.commands
    );
    rig.until_empty().await;
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 1);
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 1);
    assert_eq!(sink.connections(), 1, "the same address got two copies");
}

#[tokio::test]
async fn a_full_mailbox_waits_and_the_others_get_their_copy_once() {
    let mut plan = plan(1);
    with_mailbox(&mut plan, "alice@example.test", true, Some(0));
    plan.aliases.insert(
        crate::testing::address("both@example.test"),
        vec![
            crate::testing::address("alice@example.test"),
            crate::testing::address("bob@example.test"),
        ],
    );
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("s@remote.test", &["both@example.test"]).await;
    let left = rig.until_tried(1).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].recipients[0].address, "alice@example.test");
    assert!(
        left[0]
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("full")),
        "{left:?}"
    );
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 1);

    let mut room = (*rig.plan.current()).clone();
    with_mailbox(&mut room, "alice@example.test", true, None);
    rig.plan.swap(room);
    rig.act(QueueAction::Retry).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 1);
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 1);
}

#[tokio::test]
async fn a_full_mailbox_bounces_when_the_plan_says_so() {
    let mut plan = plan(1);
    with_mailbox(&mut plan, "alice@example.test", true, Some(0));
    plan.smtp.over_quota = OverQuota::Reject;
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("bob@example.test", &["alice@example.test"]).await;
    rig.until_empty().await;
    assert!(rig.mailbox("bob@example.test", "INBOX").await[0].contains("Status: 5.2.2"));
}

#[tokio::test]
async fn what_can_never_fit_does_not_wait() {
    let mut plan = plan(1);
    let alice = plan.mailboxes.get_mut(&address("alice@example.test"));
    std::sync::Arc::make_mut(alice.unwrap()).quota.octets = Some(10);
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("bob@example.test", &["alice@example.test"]).await;
    rig.until_empty().await;
    let told = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(told[0].contains("Status: 5.2.2"), "{}", told[0]);
    assert!(
        told[0].contains("larger than all of mailbox"),
        "{}",
        told[0]
    );
}

#[tokio::test]
async fn a_domain_that_is_full_is_named_as_such() {
    let mut plan = plan(1);
    let name = mailpods_api::DomainName::parse("example.test").unwrap();
    let mut domain = (*plan.domains[&name]).clone();
    domain.quota.messages = Some(0);
    plan.domains.insert(name, std::sync::Arc::new(domain));
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("s@remote.test", &["alice@example.test"]).await;
    let left = rig.until_tried(1).await;
    let told = left[0].last_error.as_deref().unwrap();
    assert!(
        told.contains("mailboxes of example.test together are full"),
        "{told}"
    );
}

#[tokio::test]
async fn a_null_senders_failure_goes_to_the_postmaster_and_no_further() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    rig.send("", &["nobody@example.test"]).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("postmaster@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].contains("nobody@example.test"));

    let mut without = (*rig.plan.current()).clone();
    with_mailbox(&mut without, "postmaster@example.test", false, None);
    rig.plan.swap(without);
    rig.send("", &["nobody@example.test"]).await;
    rig.until_empty().await;
    assert_eq!(
        rig.mailbox("postmaster@example.test", "INBOX").await.len(),
        1
    );
}

#[tokio::test]
async fn an_operator_returns_mail_without_delivering_it() {
    let mut plan = plan(1);
    with_mailbox(&mut plan, "alice@example.test", true, Some(0));
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("bob@example.test", &["alice@example.test"]).await;
    rig.until_tried(1).await;
    rig.clock.advance(Duration::from_secs(1));
    rig.act(QueueAction::Bounce).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(inbox[0].contains("returned by an operator"), "{}", inbox[0]);
    assert_eq!(Reason::BouncedByOperator.as_str(), "bounced-by-operator");
}

#[tokio::test]
async fn a_full_mailbox_that_forwards_forwards_once() {
    let mut sink = Sink::start(Script::default()).await;
    let zone = Zone::parse("remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1").unwrap();
    let mut plan = plan(sink.addr.port());
    with_mailbox(&mut plan, "alice@example.test", true, Some(0));
    plan.aliases.insert(
        address("alice@example.test"),
        vec![address("alice@example.test"), address("carol@remote.test")],
    );
    let mut rig = Rig::start(plan, zone).await;
    rig.send("s@other.test", &["alice@example.test"]).await;
    sink.message().await;
    let left = rig.until_tried(1).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].recipients[0].address, "alice@example.test");

    let mut room = (*rig.plan.current()).clone();
    with_mailbox(&mut room, "alice@example.test", true, None);
    rig.plan.swap(room);
    rig.act(QueueAction::Retry).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 1);
    rig.send("s@other.test", &["away@example.test"]).await;
    let next = sink.message().await;
    assert!(
        next.body.starts_with("Delivered-To: away@example.test"),
        "a second copy was forwarded: {}",
        next.body
    );
}

#[tokio::test]
async fn a_postmaster_elsewhere_who_refuses_is_not_told_of_it() {
    let mut sink = Sink::start(Script {
        rules: vec![("RCPT TO:<refuses@", "550 5.7.1 no")],
        ..Script::default()
    })
    .await;
    let zone = Zone::parse("remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1").unwrap();
    let mut plan = plan(sink.addr.port());
    with_mailbox(&mut plan, "alice@example.test", true, Some(0));
    plan.smtp.over_quota = OverQuota::Reject;
    plan.aliases.insert(
        address("postmaster@example.test"),
        vec![
            address("bob@example.test"),
            address("alice@example.test"),
            address("refuses@remote.test"),
        ],
    );
    let mut rig = Rig::start(plan, zone).await;
    rig.send("", &["nobody@example.test"]).await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("bob@example.test", "INBOX").await.len(), 1);
    sink.connection().await;
}

#[tokio::test]
async fn a_postmaster_with_one_end_elsewhere_who_refuses_is_not_told_of_it() {
    let mut sink = Sink::start(Script {
        rules: vec![("RCPT TO:<refuses@", "550 5.7.1 no")],
        ..Script::default()
    })
    .await;
    let zone = Zone::parse("remote.test A 127.0.0.1").unwrap();
    let mut plan = plan(sink.addr.port());
    plan.aliases.insert(
        address("postmaster@example.test"),
        vec![address("refuses@remote.test")],
    );
    let mut rig = Rig::start(plan, zone).await;
    rig.send("", &["nobody@example.test"]).await;
    rig.until_empty().await;
    sink.connection().await;
}
