//! Fields, removals, caches and the whole verdict.

use mailpods_policy::Reason;
use mailpods_rpc::Action;
use mailpods_rpc::Mechanism::{Arc, Dkim, Dmarc, Iprev, Spf, SpfHelo};

use super::*;
use crate::report;

#[tokio::test]
async fn good_mail_passes_everything() {
    let verdict = scan(good_zone(), &request(&sign(MESSAGE, "sender.test"))).await;
    assert_eq!(
        (verdict.action, verdict.reason),
        (Action::Accept, Reason::Accepted)
    );
    for mechanism in [Iprev, SpfHelo, Spf, Dkim, Dmarc] {
        assert_eq!(
            results(&verdict, mechanism),
            ["pass"],
            "{mechanism:?}: {}",
            reason(&verdict, mechanism)
        );
    }
    assert_eq!(results(&verdict, Arc), ["none"]);
    let all = verdict.prepend.concat();
    for part in [
        "Authentication-Results: mail.example.test;\r\n\tiprev=pass (mx.sender.test) policy.iprev=192.0.2.1;\r\n",
        "\tspf=pass smtp.helo=mx.sender.test;\r\n",
        "\tspf=pass smtp.mailfrom=ann@sender.test;\r\n",
        "\tdkim=pass header.d=sender.test header.s=rsa header.a=rsa-sha256\r\n\t header.b=",
        "\tdmarc=pass (p=reject) header.from=sender.test\r\n",
        "Received-SPF: pass (mail.example.test: sender.test: matched",
        "client-ip=192.0.2.1;",
        "X-Mailpods-Verdict: reason=accepted; action=accept\r\n",
    ] {
        assert!(all.contains(part), "{part:?} in\n{all}");
    }
    assert!(all.lines().all(|line| line.len() <= 78), "{all}");
}

#[tokio::test]
async fn the_null_sender_is_checked_by_its_helo() {
    let mut null = request(MESSAGE);
    null.mail_from = String::new();
    let verdict = scan(good_zone(), &null).await;
    assert_eq!(
        (results(&verdict, Spf), results(&verdict, Dmarc)),
        (vec!["pass"], vec!["pass"])
    );
    assert!(
        verdict
            .prepend
            .concat()
            .contains("smtp.mailfrom=postmaster@mx.sender.test")
    );
}

#[tokio::test]
async fn the_envelope_alone_can_be_checked() {
    let mut envelope = request("");
    envelope.message = None;
    let verdict = scan(good_zone(), &envelope).await;
    assert_eq!(verdict.results.len(), 3);
    assert_eq!(results(&verdict, Spf), ["pass"]);
    assert!(verdict.remove.is_empty());
}

#[tokio::test]
async fn nothing_that_a_client_chooses_breaks_out_of_a_field() {
    let mut evil = request(
        "From: \"x\r\n y\" <a@sender.test>\r\nDKIM-Signature: v=1; a=\";\" d=(\r\n; b=x\r\n\r\n",
    );
    evil.helo = "mx\r\nX-Evil: 1".to_owned();
    evil.mail_from = format!("\"a\r\nX-Evil: 2\" (;dkim=pass@{}", "x".repeat(5000));
    let verdict = scan(good_zone(), &evil).await;
    let all = verdict.prepend.concat();
    for line in all.split("\r\n").filter(|line| !line.is_empty()) {
        let starts = [
            "Authentication-Results:",
            "Received-SPF:",
            "X-Mailpods-Verdict:",
            "\t",
        ];
        assert!(
            starts.iter().any(|start| line.starts_with(start)),
            "{line:?}"
        );
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        assert!(line.len() < 998, "{} octets", line.len());
    }
    assert!(!all.contains("\r\nX-Evil"));
    assert!(
        verdict
            .results
            .iter()
            .all(|row| !row.subject.contains('\n') && row.subject.len() < 1300)
    );
}

#[tokio::test]
async fn foreign_results_under_our_name_are_to_be_removed() {
    let ours = "Authentication-Results: MAIL.example.test; dkim=pass\r\n\theader.d=bank.test\r\n";
    let mark = "X-Mailpods-Verdict: reason=accepted\r\n";
    let other = "Authentication-Results: mx.other.test; dkim=pass\r\n";
    let message = format!("{ours}{other}{mark}{MESSAGE}");
    let verdict = scan(good_zone(), &request(&message)).await;
    let removed: Vec<&str> = verdict
        .remove
        .iter()
        .map(|range| &message[range.clone()])
        .collect();
    assert_eq!(removed, [ours, mark]);
}

#[tokio::test]
async fn answers_are_kept_and_asked_for_once() {
    let server = TestDns::start(good_zone()).await;
    let dns = Dns::new(server.resolver());
    let signed = request(&sign(MESSAGE, "sender.test"));
    let until = || dns.until(Instant::now() + Duration::from_secs(20));
    let first = judge(until(), &signed, &settings()).await;
    let asked = server.queries();
    assert!(asked > 0);
    let second = judge(until(), &signed, &settings()).await;
    assert_eq!(server.queries(), asked);
    assert_eq!(first.prepend, second.prepend);
}

#[tokio::test]
async fn a_dead_server_is_asked_once_within_the_memory_of_failures() {
    let server = TestDns::start(
        dns::Zone::new()
            .servfail("sender.test")
            .servfail("mx.sender.test"),
    )
    .await;
    let dns = Dns::new(server.resolver());
    let until = || dns.until(Instant::now() + Duration::from_secs(20));
    judge(until(), &request(MESSAGE), &settings()).await;
    let asked = server.queries();
    judge(until(), &request(MESSAGE), &settings()).await;
    assert_eq!(server.queries(), asked);
}

#[tokio::test]
async fn reports_are_readable_by_people_and_programs() {
    let verdict = scan(good_zone(), &request(&sign(MESSAGE, "sender.test"))).await;
    let table = report::table(&verdict);
    assert!(table.contains("verdict: accept (accepted)"), "{table}");
    assert!(table.lines().next().unwrap().starts_with("CHECK"));
    let json: serde_json::Value = serde_json::from_str(&report::json(&verdict).unwrap()).unwrap();
    assert_eq!(json["action"], "accept");
    assert_eq!(json["results"][0]["mechanism"], "iprev");
}
