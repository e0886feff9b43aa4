//! MailCluster: one mail system.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions, object_name, rules};
use super::{
    AuthSpec, ClusterDkimSpec, ClusterDnsSpec, ClusterSieveSpec, FilterSpec, ImapSpec,
    LabelSelector, MailboxDefaultsSpec, MonitoringSpec, OutboundSpec, PodsSpec, RolesSpec,
    SecretRef, ServiceSpec, SmtpSpec, SubmissionSpec,
};
use crate::{DomainName, IpNet, MailboxAddress, Octets, TimeSpan};

/// One mail system: names, listeners, store, limits and defaults of its domains.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailpods.dev",
    version = "v1alpha1",
    kind = "MailCluster",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "MailClusterStatus",
    scale(
        spec_replicas_path = ".spec.roles.smtp.replicas",
        status_replicas_path = ".status.roles.smtp.replicas",
        label_selector_path = ".status.roles.smtp.selector"
    ),
    shortname = "mc",
    category = "mailpods",
    derive = "PartialEq",
    doc = "One mail system: names, listeners, store, limits and defaults of its domains.",
    printcolumn(name = "Hostname", type_ = "string", json_path = ".spec.hostname"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Queue", type_ = "integer", json_path = ".status.queueDepth"),
    printcolumn(
        name = "Certificate",
        type_ = "string",
        json_path = ".status.certificateExpiry",
        priority = 1
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MailClusterSpec {
    /// The name that the servers greet with. It should resolve to their addresses, and those back to it.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self.contains('.')", "hostname needs a dot: a name that leads to address records, such as mail.example.org (RFC 5321 §2.3.5)")])))]
    pub hostname: DomainName,
    /// Receives what is sent to postmaster and abuse at each domain that has no such address (RFC 5321 §4.5.1), and double bounces.
    /// The first mailbox when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postmaster: Option<MailboxAddress>,
    /// The sockets to listen on. The standard ports when left out: 25, 587, 465, 143 and 993 on every address, 9090 on 127.0.0.1.
    #[serde(default = "standard_listeners")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub listeners: Vec<ListenerSpec>,
    /// How TLS is offered.
    #[serde(default)]
    pub tls: TlsSpec,
    /// Where mail is kept.
    #[serde(default)]
    pub store: StoreSpec,
    /// Name look-ups, and defaults for the records of the domains.
    #[serde(default)]
    pub dns: ClusterDnsSpec,
    /// DKIM keys of domains that name none.
    #[serde(default)]
    pub dkim: ClusterDkimSpec,
    /// Limits and habits of SMTP and LMTP.
    #[serde(default)]
    pub smtp: SmtpSpec,
    /// Limits of submission.
    #[serde(default)]
    pub submission: SubmissionSpec,
    /// Limits of IMAP.
    #[serde(default)]
    pub imap: ImapSpec,
    /// Limits of log-ins.
    #[serde(default)]
    pub auth: AuthSpec,
    /// Checks of received mail.
    #[serde(default)]
    pub filter: FilterSpec,
    /// Queue, retries and sending.
    #[serde(default)]
    pub outbound: OutboundSpec,
    /// What holds for mailboxes where neither they nor their MailDomain say anything else of it.
    #[serde(default)]
    pub mailbox_defaults: MailboxDefaultsSpec,
    /// Sieve scripts (RFC 5228) of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sieve: Option<ClusterSieveSpec>,
    /// How long a clean stop waits for sessions.
    #[serde(default = "shutdown_grace")]
    pub shutdown_grace: TimeSpan,
    /// Replicas and resources of the roles. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<RolesSpec>,
    /// What all pods have in common. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsSpec>,
    /// Services in front of the listeners. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// Objects of the Prometheus operator, made where its kinds exist. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,
    /// Where accounts come from besides Mailboxes. Not supported yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub directories: Vec<DirectorySpec>,
    /// Namespaces whose resources may name this cluster.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// Stops changes of the objects that run it and of its domains' records and keys. What pods are told of domains, mailboxes and
    /// settings is not stopped: it follows the resources at once, as always. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

const fn shutdown_grace() -> TimeSpan {
    TimeSpan::seconds(25)
}

/// A socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSpec {
    /// Unique name of the listener.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// IP address; `0.0.0.0` is every IPv4 address, `::` every address.
    #[serde(default = "any_address")]
    #[schemars(
        with = "String",
        length(min = 2, max = 45),
        regex(pattern = "^[0-9A-Fa-f:.]+$")
    )]
    pub address: IpAddr,
    /// TCP port; 0: one that the system picks.
    pub port: u16,
    /// PROXY protocol v1 and v2 in front of what the client sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolSpec>,
}

fn any_address() -> IpAddr {
    Ipv6Addr::UNSPECIFIED.into()
}

