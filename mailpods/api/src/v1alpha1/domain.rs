//! MailDomain: a domain that receives and sends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions, rules};
use super::{
    ClusterRef, DkimKeySpec, DomainQuotaSpec, DomainSieveSpec, MailboxDefaultsSpec, NextHopSpec,
    RateLimitsSpec,
};
use crate::{DomainName, MailboxAddress, Selector};

/// A domain that receives and sends mail.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailpods.dev",
    version = "v1alpha1",
    kind = "MailDomain",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "MailDomainStatus",
    shortname = "md",
    category = "mailpods",
    derive = "PartialEq",
    doc = "A domain that receives and sends mail.",
    printcolumn(name = "Domain", type_ = "string", json_path = ".spec.domain"),
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
    printcolumn(
        name = "DKIM",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"DKIMReady\")].status"
    ),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".status.cluster",
        priority = 1
    ),
    printcolumn(
        name = "DNS",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"DNSReady\")].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("!has(self.catchAll) || self.catchAll.lowerAscii().endsWith('@' + self.domain.lowerAscii())", "catchAll must be an address of the domain"),
    ("!has(self.domainAliases) || !(self.domain in self.domainAliases)", "domainAliases must not contain the domain itself"),
])))]
pub struct MailDomainSpec {
    /// The domain's name; U-labels are accepted.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self == oldSelf", "domain is immutable: make another MailDomain")])))]
    pub domain: DomainName,
    /// The MailCluster that serves the domain; the only one there is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,
    /// Who runs the domain's mail. Other than `Builtin` in a Kubernetes cluster only: the service's own records are published.
    #[serde(default)]
    pub provider: Provider,
    /// What the records of a provider need to know of the account there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_account: Option<ProviderAccountSpec>,
    /// Other names with the same mailboxes and aliases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub domain_aliases: Vec<DomainName>,
    /// Addresses that lead to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5_000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub aliases: Vec<AliasSpec>,
    /// Receives what is sent to addresses that do not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_all: Option<MailboxAddress>,
    /// Plus addressing: mail for `alice+tag` is mail for `alice`.
    #[serde(default)]
    pub plus_addressing: PlusAddressingSpec,
    /// Where the domain's mail goes.
    #[serde(default)]
    pub transport: TransportSpec,
    /// DKIM keys; those of the cluster when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim: Option<DomainDkimSpec>,
    /// Records that differ from the cluster's defaults.
    #[serde(default)]
    pub dns: DomainDnsSpec,
    /// OutboundIPs that mail of the domain leaves from, by name; any that sends when empty.
    #[serde(default, rename = "outboundIPs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub outbound_ips: Vec<String>,
    /// Pool of OutboundIPs that mail of the domain leaves from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub ip_pool: Option<String>,
    /// Submission limits of the domain as a whole, instead of the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RateLimitsSpec>,
    /// Limits of what all mailboxes of the domain keep together.
    #[serde(default)]
    pub quota: DomainQuotaSpec,
    /// What holds for mailboxes of the domain that say nothing else of it.
    #[serde(default)]
    pub mailbox_defaults: MailboxDefaultsSpec,
    /// Sieve scripts (RFC 5228) around those of the mailboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sieve: Option<DomainSieveSpec>,
    /// Whose mailboxes its people may see.
    #[serde(default, skip_serializing_if = "DomainSharingSpec::is_default")]
    pub sharing: DomainSharingSpec,
    /// Stops changes of records and keys. What pods are told of the domain is not stopped: it follows the resource at once, as
    /// always. In a Kubernetes cluster only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Whose mailboxes the people of a domain may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainSharingSpec {
    /// Mailboxes may be shared between this domain and all others of the MailCluster that say so too. Otherwise within the domain alone.
    pub across_domains: bool,
}

impl DomainSharingSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who runs a domain's mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Provider {
    /// The MailCluster.
    #[default]
    Builtin,
    /// Google Workspace.
    Google,
    /// Microsoft 365.
    Microsoft365,
    /// Fastmail.
    Fastmail,
    /// Zoho Mail.
    Zoho,
    /// Proton Mail.
    Proton,
    /// iCloud Mail with a custom domain.
    #[serde(rename = "iCloud")]
    ICloud,
}

/// What the records of a provider need to know of the account there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderAccountSpec {
    /// Microsoft 365: the name before `.onmicrosoft.com`. Proton: the text between `domainkey.` and `.domains.proton.ch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$")
    )]
    pub name: Option<String>,
    /// Zoho: the end of its host names, `com` when left out; `eu`, `in`, `com.au`, `jp` and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^[a-z]+(\.[a-z]+)?$"))]
    pub region: Option<String>,
    /// DKIM keys that the provider shows as TXT records (Google, Zoho).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["selector"]))]
    pub dkim_keys: Vec<ProviderKeySpec>,
}

