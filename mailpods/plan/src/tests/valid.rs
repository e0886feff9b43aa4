//! A bad resource is left out alone.

use super::{CLUSTER, address, domain, mailbox, name, resource, source, with_cluster};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{
    Compiled, Environment, LeftAddresses, ProblemClass, Resolved, Resources, Role, Route,
    compile_valid, load_valid, slice,
};

fn resources(documents: &[String]) -> Resources {
    let (resources, problems) = load_valid(&with_cluster(documents));
    assert_eq!(problems, []);
    Resources {
        environment: Environment::Cluster,
        ..resources
    }
}

fn compiled(documents: &[String]) -> Compiled {
    compile_valid(resources(documents))
}

fn said(compiled: &Compiled) -> Vec<String> {
    let problems = compiled.problems.iter();
    problems
        .map(|problem| {
            format!(
                "{} {:?} kept={}: {}",
                problem.resource.as_deref().unwrap_or_default(),
                problem.class,
                problem.kept,
                problem.said()
            )
        })
        .collect()
}

#[test]
fn a_bad_mailbox_is_left_out_and_its_neighbours_stay() {
    let compiled = compiled(&[
        domain("example.test", ""),
        mailbox("a@example.test", ""),
        resource("Mailbox", "plus", "{address: b+c@example.test}"),
    ]);
    assert_eq!(
        said(&compiled),
        [
            "Mailbox/plus Invalid kept=false: spec.address: has a separator of plus addressing in it; found b+c@example.test; hint: mail for it would be mail for b@example.test"
        ]
    );
    let plan = compiled.plan.unwrap();
    assert!(plan.mailbox(&address("a@example.test")).is_some());
    assert!(plan.mailbox(&address("b+c@example.test")).is_none());
}

#[test]
fn a_domain_whose_alias_leads_nowhere_serves_on() {
    let compiled = compiled(&[
        domain(
            "example.test",
            "aliases: [{name: sales, targets: [nobody@example.test]}]",
        ),
        mailbox("a@example.test", ""),
    ]);
    let [problem] = compiled.problems.as_slice() else {
        panic!("{:?}", said(&compiled))
    };
    assert_eq!((problem.class, problem.kept), (ProblemClass::Missing, true));
    assert!(
        compiled
            .plan
            .unwrap()
            .domains
            .contains_key(&name("example.test"))
    );
}

#[test]
fn a_mailbox_without_its_secret_still_receives() {
    let compiled = compiled(&[
        domain("example.test", ""),
        mailbox("a@example.test", "passwordSecretRef: {name: gone}"),
    ]);
    assert_eq!(
        said(&compiled),
        [
            "Mailbox/a.example.test Missing kept=true: spec.passwordSecretRef.name: names no Secret; found gone; hint: add a Secret of that name to the namespace"
        ]
    );
    let plan = compiled.plan.unwrap();
    assert!(
        plan.mailbox(&address("a@example.test"))
            .unwrap()
            .credential
            .is_none()
    );
}

#[test]
fn what_is_in_a_domain_that_is_left_out_waits_for_it() {
    let compiled = compiled(&[
        domain("example.test", "transport: {backupMX: {}}"),
        mailbox("a@example.test", ""),
        domain("other.test", ""),
    ]);
    assert_eq!(
        said(&compiled),
        [
            "MailDomain/example.test Unsupported kept=false: spec.transport.backupMX: not supported yet; allowed: mailboxes, relay",
            "Mailbox/a.example.test Missing kept=false: spec.address: is in no MailDomain; found a@example.test",
        ]
    );
    let plan = compiled.plan.unwrap();
    assert_eq!(plan.domains.len(), 1);
}

#[test]
fn a_bad_cluster_has_no_plan() {
    let bad = CLUSTER.replace("spec:", "spec:\n  tls: {secretRef: {name: gone}}");
    let (resources, problems) = load_valid(&[
        source("cluster.yaml", &bad),
        source("d.yaml", &domain("example.test", "")),
    ]);
    assert_eq!(problems, []);
    let compiled = compile_valid(resources);
    assert!(compiled.plan.is_none());
    assert_eq!(compiled.problems[0].class, ProblemClass::Missing);
}

#[test]
fn fields_of_a_kubernetes_cluster_are_refused_standalone_alone() {
    let cluster = CLUSTER.replace("spec:", "spec:\n  dns: {mode: ExternalDNS}\n  paused: true");
    let sources = [
        source("cluster.yaml", &cluster),
        source("d.yaml", &domain("example.test", "provider: iCloud")),
    ];
    let (_, problems) = crate::check(&sources);
    let fields: Vec<_> = problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(fields, ["spec.dns.mode", "spec.paused", "spec.provider"]);
    let (resources, _) = load_valid(&sources);
    let compiled = compile_valid(Resources {
        environment: Environment::Cluster,
        ..resources
    });
    assert_eq!(said(&compiled), Vec::<String>::new());
}

