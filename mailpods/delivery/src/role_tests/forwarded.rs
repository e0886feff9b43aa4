//! What is put in front of mail that goes on to other domains, and what does not go on.

use mailpods_dkim::{Algorithm, PrivateKey};
use mailpods_store::NewBody;
use mailpods_store::queue::Origin;

use super::remote::{with_keys, zone};
use crate::testing::{Rig, Script, Sink, message, plan};

#[tokio::test]
async fn mail_that_goes_on_is_sealed_with_what_was_seen_of_it_and_nothing_else_changes() {
    let mut sink = Sink::start(Script::default()).await;
    let mut plan = plan(sink.addr.port());
    with_keys(&mut plan);
    let mut rig = Rig::start(plan, zone()).await;
    let pem =
        PrivateKey::generate(Algorithm::Ed25519Sha256, &ring::rand::SystemRandom::new()).unwrap();
    let secret = pem.as_bytes().to_vec().into();
    let put = rig.store.secrets.put_secret("dkim/example.test/ed", secret);
    put.await.unwrap();

    rig.send("stranger@other.test", &["away@example.test"])
        .await;
    let body = sink.message().await.body;
    assert!(
        body.starts_with("Delivered-To: away@example.test\r\nFrom:"),
        "nothing is known of its arrival: {body}"
    );
    let whole = "Authentication-Results: mx.example.test; spf=pass\r\nReceived: x\r\nFrom: s@other.test\r\n\r\nhello\r\n";
    let mut seen = message(&rig.plan.current(), "s@other.test", &["away@example.test"]);
    seen.body = NewBody::Octets {
        slices: vec![whole.into()],
        meta: None,
    };
    rig.queue(vec![seen]).await;
    let body = sink.message().await.body;
    assert!(
        body.starts_with("ARC-Seal: i=1; a=ed25519-sha256;")
            && body.contains("d=example.test; s=ed;"),
        "{body}"
    );
    let after = format!(
        "ARC-Authentication-Results: i=1; mx.example.test; spf=pass\r\nDelivered-To: away@example.test\r\n{whole}"
    );
    assert!(body.ends_with(&after), "{body}");
    rig.until_empty().await;
}

#[tokio::test]
async fn junk_that_is_on_its_way_to_another_domain_ends_there() {
    let sink = Sink::start(Script::default()).await;
    let mut rig = Rig::start(plan(sink.addr.port()), zone()).await;
    // Along a rewritten sender: the next server is named when the message comes.
    let mut junk = message(&rig.plan.current(), "s@other.test", &["carol@remote.test"]);
    junk.junk = true;
    rig.queue(vec![junk]).await;
    rig.until_empty().await;
    assert_eq!(sink.connections(), 0);
    let postmaster = rig.mailbox("postmaster@example.test", "INBOX").await;
    assert!(postmaster.is_empty(), "nobody is told");
}

#[tokio::test]
async fn what_the_server_wrote_for_its_own_does_not_leave() {
    let mut sink = Sink::start(Script::default()).await;
    let mut rig = Rig::start(plan(sink.addr.port()), zone()).await;
    let results = "Authentication-Results: mx.example.test; auth=pass\r\n";
    let verdict = "X-Mailpods-Verdict: reason=accepted;\r\n action=accept\r\n";
    let rest = "Received: from x\r\nAuthentication-Results: mx.other.test; spf=pass\r\nX-Mailpods-Verdict: theirs\r\nFrom: bob@example.test\r\n\r\nhello\r\n";
    let theirs = "Authentication-Results: mx.other.test; dkim=pass\r\n";
    for (origin, wanted) in [
        (
            Origin::Submission("bob@example.test".to_owned()),
            format!("{theirs}{rest}"),
        ),
        (Origin::Inbound, format!("{results}{theirs}{rest}")),
    ] {
        let mut new = message(
            &rig.plan.current(),
            "bob@example.test",
            &["carol@remote.test"],
        );
        new.origin = origin;
        new.body = NewBody::Octets {
            slices: vec![format!("{results}{verdict}{theirs}{rest}").into()],
            meta: None,
        };
        rig.queue(vec![new]).await;
        let received = sink.message().await;
        assert!(received.body.ends_with(&wanted), "{}", received.body);
        assert_eq!(
            received.body.matches("X-Mailpods-Verdict").count(),
            1,
            "{}",
            received.body
        );
        let is_inbound = wanted.starts_with(results);
        assert_eq!(received.body.contains("auth=pass"), is_inbound);
    }
    rig.until_empty().await;
}
