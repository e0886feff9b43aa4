//! Complaints about what left from here.

use std::time::Duration;

use mailpods_dkim::{Algorithm, PrivateKey};
use mailpods_policy::Reason;
use mailpods_policy::outbound::suspension::{Cause, Most, Rules, Verdicts};
use mailpods_store::NewBody;
use mailpods_store::queue::{NewMessage, Origin};
use mailpods_store::suppression::{Entry, Why, list};
use mailpods_store::suspension::all;
use mailpods_store::trace::{Stage, TraceEvent, TraceQuery};

use super::remote::{with_keys, zone};
use super::suspended::eventually;
use crate::Clock as _;
use crate::testing::{Rig, Script, Sink, address, message, plan, with_mailbox};

const ALICE: &str = "alice@example.test";
const FBL: &str = "fbl@example.test";

async fn rig(sink: &Sink) -> Rig {
    let mut plan = plan(sink.addr.port());
    with_keys(&mut plan);
    with_mailbox(&mut plan, FBL, true, None);
    let day = Duration::from_secs(86_400);
    plan.outbound.complaints = Some(address(FBL));
    plan.outbound.suppression = Some(mailpods_plan::Suppression {
        hard_bounces: day,
        complaints: 365 * day,
    });
    plan.outbound.suspension = Some(Rules {
        burst: Most {
            most: 0,
            within: day,
        },
        verdicts: Verdicts {
            refusals: 0,
            percent: 1,
            within: day,
        },
        complaints: Most {
            most: 1,
            within: day,
        },
        length: Duration::ZERO,
    });
    let rig = Rig::start(plan, zone()).await;
    let key = PrivateKey::generate(Algorithm::Ed25519Sha256, &ring::rand::SystemRandom::new());
    let key = key.unwrap().as_bytes().to_vec().into();
    let secrets = rig.store.secrets.as_ref();
    secrets
        .put_secret("dkim/example.test/ed", key)
        .await
        .unwrap();
    rig
}

/// Sends a message of alice; it as the receiver has it.
async fn sent(rig: &Rig, sink: &mut Sink, to: &[&str], header: &str) -> String {
    let mut new = message(&rig.plan.current(), ALICE, to);
    new.origin = Origin::Submission(ALICE.to_owned());
    with_body(
        &mut new,
        &format!("From: <{ALICE}>\r\n{header}Subject: buy\r\n\r\nnow\r\n"),
    );
    let id = new.id.to_string();
    for recipient in to {
        rig.store.trace.record(TraceEvent {
            at: rig.clock.now(),
            id: id.clone(),
            stage: Stage::Accept,
            reason: Reason::Accepted.as_str(),
            sender: ALICE.to_owned(),
            recipient: (*recipient).to_owned(),
            peer: String::new(),
            text: String::new(),
        });
    }
    rig.queue(vec![new]).await;
    let received = sink.message().await.body;
    // What a recipient complains of later is in the trace by then.
    eventually("the trace", async || {
        let events = events(rig, &id).await;
        let relayed = events
            .iter()
            .filter(|event| event.reason == Reason::Relayed.as_str());
        (relayed.count() == to.len()).then_some(())
    })
    .await;
    received
}

fn with_body(new: &mut NewMessage, text: &str) {
    new.body = NewBody::Octets {
        slices: vec![text.to_owned().into()],
        meta: None,
    };
}

async fn events(rig: &Rig, id: &str) -> Vec<TraceEvent> {
    let query = TraceQuery::Any(id.to_owned());
    rig.store.trace.events(&query, 0, 1_000).await.unwrap()
}

/// A report of a provider about a message; once it is in the mailbox, what it does is done.
async fn report(rig: &Rig, original: &str, fields: &str) {
    let text = format!(
        "From: <fbl@provider.test>\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nspam\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
         Feedback-Type: abuse\r\nUser-Agent: Test/1\r\n{fields}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--b--\r\n"
    );
    let before = rig.mailbox(FBL, "INBOX").await.len();
    let mut new = message(&rig.plan.current(), "fbl@provider.test", &[FBL]);
    with_body(&mut new, &text);
    rig.queue(vec![new]).await;
    eventually("the report", async || {
        let inbox = rig.mailbox(FBL, "INBOX").await;
        (inbox.len() > before).then_some(())
    })
    .await;
}

async fn suppressed(rig: &Rig) -> Vec<Entry> {
    let now = rig.clock.now();
    list(rig.store.secrets.as_ref(), None, now).await.unwrap()
}

async fn is_suspended(rig: &Rig) -> bool {
    let all = all(rig.store.secrets.as_ref()).await.unwrap();
    let found = all.of(ALICE, rig.clock.now());
    found.is_some_and(|found| found.cause == Cause::Complaints)
}

