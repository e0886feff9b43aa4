//! TLS to other servers, with certificates, policies and zones that are right, wrong, and in between. Each case ends in its class, and
//! nothing is lost or sent twice.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::dns::Resolver as _;
use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_plan::{HopTls, NextHop, Plan};
use mailpods_policy::outbound::tls::{Minimum, Wish};

use crate::Clock as _;
use crate::outbound::protection::policies::tidy;
use crate::testing::web::{self, Web};
use crate::testing::{
    Authority, Rig, Script, Signed, Sink, Tls, World, message, name, plan, relay,
};

const BASE: &str = "remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1\n";
const STS: &str = "_mta-sts.remote.test TXT v=STSv1; id=1;\nmta-sts.remote.test A 127.0.0.1\n";

pub(super) fn sink_with(tls: Tls) -> Script {
    Script {
        tls,
        ..Script::default()
    }
}

pub(super) fn zone(more: &str) -> Zone {
    Zone::parse(&format!("{BASE}{more}")).unwrap()
}

/// The certificate that a server shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    Right,
    Expired,
    OtherName,
    SelfSigned,
    Cut,
    Broken,
    Stripped,
}

impl Shown {
    fn tls(self, authority: &Authority) -> Tls {
        match self {
            Self::Right => Tls::Good(authority.certify("mx.remote.test", false).server),
            Self::Expired => Tls::Good(authority.certify("mx.remote.test", true).server),
            Self::OtherName => Tls::Good(authority.certify("mx.other.test", false).server),
            Self::SelfSigned => Tls::good("mx.remote.test"),
            Self::Cut => Tls::Cut(authority.certify("mx.remote.test", false).server),
            Self::Broken => Tls::Broken,
            Self::Stripped => Tls::None,
        }
    }
}

pub(super) async fn send(rig: &Rig, wish: Wish) {
    let mut message = message(
        &rig.plan.current(),
        "bob@example.test",
        &["carol@remote.test"],
    );
    message.envelope.tls = wish;
    rig.queue(vec![message]).await;
}

/// Why a message did not go, after so many attempts.
pub(super) async fn waits(rig: &mut Rig, attempts: u32) -> String {
    let left = rig.until_tried(attempts).await.remove(0);
    left.last_error.unwrap()
}

pub(super) struct Case {
    pub(super) sink: Sink,
    pub(super) rig: Rig,
    web: Web,
}

impl Case {
    /// A domain with an MTA-STS policy, and a server that shows `shown`.
    pub(super) async fn sts(shown: Shown, policy: String, change: impl Fn(&mut Plan)) -> Self {
        let authority = Authority::new();
        let sink = Sink::start(sink_with(shown.tls(&authority))).await;
        let host = authority.certify("mta-sts.remote.test", false).server;
        let web = Web::start(host, policy).await;
        let mut plan = plan(sink.addr.port());
        change(&mut plan);
        let world = World {
            roots: authority.pem.clone(),
            https_port: web.addr.port(),
            ..World::of(zone(STS))
        };
        let rig = Rig::start_in(plan, world).await;
        Self { sink, rig, web }
    }

    async fn delivered(&mut self) -> bool {
        let received = self.sink.message().await;
        self.rig.until_empty().await;
        received.tls
    }
}

#[tokio::test]
async fn an_enforced_policy_takes_the_right_certificate_and_nothing_else() {
    let enforced = || web::policy("enforce", "mx.remote.test", 86_400);
    let mut case = Case::sts(Shown::Right, enforced(), |_| {}).await;
    send(&case.rig, Wish::Usual).await;
    assert!(case.delivered().await);
    for shown in [
        Shown::Expired,
        Shown::OtherName,
        Shown::SelfSigned,
        Shown::Cut,
        Shown::Broken,
        Shown::Stripped,
    ] {
        let mut case = Case::sts(shown, enforced(), |_| {}).await;
        send(&case.rig, Wish::Usual).await;
        let error = waits(&mut case.rig, 1).await;
        let wanted = match shown {
            // What comes after the handshake is no matter of TLS.
            Shown::Cut => "connection was lost",
            Shown::Broken => "TLS",
            Shown::Stripped => "offers no TLS",
            _ => "failed to verify the server's certificate",
        };
        assert!(error.contains(wanted), "{shown:?}: {error}");
        assert_eq!(
            case.sink.connections(),
            1,
            "{shown:?}: no second try in clear text"
        );
    }
}

