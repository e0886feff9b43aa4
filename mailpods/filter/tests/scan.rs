//! The engine as the smtp role sees it: through the trait, following the plan.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/dns.rs"]
#[allow(
    dead_code,
    missing_docs,
    reason = "a helper that other tests use more of"
)]
mod dns;

use bytes::Bytes;
use dns::{TestDns, Zone};
use mailpods_filter::{Engine, Metrics};
use mailpods_plan::{Plan, PlanHandle, Source};
use mailpods_policy::Reason;
use mailpods_rpc::{Action, Scan, ScanRequest};
use mailpods_telemetry::metrics::Registry;
use std::time::Duration;

const CLUSTER: &str = r#"
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: { name: test }
spec:
  hostname: mail.example.test
  listeners:
    - { name: smtp, protocol: smtp, address: 127.0.0.1, port: 2525 }
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: { name: example.test }
spec: { domain: example.test }
"#;
const MESSAGE: &str = "From: a@sender.test\r\nSubject: x\r\n\r\nhi\r\n";

fn plan() -> Plan {
    let source = Source {
        path: "cluster.yaml".to_owned(),
        text: CLUSTER.to_owned(),
    };
    let (plan, problems) = mailpods_plan::check(&[source]);
    plan.unwrap_or_else(|| panic!("{problems:?}"))
}

fn request() -> ScanRequest {
    ScanRequest {
        id: "m1".to_owned(),
        client_ip: "192.0.2.1".parse().unwrap(),
        helo: "mx.sender.test".to_owned(),
        mail_from: "a@sender.test".to_owned(),
        recipients: vec!["b@example.test".to_owned()],
        hostname: "mail.example.test".to_owned(),
        authenticated: None,
        message: Some(Bytes::from_static(MESSAGE.as_bytes())),
    }
}

fn rejecting() -> Zone {
    Zone::new()
        .txt("sender.test", "v=spf1 -all")
        .txt("_dmarc.sender.test", "v=DMARC1; p=reject")
}

#[tokio::test]
async fn a_change_of_the_plan_counts_from_the_next_message() {
    let server = TestDns::start(rejecting()).await;
    let registry = Registry::new();
    let handle = PlanHandle::new(plan());
    let metrics = Metrics::register(&registry).unwrap();
    let engine = Engine::new(handle.clone(), server.resolver(), metrics);
    let verdict = engine.scan(request()).await.unwrap();
    assert_eq!(
        (verdict.action, verdict.reason),
        (Action::Reject, Reason::DmarcReject)
    );

    let mut lenient = plan();
    lenient.filter.dmarc_honour = false;
    handle.swap(lenient);
    assert_eq!(engine.scan(request()).await.unwrap().action, Action::Accept);

    let text = registry.encode().unwrap();
    for line in [
        "mailpods_filter_verdicts_total{action=\"reject\",reason=\"dmarc-reject\"} 1",
        "mailpods_filter_verdicts_total{action=\"accept\",reason=\"accepted\"} 1",
        "mailpods_filter_checks_total{mechanism=\"dmarc\",result=\"fail\"} 2",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_submission_is_vouched_for_by_its_log_in() {
    let server = TestDns::start(rejecting()).await;
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let engine = Engine::new(PlanHandle::new(plan()), server.resolver(), metrics);
    let mut submitted = request();
    submitted.authenticated = Some("a@example.test".to_owned());
    let verdict = engine.scan(submitted).await.unwrap();
    assert_eq!(verdict.action, Action::Accept);
    assert!(verdict.results.is_empty());
    assert_eq!(
        verdict.prepend,
        [
            "Authentication-Results: mail.example.test;\r\n\tauth=pass\r\n",
            "X-Mailpods-Verdict: reason=accepted; action=accept\r\n",
        ]
    );
    assert_eq!(server.queries(), 0);
}

#[tokio::test]
async fn look_ups_end_before_the_scan_does_and_refuse_nobody() {
    let server = TestDns::start(rejecting().silent("sender.test")).await;
    let mut hasty = plan();
    hasty.filter.timeout = Duration::from_millis(100);
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let engine = Engine::new(PlanHandle::new(hasty), server.resolver(), metrics);
    let verdict = engine.scan(request()).await.unwrap();
    assert_eq!(
        (verdict.action, verdict.reason),
        (Action::Defer, Reason::DnsTemporary)
    );
}