#[tokio::test]
async fn who_complains_is_not_written_to_and_complaints_suspend() {
    let mut sink = Sink::start(Script::default()).await;
    let rig = rig(&sink).await;
    let first = sent(&rig, &mut sink, &["bob@remote.test"], "").await;
    assert!(first.contains("CFBL-Feedback-ID: "), "{first}");
    assert!(
        !first.contains("CFBL-Address") && !first.contains(FBL),
        "{first}"
    );
    let signed = first.split("DKIM-Signature").nth(1).unwrap();
    assert!(signed.contains("cfbl-feedback-id"), "{signed}");
    report(&rig, &first, "Original-Rcpt-To: <redacted>\r\n").await;
    let found = suppressed(&rig).await;
    assert_eq!(
        (
            found.len(),
            found[0].recipient.as_str(),
            found[0].domain.as_str()
        ),
        (1, "bob@remote.test", "example.test")
    );
    assert_eq!(found[0].suppressed.why, Why::Complaint);
    // Twice the same is one complaint.
    report(&rig, &first, "").await;
    assert!(!is_suspended(&rig).await);
    let second = sent(&rig, &mut sink, &["carol@remote.test"], "").await;
    report(&rig, &second, "Original-Rcpt-To: carol@remote.test\r\n").await;
    assert!(is_suspended(&rig).await);
    eventually("the trace", async || {
        let events = events(&rig, "carol@remote.test").await;
        let complaint = events.iter().find(|event| event.reason == "complaint");
        complaint.map(|event| assert!(event.text.contains("abuse reported by Test/1"), "{event:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_forged_report_does_nothing() {
    let mut sink = Sink::start(Script::default()).await;
    let rig = rig(&sink).await;
    let to = ["bob@remote.test", "carol@remote.test"];
    let real = sent(&rig, &mut sink, &to, "").await;
    let forged = real.replace("CFBL-Feedback-ID: ", "CFBL-Feedback-ID: AAAA");
    for number in 0..3 {
        let named = format!("Original-Rcpt-To: victim{number}@remote.test\r\n");
        report(&rig, &forged, &named).await;
        report(&rig, "From: <alice@example.test>\r\n\r\nx", &named).await;
    }
    assert!(suppressed(&rig).await.is_empty());
    // A recipient that has the message can speak for those alone that have it too, and as one complaint of the account's.
    report(&rig, &real, "Original-Rcpt-To: victim@remote.test\r\n").await;
    assert!(suppressed(&rig).await.is_empty());
    for named in to {
        report(&rig, &real, &format!("Original-Rcpt-To: {named}\r\n")).await;
    }
    assert!(
        suppressed(&rig).await.is_empty(),
        "one of several could name the others"
    );
    assert!(!is_suspended(&rig).await);
}

#[tokio::test]
async fn bulk_mail_says_where_complaints_go() {
    let mut sink = Sink::start(Script::default()).await;
    let rig = rig(&sink).await;
    let bulk = sent(
        &rig,
        &mut sink,
        &["bob@remote.test"],
        "List-Id: <news.example.test>\r\n",
    )
    .await;
    assert!(
        bulk.contains("CFBL-Address: fbl@example.test; report=arf\r\n"),
        "{bulk}"
    );
    let signed = bulk.split("DKIM-Signature").nth(1).unwrap();
    assert!(signed.contains("cfbl-address"), "{signed}");
    // Who takes care of complaints himself keeps his fields.
    let own = "CFBL-Address: own@example.test; report=arf\r\nPrecedence: bulk\r\n";
    let own = sent(&rig, &mut sink, &["bob@remote.test"], own).await;
    assert_eq!(own.matches("CFBL-").count(), 1, "{own}");
}

#[tokio::test]
async fn a_report_that_was_stopped_halfway_is_taken_by_the_next_delivery_once() {
    let mut sink = Sink::start(Script::default()).await;
    let rig = rig(&sink).await;
    let first = sent(&rig, &mut sink, &["bob@remote.test"], "").await;
    report(&rig, &first, "").await;
    // As if it had been stopped before the end: what marks it as done is gone, and it comes again.
    assert_eq!(suppressed(&rig).await.len(), 1);
    let events = events(&rig, "bob@remote.test").await;
    let id = &events
        .iter()
        .find(|event| event.reason == "complaint")
        .unwrap()
        .id;
    for mark in [
        format!("complaint/{id}/bob@remote.test"),
        format!("complaint/{id}"),
    ] {
        rig.store.tokens.forget(&mark).await.unwrap();
    }
    report(&rig, &first, "").await;
    assert!(!is_suspended(&rig).await, "one message is one complaint");
    let second = sent(&rig, &mut sink, &["carol@remote.test"], "").await;
    report(&rig, &second, "").await;
    assert!(is_suspended(&rig).await);
}

#[tokio::test]
async fn of_whom_alone_is_known_is_not_the_only_recipient() {
    let mut sink = Sink::start(Script::default()).await;
    let rig = rig(&sink).await;
    let text = sent(&rig, &mut sink, &["bob@remote.test"], "").await;
    // The trace has forgotten where the message went first; it came for two.
    let events = events(&rig, "bob@remote.test").await;
    let accepted = events.iter().find(|event| event.stage == Stage::Accept);
    rig.store.trace.record(TraceEvent {
        recipient: "mallory@remote.test".to_owned(),
        ..accepted.unwrap().clone()
    });
    report(&rig, &text, "").await;
    assert!(suppressed(&rig).await.is_empty());
}
