use mailpods_api::DomainName;
use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_net::dns::{DnsError, Mx};
use mailpods_plan::{TransportRule, TransportRules};
use mailpods_policy::Reason;
use mailpods_policy::outbound::choose::{Class, PoolRule};
use mailpods_smtp_proto::client::{Outcome, Phase};
use mailpods_store::queue::{Destination, Origin};

use super::mx::{self, Own, Target};
use super::outcome::Answered;
use super::route::{Sources, class, is_once, literal};
use crate::fate::Fate;
use crate::testing::plan;

struct Us;

impl Own for Us {
    fn is_own(&self, host: &str) -> bool {
        host == "us.test"
    }
}

fn rank(
    answer: Result<Vec<(u16, &str)>, DnsError>,
    random: u64,
) -> Result<Vec<String>, (Reason, String)> {
    let records = answer.map(|all| {
        all.iter()
            .map(|(preference, exchange)| Mx {
                preference: *preference,
                exchange: (*exchange).to_owned(),
            })
            .collect()
    });
    let domain = DomainName::parse("d.test").unwrap();
    mx::rank(&domain, records, &Us, random)
        .map_err(|trouble| (trouble.reason, trouble.status.into()))
}

#[test]
fn exchangers_are_ranked_by_rfc_5321() {
    let ok = |hosts: &[&str]| {
        Ok(hosts
            .iter()
            .map(|host| (*host).to_owned())
            .collect::<Vec<_>>())
    };
    let no = |reason, status: &str| Err((reason, status.to_owned()));
    let table = [
        (
            Ok(vec![(20, "b.test"), (10, "a.test")]),
            ok(&["a.test", "b.test"]),
        ),
        (Err(DnsError::NoRecords), ok(&["d.test"])),
        (Err(DnsError::NxDomain), no(Reason::NoSuchDomain, "5.1.2")),
        (
            Err(DnsError::Temporary("SERVFAIL".to_owned())),
            no(Reason::DnsTemporary, "4.4.3"),
        ),
        (Ok(vec![(0, "")]), no(Reason::NullMx, "5.1.10")),
        (Ok(vec![(0, ""), (10, "a.test")]), ok(&["a.test"])),
        (
            Ok(vec![
                (5, "a.test"),
                (10, "us.test"),
                (10, "b.test"),
                (20, "c.test"),
            ]),
            ok(&["a.test"]),
        ),
        (
            Ok(vec![(10, "us.test"), (20, "c.test")]),
            no(Reason::RoutingLoop, "5.4.6"),
        ),
    ];
    for (answer, wanted) in table {
        assert_eq!(rank(answer.clone(), 1), wanted, "{answer:?}");
    }
}

#[test]
fn equal_preferences_share_the_load() {
    let records = || {
        Ok(vec![
            (10, "a.test"),
            (10, "b.test"),
            (10, "c.test"),
            (20, "z.test"),
        ])
    };
    let firsts: std::collections::BTreeSet<String> = (0..50)
        .map(|random| rank(records(), random * 7919).unwrap().remove(0))
        .collect();
    assert_eq!(firsts.len(), 3);
    assert!((0..50).all(|random| rank(records(), random).unwrap().last().unwrap() == "z.test"));
}

async fn addresses(zone: &str, hosts: &[&str]) -> Result<Vec<Target>, Reason> {
    let resolver = StaticResolver::new(Zone::parse(zone).unwrap());
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    mx::addresses(&resolver, &hosts, |address| address.is_ipv4())
        .await
        .map_err(|trouble| trouble.reason)
}

#[tokio::test]
async fn trouble_with_addresses_never_returns_mail_while_dns_is_out() {
    let zone = "a.test A 192.0.2.1\na.test AAAA 2001:db8::1\nsix.test AAAA 2001:db8::2\nbroken.test FAIL servfail\nalias.test CNAME a.test";
    let target = |name: &str| {
        vec![Target {
            name: name.to_owned(),
            address: "192.0.2.1".parse().unwrap(),
        }]
    };
    assert_eq!(addresses(zone, &["a.test"]).await, Ok(target("a.test")));
    assert_eq!(
        addresses(zone, &["alias.test"]).await,
        Ok(target("alias.test"))
    );
    assert_eq!(
        addresses(zone, &["broken.test", "a.test"]).await,
        Ok(target("a.test"))
    );
    assert_eq!(
        addresses(zone, &["broken.test", "none.test"]).await,
        Err(Reason::DnsTemporary)
    );
    assert_eq!(
        addresses(zone, &["six.test"]).await,
        Err(Reason::ConnectFailed)
    );
    assert_eq!(
        addresses(zone, &["none.test"]).await,
        Err(Reason::NoSuchDomain)
    );
}

