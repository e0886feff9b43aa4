//! Several MailClusters, several namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Assigned, Inventory, ProblemClass, assign, load_valid};

use super::source;

fn object(kind: &str, (namespace, name, age): (&str, &str, u32), spec: &str) -> String {
    format!(
        "apiVersion: mailpods.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: \"2026-01-01T00:00:{age:02}Z\"}}\nspec: {spec}\n"
    )
}

fn cluster(place: (&str, &str, u32), more: &str) -> String {
    object(
        "MailCluster",
        place,
        &format!("{{hostname: mail.example.test{more}}}"),
    )
}

fn assigned(documents: &[String]) -> Assigned {
    let (resources, problems) = load_valid(&[source("a.yaml", &documents.join("---\n"))]);
    assert_eq!(problems, []);
    fn objects<T>(located: Vec<crate::Located<T>>) -> Vec<Arc<T>> {
        located.into_iter().map(|located| located.object).collect()
    }
    let labels = BTreeMap::from([("mail".to_owned(), "yes".to_owned())]);
    assign(Inventory {
        clusters: objects(resources.clusters),
        domains: objects(resources.domains),
        mailboxes: objects(resources.mailboxes),
        outbound_ips: objects(resources.outbound_ips),
        namespaces: Arc::new(BTreeMap::from([("team".to_owned(), labels)])),
        ..Inventory::default()
    })
}

fn said(assigned: &Assigned) -> Vec<String> {
    let problems = assigned.problems.iter();
    problems
        .map(|problem| {
            format!(
                "{}/{} {:?} {}",
                problem.namespace,
                problem.resource.clone().unwrap(),
                problem.class,
                problem.said()
            )
        })
        .collect()
}

fn counts(assigned: &Assigned) -> Vec<(&str, usize, usize)> {
    let clusters = assigned.clusters.iter();
    clusters
        .map(|((_, name), resources)| {
            (
                name.as_str(),
                resources.domains.len(),
                resources.mailboxes.len(),
            )
        })
        .collect()
}

#[test]
fn the_older_of_two_domains_wins_and_the_later_names_it() {
    let assigned = assigned(&[
        cluster(("mail", "main", 0), ""),
        object(
            "MailDomain",
            ("mail", "a-later", 9),
            "{domain: example.test}",
        ),
        object(
            "MailDomain",
            ("mail", "z-first", 1),
            "{domain: other.test, domainAliases: [example.test]}",
        ),
    ]);
    assert_eq!(
        said(&assigned),
        [
            "mail/MailDomain/a-later Conflict spec.domain: is already a domain of MailDomain/z-first in namespace mail; found example.test"
        ]
    );
    assert_eq!(counts(&assigned), [("main", 1, 0)]);
}

#[test]
fn a_domain_that_no_cluster_serves_keeps_no_name_from_others() {
    let assigned = assigned(&[
        cluster(("mail", "main", 0), ""),
        object(
            "MailDomain",
            ("thief", "first", 1),
            "{domain: example.test, domainAliases: [other.test]}",
        ),
        object("MailDomain", ("mail", "d", 8), "{domain: example.test}"),
        object("MailDomain", ("mail", "e", 9), "{domain: other.test}"),
        object("Mailbox", ("mail", "m", 9), "{address: m@example.test}"),
    ]);
    assert_eq!(
        said(&assigned),
        [
            "thief/MailDomain/first Missing spec.clusterRef: is needed: there is no MailCluster in this namespace"
        ]
    );
    assert_eq!(counts(&assigned), [("main", 2, 1)]);
}

#[test]
fn namespaces_are_let_in_by_label() {
    let reference = "{domain: example.test, clusterRef: {name: main, namespace: mail}}";
    let team = object("MailDomain", ("team", "d", 1), reference);
    let closed = assigned(&[cluster(("mail", "main", 0), ""), team.clone()]);
    assert_eq!(
        said(&closed),
        [
            "team/MailDomain/d Missing spec.clusterRef: names a MailCluster that does not allow this namespace; found mail/main; hint: its spec.allowedNamespaces says which it allows"
        ]
    );
    let more = ", allowedNamespaces: {from: Selector, selector: {matchLabels: {mail: 'yes'}}}";
    let open = assigned(&[cluster(("mail", "main", 0), more), team]);
    assert_eq!((said(&open), counts(&open)), (vec![], vec![("main", 1, 0)]));
}

