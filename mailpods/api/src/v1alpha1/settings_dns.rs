//! DNS and DKIM defaults of a cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DkimKeyAlgorithm, DkimKeySpec};
use crate::TimeSpan;

/// Name look-ups, and defaults for the records of the domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterDnsSpec {
    /// Servers to ask, `192.0.2.53` or `127.0.0.1:5353`; those of the system when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(
            length(min = 2, max = 60),
            regex(pattern = r"^[0-9A-Fa-f:.]+$|^\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}$")
        )
    )]
    pub servers: Vec<String>,
    /// Wait for one answer.
    pub timeout: TimeSpan,
    /// Tries before a look-up is a temporary failure.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u8,
    /// SPF record of domains that name none.
    #[schemars(length(max = 512), regex(pattern = "^v=spf1( [!-~]+)*$"))]
    pub spf: String,
    /// DMARC record of domains that name none.
    #[schemars(length(max = 512), regex(pattern = "^v=DMARC1;[ -~]*$"))]
    pub dmarc: String,
    /// TLS-RPT record of domains that name none; `v=TLSRPTv1; rua=mailto:postmaster@DOMAIN` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^v=TLSRPTv1;[ -~]*$"))]
    pub tls_rpt: Option<String>,
    /// Time to live of the records, seconds.
    #[schemars(range(min = 30, max = 604_800))]
    pub ttl: u32,
    /// How TXT data stands in DNSEndpoints.
    pub txt_format: TxtFormat,
    /// Who publishes. Other than `Manual` in a Kubernetes cluster only.
    pub mode: DnsMode,
    /// Labels of the DNSEndpoints, that ExternalDNS selects by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the DNSEndpoints.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Addresses of `spec.hostname`, published as A and AAAA records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 2, max = 45), regex(pattern = "^[0-9A-Fa-f:.]+$")), with = "Vec<String>", extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<IpAddr>,
    /// Whether DNSEndpoints hold the names of OutboundIPs and the reverse names of addresses.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
}

impl Default for ClusterDnsSpec {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: TimeSpan::seconds(5),
            attempts: 2,
            spf: "v=spf1 a mx ~all".to_owned(),
            dmarc: "v=DMARC1; p=quarantine; pct=100;".to_owned(),
            tls_rpt: None,
            ttl: 3_600,
            txt_format: TxtFormat::Quoted,
            mode: DnsMode::Manual,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            addresses: Vec::new(),
            reverse: false,
        }
    }
}

/// How TXT data stands in DNSEndpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TxtFormat {
    /// In quotes, split into strings of 255 octets.
    Quoted,
    /// As it is.
    Raw,
}

/// Who publishes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsMode {
    /// People, from what `mailpods dns print` shows.
    Manual,
    /// ExternalDNS, from DNSEndpoints.
    ExternalDNS,
}

/// DKIM keys of domains that name none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterDkimSpec {
    /// Keys that each domain gets, its own under each selector.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["selector"]))]
    pub keys: Vec<DkimKeySpec>,
    /// New keys from time to time. In a Kubernetes cluster only, where `keys` are the first ones.
    pub rotation: DkimRotationSpec,
}

impl Default for ClusterDkimSpec {
    fn default() -> Self {
        let key = |selector: &str, algorithm| {
            let selector = selector.parse().ok()?;
            Some(DkimKeySpec {
                selector,
                algorithm,
                private_key_secret_ref: None,
            })
        };
        let keys = [
            key("mailpods-rsa", DkimKeyAlgorithm::RsaSha256),
            key("mailpods-ed25519", DkimKeyAlgorithm::Ed25519Sha256),
        ];
        Self {
            keys: keys.into_iter().flatten().collect(),
            rotation: DkimRotationSpec::default(),
        }
    }
}

/// New keys from time to time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DkimRotationSpec {
    /// Age at which a key gets a successor; `0s`: only when the annotation `mailpods.dev/rotate-dkim` of a MailDomain gets another value.
    pub interval: TimeSpan,
    /// How long a key stays published after it signed for the last time.
    pub retire_after: TimeSpan,
}

impl Default for DkimRotationSpec {
    fn default() -> Self {
        Self {
            interval: TimeSpan::days(180),
            // What is queued or read late is still verified: five days of retries and some.
            retire_after: TimeSpan::days(7),
        }
    }
}
