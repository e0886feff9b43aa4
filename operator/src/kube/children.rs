//! Objects that a resource of ours brings about.

use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use serde_json::Value;

/// Name of the label that says which resource brought an object about, `Kind.namespace.name` by parts.
pub const OWNER_KIND: &str = "mailpods.dev/owner-kind";
/// Name of the owner, see [`OWNER_KIND`].
pub const OWNER_NAME: &str = "mailpods.dev/owner";
/// Namespace of the owner, of objects that are in none.
pub const OWNER_NAMESPACE: &str = "mailpods.dev/owner-namespace";
/// UID of the owner, of objects that are in no namespace.
pub const OWNER_UID: &str = "mailpods.dev/owner-uid";
/// Value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "mailpods-operator";
/// Label of all objects of ours.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", MANAGER);
/// What all objects of ours are selected by.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=mailpods-operator";

/// Kinds that are built. What is built can be pruned, because both go through this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    /// Accounts first: pods refer to them.
    ServiceAccount,
    /// Configuration.
    ConfigMap,
    /// Keys.
    Secret,
    /// Names and addresses.
    Service,
    /// Who may talk to whom.
    NetworkPolicy,
    /// How many pods may be away.
    PodDisruptionBudget,
    /// The certificate, where cert-manager is.
    Certificate,
    /// Records, where ExternalDNS is.
    DnsEndpoint,
    /// An address for a pod, where Cilium is. Before the pod, which would leave from another one without it.
    CiliumEgressGatewayPolicy,
    /// The same, where Antrea is.
    AntreaEgress,
    /// The same, where OVN-Kubernetes is.
    EgressIp,
    /// Pods that keep nothing.
    Deployment,
    /// The pod with the volume.
    StatefulSet,
    /// A pod on each node of some.
    DaemonSet,
    /// Scraping, where the Prometheus operator is.
    ServiceMonitor,
    /// Alerts, where the Prometheus operator is.
    PrometheusRule,
}

impl ChildKind {
    /// In the order in which they are applied: what others need comes first.
    pub const ALL: [Self; 16] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Secret,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::Certificate,
        Self::DnsEndpoint,
        Self::CiliumEgressGatewayPolicy,
        Self::AntreaEgress,
        Self::EgressIp,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ServiceMonitor,
        Self::PrometheusRule,
    ];

    /// Group, version, kind and plural.
    const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::NetworkPolicy => (
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
            ),
            Self::PodDisruptionBudget => (
                "policy",
                "v1",
                "PodDisruptionBudget",
                "poddisruptionbudgets",
            ),
            Self::Certificate => ("cert-manager.io", "v1", "Certificate", "certificates"),
            Self::DnsEndpoint => (
                "externaldns.k8s.io",
                "v1alpha1",
                "DNSEndpoint",
                "dnsendpoints",
            ),
            Self::CiliumEgressGatewayPolicy => (
                "cilium.io",
                "v2",
                "CiliumEgressGatewayPolicy",
                "ciliumegressgatewaypolicies",
            ),
            Self::AntreaEgress => ("crd.antrea.io", "v1beta1", "Egress", "egresses"),
            Self::EgressIp => ("k8s.ovn.org", "v1", "EgressIP", "egressips"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets"),
            Self::ServiceMonitor => (
                "monitoring.coreos.com",
                "v1",
                "ServiceMonitor",
                "servicemonitors",
            ),
            Self::PrometheusRule => (
                "monitoring.coreos.com",
                "v1",
                "PrometheusRule",
                "prometheusrules",
            ),
        }
    }

    /// The kind as YAML has it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.names().2
    }

    /// `apiVersion` as YAML has it.
    #[must_use]
    pub fn api_version(self) -> String {
        match self.names() {
            ("", version, ..) => version.to_owned(),
            (group, version, ..) => format!("{group}/{version}"),
        }
    }

    /// What a client asks for it by.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Whose CustomResourceDefinition the kind comes with; `None`: every API server has it.
    #[must_use]
    pub const fn project(self) -> Option<&'static str> {
        match self {
            Self::Certificate => Some("cert-manager"),
            Self::DnsEndpoint => Some("ExternalDNS"),
            Self::ServiceMonitor | Self::PrometheusRule => Some("the Prometheus operator"),
            Self::CiliumEgressGatewayPolicy => Some("Cilium"),
            Self::AntreaEgress => Some("Antrea"),
            Self::EgressIp => Some("OVN-Kubernetes"),
            _ => None,
        }
    }

    /// Whether objects of the kind are in no namespace, and so cannot be removed with their owner by the API server.
    #[must_use]
    pub const fn is_cluster_scoped(self) -> bool {
        matches!(
            self,
            Self::CiliumEgressGatewayPolicy | Self::AntreaEgress | Self::EgressIp
        )
    }

    /// Whether the kind comes with somebody else's CustomResourceDefinition.
    #[must_use]
    pub const fn is_foreign(self) -> bool {
        self.project().is_some()
    }
}

/// How an object is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As it is built, always.
    Apply,
    /// As it is built, but for the number of replicas: that is a first one, and whoever scales the workload changes it.
    Scalable,
    /// Made when it is not there, then left alone: what is random in it must not change.
    Once,
}

/// An object to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// How it is kept.
    pub mode: Mode,
    /// The whole object, `apiVersion` and `kind` included.
    pub object: Value,
}

impl Child {
    fn text(&self, pointer: &str) -> &str {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }
}
