//! RFC 7208 as tables: each row is a client, a sender and the result.

use std::time::{Duration, Instant};

use super::dns::{TestDns, Zone};
use crate::dns::Dns;
use mailpods_spf::{Identity, check};

/// `(client, sender domain, result)`
type Row<'a> = (&'a str, &'a str, &'a str);

async fn run(zone: Zone, rows: &[Row<'_>]) {
    let server = TestDns::start(zone).await;
    let dns = Dns::new(server.resolver());
    for (client, domain, expected) in rows {
        let lookups = dns.until(Instant::now() + Duration::from_secs(10));
        let identity = Identity {
            client_ip: client.parse().unwrap(),
            helo: "mx.helo.test",
            local: "strong-bad",
            domain,
        };
        let got = check(&lookups, &identity).await;
        assert_eq!(
            got.result.as_str(),
            *expected,
            "{client} {domain}: {}",
            got.reason
        );
    }
}

#[tokio::test]
async fn selecting_the_record() {
    let zone = Zone::new()
        .txt("one.test", "v=spf1 ip4:192.0.2.1 -all")
        .txt("case.test", "V=SPF1 IP4:192.0.2.1 -ALL")
        .txt("empty.test", "v=spf1")
        .txt("other.test", "v=spf10 -all")
        .txt("other.test", "hello")
        .txt("two.test", "v=spf1 +all")
        .txt("two.test", "v=spf1 -all")
        .txt("beside.test", "v=spf1 foo")
        .txt("beside.test", "google-site-verification=x")
        .cname("alias.test", "one.test")
        .a("nothing.test", "192.0.2.1")
        .servfail("broken.test")
        .silent("silent.test");
    let rows = [
        ("192.0.2.1", "one.test", "pass"),
        ("192.0.2.2", "one.test", "fail"),
        ("192.0.2.1", "case.test", "pass"),
        ("192.0.2.1", "empty.test", "neutral"),
        ("192.0.2.1", "other.test", "none"),
        ("192.0.2.1", "nothing.test", "none"),
        ("192.0.2.1", "missing.test", "none"),
        ("192.0.2.1", "two.test", "permerror"),
        ("192.0.2.1", "beside.test", "permerror"),
        ("192.0.2.1", "alias.test", "pass"),
        ("192.0.2.1", "broken.test", "temperror"),
        ("192.0.2.1", "silent.test", "temperror"),
        ("192.0.2.1", "localhost", "none"),
        ("192.0.2.1", "a..test", "none"),
        ("192.0.2.1", "", "none"),
        ("192.0.2.1", "[192.0.2.1]", "none"),
        ("192.0.2.1", "192.0.2.1", "none"),
    ];
    run(zone, &rows).await;
}

#[tokio::test]
async fn syntax_errors_are_permanent_wherever_they_are() {
    let bad = [
        "v=spf1 +all foo",
        "v=spf1 ip4:1.2.3 +all",
        "v=spf1 ip4:192.0.2.1/33 +all",
        "v=spf1 ip4:192.0.2.1/032 +all",
        "v=spf1 ip4 +all",
        "v=spf1 ip6:1.2.3.4 +all",
        "v=spf1 ip6:::1/129 +all",
        "v=spf1 all:x +all",
        "v=spf1 all/8",
        "v=spf1 include +all",
        "v=spf1 include: +all",
        "v=spf1 include:a.test/24",
        "v=spf1 exists +all",
        "v=spf1 a: +all",
        "v=spf1 a/33",
        "v=spf1 a//129",
        "v=spf1 a:test.123 +all",
        "v=spf1 a:%{x}.test +all",
        "v=spf1 a:%{c}.test +all",
        "v=spf1 a:%x.test +all",
        "v=spf1 a:%{d0}.test +all",
        "v=spf1 a:%{d",
        "v=spf1 --all",
        "v=spf1 redirect=a.test redirect=b.test",
        "v=spf1 exp=a.test exp=b.test +all",
        "v=spf1 redirect= +all",
        "v=spf1 1foo=x +all",
        "v=spf1 foo=%{zz} +all",
        "v=spf1 a:\u{e9}.test +all",
    ];
    let mut zone = Zone::new();
    for (n, record) in bad.iter().enumerate() {
        zone = zone.txt(&format!("bad{n}.test"), record);
    }
    let names: Vec<String> = (0..bad.len()).map(|n| format!("bad{n}.test")).collect();
    let rows: Vec<Row<'_>> = names
        .iter()
        .map(|name| ("192.0.2.1", name.as_str(), "permerror"))
        .collect();
    run(zone, &rows).await;
}

#[tokio::test]
async fn qualifiers_and_unknown_modifiers() {
    let zone = Zone::new()
        .txt("minus.test", "v=spf1 -all")
        .txt("tilde.test", "v=spf1 ~all")
        .txt("question.test", "v=spf1 ?all")
        .txt("plus.test", "v=spf1 +all")
        .txt("spaces.test", "v=spf1   -ip4:192.0.2.9    +all  ")
        .txt("modifier.test", "v=spf1 foo=bar%{d} x-y_z.1= +all");
    let rows = [
        ("192.0.2.1", "minus.test", "fail"),
        ("192.0.2.1", "tilde.test", "softfail"),
        ("192.0.2.1", "question.test", "neutral"),
        ("192.0.2.1", "plus.test", "pass"),
        ("192.0.2.9", "spaces.test", "fail"),
        ("192.0.2.1", "spaces.test", "pass"),
        ("192.0.2.1", "modifier.test", "pass"),
    ];
    run(zone, &rows).await;
}

#[tokio::test]
async fn addresses_and_networks_of_both_families() {
    let zone = Zone::new()
        .txt("ip4.test", "v=spf1 ip4:192.0.2.0/25 -all")
        .txt("ip4all.test", "v=spf1 ip4:1.1.1.1/0 -all")
        .txt("ip6.test", "v=spf1 ip6:2001:db8::/33 -all")
        .txt("ip6all.test", "v=spf1 ip6:::/0 -all")
        .txt("a.test", "v=spf1 a -all")
        .a("a.test", "192.0.2.77")
        .aaaa("a.test", "2001:db8::77")
        .txt("net.test", "v=spf1 a:a.test/24//64 -all")
        .txt("mx.test", "v=spf1 mx/28 -all")
        .mx("mx.test", 10, "a.test")
        .mx("mx.test", 20, "nowhere.test");
    let rows = [
        ("192.0.2.127", "ip4.test", "pass"),
        ("192.0.2.128", "ip4.test", "fail"),
        ("2001:db8::1", "ip4.test", "fail"),
        ("192.0.2.1", "ip4all.test", "pass"),
        ("2001:db8::1", "ip4all.test", "fail"),
        ("2001:db8:7fff::1", "ip6.test", "pass"),
        ("2001:db8:8000::1", "ip6.test", "fail"),
        ("192.0.2.1", "ip6all.test", "fail"),
        ("192.0.2.77", "a.test", "pass"),
        ("192.0.2.78", "a.test", "fail"),
        ("2001:db8::77", "a.test", "pass"),
        ("192.0.2.1", "net.test", "pass"),
        ("2001:db8::99:1", "net.test", "pass"),
        ("2001:db8:0:1::1", "net.test", "fail"),
        ("192.0.2.65", "mx.test", "pass"),
        ("192.0.2.90", "mx.test", "fail"),
    ];
    run(zone, &rows).await;
}

#[tokio::test]
async fn include_and_redirect() {
    let zone = Zone::new()
        .txt("pass.test", "v=spf1 ip4:192.0.2.1 -all")
        .txt("soft.test", "v=spf1 ~all")
        .txt("include.test", "v=spf1 include:pass.test ~all")
        .txt("include-none.test", "v=spf1 include:missing.test +all")
        .txt("include-bad.test", "v=spf1 include:bad.test +all")
        .txt("bad.test", "v=spf1 what")
        .txt("include-temp.test", "v=spf1 include:down.test +all")
        .servfail("down.test")
        .txt("include-soft.test", "v=spf1 -include:soft.test ?all")
        .txt("redirect.test", "v=spf1 redirect=pass.test")
        .txt("redirect-none.test", "v=spf1 redirect=missing.test")
        .txt("redirect-late.test", "v=spf1 redirect=missing.test ?all")
        .txt("loop.test", "v=spf1 include:loop.test -all")
        .txt("circle.test", "v=spf1 redirect=circle.test");
    let rows = [
        ("192.0.2.1", "include.test", "pass"),
        ("192.0.2.2", "include.test", "softfail"),
        ("192.0.2.1", "include-none.test", "permerror"),
        ("192.0.2.1", "include-bad.test", "permerror"),
        ("192.0.2.1", "include-temp.test", "temperror"),
        ("192.0.2.1", "include-soft.test", "neutral"),
        ("192.0.2.1", "redirect.test", "pass"),
        ("192.0.2.2", "redirect.test", "fail"),
        ("192.0.2.1", "redirect-none.test", "permerror"),
        ("192.0.2.1", "redirect-late.test", "neutral"),
        ("192.0.2.1", "loop.test", "permerror"),
        ("192.0.2.1", "circle.test", "permerror"),
    ];
    run(zone, &rows).await;
}

#[tokio::test]
async fn exists_ptr_and_macros() {
    // The examples of RFC 7208 §7.4 as names that exist.
    let zone = Zone::new()
        .txt("s.email.example.test", "v=spf1 exists:%{s}.s.test -all")
        .a("strong-bad@s.email.example.test.s.test", "127.0.0.2")
        .txt("d2.email.example.test", "v=spf1 exists:%{d2}.t.test exists:%{dr}.t.test -all")
        .a("example.test.t.test", "127.0.0.2")
        .txt("l.email.example.test", "v=spf1 exists:%{l-}.%{lr-}.t.test -all")
        .a("strong.bad.bad.strong.t.test", "127.0.0.2")
        .txt("ir.email.example.test", "v=spf1 exists:%{ir}.%{v}._spf.%{d3} -all")
        .a("1.2.0.192.in-addr._spf.email.example.test", "127.0.0.2")
        .a(
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.email.example.test",
            "127.0.0.2",
        )
        .txt("h.test", "v=spf1 exists:%{h1R}.%{o}.t.test -all")
        .a("mx.h.test.t.test", "127.0.0.2")
        .txt("escape.test", "v=spf1 exists:a%%b%_c.%{S}.t.test -all")
        .txt("ptr.test", "v=spf1 ptr -all")
        .ptr("192.0.2.3", "evil.other.test")
        .ptr("192.0.2.3", "host.ptr.test")
        .a("evil.other.test", "192.0.2.3")
        .a("host.ptr.test", "192.0.2.3")
        .ptr("192.0.2.4", "liar.ptr.test")
        .a("liar.ptr.test", "192.0.2.99")
        .txt("p.test", "v=spf1 exists:%{p}.t.test -all")
        .a("evil.other.test.t.test", "127.0.0.2")
        .a("unknown.t.test", "127.0.0.2");
    let rows = [
        ("192.0.2.1", "s.email.example.test", "pass"),
        ("192.0.2.1", "d2.email.example.test", "pass"),
        ("192.0.2.1", "l.email.example.test", "pass"),
        ("192.0.2.1", "ir.email.example.test", "pass"),
        ("192.0.2.2", "ir.email.example.test", "fail"),
        ("2001:db8::cb01", "ir.email.example.test", "pass"),
        ("192.0.2.1", "h.test", "pass"),
        ("192.0.2.1", "escape.test", "fail"),
        ("192.0.2.3", "ptr.test", "pass"),
        ("192.0.2.4", "ptr.test", "fail"),
        ("192.0.2.5", "ptr.test", "fail"),
        ("192.0.2.3", "p.test", "pass"),
        ("192.0.2.5", "p.test", "pass"),
    ];
    run(zone, &rows).await;
}

#[tokio::test]
async fn limits_of_lookups() {
    let a10: String = (0..10).map(|n| format!(" a:h{n}.test")).collect();
    let mut zone = Zone::new()
        .txt("ten.test", &format!("v=spf1{a10} +all"))
        .txt("eleven.test", &format!("v=spf1{a10} a:h0.test +all"))
        .txt("void2.test", "v=spf1 a:v1.test a:v2.test +all")
        .txt(
            "void3.test",
            "v=spf1 a:v1.test mx:v2.test exists:v3.test +all",
        )
        .txt("early.test", &format!("v=spf1 +all{a10} a:h0.test"))
        .txt("mx10.test", "v=spf1 mx +all")
        .txt("mx11.test", "v=spf1 mx +all")
        .txt("nested.test", "v=spf1 include:n1.test a:h0.test +all");
    for n in 0..11 {
        zone = zone.a(&format!("h{n}.test"), "198.51.100.1").mx(
            "mx11.test",
            10,
            &format!("h{n}.test"),
        );
        zone = zone.txt(
            &format!("n{n}.test"),
            &format!("v=spf1 include:n{}.test ?all", n + 1),
        );
    }
    for n in 0..10 {
        zone = zone.mx("mx10.test", 10, &format!("h{n}.test"));
    }
    let zone = zone.txt("n11.test", "v=spf1 -all");
    let rows = [
        ("192.0.2.1", "ten.test", "pass"),
        ("192.0.2.1", "eleven.test", "permerror"),
        ("192.0.2.1", "void2.test", "pass"),
        ("192.0.2.1", "void3.test", "permerror"),
        ("192.0.2.1", "early.test", "pass"),
        ("192.0.2.1", "mx10.test", "pass"),
        ("192.0.2.1", "mx11.test", "permerror"),
        ("192.0.2.1", "nested.test", "permerror"),
    ];
    run(zone, &rows).await;
}

#[tokio::test]
async fn a_failing_mechanism_is_temporary_but_an_earlier_match_counts() {
    let zone = Zone::new()
        .txt("late.test", "v=spf1 ip4:192.0.2.1 a:down.test -all")
        .txt("ptr.test", "v=spf1 ptr ip4:192.0.2.1 -all")
        .servfail("1.2.0.192.in-addr.arpa")
        .servfail("down.test");
    let rows = [
        ("192.0.2.1", "late.test", "pass"),
        ("192.0.2.2", "late.test", "temperror"),
        ("192.0.2.1", "ptr.test", "pass"),
    ];
    run(zone, &rows).await;
}
