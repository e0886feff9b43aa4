use std::net::IpAddr;

use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_plan::OutboundIp;
use mailpods_policy::outbound::life::{Check, Finding};

use super::{Ips, gate};
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
    }
}

async fn failed(zone: &str, address: &str) -> Vec<Check> {
    let resolver = StaticResolver::new(Zone::parse(zone).unwrap());
    let findings = gate::findings(&resolver, &ip(address)).await;
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
