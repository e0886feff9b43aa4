//! Reports of how TLS went, from the session to the message that tells it.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use mailpods_net::dns::fixed::Zone;

use crate::testing::web::{self, Web};
use crate::testing::{Authority, Rig, Script, Sink, Tls, World, plan};

fn zone(rua: &str) -> Zone {
    Zone::parse(&format!(
        "remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1\n_mta-sts.remote.test TXT v=STSv1; id=1;\n\
         mta-sts.remote.test A 127.0.0.1\n_smtp._tls.remote.test TXT v=TLSRPTv1; rua={rua}\nreports.test A 127.0.0.1\n\
         ask.test MX 10 mx.remote.test\n"
    ))
    .unwrap()
}

fn unpacked(document: &[u8]) -> serde_json::Value {
    let mut json = String::new();
    GzDecoder::new(document).read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

/// Sends one message to a server with a wrong certificate under a policy in testing mode, and lets the day pass.
async fn day(rua: &str, posts: &Web, authority: &Authority) -> (Sink, Rig) {
    let wrong = authority.certify("mx.other.test", false).server;
    let mut sink = Sink::start(Script {
        tls: Tls::Good(wrong),
        ..Script::default()
    })
    .await;
    let world = World {
        roots: authority.pem.clone(),
        https_port: posts.addr.port(),
        ..World::of(zone(rua))
    };
    let mut rig = Rig::start_in(plan(sink.addr.port()), world).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    sink.message().await;
    rig.until_empty().await;
    let plan = (*rig.plan.current()).clone();
    // A stop writes the counts.
    let (store, dir) = rig.stop(false).await;
    let world = World {
        roots: authority.pem.clone(),
        https_port: posts.addr.port(),
        ..World::of(zone(rua))
    };
    let rig = Rig::on_in(store, dir, plan, world);
    rig.clock.advance(Duration::from_secs(30 * 3600));
    (sink, rig)
}

async fn policy_host(authority: &Authority) -> Web {
    let host = authority.certify("mta-sts.remote.test", false).server;
    Web::start(host, web::policy("testing", "mx.remote.test", 86_400)).await
}

fn check(report: &serde_json::Value) {
    assert_eq!(report["organization-name"], "mx.example.test");
    assert_eq!(
        report["date-range"]["start-datetime"],
        "2023-11-14T00:00:00Z"
    );
    let policy = &report["policies"][0];
    assert_eq!(policy["policy"]["policy-type"], "sts");
    assert_eq!(policy["policy"]["policy-domain"], "remote.test");
    assert_eq!(policy["summary"]["total-failure-session-count"], 1);
    let detail = &policy["failure-details"][0];
    assert_eq!(detail["result-type"], "certificate-host-mismatch");
    assert_eq!(detail["receiving-mx-hostname"], "mx.remote.test");
}

/// Names of what is kept for reports.
async fn kept(rig: &Rig) -> Vec<String> {
    let names = rig.store.secrets.secret_names("outbound/tls-report/");
    names.await.unwrap()
}

#[tokio::test]
async fn a_domain_that_asks_for_it_gets_one_report_of_the_day_by_mail() {
    let authority = Authority::new();
    let web = policy_host(&authority).await;
    let (mut sink, mut rig) = day("mailto:tls@ask.test", &web, &authority).await;
    rig.report().await;
    rig.report().await;
    let received = sink.message().await;
    rig.until_empty().await;
    assert!(received.has("RCPT TO:<tls@ask.test>"));
    for wanted in [
        "TLS-Report-Domain: remote.test\r\n",
        "TLS-Report-Submitter: mx.example.test\r\n",
        "TLS-Required: No\r\n",
        "report-type=\"tlsrpt\"",
        "Content-Type: application/tlsrpt+gzip\r\n",
    ] {
        assert!(
            received.body.contains(wanted),
            "{wanted}: {}",
            received.body
        );
    }
    let part = received.body.split(".json.gz\"\r\n\r\n").nth(1).unwrap();
    let encoded: String = part.split("\r\n--").next().unwrap().split("\r\n").collect();
    check(&unpacked(&STANDARD.decode(encoded).unwrap()));
    assert_eq!(kept(&rig).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_report_is_posted_and_tried_again_where_the_server_does_not_take_it() {
    let authority = Authority::new();
    let web = policy_host(&authority).await;
    let taker = authority.certify("reports.test", false).server;
    let posts = Web::start(taker, web::answer("503 Busy", "text/plain", "")).await;
    let rua = format!("https://reports.test:{}/v1/tls", posts.addr.port());
    let (_sink, rig) = day(&rua, &web, &authority).await;
    rig.report().await;
    posts.set(web::answer("201 Created", "text/plain", ""));
    rig.clock.advance(Duration::from_secs(1_200));
    rig.report().await;
    let bodies = posts.bodies();
    assert_eq!(bodies.len(), 2);
    check(&unpacked(&bodies[1]));
    assert_eq!(kept(&rig).await, Vec::<String>::new());
}

#[tokio::test]
async fn of_a_domain_that_asks_for_nothing_nothing_is_kept() {
    let authority = Authority::new();
    let web = policy_host(&authority).await;
    let (_sink, rig) = day("", &web, &authority).await;
    assert_eq!(kept(&rig).await, Vec::<String>::new());
}
