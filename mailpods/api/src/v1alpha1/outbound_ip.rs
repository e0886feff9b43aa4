//! OutboundIP: an address to send from.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClusterRef;
use super::common::{SecretRef, conditions, object_name, rules};
use crate::{DomainName, TimeSpan};

/// An address to send from, with the name that belongs to it.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailpods.dev",
    version = "v1alpha1",
    kind = "OutboundIP",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "OutboundIPStatus",
    shortname = "oip",
    category = "mailpods",
    derive = "PartialEq",
    doc = "An address to send from, with the name that belongs to it.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Hostname", type_ = "string", json_path = ".spec.hostname"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
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
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.reason"),
    printcolumn(
        name = "Until",
        type_ = "string",
        json_path = ".status.until",
        priority = 1
    ),
    printcolumn(
        name = "Listed",
        type_ = "string",
        json_path = ".status.listed",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct OutboundIPSpec {
    /// The source address.
    #[schemars(
        with = "String",
        length(min = 2, max = 45),
        regex(pattern = "^[0-9A-Fa-f:.]+$"),
        extend("x-kubernetes-validations" = rules(&[("self == oldSelf", "address is immutable: make another OutboundIP")]))
    )]
    pub address: IpAddr,
    /// The name for HELO and for the PTR record; its A or AAAA record should give the address back.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self.contains('.')", "hostname needs a dot: a name that leads to address records, such as mail.example.org (RFC 5321 §2.3.5)")])))]
    pub hostname: DomainName,
    /// The MailCluster that sends from it; the only one there is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,
    /// Pool that MailDomains choose by.
    #[serde(default = "default_pool")]
    #[schemars(length(min = 1, max = 63))]
    pub pool: String,
    /// How the address gets to the sender.
    #[serde(default)]
    pub attachment: AttachmentSpec,
    /// Whether it sends or waits.
    #[serde(default)]
    pub role: OutboundRole,
    /// Share among the addresses of its pool that send, where `balance` is `Weighted`.
    #[serde(default = "default_weight")]
    #[schemars(range(max = 1_000))]
    pub weight: u32,
    /// Slow start, counted for each provider on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUpSpec>,
}

fn default_pool() -> String {
    "default".to_owned()
}

const fn default_weight() -> u32 {
    1
}

/// How an address gets to the sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("!has(self.egressProxy) || (has(self.type) && self.type == 'EgressProxy')", "egressProxy is for the type EgressProxy"),
    ("!has(self.antrea) || (has(self.type) && self.type == 'Antrea')", "antrea is for the type Antrea"),
    ("(has(self.type) && self.type == 'Multus') == has(self.multus)", "multus must be set when the type is Multus, and only then"),
])))]
pub struct AttachmentSpec {
    /// By what.
    pub r#type: AttachmentType,
    /// The proxy that has the address; in a Kubernetes cluster those that `spec.roles.egress` of the MailCluster runs when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<EgressProxySpec>,
    /// How Antrea gets the address to a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub antrea: Option<AntreaSpec>,
    /// The network that Multus gives a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multus: Option<MultusSpec>,
}

/// How Antrea gets an address to a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AntreaSpec {
    /// The ExternalIPPool that the address is of, so that another node takes it over; a node must have the address itself when left out.
    #[serde(rename = "externalIPPool", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_name")]
    pub external_ip_pool: Option<String>,
}

/// A network that Multus gives a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultusSpec {
    /// Name of a NetworkAttachmentDefinition of the namespace that takes `ips` and routes by source.
    #[schemars(schema_with = "object_name")]
    pub network: String,
    /// Length of the network's prefix, in bits: 24 for a /24.
    #[schemars(range(min = 1, max = 128))]
    pub prefix_length: u8,
}

/// An egress proxy on another machine, as `mailpods egress-proxy` runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressProxySpec {
    /// Name or IP address of the machine; its certificate must be for this. A name with several addresses stands for several proxies.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[0-9A-Za-z:._-]+$"))]
    pub host: String,
    /// TCP port.
    #[serde(default = "egress_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Secret with the keys `ca.crt`, the authority of its certificate (PEM), and `token`, what it asks for.
    pub secret_ref: SecretRef,
}

const fn egress_port() -> u16 {
    EGRESS_PORT
}

/// Where egress proxies listen when nothing else is said.
pub const EGRESS_PORT: u16 = 9465;

/// What gives the address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttachmentType {
    /// An interface of the machine has it.
    #[default]
    HostNetwork,
    /// A proxy on the node that has it.
    EgressProxy,
    /// Cilium's egress gateway.
    Cilium,
    /// Antrea's Egress.
    Antrea,
    /// OVN-Kubernetes' EgressIP.
    OVN,
    /// A second interface by Multus.
    Multus,
}

/// Whether an address sends or waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OutboundRole {
    /// Mail leaves from it.
    #[default]
    Sending,
    /// Kept for later.
    Standby,
}

/// Slow start of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarmUpSpec {
    /// Messages to one provider on the first day; more each day, a thousand times as many on the last.
    #[schemars(range(min = 1))]
    pub initial_per_day: u32,
    /// How long until there is no limit.
    pub duration: TimeSpan,
}

/// What was seen of an OutboundIP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundIPStatus {
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Pending, Warming, Active, Hot, Cooling or Standby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why it is in this phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub since: Option<String>,
    /// When it ends by itself, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub until: Option<String>,
    /// The address that other hosts see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_address: Option<String>,
    /// Messages sent in the last 24 hours, rounded so that the status does not change with each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// Block lists that name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub listed: Vec<String>,
    /// Providers for which it is in another phase.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub providers: Vec<OutboundIPProviderStatus>,
}

/// An address as it is for one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboundIPProviderStatus {
    /// Name of the provider.
    pub name: String,
    /// Hot or Cooling.
    pub phase: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// When it ends by itself.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// How often it was refused again after a rest.
    pub relapses: u32,
}