#[tokio::test]
async fn a_policy_that_does_not_name_the_server_keeps_the_mail_until_it_does() {
    let other = web::policy("enforce", "*.elsewhere.test", 86_400);
    let mut case = Case::sts(Shown::Right, other, |_| {}).await;
    send(&case.rig, Wish::Usual).await;
    let error = waits(&mut case.rig, 1).await;
    assert!(error.contains("does not name the server"), "{error}");
    assert_eq!(case.sink.connections(), 0);
    // The domain mends its policy; the kept one has run out by then.
    case.web
        .set(web::policy("enforce", "*.remote.test", 86_400));
    case.rig.pass(Duration::from_secs(86_401)).await;
    assert!(case.delivered().await);
    assert_eq!(case.web.asked(), 2);
}

#[tokio::test]
async fn testing_sends_whatever_the_certificate() {
    for shown in [Shown::Expired, Shown::SelfSigned, Shown::Stripped] {
        let testing = web::policy("testing", "mx.remote.test", 86_400);
        let mut case = Case::sts(shown, testing, |_| {}).await;
        send(&case.rig, Wish::Usual).await;
        let tls = case.delivered().await;
        assert_eq!(tls, !matches!(shown, Shown::Stripped));
    }
}

#[tokio::test]
async fn what_is_no_policy_is_as_if_there_were_none() {
    let large = "#".repeat(70 * 1024);
    for lie in [
        web::answer("404 Not Found", "text/plain", "version: STSv1\n"),
        web::answer("302 Found", "text/plain", ""),
        web::answer(
            "200 OK",
            "text/html",
            "version: STSv1\nmode: enforce\nmx: none.test\nmax_age: 86400\n",
        ),
        web::answer("200 OK", "text/plain", "mode: enforce\n"),
        web::answer("200 OK", "text/plain", &large),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nversion"
            .to_owned(),
        String::new(),
    ] {
        let mut case = Case::sts(Shown::SelfSigned, lie.clone(), |_| {}).await;
        send(&case.rig, Wish::Usual).await;
        assert!(case.delivered().await, "{lie:.60}");
        // For five minutes nobody asks again.
        send(&case.rig, Wish::Usual).await;
        assert!(case.delivered().await);
        assert_eq!(case.web.asked(), 1, "{lie:.60}");
    }
}

#[tokio::test]
async fn a_kept_policy_outlives_its_host_and_a_restart_but_not_its_time() {
    let enforced = web::policy("enforce", "mx.remote.test", 100_000);
    let mut case = Case::sts(Shown::SelfSigned, enforced, |_| {}).await;
    send(&case.rig, Wish::Usual).await;
    assert!(waits(&mut case.rig, 1).await.contains("certificate"));
    let plan = (*case.rig.plan.current()).clone();
    let (store, dir) = case.rig.stop(false).await;
    // The record is gone and nobody serves the policy any more.
    let mut rig = Rig::on_in(store, dir, plan, World::of(zone("")));
    rig.pass(Duration::from_secs(1_000)).await;
    assert!(waits(&mut rig, 2).await.contains("certificate"));
    rig.pass(Duration::from_secs(100_000)).await;
    assert!(case.sink.message().await.tls);
    rig.until_empty().await;
    let names = || async {
        rig.store
            .secrets
            .secret_names("outbound/sts/")
            .await
            .unwrap()
    };
    let secrets = rig.store.secrets.as_ref();
    tidy(secrets, rig.clock.now()).await.unwrap();
    assert_eq!(names().await, ["outbound/sts/remote.test"]);
    rig.clock.advance(Duration::from_secs(8 * 86_400));
    tidy(secrets, rig.clock.now()).await.unwrap();
    assert!(names().await.is_empty());
}