/// The ports of the service name registry (RFC 6335), metrics for this machine alone; LMTP, which asks for no password, is
/// opened only where somebody wants it.
fn standard_listeners() -> Vec<ListenerSpec> {
    use ListenerProtocol::{Http, Imap, Imaps, Smtp, Submission, Submissions};
    let listener = |(name, protocol, address, port): (&str, _, _, _)| ListenerSpec {
        name: name.to_owned(),
        protocol,
        address,
        port,
        proxy_protocol: None,
    };
    [
        ("smtp", Smtp, any_address(), 25),
        ("submission", Submission, any_address(), 587),
        ("submissions", Submissions, any_address(), 465),
        ("imap", Imap, any_address(), 143),
        ("imaps", Imaps, any_address(), 993),
        ("http", Http, Ipv4Addr::LOCALHOST.into(), 9090),
    ]
    .map(listener)
    .into()
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListenerProtocol {
    /// SMTP from other servers, usually port 25.
    Smtp,
    /// Submission with STARTTLS, usually port 587.
    Submission,
    /// Submission with TLS from the first octet, usually port 465.
    Submissions,
    /// LMTP, usually port 24.
    Lmtp,
    /// IMAP with STARTTLS, usually port 143.
    Imap,
    /// IMAP with TLS from the first octet, usually port 993.
    Imaps,
    /// POP3 with STLS, usually port 110.
    Pop3,
    /// POP3 with TLS from the first octet, usually port 995.
    Pop3s,
    /// ManageSieve with STARTTLS, usually port 4190.
    ManageSieve,
    /// Metrics and health over HTTP, usually port 9090; MTA-STS policies and autoconfiguration too.
    Http,
    /// MTA-STS policies and autoconfiguration over HTTPS, usually port 443.
    Https,
}

/// Who must send a PROXY protocol header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocolSpec {
    /// Networks of the proxies. They must send a header; from anybody else none is read.
    #[schemars(length(min = 1, max = 64))]
    pub sources: Vec<IpNet>,
}

/// How TLS is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("!(has(self.secretRef) && has(self.issuerRef))", "at most one of secretRef and issuerRef may be set"),
])))]
pub struct TlsSpec {
    /// Secret of type `kubernetes.io/tls` with `tls.crt` and `tls.key`. A self-signed certificate is made when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// cert-manager issuer of the certificate. In a Kubernetes cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// Oldest version of TLS that is spoken with clients.
    pub min_version: TlsVersion,
}

/// A cert-manager issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Name of the issuer.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// `Issuer` or `ClusterIssuer`.
    #[serde(default)]
    pub kind: IssuerKind,
}

/// Kinds of cert-manager issuers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// In the namespace of the MailCluster.
    #[default]
    Issuer,
    /// For all namespaces.
    ClusterIssuer,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246) and later.
    #[default]
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446) and later.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// Where mail is kept: one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("has(self.embedded) != has(self.postgresql)", "exactly one of embedded and postgresql must be set"),
])))]
pub struct StoreSpec {
    /// In the data directory of the one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedStoreSpec>,
    /// In PostgreSQL. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<PostgresqlStoreSpec>,
}

impl Default for StoreSpec {
    fn default() -> Self {
        Self {
            embedded: Some(EmbeddedStoreSpec::default()),
            postgresql: None,
        }
    }
}

/// The embedded store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EmbeddedStoreSpec {
    /// Size of the volume in a Kubernetes cluster: `10Gi` when left out. Fixed once the volume is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Octets>,
    /// Class of the volume in a Kubernetes cluster; the default one when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_name")]
    pub storage_class_name: Option<String>,
}

/// PostgreSQL for rows, an object store for bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresqlStoreSpec {
    /// Secret with the connection URI, key `uri` unless named.
    pub uri_secret_ref: super::SecretKeyRef,
    /// Bucket for bodies. Not supported yet: bodies are rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
}

/// A source of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectorySpec {
    /// Unique name of the directory.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// What it is.
    pub r#type: DirectoryType,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Secret with what it takes to ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// Kinds of directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DirectoryType {
    /// Rows of a database.
    SQL,
    /// LDAP (RFC 4511).
    LDAP,
    /// OpenID Connect.
    OIDC,
}

/// Whose resources may name a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("(has(self.from) && self.from == 'Selector') == has(self.selector)", "selector must be set when from is Selector, and only then"),
    ("!has(self.domains) || (has(self.from) && self.from != 'Same')", "domains is for other namespaces: from must be All or Selector"),
])))]
pub struct AllowedNamespaces {
    /// Which namespaces. Other than `Same` in a Kubernetes cluster only.
    pub from: FromNamespaces,
    /// Labels of the namespaces, when `from` is `Selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Names that MailDomains of those namespaces may have, each with all names below it. When left out: every name that nobody
    /// has, but none below one that a MailDomain of another namespace has. The cluster's own namespace may have any name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500))]
    pub domains: Vec<AllowedDomains>,
}

/// Names that some namespaces may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedDomains {
    /// Labels of the namespaces; every one that is allowed when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Names. Each stands for itself and for all names below it. Further ones are in further rules for the same namespaces.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub suffixes: Vec<DomainName>,
}

/// Which namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromNamespaces {
    /// The cluster's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those with certain labels.
    Selector,
}

/// What was seen of a MailCluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MailClusterStatus {
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Version of the running system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Messages in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<i64>,
    /// When the certificate ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expiry: Option<String>,
    /// Roles by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, RoleStatus>,
    /// MailDomains that are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<i64>,
    /// Mailboxes that are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<i64>,
}

/// What was seen of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleStatus {
    /// Pods that are there.
    pub replicas: i32,
    /// Pods that serve.
    pub ready: i32,
    /// Pods that run the current specification.
    pub updated: i32,
    /// Selector of the pods.
    pub selector: String,
}
