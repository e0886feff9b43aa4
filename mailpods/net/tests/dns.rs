//! The resolver against a DNS server on loopback, and the static resolver against the same table.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mailpods_net::dns::fixed::{Failure, StaticResolver, Zone};
use mailpods_net::dns::responder::Responder;
use mailpods_net::dns::{
    DnsError, Family, HickoryResolver, Mx, Resolver, ResolverOptions, Srv, reverse_name, to_ascii,
};

const ZONE: &str = r#"
    ; one of everything
    example.test        MX    20 mx2.example.test
    example.test        MX    10 MX1.Example.Test.
    example.test        TXT   "v=spf1 " "mx -all"
    example.test        TXT   "say \"hi\""
    null.test           MX    0 .
    mx1.example.test    A     192.0.2.1
    mx1.example.test    AAAA  2001:db8::1
    v4only.test         A     192.0.2.2
    192.0.2.1           PTR   mx1.example.test
    2001:db8::1         PTR   mx1.example.test.
    alias.test          CNAME middle.test
    middle.test         CNAME mx1.example.test
    dangling.test       CNAME nowhere.test
    loop.test           CNAME loop2.test
    loop2.test          CNAME loop.test
    xn--bcher-kva.test  A     192.0.2.3
    _imaps._tcp.example.test SRV 0 1 993 mail.example.test
    deep.empty.test     A     192.0.2.4
    broken.test         FAIL  servfail
    refused.test        FAIL  refused
"#;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hickory(server: SocketAddr) -> HickoryResolver {
    HickoryResolver::new(&[server], Duration::from_secs(5), 1, 100).unwrap()
}

/// What must hold for any resolver over [`ZONE`].
async fn conforms(resolver: &dyn Resolver) {
    let mx = |preference, exchange: &str| Mx {
        preference,
        exchange: exchange.to_owned(),
    };
    let found = resolver.mx("Example.TEST.").await.unwrap();
    assert_eq!(
        found,
        [mx(10, "mx1.example.test"), mx(20, "mx2.example.test")]
    );
    let null = resolver.mx("null.test").await.unwrap();
    assert!(null.len() == 1 && null[0].is_null());

    let mut texts = resolver.txt("example.test").await.unwrap();
    texts.sort();
    assert_eq!(texts, [b"say \"hi\"".to_vec(), b"v=spf1 mx -all".to_vec()]);
    let srv = Srv {
        priority: 0,
        weight: 1,
        port: 993,
        target: "mail.example.test".to_owned(),
    };
    assert_eq!(
        resolver.srv("_imaps._tcp.example.test").await.unwrap(),
        [srv]
    );

    addresses_conform(resolver).await;
    names_conform(resolver).await;
    failures_conform(resolver).await;
}

async fn addresses_conform(resolver: &dyn Resolver) {
    let (v4, v6) = (ip("192.0.2.1"), ip("2001:db8::1"));
    for name in ["mx1.example.test", "alias.test"] {
        assert_eq!(
            resolver.addresses(name, Family::V4).await.unwrap(),
            [v4],
            "{name}"
        );
        assert_eq!(
            resolver.addresses(name, Family::V6).await.unwrap(),
            [v6],
            "{name}"
        );
        assert_eq!(
            resolver.addresses(name, Family::Both).await.unwrap(),
            [v6, v4],
            "{name}"
        );
    }
    assert_eq!(
        resolver.addresses("v4only.test", Family::V6).await,
        Err(DnsError::NoRecords)
    );
    assert_eq!(
        resolver
            .addresses("v4only.test", Family::Both)
            .await
            .unwrap(),
        [ip("192.0.2.2")]
    );
    assert_eq!(
        resolver
            .addresses("b\u{fc}cher.test", Family::V4)
            .await
            .unwrap(),
        [ip("192.0.2.3")]
    );
    assert_eq!(
        resolver
            .addresses("203.0.113.5", Family::Both)
            .await
            .unwrap(),
        [ip("203.0.113.5")]
    );
    assert_eq!(
        resolver.addresses("203.0.113.5", Family::V6).await,
        Err(DnsError::NoRecords)
    );
}

async fn names_conform(resolver: &dyn Resolver) {
    for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
        assert_eq!(
            resolver.ptr(ip(address)).await.unwrap(),
            ["mx1.example.test"],
            "{address}"
        );
    }
    assert_eq!(
        resolver.ptr(ip("192.0.2.99")).await,
        Err(DnsError::NxDomain)
    );
    assert_eq!(
        resolver.cname_chain("alias.test").await.unwrap(),
        ["middle.test", "mx1.example.test"]
    );
    assert_eq!(
        resolver.cname_chain("example.test").await,
        Err(DnsError::NoRecords)
    );
    assert_eq!(
        resolver.cname_chain("nowhere.test").await,
        Err(DnsError::NxDomain)
    );
    assert!(
        resolver
            .cname_chain("loop.test")
            .await
            .unwrap_err()
            .is_temporary()
    );
}

