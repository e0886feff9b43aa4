//! What NOTIFY, RET and ORCPT lead to (RFC 3461 §5.2, §6.2).

use std::time::Duration;

use mailpods_net::dns::fixed::Zone;
use mailpods_store::NewBody;
use mailpods_store::queue::{NewMessage, Notify, Ret};

use crate::testing::{Rig, Script, Sink, message, plan};

const FAILURE: Notify = Notify {
    given: true,
    success: false,
    failure: true,
    delay: false,
};
const SUCCESS: Notify = Notify {
    given: true,
    success: true,
    failure: false,
    delay: false,
};

async fn rig(sink: &Sink) -> Rig {
    let zone = Zone::parse("remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1").unwrap();
    Rig::start(plan(sink.addr.port()), zone).await
}

/// A message from bob that asks for `notify`.
fn asked(rig: &Rig, recipient: &str, notify: Notify) -> NewMessage {
    let mut message = message(&rig.plan.current(), "bob@example.test", &[recipient]);
    message.recipients[0].notify = notify;
    message
}

#[tokio::test]
async fn failure_by_name_is_told() {
    let sink = Sink::start(Script {
        extensions: vec![],
        rules: vec![("RCPT", "550 5.1.1 no such user")],
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    rig.queue(vec![asked(&rig, "carol@remote.test", FAILURE)])
        .await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    assert!(
        inbox[0].contains("Action: failed") && inbox[0].contains("Status: 5.1.1"),
        "{}",
        inbox[0]
    );
}

#[tokio::test]
async fn who_asks_for_failure_hears_of_no_success() {
    let mut sink = Sink::start(Script {
        extensions: vec![],
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    for recipient in ["alice@example.test", "carol@remote.test"] {
        rig.queue(vec![asked(&rig, recipient, FAILURE)]).await;
    }
    sink.message().await;
    rig.until_empty().await;
    assert_eq!(rig.mailbox("alice@example.test", "INBOX").await.len(), 1);
    assert!(rig.mailbox("bob@example.test", "INBOX").await.is_empty());
}

#[tokio::test]
async fn who_asks_for_failure_hears_of_no_delay_but_of_the_end() {
    let sink = Sink::start(Script {
        rules: vec![("RCPT", "450 4.2.0 try later")],
        ..Script::default()
    })
    .await;
    let mut rig = rig(&sink).await;
    rig.queue(vec![asked(&rig, "carol@remote.test", FAILURE)])
        .await;
    rig.until_tried(1).await;
    for attempts in 2..=3 {
        rig.pass(Duration::from_secs(5 * 3600)).await;
        rig.until(|items| items.len() == 1 && items[0].attempts == attempts && !items[0].leased)
            .await;
    }
    assert!(rig.mailbox("bob@example.test", "INBOX").await.is_empty());
    rig.pass(Duration::from_secs(5 * 86_400)).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].contains("Action: failed"), "{}", inbox[0]);
}

#[tokio::test]
async fn full_gives_back_the_whole_message_only_when_it_failed() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    for (recipient, notify) in [
        ("alice@example.test", SUCCESS),
        ("nobody@example.test", FAILURE),
    ] {
        let mut asked = asked(&rig, recipient, notify);
        asked.envelope.ret = Some(Ret::Full);
        rig.queue(vec![asked]).await;
        rig.until_empty().await;
    }
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    let [delivered, failed] = inbox.as_slice() else {
        panic!("{inbox:?}");
    };
    assert!(
        delivered.contains("Action: delivered") && delivered.contains("Subject: a test"),
        "{delivered}"
    );
    assert!(!delivered.contains("\r\nhello\r\n"), "{delivered}");
    assert!(
        failed.contains("Action: failed") && failed.contains("\r\nhello\r\n"),
        "{failed}"
    );
}

#[tokio::test]
async fn an_alias_with_one_target_elsewhere_is_no_end() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = rig(&sink).await;
    let mut asked = asked(&rig, "away@example.test", SUCCESS);
    asked.envelope.ret = Some(Ret::Full);
    asked.envelope.envid = Some("env-1".to_owned());
    rig.queue(vec![asked]).await;
    let received = sink.message().await;
    assert!(
        received.has("RCPT TO:<carol@remote.test> NOTIFY=SUCCESS ORCPT=rfc822;away@example.test"),
        "{:?}",
        received.commands
    );
    let mail = received
        .commands
        .iter()
        .find(|line| line.starts_with("MAIL"));
    let mail = mail.unwrap();
    assert!(
        mail.contains("RET=FULL") && mail.contains("ENVID=env-1"),
        "{mail}"
    );
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(inbox.is_empty(), "the next server reports: {inbox:?}");
}

#[tokio::test]
async fn a_stranger_is_not_told_the_verdict_on_his_message() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = rig(&sink).await;
    let verdict = "X-Mailpods-Verdict: reason=accepted; action=accept\r\n";
    let whole = format!(
        "Authentication-Results: mx.example.test; spf=pass\r\n{verdict}Received: x\r\nSubject: a test\r\n\r\nhello\r\n"
    );
    for (sender, ret) in [
        ("carol@remote.test", Ret::Full),
        ("carol@remote.test", Ret::Hdrs),
        ("bob@example.test", Ret::Full),
    ] {
        let mut new = message(&rig.plan.current(), sender, &["nobody@example.test"]);
        new.envelope.ret = Some(ret);
        new.body = NewBody::Octets {
            slices: vec![whole.clone().into()],
            meta: None,
        };
        rig.queue(vec![new]).await;
        rig.until_empty().await;
    }
    for full in [true, false] {
        let told = sink.message().await.body;
        let rest = "spf=pass\r\nReceived: x\r\nSubject: a test\r\n";
        assert!(
            told.contains(rest) && !told.contains("X-Mailpods-Verdict"),
            "{told}"
        );
        assert_eq!(told.contains("\r\nhello\r\n"), full, "{told}");
    }
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(inbox.len() == 1 && inbox[0].contains(verdict), "{inbox:?}");
}
