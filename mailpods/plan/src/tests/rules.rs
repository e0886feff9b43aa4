use super::*;

fn said(documents: &[String]) -> Vec<String> {
    problems(&with_cluster(documents))
        .iter()
        .map(|text| text.split_once(' ').unwrap().1.to_owned())
        .collect()
}

#[test]
fn references_between_resources_are_checked() {
    let alice = mailbox("alice@example.test", "");
    for (documents, wanted) in [
        (
            vec![
                domain("example.test", ""),
                resource("MailDomain", "other", "{domain: Example.TEST}"),
            ],
            "MailDomain/other: spec.domain: is already a domain of MailDomain/example.test at a.yaml:1; found example.test",
        ),
        (
            vec![
                domain("example.test", "domainAliases: [b.test]"),
                domain("b.test", ""),
            ],
            "MailDomain/b.test: spec.domain: is already a domain of MailDomain/example.test at a.yaml:1; found b.test",
        ),
        (
            vec![domain("example.test", "clusterRef: {name: other}")],
            "MailDomain/example.test: spec.clusterRef: names no MailCluster; found default/other; allowed: default/main",
        ),
        (
            vec![domain("example.test", ""), mailbox("bob@else.test", "")],
            "Mailbox/bob.else.test: spec.address: is in no MailDomain; found bob@else.test; allowed: example.test",
        ),
        (
            vec![
                domain("example.test", ""),
                alice.clone(),
                resource("Mailbox", "second", "{address: Alice@example.test}"),
            ],
            "Mailbox/second: spec.address: is already the address of Mailbox/alice.example.test at a.yaml:6; found alice@example.test",
        ),
        (
            vec![
                domain(
                    "example.test",
                    "aliases: [{name: alice, targets: [bob@x.test]}]",
                ),
                alice.clone(),
            ],
            "MailDomain/example.test: spec.aliases[0].name: is the address of a mailbox; found alice@example.test; hint: an address leads to one thing",
        ),
        (
            vec![
                domain(
                    "example.test",
                    "aliases: [{name: info, targets: [bob@example.test]}]",
                ),
                alice.clone(),
            ],
            "MailDomain/example.test: spec.aliases[0].targets[0]: leads to an address that does not exist; found bob@example.test; hint: add a Mailbox or an alias of that name",
        ),
        (
            vec![
                domain("example.test", "catchAll: bob@example.test"),
                alice.clone(),
            ],
            "MailDomain/example.test: spec.catchAll: leads to an address that does not exist; found bob@example.test; hint: add a Mailbox or an alias of that name",
        ),
        (
            vec![
                domain("example.test", "catchAll: bob@x.test"),
                alice.clone(),
            ],
            "MailDomain/example.test: spec: catchAll must be an address of the domain",
        ),
        (
            vec![domain("example.test", "outboundIPs: [one]"), alice.clone()],
            "MailDomain/example.test: spec.outboundIPs[0]: names no OutboundIP; found one; allowed: ",
        ),
        (
            vec![
                domain("example.test", ""),
                mailbox(
                    "a@example.test",
                    "passwordSecretRef: {name: s}, passwordHashSecretRef: {name: s}",
                ),
            ],
            "Mailbox/a.example.test: spec: at most one of passwordSecretRef and passwordHashSecretRef may be set",
        ),
        (
            vec![
                domain("example.test", "transport: {relay: {host: x.test}}"),
                alice.clone(),
            ],
            "Mailbox/alice.example.test: spec.address: is in a domain that is relayed; found alice@example.test; hint: a relayed domain has no mailboxes here",
        ),
        (
            vec![domain(
                "example.test",
                "transport: {mailboxes: {}, relay: {host: x.test}}",
            )],
            "MailDomain/example.test: spec.transport: exactly one of mailboxes, relay and backupMX must be set",
        ),
        (
            vec![
                domain(
                    "example.test",
                    "dns: {spf: 'v=spf1 a a a a a a a a a a a -all'}",
                ),
                alice.clone(),
            ],
            "MailDomain/example.test: spec.dns.spf: takes too many DNS look-ups; found 11; allowed: at most 10",
        ),
        (
            vec![
                domain("example.test", ""),
                resource(
                    "MailingList",
                    "l",
                    "{address: l@example.test, owners: [a@example.test]}",
                ),
            ],
            "MailingList/l: kind: not supported yet; allowed: MailCluster, MailDomain, Mailbox, OutboundIP, Secret",
        ),
        (
            vec![
                domain("example.test", ""),
                mailbox("a@example.test", "sieve: 'if true { frob; }'"),
            ],
            "Mailbox/a.example.test: spec.sieve: line 1, column 11 of the script: unknown command \"frob\"; allowed: if, require, stop, keep, discard, redirect, and those of required extensions",
        ),
        (
            vec![
                domain(
                    "example.test",
                    "dkim: {keys: [{selector: s, privateKeySecretRef: {name: k}}]}",
                ),
                "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData: {private.pem: x}\n"
                    .to_owned(),
            ],
            "MailDomain/example.test: spec.dkim.keys[0].privateKeySecretRef: the Secret holds no PKCS#8 key in PEM; hint: openssl pkcs8 -topk8 -nocrypt converts other forms",
        ),
        (
            vec![domain("example.test", ""), domain("example.test", "")],
            "MailDomain/example.test: metadata.name: is there twice, first at a.yaml:1; found example.test",
        ),
    ] {
        let found = said(&documents);
        assert_eq!(found, [wanted], "{}", documents.join("---\n"));
    }
}

#[test]
fn circles_of_aliases_are_named_where_they_are_made() {
    let found = said(&[
        domain(
            "example.test",
            "aliases: [{name: a, targets: [b@example.test]}, {name: b, targets: [a@example.test]}]",
        ),
        mailbox("m@example.test", ""),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("MailDomain/example.test: spec.aliases[0].name: aliases lead in a circle or too far; found a@example.test"));
}

#[test]
fn what_other_mistakes_explain_is_not_said() {
    let sources = [
        source("cluster.yaml", CLUSTER),
        source("a.yaml", &domain("example.test", "provider: X")),
        source("b.yaml", &mailbox("a@example.test", "")),
    ];
    let found = problems(&sources);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_folder_needs_a_cluster_and_a_domain() {
    assert_eq!(
        problems(&[]),
        [".: there is no MailCluster; hint: a folder needs one resource of kind MailCluster"]
    );
    let alone = problems(&[source("c.yaml", CLUSTER)]);
    assert_eq!(
        alone,
        [
            "c.yaml:1:1: MailCluster/main: the cluster has no MailDomain; hint: a folder needs at least one resource of kind MailDomain"
        ]
    );
    let two = [
        source("a.yaml", CLUSTER),
        source("b.yaml", &CLUSTER.replace("name: main", "name: more")),
        source("d.yaml", &domain("x.test", "")),
    ];
    assert_eq!(
        problems(&two),
        [
            "b.yaml:1:1: MailCluster/more: a second MailCluster; one process serves one; hint: the first is at a.yaml:1"
        ]
    );
}