#[tokio::test]
async fn the_administrator_and_the_sender_have_their_say() {
    let enforced = || web::policy("enforce", "mx.remote.test", 86_400);
    let asks = |minimum: Minimum| {
        move |plan: &mut Plan| {
            let destinations = &mut plan.outbound.tls.destinations;
            destinations.insert(name("remote.test"), minimum);
        }
    };
    let mut set_aside =
        Case::sts(Shown::SelfSigned, enforced(), asks(Minimum::Opportunistic)).await;
    send(&set_aside.rig, Wish::Usual).await;
    assert!(set_aside.delivered().await);
    assert_eq!(set_aside.web.asked(), 0);
    let mut never = Case::sts(Shown::Right, enforced(), asks(Minimum::None)).await;
    send(&never.rig, Wish::Usual).await;
    assert!(!never.delivered().await);
    let mut waived = Case::sts(Shown::Expired, enforced(), |_| {}).await;
    send(&waived.rig, Wish::Waived).await;
    assert!(waived.delivered().await);

    let encrypt = |shown: Shown| {
        let authority = Authority::new();
        async move {
            let sink = Sink::start(sink_with(shown.tls(&authority))).await;
            let mut plan = plan(sink.addr.port());
            asks(Minimum::Encrypt)(&mut plan);
            (Rig::start(plan, zone("")).await, sink)
        }
    };
    let (mut rig, mut sink) = encrypt(Shown::Expired).await;
    send(&rig, Wish::Usual).await;
    assert!(sink.message().await.tls);
    rig.until_empty().await;
    let (mut rig, sink) = encrypt(Shown::Stripped).await;
    send(&rig, Wish::Usual).await;
    assert!(waits(&mut rig, 1).await.contains("offers no TLS"));
    assert_eq!(sink.connections(), 1);
}

#[tokio::test]
async fn requiretls_goes_only_where_all_of_it_holds() {
    let enforced = || web::policy("enforce", "mx.remote.test", 86_400);
    let announces = Script {
        extensions: vec!["REQUIRETLS", "SIZE 1000000"],
        ..Script::default()
    };
    let authority = Authority::new();
    let mut sink = Sink::start(Script {
        tls: Shown::Right.tls(&authority),
        ..announces.clone()
    })
    .await;
    let web = Web::start(
        authority.certify("mta-sts.remote.test", false).server,
        enforced(),
    )
    .await;
    let world = |zone: Zone| World {
        roots: authority.pem.clone(),
        https_port: web.addr.port(),
        ..World::of(zone)
    };
    let mut rig = Rig::start_in(plan(sink.addr.port()), world(zone(STS))).await;
    send(&rig, Wish::Required).await;
    let received = sink.message().await;
    let mail = received
        .commands
        .iter()
        .find(|line| line.starts_with("MAIL"))
        .unwrap();
    assert!(received.tls && mail.ends_with(" REQUIRETLS"), "{mail}");
    rig.until_empty().await;

    // Nothing vouches for the server's name.
    let mut rig = Rig::start_in(plan(sink.addr.port()), world(zone(""))).await;
    send(&rig, Wish::Required).await;
    rig.until_empty().await;
    let bounce = rig.mailbox("bob@example.test", "INBOX").await.remove(0);
    assert!(bounce.contains("Status: 5.7.10"), "{bounce}");
    assert!(
        !bounce.contains("hello"),
        "the body does not come back: {bounce}"
    );
}

#[tokio::test]
async fn servers_that_fall_short_of_requiretls_send_the_mail_back() {
    let enforced = || web::policy("enforce", "mx.remote.test", 86_400);
    for (shown, status) in [
        (Shown::Right, "5.7.30"),
        (Shown::SelfSigned, "5.7.10"),
        (Shown::Stripped, "5.7.10"),
    ] {
        let mut case = Case::sts(shown, enforced(), |_| {}).await;
        send(&case.rig, Wish::Required).await;
        case.rig.until_empty().await;
        let bounce = case
            .rig
            .mailbox("bob@example.test", "INBOX")
            .await
            .remove(0);
        assert!(
            bounce.contains(&format!("Status: {status}")),
            "{shown:?}: {bounce}"
        );
    }
}

