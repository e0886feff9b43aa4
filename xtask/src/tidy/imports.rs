//! Who may import whom (docs/architecture.md).

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

/// What a crate of the project may import of the project, apart from its own tier's rule. Dev-dependencies are free.
const RULES: &[(&str, &[&str])] = &[
    // T0: pure, no project imports but these.
    ("mailpods-api", &[]),
    ("mailpods-policy", &[]),
    ("mailpods-message", &[]),
    ("mailpods-sasl", &[]),
    ("mailpods-dkim", &[]),
    ("mailpods-smtp-proto", &[]),
    ("mailpods-spf", &[]),
    ("mailpods-imap-proto", &["message"]),
    ("mailpods-pop3-proto", &[]),
    ("mailpods-sieve", &["message"]),
    // T1: pure, on T0.
    ("mailpods-plan", &["api", "policy", "sasl", "sieve"]),
    ("mailpods-rpc", &["api", "plan", "policy"]),
    // T2: the outside world; they do not import each other, telemetry apart.
    ("mailpods-telemetry", &[]),
    ("mailpods-net", &["api", "policy", "telemetry"]),
    (
        "mailpods-store",
        &[
            "api",
            "message",
            "plan",
            "policy",
            "rpc",
            "sasl",
            "sieve",
            "telemetry",
        ],
    ),
    // T3: roles; none imports another.
    (
        "mailpods-smtp",
        &[
            "api",
            "message",
            "net",
            "plan",
            "policy",
            "rpc",
            "sasl",
            "smtp-proto",
            "store",
            "telemetry",
        ],
    ),
    (
        "mailpods-imap",
        &[
            "api",
            "imap-proto",
            "message",
            "net",
            "plan",
            "policy",
            "pop3-proto",
            "sasl",
            "sieve",
            "store",
            "telemetry",
        ],
    ),
    (
        "mailpods-filter",
        &[
            "api",
            "message",
            "net",
            "plan",
            "policy",
            "rpc",
            "spf",
            "telemetry",
        ],
    ),
    (
        "mailpods-delivery",
        &[
            "api",
            "dkim",
            "message",
            "net",
            "plan",
            "policy",
            "sasl",
            "sieve",
            "smtp-proto",
            "spf",
            "store",
            "telemetry",
        ],
    ),
    ("mailpods-egress", &["net", "plan", "policy", "telemetry"]),
    // The operator: the only user of the Kubernetes client; no role, no net, no store.
    (
        "mailpods-operator",
        &["api", "dkim", "plan", "policy", "rpc", "telemetry"],
    ),
    // T4: everything below.
    ("mailpods-process", &["*"]),
    ("mailpods-standalone", &["*"]),
    ("mailpods-pod", &["*"]),
    ("mailpods-cli", &["*"]),
    ("mailpods-tests", &["*"]),
    ("mailpods-test-postgres", &[]),
    ("mailpods-benches", &["*"]),
    ("mailpods-e2e", &[]),
    ("mailpods-fuzz", &["*"]),
    ("xtask", &["api"]),
];

/// T0 and T1: nothing that opens sockets or files may be anywhere below them.
const PURE: &[&str] = &[
    "mailpods-api",
    "mailpods-policy",
    "mailpods-message",
    "mailpods-sasl",
    "mailpods-dkim",
    "mailpods-smtp-proto",
    "mailpods-spf",
    "mailpods-imap-proto",
    "mailpods-pop3-proto",
    "mailpods-sieve",
    "mailpods-plan",
    "mailpods-rpc",
];

const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "hyper",
    "socket2",
    "hickory-resolver",
    "rustls",
    "rusqlite",
    "kube-client",
    "notify",
];

/// Findings, one a line.
pub fn check(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        match RULES
            .iter()
            .find(|(name, _)| *name == package.name.as_str())
        {
            Some((_, allowed)) => findings.extend(edges(package, allowed)),
            None => findings.push(format!(
                "{}: no import rule; add one to xtask/src/tidy/imports.rs",
                package.name
            )),
        }
    }
    let graph = normal_graph(metadata);
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|p| (&p.id, p.name.as_str()))
        .collect();
    for package in metadata
        .workspace_packages()
        .into_iter()
        .filter(|p| PURE.contains(&p.name.as_str()))
    {
        let below = closure(&graph, &package.id);
        findings.extend(
            below
                .iter()
                .filter_map(|id| names.get(id))
                .filter(|name| IMPURE.contains(name))
                .map(|name| format!("{}: is pure (T0/T1) but depends on {name}", package.name)),
        );
    }
    findings
}

fn edges(package: &Package, allowed: &[&str]) -> Vec<String> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .filter_map(|d| d.name.strip_prefix("mailpods-"))
        .filter(|name| !allowed.contains(&"*") && !allowed.contains(name))
        .map(|name| format!("{}: must not import mailpods-{name}", package.name))
        .collect()
}

type Graph<'a> = BTreeMap<&'a PackageId, Vec<&'a PackageId>>;

fn normal_graph(metadata: &Metadata) -> Graph<'_> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    nodes
        .map(|node| {
            let normal = node
                .deps
                .iter()
                .filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            (&node.id, normal.map(|d| &d.pkg).collect())
        })
        .collect()
}

fn closure<'a>(graph: &Graph<'a>, start: &'a PackageId) -> BTreeSet<&'a PackageId> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(graph.get(id).into_iter().flatten());
        }
    }
    seen
}
