//! A bad resource is left out alone.

use super::{CLUSTER, address, domain, mailbox, name, resource, source, with_cluster};
use crate::{
    Compiled, Environment, ProblemClass, Resolved, Resources, Role, Route, compile_valid,
    load_valid, slice,
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