#[tokio::test]
async fn a_hop_in_clear_text_does_not_take_requiretls() {
    let sink = Sink::start(Script::default()).await;
    let mut plan = plan(sink.addr.port());
    let hop = NextHop {
        host: "127.0.0.1".to_owned(),
        port: sink.addr.port(),
        tls: HopTls::None,
        lmtp: false,
        auth: None,
    };
    relay(&mut plan, "remote.test", hop);
    let mut rig = Rig::start(plan, zone("")).await;
    send(&rig, Wish::Required).await;
    rig.until_empty().await;
    let bounce = rig.mailbox("bob@example.test", "INBOX").await.remove(0);
    assert!(bounce.contains("Status: 5.7.10"), "{bounce}");
}

/// A signed zone with these TLSA data for the server.
async fn dane(records: &str, shown: &Tls, port_of: &str) -> (Sink, Rig, Signed) {
    let sink = Sink::start(sink_with(shown.clone())).await;
    let port = sink.addr.port();
    let tlsa = records
        .lines()
        .map(|data| format!("_{port}._tcp.mx.signed.test. IN TLSA {data}\n"));
    let zone = format!(
        "signed.test. IN MX 10 {port_of}\nmx.signed.test. IN A 127.0.0.1\n{}",
        tlsa.collect::<String>()
    );
    let plain = "plain.test. IN MX 10 mx.plain.test.\nmx.plain.test. IN A 127.0.0.1\n";
    let signed = Signed::start(&zone, plain).await;
    let world = World {
        resolver: Arc::new(signed.resolver(true)),
        ..World::of(Zone::new())
    };
    let rig = Rig::start_in(plan(port), world).await;
    (sink, rig, signed)
}

