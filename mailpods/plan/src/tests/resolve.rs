use super::*;
use crate::{Resolved, Route, Target};

fn example() -> Plan {
    let aliases = "[{name: sales, targets: [bob@example.test, Eve@Elsewhere.example]}, {name: all, targets: [sales@example.test, alice@example.test]}]";
    plan(&[
        domain(
            "example.test",
            &format!("domainAliases: [example.org], aliases: {aliases}"),
        ),
        domain(
            "catch.test",
            "catchAll: carol@catch.test, plusAddressing: {separators: ['+', '-']}",
        ),
        domain(
            "relay.test",
            "transport: {relay: {host: inner.test, port: 2525, protocol: lmtp}}, aliases: [{name: here, targets: [bob@example.test]}]",
        ),
        mailbox(
            "alice@example.test",
            "aliases: [a.lice@example.org], forward: {to: [bob@example.test, a@out.example]}",
        ),
        mailbox("bob@example.test", ""),
        mailbox(
            "carol@catch.test",
            "forward: {to: [carol@out.example], keepCopy: false}",
        ),
        mailbox("gone@example.test", "enabled: false"),
    ])
}

/// What an address leads to, as text.
fn ends(plan: &Plan, text: &str) -> String {
    match plan.resolve(&address(text)) {
        Resolved::NotLocal => "not local".to_owned(),
        Resolved::Unknown => "unknown".to_owned(),
        Resolved::Held => "held".to_owned(),
        Resolved::Disabled(mailbox) => format!("disabled {}", mailbox.address),
        Resolved::Loop => "loop".to_owned(),
        Resolved::Targets(targets) => targets.iter().map(end).collect::<Vec<_>>().join(" "),
    }
}

fn end(target: &Target) -> String {
    match target {
        Target::Mailbox {
            mailbox,
            detail: None,
        } => mailbox.address.to_string(),
        Target::Mailbox {
            mailbox,
            detail: Some(detail),
        } => format!("{}[{detail}]", mailbox.address),
        Target::Remote(address) => format!("->{}", address.written()),
    }
}

#[test]
fn addresses_lead_where_they_should() {
    let plan = example();
    for (given, wanted) in [
        ("Bob@Example.TEST", "bob@example.test"),
        ("bob@example.org", "bob@example.test"),
        ("bob+shop@example.org", "bob@example.test[shop]"),
        ("bob-shop@example.test", "unknown"),
        ("nobody@example.test", "unknown"),
        ("nobody@elsewhere.example", "not local"),
        ("gone@example.test", "disabled gone@example.test"),
        (
            "sales@example.test",
            "bob@example.test ->Eve@elsewhere.example",
        ),
        (
            "sales+x@example.org",
            "bob@example.test[x] ->Eve@elsewhere.example",
        ),
        (
            "alice@example.test",
            "alice@example.test bob@example.test ->a@out.example",
        ),
        (
            "a.lice@example.test",
            "alice@example.test bob@example.test ->a@out.example",
        ),
        (
            "all@example.test",
            "bob@example.test ->Eve@elsewhere.example alice@example.test ->a@out.example",
        ),
        ("carol@catch.test", "->carol@out.example"),
        ("whoever-x@catch.test", "->carol@out.example"),
        ("anybody@relay.test", "->anybody@relay.test"),
        ("here@relay.test", "bob@example.test"),
        (
            "postmaster@example.test",
            "alice@example.test bob@example.test ->a@out.example",
        ),
        (
            "ABUSE@example.org",
            "alice@example.test bob@example.test ->a@out.example",
        ),
        ("postmaster@catch.test", "->carol@out.example"),
        ("postmaster@relay.test", "->postmaster@relay.test"),
    ] {
        assert_eq!(ends(&plan, given), wanted, "{given}");
    }
}

