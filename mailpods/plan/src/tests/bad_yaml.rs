use super::*;

/// A cluster file with one more line in its spec, and what is said about it.
#[test]
fn mistakes_in_a_cluster_are_named() {
    let network = "a network such as 192.0.2.0/24 or 2001:db8::/32";
    for (line, wanted) in [
        ("smpt: {}", "8:3: MailCluster/main: spec.smpt: unknown field; allowed: allowedNamespaces, auth, directories, dkim, dns, filter, hostname, imap, listeners, mailboxDefaults, monitoring, outbound, paused, pods, postmaster, roles, service, shutdownGrace, sieve, smtp, store, submission, tls; hint: did you mean smtp?".to_owned()),
        ("smtp: 5", "8:3: MailCluster/main: spec.smtp: must be a map; found 5".to_owned()),
        ("smtp: {maxRecipients: 7}", "8:10: MailCluster/main: spec.smtp.maxRecipients: is out of range; found 7; allowed: 100 to 100000".to_owned()),
        ("smtp: {maxRecipients: many}", "8:10: MailCluster/main: spec.smtp.maxRecipients: must be a whole number; found \"many\"".to_owned()),
        ("smtp: {idleTimeout: 5}", "8:10: MailCluster/main: spec.smtp.idleTimeout: must be text; found 5; hint: a time such as 30s, 4h or 1d12h".to_owned()),
        ("smtp: {idleTimeout: 5 minutes}", "8:10: MailCluster/main: spec.smtp.idleTimeout: has the wrong form; found \"5 minutes\"; allowed: a time such as 30s, 4h or 1d12h".to_owned()),
        ("smtp: {maxMessageSize: 5MB}", "8:10: MailCluster/main: spec.smtp.maxMessageSize: has the wrong form; found \"5MB\"; allowed: a size such as 512Ki, 25Mi or 10Gi".to_owned()),
        ("smtp: {bareNewline: reject}", "8:10: MailCluster/main: spec.smtp.bareNewline: is none of the values; found \"reject\"; allowed: Reject, Normalize; hint: did you mean Reject?".to_owned()),
        ("auth: {exempt: [home]}", format!("8:19: MailCluster/main: spec.auth.exempt[0]: has the wrong form; found \"home\"; allowed: {network}")),
        ("auth: {exempt: [10.0.0.0/33]}", format!("8:19: MailCluster/main: spec.auth.exempt[0]: has the wrong form; found \"10.0.0.0/33\"; allowed: {network}")),
        ("store: {embedded: {}, postgresql: {uriSecretRef: {name: x}}}", "8:3: MailCluster/main: spec.store: exactly one of embedded and postgresql must be set".to_owned()),
        ("store: {postgresql: {uriSecretRef: {name: x}}}", "8:11: MailCluster/main: spec.store.postgresql: works in a Kubernetes cluster only; allowed: embedded".to_owned()),
        ("roles: {smtp: {replicas: 2}}", "8:3: MailCluster/main: spec.roles: works in a Kubernetes cluster only; hint: leave it out".to_owned()),
        ("tls: {secretRef: {name: web}}", "8:21: MailCluster/main: spec.tls.secretRef.name: names no Secret; found web; hint: add a Secret of that name, or a file secrets/web/tls.crt".to_owned()),
        ("dns: {servers: [\"300.1.1.1\"]}", "8:19: MailCluster/main: spec.dns.servers[0]: is no address; found 300.1.1.1; allowed: an address such as 192.0.2.53 or 127.0.0.1:5353".to_owned()),
        ("hostname: two.example.test", "8:3: key \"hostname\" is there twice; hint: keep one of the two".to_owned()),
        ("smtp: {idleTimeout: 0s}", "8:10: MailCluster/main: spec.smtp.idleTimeout: must not be zero; found 0; allowed: 1ms or more".to_owned()),
        ("outbound: {timeouts: {dataEnd: 0s}}", "8:25: MailCluster/main: spec.outbound.timeouts.dataEnd: must not be zero; found 0; allowed: 1ms or more".to_owned()),
        ("imap: {idleTimeout: 29m59s}", "8:10: MailCluster/main: spec.imap.idleTimeout: is shorter than IMAP allows (RFC 9051 §5.4); found 29m59s; allowed: 30m or more".to_owned()),
        ("outbound: {retryInitial: 5h}", "8:3: MailCluster/main: spec.outbound.retryMax: is shorter than retryInitial; found 4h; allowed: 5h or more".to_owned()),
        ("outbound: {smartHost: {host: relay.test, authSecretRef: {name: up}}}", "8:14: MailCluster/main: spec.outbound.smartHost.tls: a password needs TLS that is verified; found Opportunistic; allowed: Verify, Implicit".to_owned()),
        ("postmaster: alice", "8:3: MailCluster/main: spec.postmaster: has the wrong form; found \"alice\"; allowed: an address such as alice@example.com".to_owned()),
        ("postmaster: a b@example.test", "8:3: MailCluster/main: spec.postmaster: \"a b\" is not a valid local part".to_owned()),
        ("filter: {arcTrustedSealers: [a..b]}", "8:32: MailCluster/main: spec.filter.arcTrustedSealers[0]: has the wrong form; found \"a..b\"; allowed: a domain name such as example.com".to_owned()),
        ("filter: {arcTrustedSealers: [xn--a.test]}", "8:32: MailCluster/main: spec.filter.arcTrustedSealers[0]: \"xn--a.test\" is not a valid name".to_owned()),
        ("a: [1", "8:6: invalid YAML: unclosed bracket '['".to_owned()),
    ] {
        let cluster = format!("{CLUSTER}  {line}\n");
        let found = problems(&[source("cluster.yaml", &cluster), source("a.yaml", &domain("example.test", "")), source("secrets/up/username", "u"), source("secrets/up/password", "p")]);
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        let message = found[0].strip_prefix("cluster.yaml:").unwrap();
        assert!(message == wanted, "{line}:\n  {message}\n  {wanted}");
    }
}