#[test]
fn addresses_are_given_by_the_namespace_of_the_domain_and_of_the_cluster() {
    let assigned = assigned(&[
        cluster(("mail", "main", 0), ", allowedNamespaces: {from: All}"),
        object(
            "MailDomain",
            ("team", "d", 1),
            "{domain: example.test, clusterRef: {name: main, namespace: mail}}",
        ),
        object("Mailbox", ("team", "own", 1), "{address: a@example.test}"),
        object("Mailbox", ("mail", "admin", 1), "{address: b@example.test}"),
        object(
            "Mailbox",
            ("thief", "other", 1),
            "{address: c@example.test}",
        ),
        object("Mailbox", ("team", "lost", 1), "{address: c@nowhere.test}"),
    ]);
    assert_eq!(counts(&assigned), [("main", 1, 2)]);
    let classes: Vec<_> = assigned
        .problems
        .iter()
        .map(|problem| (problem.resource.clone().unwrap(), problem.class))
        .collect();
    assert_eq!(
        classes,
        [
            ("Mailbox/lost".to_owned(), ProblemClass::Missing),
            ("Mailbox/other".to_owned(), ProblemClass::Invalid)
        ]
    );
}

#[test]
fn several_clusters_need_a_name() {
    let assigned = assigned(&[
        cluster(("mail", "one", 0), ""),
        cluster(("mail", "two", 0), ""),
        object("MailDomain", ("mail", "d", 1), "{domain: example.test}"),
        object(
            "MailDomain",
            ("mail", "e", 1),
            "{domain: other.test, clusterRef: {name: two}}",
        ),
    ]);
    assert_eq!(counts(&assigned), [("one", 0, 0), ("two", 1, 0)]);
    assert_eq!(
        said(&assigned),
        [
            "mail/MailDomain/d Missing spec.clusterRef: is needed: there are several MailClusters in this namespace"
        ]
    );
}

#[test]
fn a_second_cluster_takes_no_domain_from_the_first() {
    let mut serving = object("MailDomain", ("mail", "d", 1), "{domain: example.test}");
    serving.push_str("status: {cluster: mail/one}\n");
    let assigned = assigned(&[
        cluster(("mail", "one", 0), ""),
        cluster(("mail", "two", 5), ""),
        // Of another namespace, for all who name none.
        cluster(("thief", "three", 0), ", allowedNamespaces: {from: All}"),
        serving,
        object("MailDomain", ("team", "e", 1), "{domain: other.test}"),
    ]);
    assert_eq!(
        counts(&assigned),
        [("one", 1, 0), ("two", 0, 0), ("three", 0, 0)]
    );
    assert_eq!(
        said(&assigned),
        [
            "team/MailDomain/e Missing spec.clusterRef: is needed: there is no MailCluster in this namespace"
        ]
    );
}

fn held(assigned: &Assigned, name: &str) -> Vec<String> {
    let key = ("mail".to_owned(), name.to_owned());
    let names = assigned.clusters[&key].left_out.names.iter();
    names.map(ToString::to_string).collect()
}

