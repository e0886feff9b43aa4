//! Folders of resources against the objects and records that they come to. `UPDATE=1` refreshes what is expected.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use mailpods_operator::render::{read_folder, render, surroundings};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn rendered(name: &str) -> String {
    let mut sources = read_folder(&case(name)).unwrap();
    sources.retain(|source| source.path == "in.yaml");
    let rendered = render(&sources, &surroundings("mailpods:test", "mailpods-system")).unwrap();
    let problems: Vec<_> = rendered.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
    rendered.text
}

fn check(name: &str) {
    let text = rendered(name);
    let path = case(name).join("out.yaml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == wanted,
        "{} differs; UPDATE=1 cargo test -p mailpods-operator refreshes it\n{text}",
        path.display()
    );
}

#[test]
fn embedded_store() {
    check("embedded");
}

#[test]
fn postgresql_store() {
    check("postgresql");
}

#[test]
fn egress_proxies() {
    check("egress");
}

const HOSTS: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: {name: main, namespace: mail}
spec:
  hostname: mail.example.net
  dns: {mode: ExternalDNS, reverse: true, addresses: [203.0.113.25]}
  allowedNamespaces:
    from: All
    domains:
    - selector: {matchLabels: {kubernetes.io/metadata.name: shop}}
      suffixes: [shop.example]
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: shop, namespace: shop}
spec: {domain: shop.example, clusterRef: {namespace: mail, name: main}}
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: bank, namespace: shop}
spec: {domain: bank.example, clusterRef: {namespace: mail, name: main}}
";

#[test]
fn names_of_teams_and_records_of_hosts_are_rendered() {
    let source = mailpods_plan::Source {
        path: "hosts.yaml".to_owned(),
        text: HOSTS.to_owned(),
    };
    let rendered = render(&[source], &surroundings("mailpods:test", "mailpods-system")).unwrap();
    let problems: Vec<_> = rendered.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = "hosts.yaml:21:8: MailDomain/bank: spec.domain: is none of the names";
    assert!(problems[0].starts_with(said), "{problems:?}");
    let endpoints = rendered.text.split("---\n");
    let mut endpoints = endpoints.filter(|object| object.contains("kind: DNSEndpoint"));
    let hosts = endpoints.find(|object| object.contains("name: main-hosts"));
    let hosts = hosts.unwrap();
    assert!(hosts.contains("dnsName: mail.example.net"), "{hosts}");
    assert!(hosts.contains("25.113.0.203.in-addr.arpa"), "{hosts}");
    assert!(rendered.text.contains("dnsName: shop.example\n"));
    assert!(!rendered.text.contains("bank.example"));
}

#[test]
fn rendering_twice_gives_the_same() {
    assert_eq!(rendered("postgresql"), rendered("postgresql"));
}
