//! What a person writes, as the API server sees it: no operator runs yet.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::kubectl::Kubectl;
use crate::world::World;

const LIMIT: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "t02";
/// The smallest resource of each kind.
const GOOD: &str = include_str!("t02_good.yaml");

/// Definitions, resources, columns, mistakes.
pub fn run(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    let definitions = crate::root().join("crds");
    let definitions = definitions.to_str().context("a path that is not UTF-8")?;
    kubectl.run(&["apply", "--server-side", "-f", definitions])?;
    for plural in [
        "mailclusters",
        "maildomains",
        "mailboxes",
        "mailinglists",
        "outboundips",
    ] {
        established(kubectl, plural)?;
    }
    kubectl.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"
    ))?;
    kubectl.apply(GOOD)?;
    columns_tell_what_matters(kubectl)?;
    names_are_short(kubectl)?;
    mistakes_are_explained(kubectl)?;
    what_cannot_change_is_kept(kubectl)?;
    // The next scenarios install the definitions as users do.
    kubectl.run(&["delete", "-f", definitions, "--wait=true", "--timeout=60s"])?;
    kubectl.run(&[
        "delete",
        "namespace",
        NAMESPACE,
        "--wait=true",
        "--timeout=60s",
    ])?;
    Ok(())
}

fn established(kubectl: &Kubectl, plural: &str) -> Result<()> {
    let name = format!("crd/{plural}.mailpods.dev");
    let path = "-o=jsonpath={.status.conditions[?(@.type=='Established')].status}";
    kubectl.until(
        &format!("{plural} are known"),
        LIMIT,
        &[&name, path],
        |seen| seen == "True",
    )?;
    Ok(())
}

fn columns_tell_what_matters(kubectl: &Kubectl) -> Result<()> {
    let condition = r#"{"status":{"conditions":[{"type":"Ready","status":"False","reason":"NotServed","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
    let patch = ["--subresource=status", "--type=merge", "--patch", condition];
    let mut all = vec!["-n", NAMESPACE, "patch", "maildomain", "example"];
    all.extend(patch);
    kubectl.run(&all)?;
    for (kind, columns, cells) in [
        (
            "maildomain",
            &["NAME", "DOMAIN", "READY", "DNS", "AGE"][..],
            &["example", "example.test", "False"][..],
        ),
        (
            "mailcluster",
            &["NAME", "HOSTNAME", "READY", "QUEUE", "AGE"],
            &["main", "mail.example.test"],
        ),
        (
            "mailbox",
            &["NAME", "ADDRESS", "READY", "REASON", "AGE"],
            &["ann", "ann@example.test"],
        ),
        (
            "outboundip",
            &["NAME", "ADDRESS", "HOSTNAME", "ROLE", "PHASE", "AGE"],
            &["first", "192.0.2.1", "Sending"],
        ),
    ] {
        let table = kubectl.run(&["-n", NAMESPACE, "get", kind])?;
        let mut lines = table.lines();
        let header: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let shown = columns.iter().all(|column| header.contains(column));
        ensure!(
            shown,
            "{kind}: columns are {header:?}, should have {columns:?}"
        );
        let row: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let told = cells.iter().all(|cell| row.contains(cell));
        ensure!(told, "{kind}: the row is {row:?}, should have {cells:?}");
    }
    Ok(())
}

/// Short names, and the category that shows everything.
fn names_are_short(kubectl: &Kubectl) -> Result<()> {
    let names = kubectl.run(&["-n", NAMESPACE, "get", "mc,md,mbx,oip", "-o=name"])?;
    let all = kubectl.run(&["-n", NAMESPACE, "get", "mailpods", "-o=name"])?;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    ensure!(sorted(&names).len() == 4, "short names show {names:?}");
    ensure!(
        sorted(&names) == sorted(&all),
        "the category shows {all:?}, short names show {names:?}"
    );
    Ok(())
}

