use super::*;
use crate::{Attachment, EgressProxy, Route, SecretText};

fn cluster(outbound: &str) -> Vec<Source> {
    let text = format!("{CLUSTER}  outbound: {outbound}\n");
    vec![
        source("a.yaml", &text),
        source("b.yaml", &domain("example.test", "")),
    ]
}

fn said(outbound: &str) -> Vec<String> {
    problems(&cluster(outbound))
}

#[test]
fn providers_and_block_lists_come_into_the_plan() {
    let sources = cluster(
        "{providers: [{name: google, connections: 3, leastRest: 90s, rules: [{code: '4', enhanced: [x.7.28], blame: Rate}]},
          {name: house, mx: [mx.corp.test]}], blockLists: {}, suppression: {}, suspension: {burst: {recipients: 7}, for: 1h}}",
    );
    let (plan, problems) = check(&sources);
    let plan = plan.unwrap_or_else(|| panic!("{problems:#?}"));
    let outbound = &plan.outbound;
    let google = &outbound.providers[0];
    assert_eq!(
        (google.connections, google.rest_minutes),
        (Some(3), Some(2))
    );
    assert_eq!(google.rules[0].enhanced, ["x.7.28"]);
    assert_eq!(outbound.providers[1].mx, ["mx.corp.test"]);
    let lists = outbound.block_lists.as_ref().unwrap();
    assert!(
        lists
            .zones
            .iter()
            .any(|list| list.zone == "zen.spamhaus.org" && list.rests)
    );
    assert!(outbound.suppression.is_some());
    let suspension = outbound.suspension.unwrap();
    assert_eq!(
        (suspension.burst.most, suspension.length.as_secs()),
        (7, 3_600)
    );
    assert_eq!(
        (suspension.verdicts.refusals, suspension.verdicts.percent),
        (20, 30)
    );
}

#[test]
fn what_cannot_be_used_is_named() {
    for (outbound, wanted) in [
        (
            "{providers: [{name: nobody}]}",
            "spec.outbound.providers[0].mx",
        ),
        (
            "{providers: [{name: a, mx: [a.test]}, {name: b, mx: [a.test]}]}",
            "spec.outbound.providers[1].mx[0]",
        ),
        (
            "{providers: [{name: google, rules: [{blame: Ip}]}]}",
            "spec.outbound.providers[0].rules[0]",
        ),
        (
            "{blockLists: {interval: 1s}}",
            "spec.outbound.blockLists.interval",
        ),
        (
            "{blockLists: {zones: [{zone: bl.test}, {zone: BL.test}]}}",
            "spec.outbound.blockLists.zones[1].zone",
        ),
        (
            "{suppression: {hardBounces: 1m}}",
            "spec.outbound.suppression.hardBounces",
        ),
        (
            "{suppression: {complaints: 1m}}",
            "spec.outbound.suppression.complaints",
        ),
        (
            "{complaints: {address: fbl@elsewhere.test}}",
            "spec.outbound.complaints.address",
        ),
        (
            "{complaints: {address: nobody@example.test}}",
            "spec.outbound.complaints.address",
        ),
        (
            "{suspension: {burst: {within: 1s}}}",
            "spec.outbound.suspension.burst.within",
        ),
    ] {
        let said = said(outbound);
        assert!(
            said.iter().any(|text| text.contains(wanted)),
            "{outbound}: {said:?}"
        );
    }
}

#[test]
fn transports_and_the_fallback_relay_come_into_the_plan() {
    let sources = cluster(
        "{fallbackRelay: {host: relay.test, tls: Verify}, fallbackAfter: 30m, transports: [
          {domains: [slow.test], serial: true}, {suffixes: [partner.test], nextHop: {host: gw.test, port: 2525}, once: true}]}",
    );
    let (plan, problems) = check(&sources);
    let plan = plan.unwrap_or_else(|| panic!("{problems:#?}"));
    let relay = plan.outbound.fallback_relay.as_ref().unwrap();
    assert_eq!((&*relay.host, relay.port), ("relay.test", 25));
    assert_eq!(plan.outbound.fallback_after.as_secs(), 1800);
    let of = |domain: &str| plan.transport(&name(domain)).map(|(place, _)| place);
    assert_eq!(of("slow.test"), Some(0));
    assert_eq!(of("a.partner.test"), Some(1));
    assert_eq!((of("a.slow.test"), of("example.test")), (None, None));
    assert!(matches!(plan.route(&name("partner.test")), Route::NextHop(hop) if hop.port == 2525));
    assert!(matches!(plan.route(&name("slow.test")), Route::Mx));
}

