//! A MailCluster as objects of Kubernetes. Pure: equal input gives equal objects.

mod access;
mod addresses;
mod monitoring;
mod pods;
mod services;
mod workloads;

use mailpods_api::v1alpha1::{ListenerProtocol, ListenerSpec};
use mailpods_plan::{Plan, Role};

pub use addresses::{Address, addresses};

use super::validate::ValidCluster;
use crate::kube::children::{Child, ChildKind, Mode};

/// Port of probes and metrics.
pub const HEALTH_PORT: u16 = 9090;
/// Port of the filter.
pub const FILTER_PORT: u16 = 9443;
/// Time that a pod goes on to take connections after it was told to end: load balancers need it to notice.
pub const DRAIN_DELAY_SECONDS: u64 = 5;

/// What is the same for all MailClusters.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Image of pods that name none.
    pub image: String,
    /// `https://HOST:PORT` of the control channel.
    pub control_url: String,
    /// PEM of the authority that certifies the control channel.
    pub control_ca: String,
    /// Namespace of the operator.
    pub operator_namespace: String,
    /// Kinds of others that exist.
    pub foreign: Vec<ChildKind>,
    /// Hosts that MTA-STS policies are served at, for the certificate.
    pub policy_hosts: Vec<String>,
    /// Addresses that egress pods of their own have.
    pub addresses: Vec<Address>,
}

/// Names that a certificate takes, as common authorities have it, the hostname not counted.
const MAX_POLICY_HOSTS: usize = 99;

/// The hosts that a cluster serves MTA-STS policies at (RFC 8461 §3.3), where it has a listener for them.
#[must_use]
pub fn policy_hosts(cluster: &ValidCluster, plan: Option<&Plan>) -> Vec<String> {
    let https = |listener: &ListenerSpec| listener.protocol == ListenerProtocol::Https;
    let served = cluster.listeners().any(https);
    let domains = plan.filter(|_| served).map(|plan| plan.domains.values());
    let domains = domains.into_iter().flatten();
    let names = domains
        .filter(|domain| domain.mta_sts.is_some())
        .flat_map(|domain| std::iter::once(&domain.name).chain(&domain.alias_names));
    names
        .map(|name| format!("mta-sts.{name}"))
        .take(MAX_POLICY_HOSTS)
        .collect()
}

/// Everything that a MailCluster brings about, in the order in which it is applied.
#[must_use]
pub fn build(cluster: &ValidCluster, surroundings: &Surroundings) -> Vec<Child> {
    let context = Context {
        cluster,
        surroundings,
    };
    let mut children = context.access();
    children.extend(context.services());
    children.extend(context.workloads());
    children.extend(context.monitoring());
    children.extend(context.addresses());
    children.retain(|child| !child.kind.is_foreign() || surroundings.foreign.contains(&child.kind));
    children.sort_by(|a, b| (a.kind, a.name()).cmp(&(b.kind, b.name())));
    children
}

struct Context<'a> {
    cluster: &'a ValidCluster,
    surroundings: &'a Surroundings,
}

/// Roles that run as pods of their own.
#[must_use]
pub fn roles(cluster: &ValidCluster) -> Vec<Role> {
    let mut roles = match cluster.is_one_pod() {
        true => vec![Role::All],
        false => vec![Role::Smtp, Role::Imap, Role::Filter, Role::Delivery],
    };
    if cluster.egress().is_some() {
        roles.push(Role::Egress);
    }
    roles
}

/// Port inside a pod: without privileges, those below 1024 cannot be opened.
#[must_use]
pub const fn pod_port(port: u16) -> u16 {
    if port < 1024 { port + 10_000 } else { port }
}

/// The role that serves a protocol; `None`: it is not served through a Service.
#[must_use]
pub const fn served_by(protocol: ListenerProtocol) -> Option<Role> {
    match protocol {
        ListenerProtocol::Smtp
        | ListenerProtocol::Submission
        | ListenerProtocol::Submissions
        | ListenerProtocol::Https => Some(Role::Smtp),
        ListenerProtocol::Imap
        | ListenerProtocol::Imaps
        | ListenerProtocol::Pop3
        | ListenerProtocol::Pop3s
        | ListenerProtocol::ManageSieve => Some(Role::Imap),
        // LMTP asks for no password: it is for those who are let in by a NetworkPolicy of their own.
        ListenerProtocol::Lmtp | ListenerProtocol::Http => None,
    }
}

impl Context<'_> {
    fn child(&self, kind: ChildKind, mode: Mode, name: &str, rest: serde_json::Value) -> Child {
        let mut object = rest;
        if let Some(fields) = object.as_object_mut() {
            let labels = crate::names::instance(self.cluster.name());
            fields.insert("apiVersion".to_owned(), kind.api_version().into());
            fields.insert("kind".to_owned(), kind.kind().into());
            let metadata = match kind.is_cluster_scoped() {
                true => self.cluster.owner.cluster_metadata(name, &labels),
                false => self.cluster.owner.metadata(name, &labels),
            };
            fields.insert("metadata".to_owned(), metadata);
        }
        Child { kind, mode, object }
    }
}
