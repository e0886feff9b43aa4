//! Accounts that may not send.

use std::time::Duration;

use mailpods_policy::outbound::suspension::{Added, Cause, Most, Rules, Suspension, Verdicts};
use mailpods_store::queue::{NewMessage, Origin, QueueFilter};
use mailpods_store::suspension::{Guard, all, release, suspend};

use super::remote::zone;
use crate::Clock as _;
use crate::testing::{Closed, Rig, Script, Sink, message, plan};

const ALICE: &str = "alice@example.test";
const LIMIT: Duration = Duration::from_secs(30);

fn rules(length: Duration) -> Rules {
    let off = Most {
        most: 0,
        within: Duration::from_secs(600),
    };
    Rules {
        burst: off,
        verdicts: Verdicts {
            refusals: 3,
            percent: 50,
            within: Duration::from_secs(600),
        },
        complaints: off,
        length,
    }
}

fn by_alice(rig: &Rig, to: &[&str]) -> NewMessage {
    let mut new = message(&rig.plan.current(), ALICE, to);
    new.origin = Origin::Submission(ALICE.to_owned());
    new
}

/// Asks until it is so.
pub(super) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            match ask().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let found = tokio::time::timeout(LIMIT, wait).await;
    found.unwrap_or_else(|_| panic!("never came: {what}"))
}

async fn suspended(rig: &Rig) -> Option<Suspension> {
    let all = all(rig.store.secrets.as_ref()).await.unwrap();
    all.of(ALICE, rig.clock.now()).cloned()
}

/// Units of alice that are held, once there are so many.
async fn until_held(rig: &Rig, count: usize) {
    eventually("held units", async || {
        let filter = QueueFilter {
            account: Some(ALICE.to_owned()),
            ..QueueFilter::default()
        };
        let items = rig.store.queue.list(&filter, None, 100).await.unwrap();
        let held = items.iter().filter(|item| item.suspended && !item.leased);
        (held.count() == count).then_some(())
    })
    .await;
}

async fn notices(rig: &Rig, account: &str, count: usize) -> Vec<String> {
    eventually("notices", async || {
        let inbox = rig.mailbox(account, "INBOX").await;
        let subject = format!("Subject: {ALICE} may not send mail");
        let notices = inbox.into_iter().filter(|text| text.contains(&subject));
        let notices: Vec<String> = notices.collect();
        (notices.len() >= count).then_some(notices)
    })
    .await
}

#[tokio::test]
async fn refusals_suspend_an_account_and_its_mail_waits_for_the_release() {
    let mut sink = Sink::start(Script {
        rules: vec![("RCPT TO:<gone", "550 5.1.1 no such user")],
        // Without pipelining nothing is sent for nobody.
        extensions: vec!["8BITMIME", "DSN"],
        ..Script::default()
    })
    .await;
    let mut plan = plan(sink.addr.port());
    plan.outbound.suspension = Some(rules(Duration::ZERO));
    let rig = Rig::start(plan, zone()).await;
    let to = [
        "gone1@remote.test",
        "gone2@remote.test",
        "gone3@remote.test",
    ];
    rig.queue(vec![by_alice(&rig, &to)]).await;
    let found = eventually("a suspension", async || suspended(&rig).await).await;
    assert_eq!(found.cause, Cause::Verdicts);
    assert!(
        found.text.starts_with("3 of 3 answers within 10m"),
        "{}",
        found.text
    );
    // What comes now, to others and to mailboxes here, is held; others send.
    rig.queue(vec![
        by_alice(&rig, &["there@remote.test"]),
        by_alice(&rig, &["bob@example.test"]),
        message(
            &rig.plan.current(),
            "bob@example.test",
            &["of-bob@remote.test"],
        ),
    ])
    .await;
    until_held(&rig, 2).await;
    assert!(sink.message().await.has("RCPT TO:<of-bob@remote.test>"));
    assert!(rig.mailbox("bob@example.test", "INBOX").await.is_empty());
    let told = notices(&rig, ALICE, 1).await;
    assert!(
        told[0].contains("Auto-Submitted: auto-generated") && told[0].contains("verdicts: 3 of 3"),
        "{}",
        told[0]
    );
    let told = notices(&rig, "postmaster@example.test", 1).await;
    assert!(told[0].contains("suspension release"), "{}", told[0]);
    let now = rig.clock.now();
    assert!(release(&rig.store, ALICE, now).await.unwrap());
    assert!(sink.message().await.has("RCPT TO:<there@remote.test>"));
    eventually("local mail", async || {
        let inbox = rig.mailbox("bob@example.test", "INBOX").await;
        (inbox.len() == 1).then_some(())
    })
    .await;
    for account in [ALICE, "postmaster@example.test"] {
        assert_eq!(notices(&rig, account, 1).await.len(), 1, "told once");
    }
    // What was counted counts no more: one refusal is none too many.
    rig.queue(vec![by_alice(
        &rig,
        &["gone1@remote.test", "there@remote.test"],
    )])
    .await;
    assert!(sink.message().await.has("RCPT TO:<there@remote.test>"));
    assert!(suspended(&rig).await.is_none());
}

#[tokio::test]
async fn a_suspension_ends_by_itself_and_is_forgotten() {
    let mut sink = Sink::start(Script::default()).await;
    let rig = Rig::start(plan(sink.addr.port()), zone()).await;
    let hour = Duration::from_secs(3_600);
    let new = Suspension::new(Cause::ByHand, "a test".to_owned(), rig.clock.now(), hour);
    assert_eq!(suspend(&rig.store, ALICE, new).await.unwrap(), Added::New);
    // A process knows of it within a second.
    notices(&rig, ALICE, 1).await;
    rig.queue(vec![by_alice(&rig, &["there@remote.test"])])
        .await;
    until_held(&rig, 1).await;
    rig.clock.advance(hour);
    assert!(sink.message().await.has("RCPT TO:<there@remote.test>"));
    rig.clock.advance(hour);
    eventually("nothing kept", async || {
        let all = all(rig.store.secrets.as_ref()).await.unwrap();
        all.0.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_suspended_stays_so_while_the_store_does_not_answer() {
    let sink = Sink::start(Script::default()).await;
    let rig = Rig::start(plan(sink.addr.port()), zone()).await;
    let now = rig.clock.now();
    let new = Suspension::new(Cause::ByHand, "a test".to_owned(), now, Duration::ZERO);
    assert_eq!(suspend(&rig.store, ALICE, new).await.unwrap(), Added::New);
    let secrets = Closed::new(rig.store.secrets.clone(), None);
    let guard = Guard::default();
    assert!(
        guard
            .current(secrets.as_ref())
            .await
            .of(ALICE, now)
            .is_some()
    );
    secrets.set(Some("outbound/suspended"));
    guard.forget().await;
    assert!(
        guard
            .current(secrets.as_ref())
            .await
            .of(ALICE, now)
            .is_some()
    );
}
