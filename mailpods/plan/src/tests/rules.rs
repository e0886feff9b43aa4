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
                resource("MailingList", "l", "{address: l@example.test}"),
            ],
            "MailingList/l: kind: not supported yet; found MailingList; allowed: MailCluster, MailDomain, Mailbox, OutboundIP, Secret",
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

/// Each is a slip that a catch-all would hide.
#[test]
fn aliases_lead_to_addresses_that_are_there_even_with_a_catch_all() {
    let ann = mailbox("ann@example.test", "aliases: [sales@example.test]");
    for (targets, wanted) in [
        (
            "annn@example.test",
            "spec.aliases[0].targets[0]: leads to an address that does not exist; found annn@example.test; hint: did you mean ann@example.test?",
        ),
        (
            "other@example.test",
            "spec.aliases[0].targets[0]: leads to an address that does not exist; found other@example.test; hint: add a Mailbox or an alias of that name",
        ),
        (
            "info@example.test",
            "spec.aliases[0].targets[0]: is the alias itself; found info@example.test; hint: name another address, or make this one a Mailbox instead of an alias",
        ),
    ] {
        for catch_all in ["ann", "info"] {
            let more = format!(
                "catchAll: {catch_all}@example.test, aliases: [{{name: info, targets: [{targets}]}}]"
            );
            let found = said(&[domain("example.test", &more), ann.clone()]);
            assert_eq!(found, [format!("MailDomain/example.test: {wanted}")]);
        }
    }
    let good = "ann@example.test, ann+x@example.test, sales@example.test, postmaster@example.test, x@else.test";
    let more = format!("catchAll: ann@example.test, aliases: [{{name: info, targets: [{good}]}}]");
    let nothing: [&str; 0] = [];
    assert_eq!(said(&[domain("example.test", &more), ann]), nothing);
}

#[test]
fn a_missing_mailbox_is_no_circle() {
    let more = "catchAll: ann@example.test, aliases: [{name: info, targets: [ann@example.test]}]";
    let found = said(&[
        domain("example.test", more),
        resource("MailBox", "ann", "{address: ann@example.test}"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("did you mean Mailbox?"), "{found:?}");
}

#[test]
fn a_hash_that_cannot_be_read_is_told_and_not_shown() {
    let person = mailbox("a@example.test", "passwordHashSecretRef: {name: a}");
    for (hash, wanted) in [
        ("{FOO}xyz", "unknown password scheme \"FOO\""),
        ("hashed1", "no password scheme"),
        ("$argon2id$broken", "malformed ARGON2ID hash"),
        ("{ARGON2ID}zzz", "malformed ARGON2ID hash"),
        ("{SCRAM-SHA-256}10000,a", "malformed SCRAM-SHA-256 hash"),
    ] {
        let mut sources = with_cluster(&[domain("example.test", ""), person.clone()]);
        sources.push(source("secrets/a/passwordHash", hash));
        let found = problems(&sources);
        assert_eq!(found.len(), 1, "{hash}: {found:?}");
        assert!(
            found[0].contains("spec.passwordHashSecretRef: ")
                && found[0].contains(wanted)
                && found[0].contains("mailpods hash")
                && !found[0].contains("zzz"),
            "{hash}: {found:?}"
        );
    }
}

#[test]
fn a_secret_stands_in_one_place() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: one}\n";
    let mut sources = with_cluster(&[domain("example.test", ""), text.to_owned()]);
    sources.push(source("secrets/a/other", "two"));
    assert_eq!(problems(&sources).len(), 0);
    sources.push(source("secrets/a/password", "two"));
    assert_eq!(
        problems(&sources),
        ["secrets/a/password: is in Secret/a at a.yaml:6 too; hint: keep one of the two"]
    );
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

#[test]
fn sharing_stays_between_domains_that_say_so() {
    let info = mailbox(
        "info@example.test",
        "sharing: {publicName: Info, grants: [{to: anyone, rights: lrs, mailbox: INBOX}, {to: bob@other.test, rights: l}, {to: zoe@nowhere.test, rights: l}]}",
    );
    let team = mailbox("team@example.test", "sharing: {publicName: Info}");
    let documents = |across: &str| {
        vec![
            domain("example.test", across),
            domain("other.test", across),
            info.clone(),
            team.clone(),
        ]
    };
    let nowhere = "Mailbox/info.example.test: spec.sharing.grants[2].to: is in no MailDomain; found zoe@nowhere.test";
    let apart = "Mailbox/info.example.test: spec.sharing.grants[1].to: is in a domain that shares nothing with this one; found bob@other.test; hint: spec.sharing.acrossDomains: true in both MailDomains allows it";
    let twice = "Mailbox/team.example.test: spec.sharing.publicName: is already the public name of Mailbox/info.example.test at a.yaml:";
    let found = said(&documents(""));
    assert!(
        found.contains(&nowhere.to_owned()) && found.contains(&apart.to_owned()),
        "{found:?}"
    );
    assert!(
        found.iter().any(|text| text.starts_with(twice)),
        "{found:?}"
    );
    let found = said(&documents("sharing: {acrossDomains: true}"));
    assert!(!found.contains(&apart.to_owned()), "{found:?}");
    for (field, wrong) in [
        ("publicName: a/b", "spec.sharing.publicName"),
        (
            "grants: [{to: anyone, rights: lrq}]",
            "spec.sharing.grants[0].rights",
        ),
        (
            "grants: [{to: anyone, rights: \"\"}]",
            "spec.sharing.grants[0].rights",
        ),
        (
            "grants: [{to: everybody, rights: l}]",
            "spec.sharing.grants[0].to",
        ),
    ] {
        let mailbox = mailbox("x@example.test", &format!("sharing: {{{field}}}"));
        let found = said(&[domain("example.test", ""), mailbox]);
        assert!(
            found.iter().any(|text| text.contains(wrong)),
            "{field}: {found:?}"
        );
    }
}
