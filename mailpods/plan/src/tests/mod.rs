mod assign;
mod bad_yaml;
mod bounds;
mod dns;
mod keeping;
mod outbound;
mod resolve;
mod rules;
mod valid;

use mailpods_api::{DomainName, MailboxAddress};

use crate::{Plan, Problem, Source, check};

/// The smallest cluster.
pub(super) const CLUSTER: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: {name: main}
spec:
  hostname: mail.example.test
  listeners:
  - {name: smtp, protocol: smtp, port: 25}
";

/// A resource with its spec in flow style.
pub(super) fn resource(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: mailpods.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

pub(super) fn domain(name: &str, more: &str) -> String {
    resource(
        "MailDomain",
        name,
        &format!(
            "{{domain: {name}{}{more}}}",
            if more.is_empty() { "" } else { ", " }
        ),
    )
}

pub(super) fn mailbox(address: &str, more: &str) -> String {
    let name = address.replace('@', ".");
    resource(
        "Mailbox",
        &name,
        &format!(
            "{{address: {address}{}{more}}}",
            if more.is_empty() { "" } else { ", " }
        ),
    )
}

pub(super) fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// The cluster and these documents.
pub(super) fn with_cluster(documents: &[String]) -> Vec<Source> {
    vec![
        source("cluster.yaml", CLUSTER),
        source("a.yaml", &documents.join("---\n")),
    ]
}

pub(super) fn problems(sources: &[Source]) -> Vec<String> {
    check(sources).1.iter().map(Problem::to_string).collect()
}

pub(super) fn plan(documents: &[String]) -> Plan {
    let (plan, problems) = check(&with_cluster(documents));
    plan.unwrap_or_else(|| panic!("{problems:#?}"))
}

pub(super) fn address(text: &str) -> MailboxAddress {
    text.parse().unwrap()
}

pub(super) fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

#[test]
fn quickstart_compiles() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        sources.push(source(
            path.file_name().unwrap().to_str().unwrap(),
            &std::fs::read_to_string(&path).unwrap(),
        ));
    }
    let (plan, problems) = check(&sources);
    assert_eq!(problems, []);
    let plan = plan.unwrap();
    let ports: Vec<_> = plan
        .listeners
        .iter()
        .map(|listener| (listener.protocol.as_str(), listener.address.to_string()))
        .collect();
    let wanted = [
        ("smtp", 2525),
        ("submission", 2587),
        ("submissions", 2465),
        ("imap", 2143),
        ("imaps", 2993),
        ("pop3", 2110),
        ("pop3s", 2995),
        ("managesieve", 2419),
        ("lmtp", 2424),
        ("http", 9090),
    ];
    assert_eq!(
        ports,
        wanted.map(|(protocol, port)| (protocol, format!("127.0.0.1:{port}")))
    );
    let alice = plan.mailbox(&address("alice@example.test")).unwrap();
    assert_eq!(
        alice.credential.as_ref().unwrap().value.reveal(),
        "quickstart"
    );
    assert_eq!(alice.quota.octets, Some(1 << 30));
    assert_eq!(
        plan.outbound.postmaster,
        Some(address("alice@example.test"))
    );
}

#[test]
fn without_listeners_the_standard_ports_are_open() {
    let cluster = resource("MailCluster", "main", "{hostname: mail.example.test}");
    let domain = domain("example.test", "");
    let (plan, problems) = check(&[source("c.yaml", &cluster), source("d.yaml", &domain)]);
    assert_eq!(problems, []);
    let open: Vec<String> = plan
        .unwrap()
        .listeners
        .iter()
        .map(|listener| format!("{} {}", listener.protocol.as_str(), listener.address))
        .collect();
    let wanted = [
        "smtp [::]:25",
        "submission [::]:587",
        "submissions [::]:465",
        "imap [::]:143",
        "imaps [::]:993",
        "http 127.0.0.1:9090",
    ];
    assert_eq!(open, wanted);
}

#[test]
fn defaults_of_the_schema_are_those_of_the_types() {
    use mailpods_api::v1alpha1::{FilterSpec, OutboundSpec, SmtpSpec};
    let (resources, problems) = crate::load_valid(&[source("cluster.yaml", CLUSTER)]);
    assert_eq!(problems, []);
    let spec = &resources.clusters[0].object.spec;
    assert_eq!(
        (&spec.smtp, &spec.filter, &spec.outbound),
        (
            &SmtpSpec::default(),
            &FilterSpec::default(),
            &OutboundSpec::default()
        )
    );
}

#[test]
fn equal_sources_have_equal_digests() {
    let digest = |sources: &[Source]| crate::load(sources).unwrap().digest;
    let (one, two) = (
        source("cluster.yaml", CLUSTER),
        source("a.yaml", &domain("example.test", "")),
    );
    assert_eq!(
        digest(&[one.clone(), two.clone()]),
        digest(&[two, one.clone()])
    );
    assert_ne!(
        digest(std::slice::from_ref(&one)),
        digest(&[source("cluster.yaml", &format!("{CLUSTER}\n"))])
    );
}

#[test]
fn secrets_come_from_files_beside_and_from_base64() {
    let hash = mailbox(
        "a@example.test",
        "passwordHashSecretRef: {name: people, key: a}",
    );
    let text = mailbox("b@example.test", "passwordSecretRef: {name: coded}");
    let coded =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: coded}\ndata: {password: c2VjcmV0IHRvbw==}\n"
            .to_owned();
    let mut sources = with_cluster(&[domain("example.test", ""), hash, text, coded]);
    sources.push(source(
        "secrets/people/a",
        "{SSHA}zRDSFqG2OjSZzqLCJwdPVgmjJgQ4SFhk\n",
    ));
    let (plan, problems) = check(&sources);
    assert_eq!(problems, []);
    let plan = plan.unwrap();
    let credential = |text: &str| {
        plan.mailbox(&address(text))
            .unwrap()
            .credential
            .clone()
            .unwrap()
    };
    assert_eq!(
        credential("a@example.test").value.reveal(),
        "{SSHA}zRDSFqG2OjSZzqLCJwdPVgmjJgQ4SFhk"
    );
    assert_eq!(
        credential("a@example.test").kind,
        crate::CredentialKind::Hash
    );
    assert_eq!(credential("b@example.test").value.reveal(), "secret too");
}