async fn failures_conform(resolver: &dyn Resolver) {
    assert_eq!(resolver.mx("nowhere.test").await, Err(DnsError::NxDomain));
    assert_eq!(
        resolver.mx("mx1.example.test").await,
        Err(DnsError::NoRecords)
    );
    assert_eq!(resolver.mx("empty.test").await, Err(DnsError::NoRecords));
    assert_eq!(
        resolver.addresses("dangling.test", Family::Both).await,
        Err(DnsError::NxDomain)
    );
    for name in ["broken.test", "refused.test", "loop.test"] {
        assert!(
            resolver
                .addresses(name, Family::Both)
                .await
                .unwrap_err()
                .is_temporary(),
            "{name}"
        );
        assert!(
            resolver.mx(name).await.unwrap_err().is_temporary(),
            "{name}"
        );
    }
    for name in [
        "",
        "a..test",
        "sp ace.test",
        "\u{0}.test",
        &"x".repeat(64),
        &"\u{fc}".repeat(3000),
    ] {
        assert!(
            matches!(resolver.txt(name).await, Err(DnsError::Malformed(_))),
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn the_static_resolver_conforms() {
    conforms(&StaticResolver::new(Zone::parse(ZONE).unwrap())).await;
}

#[tokio::test]
async fn the_resolver_over_udp_conforms() {
    let server = Responder::start(Zone::parse(ZONE).unwrap()).await.unwrap();
    conforms(&hickory(server.addr())).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_comes_over_tcp() {
    let long = "x".repeat(4000);
    let server = Responder::start(Zone::new().txt("long.test", &long))
        .await
        .unwrap();
    assert_eq!(
        hickory(server.addr()).txt("long.test").await.unwrap(),
        [long.into_bytes()]
    );
}

#[tokio::test]
async fn silence_and_a_dead_server_are_temporary() {
    let server = Responder::start(Zone::new().failing("silent.test", Failure::Silent))
        .await
        .unwrap();
    let short = Duration::from_millis(30);
    let resolver = HickoryResolver::new(&[server.addr()], short, 1, 100).unwrap();
    assert!(resolver.mx("silent.test").await.unwrap_err().is_temporary());
    let dead = server.addr();
    drop(server);
    let resolver = HickoryResolver::new(&[dead], short, 1, 100).unwrap();
    assert!(
        resolver
            .mx("example.test")
            .await
            .unwrap_err()
            .is_temporary()
    );
}

#[tokio::test]
async fn one_family_failing_does_not_hide_the_other() {
    let resolver = StaticResolver::new(Zone::new().address("a.test", ip("192.0.2.1")));
    assert_eq!(
        resolver.addresses("a.test", Family::Both).await.unwrap(),
        [ip("192.0.2.1")]
    );
    assert_eq!(
        resolver.addresses("a.test", Family::V6).await,
        Err(DnsError::NoRecords)
    );
}

#[tokio::test]
async fn negative_answers_are_kept_and_failures_are_not() {
    let server = Responder::start(Zone::new().failing("broken.test", Failure::ServFail))
        .await
        .unwrap();
    let resolver = hickory(server.addr());
    assert_eq!(resolver.txt("new.test").await, Err(DnsError::NxDomain));
    assert!(
        resolver
            .txt("broken.test")
            .await
            .unwrap_err()
            .is_temporary()
    );

    server.set(
        Zone::new()
            .txt("new.test", "x")
            .txt("broken.test", "mended"),
    );
    assert_eq!(resolver.txt("new.test").await, Err(DnsError::NxDomain));
    assert_eq!(
        resolver.txt("broken.test").await.unwrap(),
        [b"mended".to_vec()]
    );
}

#[tokio::test]
async fn a_new_configuration_holds_for_every_clone() {
    let first = Responder::start(Zone::new().txt("a.test", "first"))
        .await
        .unwrap();
    let second = Responder::start(Zone::new().txt("a.test", "second"))
        .await
        .unwrap();
    let resolver = hickory(first.addr());
    let clone = resolver.clone();
    assert_eq!(clone.txt("a.test").await.unwrap(), [b"first".to_vec()]);
    let options = ResolverOptions {
        servers: vec![second.addr()],
        ..ResolverOptions::default()
    };
    resolver.reconfigure(&options).unwrap();
    assert_eq!(clone.txt("a.test").await.unwrap(), [b"second".to_vec()]);
    assert!(
        clone
            .inner()
            .lookup("a.test.", hickory_proto::rr::RecordType::TXT)
            .await
            .is_ok()
    );
}

#[test]
fn names_are_normalised() {
    for (name, wanted) in [
        ("Example.TEST.", "example.test"),
        ("_dmarc.B\u{fc}cher.test", "_dmarc.xn--bcher-kva.test"),
        (".", ""),
    ] {
        assert_eq!(to_ascii(name).unwrap(), wanted);
    }
    assert_eq!(reverse_name(ip("192.0.2.10")), "10.2.0.192.in-addr.arpa");
    let v6 = reverse_name(ip("2001:db8::567:89ab"));
    assert_eq!(
        v6,
        "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    );
}

#[test]
fn a_zone_mistake_names_its_line() {
    for (text, problem) in [
        ("a.test A 1.2.3", "`1.2.3` is not an IPv4 address"),
        ("a.test MX mx.test", "MX does not take `mx.test`"),
        ("a.test HINFO x", "`HINFO` is not a type"),
        ("a.test FAIL loudly", "`loudly` is not a failure"),
        ("a..test A 1.2.3.4", "is not a domain name"),
    ] {
        let error = Zone::parse(&format!("\n# comment\n{text}\n")).unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn servers_that_do_not_answer_leave_open_whether_they_validate() {
    let resolver = |server| {
        HickoryResolver::with_options(&ResolverOptions {
            servers: vec![server],
            timeout: Duration::from_millis(200),
            ..ResolverOptions::default()
        })
        .unwrap()
    };
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let asked = resolver(silent.local_addr().unwrap());
    // All who ask meanwhile hear the same.
    for answer in [asked.validates(), asked.validates()] {
        assert!(answer.await.unwrap_err().is_temporary());
    }
    let broken = Responder::start(Zone::new().failing(".", Failure::ServFail)).await;
    let answer = resolver(broken.unwrap().addr()).validates().await;
    assert!(answer.unwrap_err().is_temporary());
    let unsigned = Responder::start(Zone::new()).await.unwrap();
    assert_eq!(resolver(unsigned.addr()).validates().await, Ok(false));
}