#[test]
fn log_ins_send_as_their_own_addresses_alone() {
    let plan = example();
    let bob = plan.mailbox(&address("bob@example.org")).unwrap();
    for (text, may) in [
        ("bob@example.test", true),
        ("BOB@example.org", true),
        ("bob+x@example.org", true),
        ("sales@example.test", true),
        ("all+x@example.org", true),
        ("alice@example.test", false),
        ("a.lice@example.org", false),
        ("bob@catch.test", false),
        ("bob@elsewhere.example", false),
        ("here@relay.test", true),
        ("nobody@example.test", false),
    ] {
        assert_eq!(plan.may_send_as(bob, &address(text)), may, "{text}");
    }
    let alice = plan.mailbox(&address("alice@example.test")).unwrap();
    assert!(alice.send_as.contains(&address("a.lice@example.org")));
    assert!(plan.mailbox(&address("sales@example.test")).is_none());
    assert!(plan.mailbox(&address("gone@example.test")).is_some());
}

#[test]
fn mail_takes_the_route_of_its_domain() {
    let mut plan = example();
    assert!(matches!(plan.route(&name("example.org")), Route::Local));
    assert!(
        matches!(plan.route(&name("relay.test")), Route::Relay(hop) if hop.lmtp && hop.port == 2525)
    );
    assert!(matches!(plan.route(&name("out.example")), Route::Mx));
    let relay = plan.route(&name("relay.test"));
    let Route::Relay(hop) = relay else {
        panic!("{relay:?}")
    };
    plan.outbound.smart_host = Some(hop.clone());
    assert!(matches!(
        plan.route(&name("out.example")),
        Route::SmartHost(_)
    ));
    assert!(plan.is_local(&name("example.org")) && !plan.is_local(&name("out.example")));
}

#[test]
fn circles_and_floods_end() {
    let mut plan = example();
    let pair = [
        ("x@example.test", "y@example.test"),
        ("y@example.test", "x@example.test"),
    ];
    plan.aliases
        .extend(pair.map(|(from, to)| (address(from), vec![address(to)])));
    assert_eq!(ends(&plan, "x@example.test"), "loop");
    let chain = |n: usize| address(&format!("c{n}@example.test"));
    plan.aliases
        .extend((0..40).map(|n| (chain(n), vec![chain(n + 1)])));
    assert_eq!(ends(&plan, "c0@example.test"), "loop");
    let many = (0..2_000)
        .map(|n| address(&format!("m{n}@out.example")))
        .collect();
    plan.aliases.insert(address("many@example.test"), many);
    assert_eq!(ends(&plan, "many@example.test"), "loop");
    // Each of twelve levels names the next one twice: 4096 ways to one end.
    let level = |n: usize, side: char| address(&format!("l{n}{side}@example.test"));
    for n in 0..12 {
        for side in ['a', 'b'] {
            plan.aliases
                .insert(level(n, side), vec![level(n + 1, 'a'), level(n + 1, 'b')]);
        }
    }
    for side in ['a', 'b'] {
        plan.aliases
            .insert(level(12, side), vec![address("bob@example.test")]);
    }
    assert_eq!(ends(&plan, "l0a@example.test"), "bob@example.test");
}

#[test]
fn domains_send_from_their_own_addresses() {
    let ip = |name: &str, address: &str, more: &str| {
        resource(
            "OutboundIP",
            name,
            &format!("{{address: {address}, hostname: {name}.example.test{more}}}"),
        )
    };
    let plan = plan(&[
        domain("example.test", "outboundIPs: [one]"),
        domain("b.test", "ipPool: second"),
        domain("c.test", ""),
        mailbox("a@example.test", ""),
        ip("one", "192.0.2.1", ""),
        ip("two", "2001:db8::1", ", pool: second"),
        ip("three", "192.0.2.3", ", role: Standby"),
    ]);
    let names = |domain: &str| -> Vec<String> {
        let domain = plan.domains.get(&name(domain)).unwrap();
        plan.sending_ips(domain)
            .iter()
            .map(|ip| ip.name.clone())
            .collect()
    };
    assert_eq!(
        (names("example.test"), names("b.test")),
        (vec!["one".to_owned()], vec!["two".to_owned()])
    );
    assert_eq!(names("c.test"), ["one", "two"]);
}
