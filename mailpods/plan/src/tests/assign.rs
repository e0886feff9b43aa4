//! Several MailClusters, several namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Assigned, Inventory, ProblemClass, Unread, assign, load_valid};

use super::source;

mod unread;

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
    assigned_with(documents, Vec::new())
}

/// With resources that cannot be read.
fn assigned_with(documents: &[String], unread: Vec<Arc<Unread>>) -> Assigned {
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
        unread,
        ..Inventory::default()
    })
}

/// A resource that cannot be read: what is in YAML is what can be read of it.
fn unread(document: &str) -> Arc<Unread> {
    let object: serde_json::Value = serde_yaml::from_str(document).unwrap();
    let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
    let kind = object["kind"].as_str().unwrap();
    Arc::new(Unread::of(kind, &metadata, &object).unwrap())
}

/// A MailDomain that a MailCluster serves.
fn served(place: (&str, &str, u32), spec: &str, cluster: &str) -> String {
    object("MailDomain", place, spec) + &format!("status: {{cluster: {cluster}}}\n")
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
        // A name that it never had may be anybody's.
        status(
            "slip",
            "slip.test",
            ", domainAliases: [elsewhere.test], clusterRef: {name: oen}",
        ),
        // One of its names is taken: it is served without that.
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
    assert_eq!(held(&assigned, "two"), Vec::<String>::new());
    let two = &assigned.clusters[&("mail".to_owned(), "two".to_owned())];
    let served = two.domains.iter().map(|domain| &domain.object.spec);
    let names: Vec<_> = served
        .map(|spec| (spec.domain.as_str(), spec.domain_aliases.len()))
        .collect();
    assert_eq!(names, [("first.test", 0), ("later.test", 0)]);
}

#[test]
fn who_serves_keeps_its_name_and_age_decides_among_the_others() {
    let older = "{domain: example.test, clusterRef: {name: main, namespace: mail}}";
    let alias = "{domain: old.test, domainAliases: [example.test]}";
    let open = ", allowedNamespaces: {from: All}";
    let documents = |open: &str| {
        [
            cluster(("mail", "main", 0), open),
            object("MailDomain", ("team", "older", 1), older),
            served(("mail", "new", 8), "{domain: example.test}", "mail/main"),
            // It has been served for longer, and wants another name now.
            served(("mail", "old", 2), alias, "mail/main"),
        ]
    };
    let conflict = "Conflict spec.domain: is already a domain of MailDomain/new in namespace mail; found example.test";
    let of_alias = "mail/MailDomain/old Conflict spec.domainAliases[0]: is already a domain of MailDomain/new in namespace mail; found example.test".to_owned();
    let assigned_ = assigned(&documents(open));
    assert_eq!(counts(&assigned_), [("main", 2, 0)]);
    assert_eq!(
        said(&assigned_),
        [format!("team/MailDomain/older {conflict}"), of_alias]
    );
    assert!(assigned_.contested.contains("example.test"));
    // One that was served and is not any more has lost its name to who is.
    let mut closed = documents("");
    closed[1].push_str("status: {cluster: mail/main}\n");
    let lost = assigned(&closed);
    let last = said(&lost).pop().unwrap();
    assert_eq!(last, format!("team/MailDomain/older {conflict}"));
    assert_eq!(held(&lost, "main"), Vec::<String>::new());
}

#[test]
fn an_alias_in_service_stays_where_it_is() {
    let spec = "{domain: new.test, domainAliases: [shared.test]}";
    let mut new = object("MailDomain", ("mail", "new", 8), spec);
    new.push_str("status: {cluster: mail/main, domainAliases: [shared.test]}\n");
    let spec = "{domain: old.test, domainAliases: [shared.test]}";
    let assigned = assigned(&[
        cluster(("mail", "main", 0), ""),
        served(("mail", "old", 1), spec, "mail/main"),
        new,
        object("Mailbox", ("mail", "m", 9), "{address: m@shared.test}"),
    ]);
    assert_eq!(counts(&assigned), [("main", 2, 1)]);
    assert_eq!(
        said(&assigned),
        [
            "mail/MailDomain/old Conflict spec.domainAliases[0]: is already a domain of MailDomain/new in namespace mail; found shared.test"
        ]
    );
    assert!(assigned.problems[0].kept);
}

const RULES: &str = ", allowedNamespaces: {from: All, domains: [{selector: {matchLabels: {mail: 'yes'}}, suffixes: [shop.test, team.example.test]}, {suffixes: [free.test]}]}";