#[tokio::test]
async fn a_domain_with_servers_without_number_costs_no_more_than_one_with_a_few() {
    let hosts: Vec<(u16, String)> = (0..500).map(|at| (at, format!("h{at}.test"))).collect();
    let records = hosts
        .iter()
        .map(|(at, host)| (*at, host.as_str()))
        .collect();
    let ranked = rank(Ok(records), 1).unwrap();
    assert_eq!(ranked.len(), 16);
    let zone: Vec<String> = (0..500)
        .map(|at| format!("h{}.test A 192.0.2.{}", at % 20, at % 250))
        .collect();
    let hosts: Vec<&str> = ranked.iter().map(String::as_str).collect();
    let targets = addresses(&zone.join("\n"), &hosts).await.unwrap();
    assert_eq!(targets.len(), 8);
}

#[test]
fn literals_are_read() {
    assert_eq!(literal("[192.0.2.1]"), Some("192.0.2.1".parse().unwrap()));
    assert_eq!(
        literal("[IPv6:2001:db8::1]"),
        Some("2001:db8::1".parse().unwrap())
    );
    for text in ["192.0.2.1", "[2001:db8::1]", "[x]", "[]", "["] {
        assert_eq!(literal(text), None, "{text}");
    }
}

#[test]
fn the_source_has_the_family_of_the_destination() {
    use mailpods_plan::{IpFamily, OutboundIp};
    let mut plan = plan(25);
    plan.outbound.ip_family = IpFamily::Both;
    let v4 = |last: u8| std::net::IpAddr::from([192, 0, 2, last]);
    let v6: std::net::IpAddr = "2001:db8::1".parse().unwrap();
    let of = |plan: &_, sender: &str, class| Sources::of(plan, sender, class);
    assert!(of(&plan, "a@example.test", Class::Transactional).reaches(v6));
    for (number, pool) in [(1, "default"), (2, "default"), (3, "bulk")] {
        let name = format!("ip{number}");
        let hostname = crate::testing::name(&format!("ip{number}.example.test"));
        let ip = OutboundIp {
            name: name.clone(),
            address: v4(number),
            hostname,
            sending: true,
            pool: pool.to_owned(),
            weight: 1,
            warm_up: None,
            attachment: mailpods_plan::Attachment::Host,
        };
        plan.outbound_ips.insert(name, ip);
    }
    let sources = of(&plan, "a@example.test", Class::Transactional);
    assert!(sources.reaches(v4(9)) && !sources.reaches(v6));
    assert_eq!(sources.of_family(true).count(), 3);
    plan.outbound.pool_rules = vec![PoolRule {
        class: Some(Class::Bulk),
        sender: Some("example.test".to_owned()),
        pool: "bulk".to_owned(),
    }];
    let sources = of(&plan, "a@example.test", Class::Bulk);
    assert_eq!(sources.ips.len(), 1);
    assert_eq!(sources.ips[0].name, "ip3");
}

#[test]
fn exchangers_are_on_the_internet_unless_the_settings_say_otherwise() {
    let ip = |text: &str| -> std::net::IpAddr { text.parse().unwrap() };
    let mut settings = plan(25).outbound;
    let may = |settings: &_, source: Option<&str>, to: &str| {
        mx::may_be_at(settings, source.map(ip), ip(to))
    };
    for (source, to, wanted) in [
        (None, "198.51.100.1", true),
        (None, "2001:db8::1", true),
        (None, "10.0.0.1", false),
        (None, "127.0.0.1", false),
        (None, "::1", false),
        (None, "::ffff:127.0.0.1", false),
        (None, "64:ff9b::10.0.0.1", false),
        (None, "fe80::1", false),
        (Some("192.0.2.1"), "10.0.0.1", false),
        (Some("192.0.2.1"), "198.51.100.1", true),
        (Some("10.0.0.9"), "10.0.0.1", true),
        (Some("10.0.0.9"), "127.0.0.1", false),
        (Some("127.0.0.2"), "127.0.0.1", true),
    ] {
        assert_eq!(may(&settings, source, to), wanted, "{source:?} {to}");
    }
    settings.private_exchangers = vec!["10.0.0.0/8".parse().unwrap()];
    assert!(may(&settings, None, "10.0.0.1") && !may(&settings, None, "127.0.0.1"));
    settings.private_exchangers.clear();
    settings.port = 2525;
    assert!(
        may(&settings, None, "127.0.0.1"),
        "no exchanger of the Internet"
    );
    for nobody in ["0.0.0.0", "224.0.0.1", "::", "255.255.255.255"] {
        assert!(!may(&settings, Some("127.0.0.2"), nobody), "{nobody}");
    }
}

