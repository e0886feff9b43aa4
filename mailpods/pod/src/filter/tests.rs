//! Both sides, over a socket.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_net::tls::self_signed;
use mailpods_net::{Tracker, Trigger, shutdown};
use mailpods_plan::{PlanHandle, Source, check};
use mailpods_policy::Reason;
use mailpods_rpc::{Action, Scan, ScanError, ScanRequest, Verdict};
use tempfile::TempDir;

use super::{FilterListener, RemoteScan};
use crate::inner::InnerListenerOptions;
use crate::remote::RemoteOptions;

/// Does what the HELO name says.
struct Script;

#[async_trait]
impl Scan for Script {
    async fn scan(&self, request: ScanRequest) -> Result<Verdict, ScanError> {
        match request.helo.as_str() {
            "hang" => std::future::pending().await,
            "fail" => Err(ScanError {
                reason: Reason::DnsTemporary,
                text: "no DNS".to_owned(),
            }),
            _ => Ok(Verdict {
                action: Action::Accept,
                reason: Reason::Accepted,
                reply: None,
                results: Vec::new(),
                prepend: vec![format!("X-Octets: {:?}\r\n", request.message)],
                remove: Vec::new(),
            }),
        }
    }
}

struct World {
    scan: RemoteScan,
    folder: TempDir,
    _stop: Trigger,
}

/// Spec of the MailCluster, in flow style without braces.
async fn world(spec: &str) -> World {
    let folder = TempDir::new().unwrap();
    let pem = self_signed(&["localhost".to_owned()], SystemTime::now(), 30).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (cert, key) = (write("cert", &pem.chain), write("key", &pem.key));
    let options = InnerListenerOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        cert: cert.clone(),
        key,
        token: write("expected", "token\n"),
    };
    let listener = FilterListener::bind(options).await.unwrap();
    let remote = RemoteOptions {
        url: format!("https://localhost:{}", listener.address().port()),
        ca: cert,
        token: write("token", "token"),
    };
    let head = "apiVersion: mailpods.dev/v1alpha1\nkind: ";
    let text = format!(
        "{head}MailCluster\nmetadata: {{name: c}}\nspec: {{hostname: m.test, {spec}}}\n---\n\
         {head}MailDomain\nmetadata: {{name: d}}\nspec: {{domain: a.test}}\n"
    );
    let path = "a.yaml".to_owned();
    let (plan, problems) = check(&[Source { path, text }]);
    let plan = PlanHandle::new(plan.unwrap_or_else(|| panic!("{problems:#?}")));
    let (trigger, stop) = shutdown::channel();
    tokio::spawn(listener.serve(Arc::new(Script), plan.clone(), stop, Tracker::new()));
    World {
        scan: RemoteScan::new(remote, plan).unwrap(),
        folder,
        _stop: trigger,
    }
}

fn request(helo: &str, message: &'static [u8]) -> ScanRequest {
    ScanRequest {
        id: "q".to_owned(),
        client_ip: "192.0.2.1".parse().unwrap(),
        helo: helo.to_owned(),
        mail_from: String::new(),
        recipients: Vec::new(),
        hostname: "m.test".to_owned(),
        authenticated: None,
        message: Some(Bytes::from_static(message)),
    }
}

#[tokio::test]
async fn verdicts_and_errors_come_back_as_they_are() {
    let world = world("filter: {timeout: 30s}").await;
    let verdict = world
        .scan
        .scan(request("c.test", b"a\0\xff\r\n"))
        .await
        .unwrap();
    assert_eq!(
        verdict.prepend,
        ["X-Octets: Some(b\"a\\0\\xff\\r\\n\")\r\n"]
    );
    let error = world.scan.scan(request("fail", b"")).await.unwrap_err();
    assert_eq!(
        (error.reason, error.text.as_str()),
        (Reason::DnsTemporary, "no DNS")
    );
}

#[tokio::test]
async fn no_verdict_in_time_is_an_error() {
    let world = world("filter: {timeout: 200ms}").await;
    let error = world.scan.scan(request("hang", b"")).await.unwrap_err();
    assert_eq!(error.reason, Reason::TimedOut);
}

#[tokio::test]
async fn a_token_is_needed_and_may_be_replaced() {
    let world = world("filter: {timeout: 30s}").await;
    let token = world.folder.path().join("token");
    std::fs::write(&token, "other").unwrap();
    let error = world.scan.scan(request("c.test", b"")).await.unwrap_err();
    assert_eq!(error.reason, Reason::FilterUnavailable);
    assert!(error.text.contains("401"), "{}", error.text);
    std::fs::write(&token, "token").unwrap();
    world.scan.scan(request("c.test", b"")).await.unwrap();
}

#[tokio::test]
async fn there_is_room_for_so_much_and_no_more() {
    const LARGE: &[u8] = &[b'x'; 100_000];
    let world = world("smtp: {maxInFlightSize: 64Ki}, filter: {timeout: 30s}").await;
    world.scan.scan(request("c.test", b"small")).await.unwrap();
    let error = world.scan.scan(request("c.test", LARGE)).await.unwrap_err();
    assert_eq!(error.reason, Reason::FilterUnavailable);
    // Room is given back.
    world.scan.scan(request("c.test", b"small")).await.unwrap();
}