/// A mistake: kind, spec, and the words that the refusal must have.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "MailDomain",
        "domain: 'exa mple'",
        &[
            "spec.domain",
            "must be a domain name such as example.com; found exa mple",
        ],
    ),
    ("MailDomain", "domian: example.test", &["spec.domian"]),
    ("MailDomain", "paused: false", &["spec.domain"]),
    (
        "MailDomain",
        "domain: b.test\n  transport: {mailboxes: {}, relay: {host: mx.test}}",
        &[
            "spec.transport",
            "exactly one of mailboxes, relay and backupMX must be set",
        ],
    ),
    (
        "MailDomain",
        "domain: b.test\n  catchAll: ann@c.test",
        &["catchAll must be an address of the domain"],
    ),
    (
        "MailDomain",
        "domain: b.test\n  domainAliases: [b.test]",
        &["domainAliases must not contain the domain itself"],
    ),
    (
        "MailDomain",
        "domain: b.test\n  dns: {spf: 'spf1 mx'}",
        &["spec.dns.spf", "must be an SPF record", "found spf1 mx"],
    ),
    (
        "MailDomain",
        "domain: b.test\n  dns: {dmarc: p=none}",
        &["spec.dns.dmarc", "must be a DMARC record", "found p=none"],
    ),
    (
        "MailDomain",
        "domain: b.test\n  provider: Gmail",
        &["spec.provider", "Google", "Microsoft365"],
    ),
    (
        "Mailbox",
        "address: nobody",
        &[
            "spec.address",
            "must be an address such as alice@example.com; found nobody",
        ],
    ),
    (
        "Mailbox",
        "address: b@b.test\n  passwordSecretRef: {name: a}\n  passwordHashSecretRef: {name: b}",
        &["at most one of passwordSecretRef and passwordHashSecretRef may be set"],
    ),
    (
        "Mailbox",
        "address: b@b.test\n  quota: {size: much}",
        &[
            "spec.quota.size",
            "must be a size such as 512Ki, 25Mi or 10Gi; found much",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  store: {embedded: {}, postgresql: {uriSecretRef: {name: db}}}",
        &[
            "spec.store",
            "exactly one of embedded and postgresql must be set",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  tls: {secretRef: {name: a}, issuerRef: {name: b}}",
        &[
            "spec.tls",
            "at most one of secretRef and issuerRef may be set",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  allowedNamespaces: {from: Selector}",
        &[
            "spec.allowedNamespaces",
            "selector must be set when from is Selector, and only then",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  allowedNamespaces: {domains: [{suffixes: [b.test]}]}",
        &[
            "spec.allowedNamespaces",
            "domains is for other namespaces: from must be All or Selector",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  allowedNamespaces: {from: All, domains: [{suffixes: [b c.test]}]}",
        &[
            "spec.allowedNamespaces.domains[0].suffixes[0]",
            "must be a domain name such as example.com; found b c.test",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  listeners: [{name: a, protocol: pop9, port: 99999}]",
        &["spec.listeners[0].protocol", "imaps", "65535"],
    ),
    (
        "OutboundIP",
        "address: 192.0.2.x\n  hostname: mail.b.test",
        &["spec.address", "must be an IP address", "found 192.0.2.x"],
    ),
    (
        "OutboundIP",
        "address: 999.0.0.1\n  hostname: mail.b.test",
        &[
            "spec.address",
            "must be an IP address such as 192.0.2.1 or 2001:db8::1; found 999.0.0.1",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  smtp: {limitExempt: [10.0.0.0/33]}",
        &[
            "spec.smtp.limitExempt[0]",
            "must be a network such as 192.0.2.0/24 or 2001:db8::/32; found 10.0.0.0/33",
        ],
    ),
    (
        "MailCluster",
        "hostname: mail.b.test\n  smtp: {idleTimeout: 5 minutes}",
        &[
            "spec.smtp.idleTimeout",
            "must be a time such as 30s, 4h or 1d12h; found 5 minutes",
        ],
    ),
];

/// All are tried; a person would fix one at a time, a developer wants to see all.
fn mistakes_are_explained(kubectl: &Kubectl) -> Result<()> {
    let mut wrong = Vec::new();
    for (kind, spec, words) in MISTAKES {
        let yaml = format!(
            "apiVersion: mailpods.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: mistake, namespace: {NAMESPACE}}}\nspec:\n  {spec}\n"
        );
        match kubectl.refused(&["apply", "--server-side", "-f", "-"], &yaml) {
            Ok(told) => {
                let missing: Vec<_> = words.iter().filter(|word| !told.contains(**word)).collect();
                if !missing.is_empty() {
                    wrong.push(format!(
                        "{kind} `{spec}`: the refusal lacks {missing:?}: {told}"
                    ));
                }
            }
            Err(error) => wrong.push(format!("{kind} `{spec}`: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn what_cannot_change_is_kept(kubectl: &Kubectl) -> Result<()> {
    for (kind, name, patch, message) in [
        (
            "maildomain",
            "example",
            r#"{"spec":{"domain":"other.test"}}"#,
            "domain is immutable",
        ),
        (
            "mailbox",
            "ann",
            r#"{"spec":{"address":"eve@example.test"}}"#,
            "address is immutable",
        ),
        (
            "outboundip",
            "first",
            r#"{"spec":{"address":"192.0.2.2"}}"#,
            "address is immutable",
        ),
    ] {
        let arguments = [
            "-n",
            NAMESPACE,
            "patch",
            kind,
            name,
            "--type=merge",
            "--patch",
            patch,
        ];
        let told = kubectl.refused(&arguments, "")?;
        ensure!(
            told.contains(message),
            "{kind}: the refusal does not say `{message}`: {told}"
        );
    }
    Ok(())
}