#[test]
fn mail_with_addresses_of_its_own_leaves_from_no_other() {
    let mut plan = plan(25);
    let of = |plan: &_, sender: &str| Sources::of(plan, sender, Class::Transactional);
    let missing = |plan: &_, sender: &str| {
        of(plan, sender)
            .absent()
            .map(|trouble| trouble.full().into_owned())
    };
    crate::testing::with_addresses(&mut plan, "example.test", &["one", "two"]);
    let text = missing(&plan, "a@example.test").unwrap();
    assert!(
        text.ends_with("one, two, which example.test names"),
        "{text}"
    );
    assert_eq!(missing(&plan, "a@other.test"), None, "the system chooses");
    plan.outbound_ips.insert(
        "two".to_owned(),
        crate::testing::outbound_ip("two", "192.0.2.2"),
    );
    assert_eq!(missing(&plan, "a@example.test"), None);
    assert_eq!(of(&plan, "a@example.test").ips.len(), 1);
    plan.outbound.pool_rules = vec![PoolRule {
        class: None,
        sender: None,
        pool: "bulk".to_owned(),
    }];
    let text = missing(&plan, "a@example.test").unwrap();
    assert!(text.contains("pool bulk"), "{text}");
    assert!(missing(&plan, "").is_some());
}

#[test]
fn bulk_mail_says_so() {
    let unit = |sender: &str, origin| {
        let mut unit = crate::testing::unit(sender);
        std::sync::Arc::make_mut(&mut unit.message).origin = origin;
        unit
    };
    let own = unit("a@example.test", Origin::Inbound);
    for (header, wanted) in [
        ("Subject: x\r\nList-Id: <l.example.test>\r\n", Class::Bulk),
        ("Precedence: BULK\r\n", Class::Bulk),
        (
            "Precedence: first-class\r\nX-List-Id: no\r\n",
            Class::Transactional,
        ),
    ] {
        assert_eq!(class(&own, header.as_bytes()), wanted, "{header}");
    }
    let bounce = unit("", Origin::Notification);
    assert_eq!(class(&bounce, b"Precedence: bulk\r\n"), Class::Bounce);
    let forward = unit("x@remote.test", Origin::Forward(String::new()));
    assert_eq!(class(&forward, b""), Class::Forwarded);
}

#[test]
fn a_lost_connection_defers_and_what_was_not_tried_is_open() {
    let answered = Answered {
        mta: "mx.test",
        from: None,
        reports: true,
        lmtp: false,
    };
    assert!(
        matches!(answered.fate(Outcome::Lost(Phase::DataEnd)), Some(Fate::Deferred(trouble)) if &*trouble.status == "4.4.2")
    );
    assert!(
        matches!(answered.fate(Outcome::TooLarge(10)), Some(Fate::Failed(trouble)) if &*trouble.status == "5.3.4")
    );
    assert!(matches!(
        answered.fate(Outcome::Violation(String::new())),
        Some(Fate::Deferred(_))
    ));
    assert_eq!(answered.fate(Outcome::NotTried), None);
}

#[test]
fn no_transport_is_for_mailboxes_here() {
    let mut plan = plan(25);
    plan.outbound.transports = TransportRules::new(vec![TransportRule {
        suffixes: vec![DomainName::parse("local").unwrap()],
        once: true,
        ..TransportRule::default()
    }]);
    assert!(is_once(&plan, &Destination("printer.local".into())));
    assert!(!is_once(&plan, &Destination::local()));
}