/// A DKIM key that a provider signs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderKeySpec {
    /// Selector.
    pub selector: Selector,
    /// The TXT record: `v=DKIM1; k=rsa; p=...`.
    #[schemars(length(min = 10, max = 2_048), regex(pattern = "^v=DKIM1;[ -~]*$"))]
    pub record: String,
}

/// An address that leads to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AliasSpec {
    /// Local part of the address.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^@\s\x00-\x1f\x7f]+$"))]
    pub name: String,
    /// Where its mail goes: addresses here or elsewhere.
    #[schemars(length(min = 1, max = 1_000))]
    pub targets: Vec<MailboxAddress>,
}

/// Plus addressing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlusAddressingSpec {
    /// Characters that may stand between address and detail; empty: no plus addressing.
    #[schemars(
        length(max = 4),
        inner(length(max = 1), regex(pattern = "^[!#$%&'*+/=?^_`{|}~-]$"))
    )]
    pub separators: Vec<String>,
    /// Whether mail for `alice+lists` goes into the folder `lists` of `alice`, in whatever letter case, where she has one.
    pub folders: bool,
}

impl Default for PlusAddressingSpec {
    fn default() -> Self {
        Self {
            separators: vec!["+".to_owned()],
            folders: false,
        }
    }
}

/// Where a domain's mail goes: one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "[has(self.mailboxes), has(self.relay), has(self.backupMX)].filter(x, x).size() == 1",
        "exactly one of mailboxes, relay and backupMX must be set",
    ),
])))]
pub struct TransportSpec {
    /// Into the mailboxes of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<MailboxTransportSpec>,
    /// To a host, for every address that is no alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<NextHopSpec>,
    /// Kept for the domain's better mail exchangers. Not supported yet.
    #[serde(default, rename = "backupMX", skip_serializing_if = "Option::is_none")]
    pub backup_mx: Option<BackupMxSpec>,
}

impl Default for TransportSpec {
    fn default() -> Self {
        Self {
            mailboxes: Some(MailboxTransportSpec {}),
            relay: None,
            backup_mx: None,
        }
    }
}

/// Delivery into mailboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxTransportSpec {}

/// Mail exchanger of last resort.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupMxSpec {}

/// DKIM keys of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainDkimSpec {
    /// Keys that sign, all at once; empty: mail is not signed.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["selector"]))]
    pub keys: Vec<DkimKeySpec>,
}

/// Records that differ from the cluster's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainDnsSpec {
    /// SPF record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^v=spf1( [!-~]+)*$"))]
    pub spf: Option<String>,
    /// DMARC record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^v=DMARC1;[ -~]*$"))]
    pub dmarc: Option<String>,
    /// TLS-RPT record (RFC 8460).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^v=TLSRPTv1;[ -~]*$"))]
    pub tls_rpt: Option<String>,
    /// MTA-STS policy (RFC 8461) that is published and served at `https://mta-sts.DOMAIN`, which needs a listener `https`, or a web
    /// server that passes requests on to the listener `http`; none when left out.
    #[serde(rename = "mtaSTS", skip_serializing_if = "Option::is_none")]
    pub mta_sts: Option<MtaStsMode>,
    /// Names whose SPF records are included besides, such as those of services that send for the domain.
    #[serde(rename = "spfIncludes", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "set"))]
    pub spf_includes: Vec<DomainName>,
    /// Other TXT records at the domain's own name, such as site verifications, so that they are published together with SPF.
    #[serde(rename = "apexTXT", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 2_048), regex(pattern = "^[ -~]+$"))
    )]
    pub apex_txt: Vec<String>,
}

/// Mode of the MTA-STS policy (RFC 8461).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MtaStsMode {
    /// A policy that says that there is none any more: what is served before the policy is taken away.
    None,
    /// Failures are reported only.
    Testing,
    /// Mail is not delivered without valid TLS.
    Enforce,
}

/// What was seen of a MailDomain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MailDomainStatus {
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, DNSReady and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Records wanted and seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordStatus>,
    /// DNS look-ups that SPF takes with all that it includes, of 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf_lookups: Option<i32>,
    /// Octets of the SPF record, of 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf_octets: Option<i32>,
    /// The MailCluster that serves the domain, or that did before a problem, `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Other names that are served with it, or were before a problem. Who serves a name keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain_aliases: Vec<DomainName>,
    /// DKIM keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["selector"]))]
    pub dkim: Vec<DkimKeyStatus>,
    /// The records as lines of a zone file, where people publish them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// What was seen of a DKIM key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DkimKeyStatus {
    /// Selector.
    pub selector: String,
    /// `RsaSha256` or `Ed25519Sha256`.
    pub algorithm: String,
    /// Publishing, Published, Signing, Retiring or Removed.
    pub phase: String,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// A record wanted and seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordStatus {
    /// Owner name.
    pub name: String,
    /// Type.
    pub r#type: String,
    /// What should be there.
    pub wanted: String,
    /// What was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Servers of the zone that show it, of all: `1/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<String>,
    /// Since when it is as it is now, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What is wrong with what was seen; left out when it is as wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}