fn of(namespace: &str, name: &str, domain: &str) -> String {
    let spec = format!("{{domain: {domain}, clusterRef: {{name: main, namespace: mail}}}}");
    object("MailDomain", (namespace, name, 5), &spec)
}

#[test]
fn rules_say_who_may_have_which_names() {
    let aliases = "{domain: a.shop.test, domainAliases: [bank.test, b.shop.test], clusterRef: {name: main, namespace: mail}}";
    let assigned = assigned(&[
        cluster(("mail", "main", 0), RULES),
        object("MailDomain", ("mail", "own", 1), "{domain: anything.test}"),
        object("MailDomain", ("mail", "top", 1), "{domain: example.test}"),
        of("team", "a-bank", "bank.test"),
        of("team", "below", "team.example.test"),
        of("team", "shop", "shop.test"),
        object("MailDomain", ("team", "some", 5), aliases),
        of("other", "free", "x.free.test"),
        of("other", "shop", "x.shop.test"),
        object("Mailbox", ("team", "m", 9), "{address: m@bank.test}"),
    ]);
    let refused = |place: &str, field: &str, namespace: &str, found: &str, allowed: &str| {
        format!(
            "{place} NotAllowed {field}: is none of the names that MailCluster/main in namespace mail allows in namespace {namespace}; found {found}; allowed: {allowed}, and names below; hint: spec.allowedNamespaces.domains of the MailCluster says which names are whose"
        )
    };
    let all = "shop.test, team.example.test, free.test";
    assert_eq!(
        said(&assigned),
        [
            refused("other/MailDomain/shop", "spec.domain", "other", "x.shop.test", "free.test"),
            refused("team/MailDomain/a-bank", "spec.domain", "team", "bank.test", all),
            refused("team/MailDomain/some", "spec.domainAliases[0]", "team", "bank.test", all),
            "team/Mailbox/m Missing spec.address: is in a MailDomain without MailCluster; found bank.test".to_owned(),
        ]
    );
    assert_eq!(counts(&assigned), [("main", 6, 0)]);
    // Mail of others for what it may not have goes where it went.
    assert_eq!(held(&assigned, "main"), Vec::<String>::new());
}

#[test]
fn nobody_gets_a_name_below_that_of_another_namespace() {
    let open = ", allowedNamespaces: {from: All}";
    let documents = [
        cluster(("mail", "main", 0), open),
        of("team", "top", "example.test"),
        of("thief", "below", "www.example.test"),
        // Those who run the MailCluster, those who have the name above, and those who were there.
        object("MailDomain", ("mail", "own", 9), "{domain: m.example.test}"),
        of("team", "own", "deep.a.example.test"),
        served(
            ("kept", "kept", 9),
            "{domain: kept.example.test, clusterRef: {name: main, namespace: mail}}",
            "mail/main",
        ),
        // With a MailCluster of one's own, too.
        cluster(("thief", "theirs", 0), ""),
        object(
            "MailDomain",
            ("thief", "mine", 9),
            "{domain: x.example.test}",
        ),
    ];
    let assigned_ = assigned(&documents);
    let refused = |name: &str, found: &str| {
        format!(
            "thief/MailDomain/{name} NotAllowed spec.domain: is below example.test, a domain of MailDomain/top in namespace team; found {found}; hint: spec.allowedNamespaces.domains of MailCluster mail/main can allow it in namespace thief"
        )
    };
    assert_eq!(
        said(&assigned_),
        [
            refused("below", "www.example.test"),
            refused("mine", "x.example.test")
        ]
    );
    assert_eq!(counts(&assigned_), [("main", 4, 0), ("theirs", 0, 0)]);
    assert_eq!(held(&assigned_, "main"), Vec::<String>::new());
}

#[test]
fn nobody_keeps_others_from_names_below_a_public_suffix() {
    let open = ", allowedNamespaces: {from: All}";
    let documents = [
        cluster(("mail", "main", 0), open),
        of("first", "com", "com"),
        of("first", "uk", "co.uk"),
        of("first", "zone", "corp"),
        of("team", "shop", "shop.com"),
        of("team", "deep", "www.shop.co.uk"),
        of("team", "zone", "shop.corp"),
    ];
    let assigned = assigned(&documents);
    // A network's own top is no public suffix.
    let said = said(&assigned);
    assert!(
        matches!(&said[..], [one] if one.contains("is below corp")),
        "{said:?}"
    );
    assert_eq!(counts(&assigned), [("main", 5, 0)]);
}

