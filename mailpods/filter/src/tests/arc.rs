//! ARC chains and what trusted sealers may override.

use mail_auth::arc::ArcSealer;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::{AuthenticatedMessage, AuthenticationResults, MessageAuthenticator};
use mailpods_policy::Reason;
use mailpods_rpc::Action;
use mailpods_rpc::Mechanism::{Arc, Dmarc};

use super::dns::Zone;
use super::*;

fn zone() -> Zone {
    Zone::new()
        .txt("_dmarc.sender.test", "v=DMARC1; p=reject")
        .txt("ed._domainkey.list.test", &ed25519_record())
        .txt("ed._domainkey.hop.test", &ed25519_record())
}

/// Seals `message` as `domain`, with `results` in the ARC-Authentication-Results.
async fn seal(message: &str, domain: &str, results: &str) -> String {
    let server = TestDns::start(zone()).await;
    let parsed = AuthenticatedMessage::parse(message.as_bytes()).unwrap();
    let arc = MessageAuthenticator(server.resolver().inner())
        .verify_arc(&parsed)
        .await;
    let empty = AuthenticationResults::new("placeholder.test");
    let sealer = ArcSealer::from_key(ed25519_key())
        .domain(domain)
        .selector("ed")
        .headers(["From", "Subject"]);
    let probe = sealer.seal(&parsed, &empty, &arc).unwrap().to_header();
    assert!(probe.contains("placeholder.test"));
    let wanted = AuthenticationResults::new(results);
    sealer.seal(&parsed, &wanted, &arc).unwrap().to_header() + message
}

fn trusting(names: &[&str]) -> FilterSettings {
    FilterSettings {
        arc_trusted_sealers: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..settings()
    }
}

const PASSED: &str = "mx.list.test; dmarc=pass header.from=sender.test";

#[tokio::test]
async fn a_chain_passes_until_something_changes() {
    let sealed = seal(MESSAGE, "list.test", PASSED).await;
    let verdict = scan(zone(), &request(&sealed)).await;
    assert_eq!(
        results(&verdict, Arc),
        ["pass"],
        "{}",
        reason(&verdict, Arc)
    );
    let twice = seal(&sealed, "hop.test", "mx.hop.test; arc=pass").await;
    let verdict = scan(zone(), &request(&twice)).await;
    assert_eq!(
        results(&verdict, Arc),
        ["pass"],
        "{}",
        reason(&verdict, Arc)
    );

    for (from, to) in [
        ("Hello", "Hallo"),
        ("Subject: Hi", "Subject: Ho"),
        ("dmarc=pass", "dmarc=fail"),
        ("cv=none", "cv=pass"),
        ("i=1", "i=2"),
    ] {
        assert!(sealed.contains(from), "{from}");
        let verdict = scan(zone(), &request(&sealed.replace(from, to))).await;
        assert_eq!(results(&verdict, Arc), ["fail"], "{from}");
    }
    assert_eq!(
        results(&scan(zone(), &request(MESSAGE)).await, Arc),
        ["none"]
    );
}

#[tokio::test]
async fn a_trusted_sealer_overrides_a_failure() {
    let sealed = seal(MESSAGE, "list.test", PASSED).await;
    let verdict = scan_with(zone(), &request(&sealed), &trusting(&["list.test"])).await;
    assert_eq!(results(&verdict, Dmarc), ["fail"]);
    assert_eq!(
        (verdict.action, verdict.reason),
        (Action::Accept, Reason::ArcOverride)
    );

    let verdict = scan_with(zone(), &request(&sealed), &trusting(&["other.test"])).await;
    assert_eq!(verdict.action, Action::Reject);
    let broken = sealed.replace("Hello", "Hallo");
    let verdict = scan_with(zone(), &request(&broken), &trusting(&["list.test"])).await;
    assert_eq!(verdict.action, Action::Reject);
}

#[tokio::test]
async fn what_an_untrusted_sealer_claims_is_not_believed() {
    // The first sealer is anybody; the trusted one behind it saw DMARC fail.
    let forged = seal(
        MESSAGE,
        "hop.test",
        "mx.hop.test; dmarc=pass header.from=sender.test",
    )
    .await;
    let sealed = seal(
        &forged,
        "list.test",
        "mx.list.test; dmarc=fail header.from=sender.test; arc=pass",
    )
    .await;
    let verdict = scan_with(zone(), &request(&sealed), &trusting(&["list.test"])).await;
    assert_eq!(
        (results(&verdict, Arc), verdict.action),
        (vec!["pass"], Action::Reject)
    );
    // A trusted one in front of an untrusted one may have been changed since.
    let sealed = seal(MESSAGE, "list.test", PASSED).await;
    let resealed = seal(&sealed, "hop.test", "mx.hop.test; arc=pass").await;
    let verdict = scan_with(zone(), &request(&resealed), &trusting(&["list.test"])).await;
    assert_eq!(
        (results(&verdict, Arc), verdict.action),
        (vec!["pass"], Action::Reject)
    );
    let verdict = scan_with(
        zone(),
        &request(&resealed),
        &trusting(&["list.test", "hop.test"]),
    )
    .await;
    assert_eq!(verdict.action, Action::Accept);
}

#[tokio::test]
async fn broken_sets_fail_and_dns_failures_do_not() {
    for fields in [
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=x.test; s=s; b=AA==\r\n",
        "ARC-Seal: garbage\r\nARC-Message-Signature: garbage\r\nARC-Authentication-Results: garbage\r\n",
        "ARC-Authentication-Results: i=1; x\r\nARC-Authentication-Results: i=1; x\r\n",
    ] {
        assert_eq!(
            results(
                &scan(zone(), &request(&format!("{fields}{MESSAGE}"))).await,
                Arc
            ),
            ["fail"],
            "{fields}"
        );
    }
    let sealed = seal(MESSAGE, "list.test", PASSED).await;
    let down = Zone::new().servfail("ed._domainkey.list.test");
    assert_eq!(
        results(&scan(down, &request(&sealed)).await, Arc),
        ["temperror"]
    );
    assert_eq!(
        results(&scan(Zone::new(), &request(&sealed)).await, Arc),
        ["fail"]
    );
}