#[test]
fn transports_without_an_effect_are_refused() {
    for (outbound, wanted) in [
        (
            "{transports: [{domains: [a.test]}]}",
            "one of nextHop, once and serial must be set at least",
        ),
        (
            "{transports: [{once: true}]}",
            "one of domains and suffixes must be set at least",
        ),
        (
            "{transports: [{domains: [a.test], once: true}, {domains: [b.test, a.test], serial: true}]}",
            "spec.outbound.transports[1].domains: is in transports[0] already; found a.test",
        ),
        (
            "{transports: [{domains: [example.test], once: true}]}",
            "spec.outbound.transports[0].domains: is a domain of a MailDomain",
        ),
        (
            "{transports: [{domains: [a.test], nextHop: {host: x.test, authSecretRef: {name: up}}}]}",
            "spec.outbound.transports[0].nextHop.tls: a password needs TLS that is verified",
        ),
        (
            "{transports: [{domains: [a.test], nextHop: {host: x.test, tls: Verify, authSecretRef: {name: up}}}]}",
            "spec.outbound.transports[0].nextHop.authSecretRef.name: names no Secret",
        ),
        (
            "{smartHost: {host: a.test}, fallbackRelay: {host: b.test}}",
            "spec.outbound.fallbackRelay: is for mail to mail exchangers",
        ),
    ] {
        let said = said(outbound);
        assert!(
            said.iter().any(|text| text.contains(wanted)),
            "{outbound}: {said:?}"
        );
    }
}

#[test]
fn an_egress_proxy_of_one_machine_is_named_with_its_secret() {
    let ip = |attachment: &str| {
        resource(
            "OutboundIP",
            "one",
            &format!(
                "{{address: 192.0.2.1, hostname: out.example.test, attachment: {attachment}}}"
            ),
        )
    };
    let secret = |token: &str, ca: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: far}}\nstringData: {{token: {token:?}, ca.crt: {ca:?}}}\n"
        )
    };
    let named =
        "{type: EgressProxy, egressProxy: {host: far.test, port: 1080, secretRef: {name: far}}}";
    let good = plan(&[
        domain("example.test", ""),
        ip(named),
        secret("a token\n", "-----BEGIN CERTIFICATE-----"),
    ]);
    let wanted = EgressProxy {
        host: "far.test".to_owned(),
        port: 1080,
        ca: "-----BEGIN CERTIFICATE-----".to_owned(),
        token: SecretText::new("a token\n".to_owned()),
    };
    assert_eq!(
        good.outbound_ips["one"].attachment,
        Attachment::Egress(Some(wanted))
    );
    for (attachment, token, ca, wanted) in [
        (
            "{type: EgressProxy}",
            "a",
            "-----BEGIN ",
            "mailpods egress-proxy",
        ),
        (named, "\n", "-----BEGIN ", "1 to 255 octets"),
        (named, &"a".repeat(256), "-----BEGIN ", "256 octets"),
        (named, "a", "nothing", "not PEM"),
        (
            "{egressProxy: {host: far.test, secretRef: {name: far}}}",
            "a",
            "-----BEGIN ",
            "EgressProxy",
        ),
        (
            "{type: EgressProxy, egressProxy: {host: far.test, secretRef: {name: none}}}",
            "a",
            "-----BEGIN ",
            "names no Secret",
        ),
        (
            "{type: Multus, multus: {network: wide, prefixLength: 24}}",
            "a",
            "-----BEGIN ",
            "spec.attachment.type: works in a Kubernetes cluster only; allowed: HostNetwork, EgressProxy",
        ),
        ("{type: Multus}", "a", "-----BEGIN ", "multus must be set"),
    ] {
        let said = problems(&with_cluster(&[
            domain("example.test", ""),
            ip(attachment),
            secret(token, ca),
        ]));
        assert!(
            said.iter().any(|text| text.contains(wanted)),
            "{attachment}: {said:?}"
        );
    }
}

#[test]
fn a_hostname_without_a_dot_is_refused() {
    let ip = |hostname: &str| {
        let text = format!(
            "apiVersion: mailpods.dev/v1alpha1\nkind: OutboundIP\nmetadata: {{name: one}}\nspec: {{address: 192.0.2.1, hostname: {hostname}}}\n"
        );
        let mut sources = cluster("{}");
        sources.push(source("c.yaml", &text));
        problems(&sources)
    };
    assert_eq!(ip("out1.example.test"), Vec::<String>::new());
    let said = ip("localhost");
    assert!(
        said.iter()
            .any(|text| text.contains("spec.hostname") && text.contains("needs a dot")),
        "{said:?}"
    );
}

#[test]
fn a_relay_that_no_message_gets_old_enough_for_is_refused() {
    for (after, wanted) in [("5d", false), ("121h", true)] {
        let outbound =
            format!("{{maxAge: 5d, fallbackAfter: {after}, fallbackRelay: {{host: relay.test}}}}");
        let said = said(&outbound);
        let told = said.iter().any(|text| {
            text.contains("spec.outbound.fallbackAfter") && text.contains("is longer than maxAge")
        });
        assert_eq!(told, wanted, "{after}: {said:?}");
    }
}