#[test]
fn a_domain_hosted_elsewhere_has_records_and_takes_no_mail() {
    let compiled = compiled(&[
        domain(
            "example.test",
            "provider: Microsoft365, providerAccount: {name: contoso}, dns: {spfIncludes: [crm.example], apexTXT: ['v=spf1 ip4:192.0.2.1 -all', 'x=1']}",
        ),
        resource("MailDomain", "here.test", "{domain: here.test}"),
    ]);
    assert_eq!(said(&compiled), Vec::<String>::new());
    let plan = compiled.plan.unwrap();
    assert!(!plan.names.contains_key(&name("example.test")));
    let records = crate::dns::fill(&plan, Some(&name("example.test")), |_, _| None);
    let lines: Vec<_> = records
        .iter()
        .map(|record| {
            format!(
                "{} {} {}",
                record.name,
                record.kind.as_str(),
                record.data.clone().unwrap()
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "example.test TXT v=spf1 include:spf.protection.outlook.com include:crm.example ip4:192.0.2.1 ~all",
            "example.test TXT x=1",
            "example.test MX 0 example-test.mail.protection.outlook.com",
            "selector1._domainkey.example.test CNAME selector1-example-test._domainkey.contoso.onmicrosoft.com",
            "selector2._domainkey.example.test CNAME selector2-example-test._domainkey.contoso.onmicrosoft.com",
            "_imaps._tcp.example.test SRV 0 1 993 outlook.office365.com",
            "_submission._tcp.example.test SRV 0 1 587 smtp.office365.com",
            "autodiscover.example.test CNAME autodiscover.outlook.com",
        ]
    );
}

#[test]
fn every_service_has_exchangers_senders_and_what_clients_look_for() {
    for (spec, wanted) in [
        (
            "provider: Google, providerAccount: {dkimKeys: [{selector: google, record: v=DKIM1; k=rsa; p=AA}]}",
            "1 smtp.google.com|v=spf1 include:_spf.google.com ~all|google._domainkey TXT v=DKIM1; k=rsa; p=AA|_imaps._tcp SRV 0 1 993 imap.gmail.com",
        ),
        (
            "provider: Microsoft365, providerAccount: {name: contoso}",
            "0 example-test.mail.protection.outlook.com|v=spf1 include:spf.protection.outlook.com ~all|selector2._domainkey CNAME|autodiscover CNAME autodiscover.outlook.com",
        ),
        (
            "provider: Fastmail",
            "20 in2-smtp.messagingengine.com|v=spf1 include:spf.messagingengine.com ~all|fm3._domainkey CNAME fm3.example.test.dkim.fmhosted.com|_submissions._tcp SRV 0 1 465 smtp.fastmail.com",
        ),
        (
            "provider: Zoho, providerAccount: {region: eu}",
            "10 mx.zoho.eu|v=spf1 include:zohomail.eu ~all|_imaps._tcp SRV 0 1 993 imappro.zoho.eu|_submissions._tcp SRV 0 1 465 smtppro.zoho.eu",
        ),
        (
            "provider: Proton, providerAccount: {name: d1}",
            "10 mail.protonmail.ch|v=spf1 include:_spf.protonmail.ch ~all|protonmail3._domainkey CNAME protonmail3.domainkey.d1.domains.proton.ch",
        ),
        (
            "provider: iCloud",
            "10 mx01.mail.icloud.com|v=spf1 include:icloud.com ~all|sig1._domainkey CNAME sig1.dkim.example.test.at.icloudmailadmin.com|_imaps._tcp SRV 0 1 993 imap.mail.me.com",
        ),
    ] {
        let compiled = compiled(&[domain("example.test", spec)]);
        assert_eq!(said(&compiled), Vec::<String>::new(), "{spec}");
        let records = crate::dns::fill(&compiled.plan.unwrap(), None, |_, _| None);
        let zone: Vec<String> = records
            .iter()
            .map(|record| {
                let label = record
                    .name
                    .trim_end_matches("example.test")
                    .trim_end_matches('.');
                format!(
                    "{label} {} {}",
                    record.kind.as_str(),
                    record.data.as_deref().unwrap()
                )
            })
            .collect();
        for part in wanted.split('|') {
            assert!(
                zone.iter().any(|line| line.contains(part)),
                "{spec}: {part}: {zone:#?}"
            );
        }
    }
}

fn leads(plan: &crate::Plan, text: &str) -> &'static str {
    match plan.resolve(&address(text)) {
        Resolved::NotLocal => "not ours",
        Resolved::Unknown => "unknown",
        Resolved::Held => "held",
        Resolved::Disabled(_) => "disabled",
        Resolved::Loop => "loop",
        Resolved::Targets(_) => "there",
    }
}