#[test]
fn a_name_in_service_is_nobody_elses_while_its_cluster_is_away() {
    let far = "{domain: far.test, clusterRef: {name: main, namespace: mail}}";
    let slip = "{domain: slip.test, clusterRef: {name: mian}}";
    let rule = ", allowedNamespaces: {from: Selector, selector: {matchLabels: {x: y}}, domains: [{suffixes: [given.test]}]}";
    let mut documents = vec![
        served(("mail", "gone", 5), "{domain: example.test}", "mail/gone"),
        served(("team", "far", 5), far, "mail/main"),
        served(("mail", "slip", 5), slip, "mail/main"),
        cluster(("thief", "theirs", 0), ""),
        object("MailDomain", ("thief", "gone", 0), "{domain: example.test}"),
        object("MailDomain", ("thief", "far", 0), "{domain: far.test}"),
        object("MailDomain", ("thief", "slip", 0), "{domain: slip.test}"),
        object(
            "MailDomain",
            ("thief", "below", 0),
            "{domain: a.example.test}",
        ),
    ];
    let problems = |documents: &[String]| {
        let assigned = assigned(documents);
        let said = said(&assigned);
        let of_thief = said.into_iter().filter(|line| line.starts_with("thief/"));
        of_thief.collect::<Vec<_>>()
    };
    let taken = |name: &str, by: &str, domain: &str| {
        format!(
            "thief/MailDomain/{name} Conflict spec.domain: is already a domain of MailDomain/{name} in namespace {by}; found {domain}"
        )
    };
    let below = "thief/MailDomain/below NotAllowed spec.domain: is below example.test, a domain of MailDomain/gone in namespace mail; found a.example.test".to_owned();
    let all = [
        below,
        taken("far", "team", "far.test"),
        taken("gone", "mail", "example.test"),
        taken("slip", "mail", "slip.test"),
    ];
    assert_eq!(problems(&documents), all);
    documents.push(cluster(("mail", "main", 0), ""));
    let mut all = all.to_vec();
    // Without clusterRef, the one that is there serves it now: it lets nobody in below.
    all[0] += "; hint: spec.allowedNamespaces.domains of MailCluster mail/main can allow it in namespace thief";
    assert_eq!(problems(&documents), all);
    // Rules that give the name to others are no slip of the pen.
    documents.pop();
    documents.push(cluster(("mail", "main", 0), rule));
    all.remove(1);
    assert_eq!(problems(&documents), all);
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
        let own = assigned
            .clusters
            .remove(&("mail".to_owned(), "main".to_owned()));
        crate::compile_valid(crate::Resources {
            secrets: resources.secrets,
            ..own.unwrap()
        })
    };
    let names = |compiled: &crate::Compiled| {
        let plan = compiled.plan.as_ref().unwrap();
        plan.outbound_ips
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let none = compiled("");
    assert_eq!(names(&none), "far");
    let said: Vec<String> = none.problems.iter().map(crate::Problem::said).collect();
    for (resource, wanted) in [
        (
            "OutboundIP/here",
            "EgressProxy, or spec.roles.delivery: {hostNetwork: true, replicas: 1}",
        ),
        ("OutboundIP/own", "spec.roles.egress: {} of the MailCluster"),
        (
            "OutboundIP/cilium",
            "spec.roles.egress: {} of the MailCluster",
        ),
    ] {
        let told = none
            .problems
            .iter()
            .filter(|problem| problem.resource.as_deref() == Some(resource));
        let told: Vec<String> = told.map(crate::Problem::said).collect();
        assert!(
            told.len() == 1 && told[0].contains(wanted),
            "{told:?} of {said:?}"
        );
    }
    let plan = none.plan.unwrap();
    let domain = plan.domains.values().next().unwrap();
    assert_eq!(domain.outbound_ips, ["own", "cilium"]);
    assert_eq!(names(&compiled(", roles: {egress: {}}")), "cilium far own");
    // Two pods on two nodes cannot both have it.
    assert_eq!(
        names(&compiled(", roles: {delivery: {hostNetwork: true}}")),
        "far"
    );
    let on_node = compiled(", roles: {delivery: {hostNetwork: true, replicas: 1}}");
    assert_eq!(names(&on_node), "far here");
    let smtp = compiled(", roles: {smtp: {hostNetwork: true}}");
    let said: Vec<String> = smtp.problems.iter().map(crate::Problem::said).collect();
    assert!(
        said.iter()
            .any(|said| said.contains("spec.roles.smtp.hostNetwork")),
        "{said:?}"
    );
}