#[tokio::test]
async fn records_that_dnssec_vouches_for_decide_about_certificates() {
    let authority = Authority::new();
    let right = authority.certify("mx.signed.test", false);
    let expired = authority.certify("mx.signed.test", true);
    let elsewhere = authority.certify("mx.other.test", false);
    let other = Authority::new();
    let (ee, ta) = (right.tlsa(), authority.tlsa());
    let unusable = format!("1 1 1 {}", ee.rsplit(' ').next().unwrap());
    let table = [
        ("its own key", ee.clone(), &right, true),
        ("its own key, expired", expired.tlsa(), &expired, true),
        (
            "its own key, another name",
            elsewhere.tlsa(),
            &elsewhere,
            true,
        ),
        ("its authority", ta.clone(), &right, true),
        ("its authority, expired", ta.clone(), &expired, false),
        ("its authority, another name", ta.clone(), &elsewhere, false),
        ("another key", expired.tlsa(), &right, false),
        ("another authority", other.tlsa(), &right, false),
        (
            "one of two",
            format!("{}\n{ee}", other.tlsa()),
            &right,
            true,
        ),
        ("unusable", unusable, &expired, true),
    ];
    for (what, records, certified, goes) in table {
        let tls = Tls::Good(certified.server.clone());
        let (mut sink, mut rig, _signed) = dane(&records, &tls, "mx.signed.test.").await;
        rig.send("bob@example.test", &["carol@signed.test"]).await;
        if goes {
            assert!(sink.message().await.tls, "{what}");
            rig.until_empty().await;
        } else {
            let error = waits(&mut rig, 1).await;
            assert!(error.contains("certificate"), "{what}: {error}");
            assert_eq!(sink.connections(), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn dane_needs_tls_and_a_zone_without_signatures_has_none() {
    let authority = Authority::new();
    let right = authority.certify("mx.signed.test", false);
    let (sink, mut rig, _signed) = dane(&right.tlsa(), &Tls::None, "mx.signed.test.").await;
    rig.send("bob@example.test", &["carol@signed.test"]).await;
    assert!(waits(&mut rig, 1).await.contains("offers no TLS"));
    assert_eq!(sink.connections(), 1);

    let (mut sink, mut rig, _signed) = dane(&right.tlsa(), &Tls::None, "mx.signed.test.").await;
    rig.send("bob@example.test", &["carol@plain.test"]).await;
    assert!(!sink.message().await.tls);
    rig.until_empty().await;

    // Unusable records ask for encryption at least.
    let unusable = format!("0 0 1 {}", right.tlsa().rsplit(' ').next().unwrap());
    let (_sink, mut rig, _signed) = dane(&unusable, &Tls::None, "mx.signed.test.").await;
    rig.send("bob@example.test", &["carol@signed.test"]).await;
    assert!(waits(&mut rig, 1).await.contains("offers no TLS"));
}

#[tokio::test]
async fn what_dnssec_proves_wrong_is_no_answer() {
    let signed = Signed::start(
        "signed.test. IN MX 10 mx.signed.test.\nmx.signed.test. IN A 127.0.0.1\n_25._tcp.mx.signed.test. IN TLSA 3 1 1 aa",
        "plain.test. IN MX 10 mx.plain.test.",
    )
    .await;
    let trusting = signed.resolver(true);
    assert_eq!(trusting.validates().await, Ok(true));
    let mx = trusting.validated_mx("signed.test").await.unwrap();
    assert!(mx.secure && mx.records[0].exchange == "mx.signed.test");
    let tlsa = trusting
        .validated_tlsa("_25._tcp.mx.signed.test")
        .await
        .unwrap();
    assert!(tlsa.secure && tlsa.records.len() == 1);
    let none = trusting
        .validated_tlsa("_26._tcp.mx.signed.test")
        .await
        .unwrap();
    assert!(none.secure && none.records.is_empty(), "{none:?}");
    let plain = trusting.validated_mx("plain.test").await.unwrap();
    assert!(!plain.secure && plain.records.len() == 1, "{plain:?}");
    // The keys of the real root did not sign this one: no answer is right, and DANE is not used.
    let strange = signed.resolver(false);
    assert_eq!(strange.validates().await, Ok(false));
    assert!(
        strange
            .validated_mx("signed.test")
            .await
            .unwrap_err()
            .is_temporary()
    );
    assert!(strange.mx("signed.test").await.is_ok());
}

#[tokio::test]
async fn a_look_up_of_tlsa_that_fails_keeps_the_mail() {
    let authority = Authority::new();
    let sink = Sink::start(sink_with(Shown::Right.tls(&authority))).await;
    let port = sink.addr.port();
    let failing = format!("remote.test SECURE\n_{port}._tcp.mx.remote.test FAIL servfail\n");
    let resolver = StaticResolver::new(zone(&failing));
    let world = World {
        resolver: Arc::new(resolver.clone()),
        ..World::of(Zone::new())
    };
    let mut rig = Rig::start_in(plan(port), world).await;
    send(&rig, Wish::Usual).await;
    let error = waits(&mut rig, 1).await;
    assert!(
        error.contains("could not be looked up with DNSSEC"),
        "{error}"
    );
    assert_eq!(sink.connections(), 0);
    resolver.set(zone("remote.test SECURE"));
    rig.pass(Duration::from_secs(600)).await;
    rig.until_empty().await;
}

#[tokio::test]
async fn while_dns_servers_are_silent_nobody_takes_dane_for_absent() {
    // The servers have answered nothing yet: whether there is DNSSEC is not known.
    let mut sink = Sink::start(Script::default()).await;
    let resolver = StaticResolver::new(zone(". FAIL silent"));
    let world = World {
        resolver: Arc::new(resolver.clone()),
        ..World::of(Zone::new())
    };
    let mut rig = Rig::start_in(plan(sink.addr.port()), world).await;
    send(&rig, Wish::Usual).await;
    let error = waits(&mut rig, 1).await;
    assert!(error.contains("no answer in time"), "{error}");
    assert_eq!(sink.connections(), 0);
    resolver.set(zone(""));
    rig.pass(Duration::from_secs(600)).await;
    sink.message().await;
    rig.until_empty().await;
}