#[test]
fn mail_for_what_is_left_out_is_put_off() {
    let compiled = compiled(&[
        domain(
            "example.test",
            "domainAliases: [alias.test], aliases: [{name: team, targets: [a@example.test, bad@example.test]}, {name: slip, targets: [aa@example.test]}]",
        ),
        domain(
            "away.test",
            "domainAliases: [far.test], transport: {relay: {host: in.test, tls: Verify, authSecretRef: {name: gone}}}",
        ),
        domain("relay.test", "transport: {relay: {host: in.test}}"),
        mailbox("a@example.test", ""),
        mailbox(
            "bad@example.test",
            "sieve: nonsense, aliases: [worse@example.test, a@example.test]",
        ),
        mailbox("here@away.test", ""),
        mailbox("stray@relay.test", ""),
    ]);
    let plan = compiled.plan.unwrap();
    let wanted = [
        ("a@example.test", "there"),
        ("nobody@example.test", "unknown"),
        ("bad@example.test", "held"),
        ("Bad+tag@alias.test", "held"),
        ("worse@example.test", "held"),
        // One who gets no copy is one whose copy is lost.
        ("team@example.test", "held"),
        ("slip@example.test", "held"),
        ("here@away.test", "held"),
        ("anybody@far.test", "held"),
        ("stray@relay.test", "there"),
        ("x@elsewhere.test", "not ours"),
    ];
    for (address, wanted) in wanted {
        assert_eq!(leads(&plan, address), wanted, "{address}");
    }
    assert!(matches!(plan.route(&name("far.test")), Route::Held));
    // Pods know it too, as long as it lasts.
    let cut = slice::entries(&plan, Role::Delivery).unwrap();
    let mut pod = slice::Slice::default();
    pod.apply(slice::full(&cut)).unwrap();
    for (address, wanted) in wanted {
        assert_eq!(leads(&pod.plan().unwrap(), address), wanted, "{address}");
    }
    let mended = crate::Plan {
        held: crate::Shared::default(),
        ..plan
    };
    let mended = slice::entries(&mended, Role::Delivery).unwrap();
    pod.apply(slice::diff(&cut, &mended)).unwrap();
    assert_eq!(leads(&pod.plan().unwrap(), "bad@example.test"), "unknown");
    assert_eq!(leads(&pod.plan().unwrap(), "x@far.test"), "not ours");
}

/// Addresses of something that is left out from the start.
fn left(name: &str, age: u64, own: &str, aliases: &[&str]) -> LeftAddresses {
    let origin = crate::Origin::of_object("Mailbox", "default", name);
    LeftAddresses {
        origin: origin.into(),
        created: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(age)),
        own: Some(address(own)),
        aliases: aliases.iter().map(|text| address(text)).collect(),
    }
}

#[test]
fn an_address_of_what_is_left_out_is_given_to_nobody_else() {
    let mut all = resources(&[
        domain(
            "example.test",
            "aliases: [{name: ann, targets: [eve@example.test]}]",
        ),
        mailbox("eve@example.test", "aliases: [bob@example.test]"),
        mailbox("bob@example.test", ""),
        mailbox("old@example.test", ""),
    ]);
    for mailbox in &mut all.mailboxes {
        let time = "2026-01-01T00:00:00Z".to_owned();
        std::sync::Arc::make_mut(&mut mailbox.object)
            .metadata
            .creation_timestamp = serde_json::from_value(serde_json::Value::String(time)).unwrap();
    }
    all.left_out.addresses = vec![
        left("ann", 5, "ann@example.test", &[]),
        left("bob", 5, "bob@example.test", &["also@example.test"]),
        // It came later than who has the address.
        left("late", 5_000_000_000, "old@example.test", &[]),
    ];
    let compiled = compile_valid(all);
    assert_eq!(
        said(&compiled),
        [
            "MailDomain/example.test Conflict kept=true: spec.aliases[0].name: is the address of a mailbox; found ann@example.test; hint: an address leads to one thing",
            "Mailbox/eve.example.test Conflict kept=true: spec.aliases[0]: is the address of a mailbox; found bob@example.test; hint: an address leads to one thing",
            "Mailbox/bob.example.test Conflict kept=false: spec.address: is already the address of Mailbox/bob in namespace default; found bob@example.test",
        ]
    );
    let plan = compiled.plan.unwrap();
    for (address, wanted) in [
        ("ann@example.test", "held"),
        ("bob@example.test", "held"),
        ("also@example.test", "held"),
        ("old@example.test", "there"),
        ("eve@example.test", "there"),
    ] {
        assert_eq!(leads(&plan, address), wanted, "{address}");
    }
}