#[test]
fn mail_of_a_domain_that_nobody_serves_is_put_off_where_it_was_served() {
    let status = |name: &str, domain: &str, more: &str| {
        let domain = object(
            "MailDomain",
            ("mail", name, 5),
            &format!("{{domain: {domain}{more}}}"),
        );
        domain + "status: {cluster: mail/one}\n"
    };
    let assigned = assigned(&[
        cluster(("mail", "one", 0), ""),
        cluster(("mail", "two", 1), ""),
        object(
            "MailDomain",
            ("mail", "first", 2),
            "{domain: first.test, clusterRef: {name: two}}",
        ),
        status("slip", "slip.test", ", clusterRef: {name: oen}"),
        // One of its names is taken; the other is nobody's.
        status(
            "later",
            "later.test",
            ", domainAliases: [first.test], clusterRef: {name: two}",
        ),
        // Never served.
        object(
            "MailDomain",
            ("team", "new", 6),
            "{domain: new.test, clusterRef: {name: one, namespace: mail}}",
        ),
        // Its mail is elsewhere.
        status(
            "hosted",
            "hosted.test",
            ", provider: Fastmail, clusterRef: {name: oen}",
        ),
    ]);
    assert_eq!(held(&assigned, "one"), ["slip.test"]);
    assert_eq!(held(&assigned, "two"), ["later.test"]);
}

#[test]
fn pods_send_from_addresses_that_somebody_has_for_them() {
    let ip = |name: &str, last: u8, attachment: &str| {
        let spec = format!(
            "{{address: 192.0.2.{last}, hostname: out.example.test, attachment: {attachment}}}"
        );
        object("OutboundIP", ("mail", name, 1), &spec)
    };
    let compiled = |roles: &str| {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: far, namespace: mail}\nstringData: {token: a, ca.crt: -----BEGIN CERTIFICATE-----}\n";
        let documents = [
            cluster(("mail", "main", 0), roles),
            object(
                "MailDomain",
                ("mail", "example", 1),
                "{domain: example.test, outboundIPs: [own, cilium]}",
            ),
            ip("here", 1, "{type: HostNetwork}"),
            ip("own", 2, "{type: EgressProxy}"),
            ip(
                "far",
                3,
                "{type: EgressProxy, egressProxy: {host: far.test, secretRef: {name: far}}}",
            ),
            ip("cilium", 4, "{type: Cilium}"),
        ];
        let (resources, _) = load_valid(&[source("a.yaml", secret)]);
        let mut assigned = assigned(&documents);
        let own = assigned.clusters.remove(&("mail".to_owned(), "main".to_owned()));
        crate::compile_valid(crate::Resources {
            secrets: resources.secrets,
            ..own.unwrap()
        })
    };
    let names = |compiled: &crate::Compiled| {
        let plan = compiled.plan.as_ref().unwrap();
        plan.outbound_ips.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let none = compiled("");
    assert_eq!(names(&none), "far");
    let said: Vec<String> = none.problems.iter().map(crate::Problem::said).collect();
    for (resource, wanted) in [
        ("OutboundIP/here", "EgressProxy, or spec.roles.delivery: {hostNetwork: true, replicas: 1}"),
        ("OutboundIP/own", "spec.roles.egress: {} of the MailCluster"),
        ("OutboundIP/cilium", "spec.roles.egress: {} of the MailCluster"),
    ] {
        let told = none.problems.iter().filter(|problem| problem.resource.as_deref() == Some(resource));
        let told: Vec<String> = told.map(crate::Problem::said).collect();
        assert!(told.len() == 1 && told[0].contains(wanted), "{told:?} of {said:?}");
    }
    let plan = none.plan.unwrap();
    let domain = plan.domains.values().next().unwrap();
    assert_eq!(domain.outbound_ips, ["own", "cilium"]);
    assert_eq!(names(&compiled(", roles: {egress: {}}")), "cilium far own");
    // Two pods on two nodes cannot both have it.
    assert_eq!(names(&compiled(", roles: {delivery: {hostNetwork: true}}")), "far");
    let on_node = compiled(", roles: {delivery: {hostNetwork: true, replicas: 1}}");
    assert_eq!(names(&on_node), "far here");
    let smtp = compiled(", roles: {smtp: {hostNetwork: true}}");
    let said: Vec<String> = smtp.problems.iter().map(crate::Problem::said).collect();
    assert!(said.iter().any(|said| said.contains("spec.roles.smtp.hostNetwork")), "{said:?}");
}