#[test]
fn mistakes_in_listeners_are_named() {
    let cluster = CLUSTER.replace("port: 25}", "port: 25}\n  - {name: smtp, protocol: pop, port: 70000}\n  - {name: Über, protocol: imap, address: localhost}");
    assert_eq!(
        problems(&[source("c.yaml", &cluster)]),
        [
            "c.yaml:8:6: MailCluster/main: spec.listeners[1].name: is there twice; found \"smtp\"",
            "c.yaml:8:18: MailCluster/main: spec.listeners[1].protocol: is none of the values; found \"pop\"; allowed: smtp, submission, submissions, lmtp, imap, imaps, pop3, pop3s, managesieve, http, https; hint: did you mean pop3?",
            "c.yaml:8:33: MailCluster/main: spec.listeners[1].port: is out of range; found 70000; allowed: 0 to 65535",
            "c.yaml:9:5: MailCluster/main: spec.listeners[2].port: is required but missing",
            "c.yaml:9:6: MailCluster/main: spec.listeners[2].name: has the wrong form; found \"Über\"; allowed: a name of lower-case letters, digits and hyphens, such as smtp-public",
            "c.yaml:9:34: MailCluster/main: spec.listeners[2].address: has the wrong form; found \"localhost\"; allowed: an IP address such as 192.0.2.1 or 2001:db8::1",
        ]
    );
}

#[test]
fn a_domain_has_one_minimum_of_tls() {
    let line = "outbound: {tls: {destinations: [{domains: [a.test, b.test], minimum: Verify}, {domains: [b.test], minimum: None}]}}";
    let cluster = format!("{CLUSTER}  {line}\n");
    let found = problems(&[
        source("c.yaml", &cluster),
        source("a.yaml", &domain("example.test", "")),
    ]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let wanted =
        "spec.outbound.tls.destinations[1].domains: is in destinations[0] already; found b.test";
    assert!(found[0].contains(wanted), "{found:?}");
}

#[test]
fn mistakes_of_kind_and_version_are_named() {
    let kinds = "MailCluster, MailDomain, Mailbox, OutboundIP, Secret";
    let text = "kind: MailDomian\napiVersion: mailpods.dev/v1alpha1\n---\nkind: Mailbox\napiVersion: v1\n---\nkind: Mailbox\n---\n[]\n";
    assert_eq!(
        problems(&[source("c.yaml", CLUSTER), source("x.yaml", text)]),
        [
            format!("x.yaml:1:7: MailDomian: kind: unknown kind; found MailDomian; allowed: {kinds}; hint: did you mean MailDomain?"),
            "x.yaml:5:13: Mailbox: apiVersion: unknown version of Mailbox; found v1; allowed: mailpods.dev/v1alpha1".to_owned(),
            "x.yaml:7:1: Mailbox: apiVersion: is required but missing".to_owned(),
            "x.yaml:9:1: kind: is required but missing".to_owned(),
        ]
    );
}

#[test]
fn all_mistakes_of_a_folder_are_named_at_once() {
    let sources = [
        source("cluster.yaml", CLUSTER),
        source("a.yaml", &domain("example.test", "provider: Gogle")),
        source("b.yaml", &mailbox("alice", "")),
        source(
            "c.yaml",
            "kind: Secret\napiVersion: v1\nmetadata: {name: s}\ndata: {a: '!', b: 5}\n",
        ),
        source("d.yaml", "a: b: c"),
    ];
    let files: Vec<String> = problems(&sources)
        .iter()
        .map(|text| text.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(files, ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]);
}

#[test]
fn secrets_are_not_shown() {
    let text = "kind: Secret\napiVersion: v1\nmetadata: {name: s}\nstringData: {pin: 123456}\n";
    let found = problems(&[source("c.yaml", CLUSTER), source("s.yaml", text)]);
    assert!(
        found
            .iter()
            .any(|text| text.contains("stringData.pin: must be text")),
        "{found:?}"
    );
    assert!(
        found.iter().all(|text| !text.contains("123456")),
        "{found:?}"
    );
}

#[test]
fn a_password_that_attackers_try_first_is_refused() {
    let mailbox = "kind: Mailbox\napiVersion: mailpods.dev/v1alpha1\nmetadata: {name: a}\nspec: {address: a@example.test, passwordSecretRef: {name: a}}\n";
    let found = problems(&[
        source("c.yaml", CLUSTER),
        source("d.yaml", &domain("example.test", "")),
        source("m.yaml", mailbox),
        source("secrets/a/password", "Qwerty123"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("spec.passwordSecretRef: the password is one that attackers try first")
            && !found[0].contains("werty"),
        "{found:?}"
    );
}

#[test]
fn null_is_left_out_and_yes_is_true() {
    let plan = plan(&[
        domain("example.test", "catchAll: null"),
        mailbox("a@example.test", "enabled: no"),
    ]);
    assert!(!plan.mailbox(&address("a@example.test")).unwrap().enabled);
}
