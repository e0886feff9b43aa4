use std::net::IpAddr;

use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_plan::OutboundIp;
use mailpods_policy::outbound::life::{Check, Finding, Life};

use super::{Ips, gate};
use crate::outbound::egress::on_this_machine;
use crate::testing::{name, plan};

fn ip(address: &str) -> OutboundIp {
    OutboundIp {
        name: "one".to_owned(),
        address: address.parse().unwrap(),
        hostname: name("out.example.test"),
        sending: true,
        pool: "default".to_owned(),
        weight: 1,
        warm_up: None,
        attachment: mailpods_plan::Attachment::Host,
    }
}

async fn failed(zone: &str, address: &str) -> Vec<Check> {
    let resolver = StaticResolver::new(Zone::parse(zone).unwrap());
    let (plan, life) = (plan(25), Life::default());
    let findings = gate::findings(
        &resolver,
        &plan,
        (&ip(address), &life),
        on_this_machine(ip(address).address).await,
        0,
    )
    .await;
    let failed = findings
        .into_iter()
        .filter(|(_, finding)| matches!(finding, Finding::Failed(_)));
    failed.map(|(check, _)| check).collect()
}

#[tokio::test]
async fn an_address_of_the_internet_needs_its_names() {
    let reverse = "1.2.0.192.in-addr.arpa PTR out.example.test";
    let forward = "out.example.test A 192.0.2.1";
    // The address is on no interface of the machine.
    let unplumbed = Check::ObservedSource;
    for (zone, wanted) in [
        (format!("{reverse}\n{forward}"), vec![unplumbed]),
        (reverse.to_owned(), vec![unplumbed, Check::ForwardConfirmed]),
        (forward.to_owned(), vec![unplumbed, Check::ReverseName]),
        (
            format!("1.2.0.192.in-addr.arpa PTR other.test\n{forward}"),
            vec![unplumbed, Check::ReverseName],
        ),
    ] {
        assert_eq!(failed(&zone, "192.0.2.1").await, wanted, "{zone}");
    }
}

#[tokio::test]
async fn the_name_in_helo_is_no_alias_and_our_certificate_is_for_it() {
    let zone = "out.example.test CNAME host.example.test\nhost.example.test A 192.0.2.1\n1.2.0.192.in-addr.arpa PTR out.example.test";
    assert!(failed(zone, "192.0.2.1").await.contains(&Check::Helo));
    let resolver = StaticResolver::new(Zone::parse("out.example.test A 192.0.2.1").unwrap());
    let now = std::time::SystemTime::now();
    for (hostname, of, wanted) in [
        (
            "out.example.test",
            "out.example.test",
            Some(Finding::Passed),
        ),
        ("out.example.test", "mx.example.test", None),
        ("mx.example.test", "out.example.test", None),
    ] {
        let mut plan = plan(25);
        plan.hostname = name(hostname);
        let pem = mailpods_net::tls::self_signed(&[of.to_owned()], now, 90).unwrap();
        plan.tls.presented = Some(pem.chain);
        let findings = gate::findings(
            &resolver,
            &plan,
            (&ip("192.0.2.1"), &Life::default()),
            Finding::Passed,
            0,
        )
        .await;
        let found = findings
            .into_iter()
            .find(|(check, _)| *check == Check::Certificate);
        match (found, hostname == "out.example.test") {
            (Some((_, finding)), true) => match wanted {
                Some(wanted) => assert_eq!(finding, wanted),
                None => assert!(matches!(finding, Finding::Failed(_)), "{finding:?}"),
            },
            (found, _) => assert_eq!(found, None, "nothing of ours listens under this name"),
        }
    }
}

#[tokio::test]
async fn others_must_see_the_address_that_we_send_from() {
    let resolver = StaticResolver::new(Zone::new());
    let own = ip("127.0.0.1");
    let mut life = Life::default();
    for provider in ["a", "b", "c"] {
        life.observe(provider, "198.51.100.1".parse().unwrap(), 0);
    }
    let of = |findings: Vec<(Check, Finding)>| findings[0].clone();
    let plan = plan(25);
    let found = of(gate::findings(&resolver, &plan, (&own, &life), Finding::Passed, 1).await);
    assert_eq!(
        found,
        (Check::ObservedSource, Finding::Passed),
        "nobody outside sees it"
    );
    assert!(
        life.comes_from_elsewhere("192.0.2.1".parse().unwrap(), 1)
            .is_some()
    );
}

#[tokio::test]
async fn an_address_that_nobody_outside_sees_needs_none() {
    assert!(failed("", "127.0.0.7").await.is_empty());
    let v6: IpAddr = "fd00::1".parse().unwrap();
    assert!(
        !failed("", &v6.to_string())
            .await
            .contains(&Check::ReverseName)
    );
}

#[test]
fn a_domain_shares_the_limit_of_its_provider() {
    use mailpods_policy::outbound::shape::Feedback;
    let (ips, mut plan) = (Ips::new().unwrap(), plan(25));
    plan.outbound.concurrency_per_destination = 8;
    assert_eq!(ips.limit(&plan, "a.test"), None);
    ips.remember("a.test", "google");
    ips.remember("b.test", "google");
    let before = ips.limit(&plan, "a.test").unwrap();
    ips.feed(&plan, "google", Feedback::Refused);
    let after = ips.limit(&plan, "b.test").unwrap();
    assert_eq!(after.0, "google");
    assert!(after.1 < before.1);
    (0..100).for_each(|_| ips.feed(&plan, "google", Feedback::Delivered));
    assert_eq!(ips.limit(&plan, "a.test").unwrap().1, 8);
}