#[test]
fn a_plan_that_goes_on_puts_off_mail_for_what_is_new() {
    let before = compiled(&[domain("example.test", ""), mailbox("a@example.test", "")]);
    let before = Arc::new(before.plan.unwrap());
    let mut now = resources(&[
        domain(
            "example.test",
            "aliases: [{name: team, targets: [a@example.test]}]",
        ),
        domain("new.test", ""),
        domain("hosted.test", "provider: Zoho"),
        mailbox("a@example.test", ""),
        mailbox("b@example.test", "aliases: [c@example.test]"),
    ]);
    now.left_out.names.push(name("left.test"));
    let plan = crate::hold(&before, &now);
    for (address, wanted) in [
        ("a@example.test", "there"),
        ("b@example.test", "held"),
        ("c@example.test", "held"),
        ("team@example.test", "held"),
        ("nobody@example.test", "unknown"),
        ("x@new.test", "held"),
        ("x@left.test", "held"),
        ("x@hosted.test", "not ours"),
    ] {
        assert_eq!(leads(&plan, address), wanted, "{address}");
    }
    assert!(Arc::ptr_eq(&plan, &crate::hold(&plan, &now)));
    let back = resources(&[domain("example.test", ""), mailbox("a@example.test", "")]);
    assert_eq!(
        leads(&crate::hold(&plan, &back), "b@example.test"),
        "unknown"
    );
}

#[test]
fn records_of_a_host_that_cannot_be_read_stay() {
    let mut all = resources(&[domain("example.test", "")]);
    let host = ("192.0.2.7".parse().unwrap(), name("out.example.test"));
    all.left_out.hosts.push(host);
    let records = crate::dns::fill(&compile_valid(all).plan.unwrap(), None, |_, _| None);
    let own = records
        .iter()
        .filter(|record| record.name.starts_with("out.") || record.name.starts_with("7."));
    let names: Vec<_> = own
        .map(|record| format!("{} {}", record.name, record.kind.as_str()))
        .collect();
    assert_eq!(names, ["out.example.test A", "7.2.0.192.in-addr.arpa PTR"]);
}

#[test]
fn addresses_that_are_away_take_no_mail_and_no_records_away() {
    let far =
        "attachment: {type: EgressProxy, egressProxy: {host: far.test, secretRef: {name: far}}}";
    let compiled = compiled(&[
        domain("example.test", "outboundIPs: [far, gone]"),
        domain("b.test", "ipPool: nobody"),
        mailbox("a@example.test", ""),
        resource(
            "OutboundIP",
            "far",
            &format!("{{address: 192.0.2.7, hostname: out.example.test, {far}}}"),
        ),
    ]);
    let kept = compiled.problems.iter().all(|problem| problem.kept);
    assert!(
        kept && compiled.problems.len() == 3,
        "{:?}",
        said(&compiled)
    );
    let plan = compiled.plan.unwrap();
    assert!(plan.mailbox(&address("a@example.test")).is_some());
    assert!(plan.outbound_ips.is_empty());
    let names = |domain: &str| plan.domains[&name(domain)].outbound_ips.clone();
    assert_eq!(names("example.test"), ["far", "gone"]);
    assert_eq!(names("b.test"), ["pool nobody"]);
    let mut records = plan.records.iter();
    assert!(records.any(|record| record.name == "out.example.test"));
}

#[test]
fn a_rule_for_no_namespace_is_said() {
    let labels = |value: &str| format!("{{matchLabels: {{team: {value}}}}}");
    let cluster = CLUSTER.replace(
        "spec:",
        &format!(
            "spec:\n  allowedNamespaces: {{from: Selector, selector: {}, domains: [{{selector: {}, suffixes: [a.test]}}, {{selector: {}, suffixes: [b.test]}}]}}",
            labels("a"),
            labels("a"),
            labels("b")
        ),
    );
    let (resources, problems) = load_valid(&[source("a.yaml", &cluster)]);
    assert_eq!(problems, []);
    let compiled = compile_valid(Resources {
        environment: Environment::Cluster,
        ..resources
    });
    assert_eq!(
        said(&compiled),
        [
            "MailCluster/main Invalid kept=true: spec.allowedNamespaces.domains[1].selector.matchLabels.team: selects no namespace that is allowed; found b; allowed: a; hint: spec.allowedNamespaces.selector asks for that value"
        ]
    );
    let closed = CLUSTER.replace(
        "spec:",
        "spec:\n  allowedNamespaces: {domains: [{suffixes: [a.test]}]}",
    );
    let (_, problems) = load_valid(&[source("a.yaml", &closed)]);
    let text = problems[0].to_string();
    assert!(
        text.ends_with(
            "spec.allowedNamespaces: domains is for other namespaces: from must be All or Selector"
        ),
        "{text}"
    );
}
