//! OutboundIPs, and which of them pods can send from.

use std::collections::{BTreeMap, HashMap};

use mailpods_api::v1alpha1::{
    AttachmentSpec, AttachmentType, MailCluster, OutboundIP, OutboundIPSpec, OutboundRole,
};

use super::Compiler;
use crate::load::{Environment, Located};
use crate::model::{Attachment, EgressProxy, OutboundIp, Plan, PodNetwork, WarmUp};
use crate::problem::{Origin, ProblemClass};

impl Compiler<'_> {
    pub(super) fn outbound_ips(
        &mut self,
        cluster: &Located<MailCluster>,
    ) -> BTreeMap<String, OutboundIp> {
        let mut addresses = HashMap::new();
        let mut ips = BTreeMap::new();
        for ip in &self.resources.outbound_ips {
            let spec = &ip.object.spec;
            self.check_cluster_ref(spec.cluster_ref.as_ref(), &ip.origin, cluster);
            if let Some(other) = addresses.insert(spec.address, &ip.origin.resource) {
                let problem = ip
                    .origin
                    .problem("spec.address", format!("already belongs to {other}"));
                self.problems
                    .push(problem.found(spec.address).class(ProblemClass::Conflict));
            }
            let name = ip.origin.name.clone();
            // A Secret that is away for a while takes no records away, and no domains that name the address.
            let attachment = self.tolerating(|compiler| compiler.attachment(ip));
            if ips
                .insert(name.clone(), model(name, spec, attachment))
                .is_some()
            {
                let message =
                    "another OutboundIP of the MailCluster has the name, in another namespace";
                let problem = ip.origin.problem("metadata.name", message);
                self.problems
                    .push(problem.found(&ip.origin.name).class(ProblemClass::Conflict));
            }
        }
        ips
    }

    fn attachment(&mut self, ip: &Located<OutboundIP>) -> Attachment {
        let spec = &ip.object.spec.attachment;
        if let Some(network) = network(spec) {
            return Attachment::Pod(network);
        }
        if spec.r#type != AttachmentType::EgressProxy {
            return Attachment::Host;
        }
        let Some(proxy) = &spec.egress_proxy else {
            if self.resources.environment == Environment::Standalone {
                let message = "names no proxy; on one machine there is none of its own";
                let problem = ip.origin.problem("spec.attachment.egressProxy", message);
                let hint =
                    "the host, port and Secret of a machine that runs `mailpods egress-proxy`";
                self.problems.push(problem.hint(hint));
            }
            return Attachment::Egress(None);
        };
        let (field, name) = (
            "spec.attachment.egressProxy.secretRef",
            &proxy.secret_ref.name,
        );
        let ca = self.secret_value(&ip.origin, field, name, "ca.crt");
        let token = self.secret_value(&ip.origin, field, name, "token");
        let both = ca.zip(token).filter(|(ca, token)| {
            self.check_proxy(&ip.origin, field, (ca.reveal(), token.reveal()))
        });
        Attachment::Egress(both.map(|(ca, token)| EgressProxy {
            host: proxy.host.clone(),
            port: proxy.port,
            ca: ca.reveal().to_owned(),
            token,
        }))
    }

    /// Whether a proxy can be used with these.
    fn check_proxy(&mut self, origin: &Origin, field: &str, (ca, token): (&str, &str)) -> bool {
        let before = self.problems.len();
        if !ca.contains("-----BEGIN ") {
            let message = "key ca.crt of the Secret is not PEM";
            self.problems.push(origin.problem(field, message));
        }
        let octets = token.trim().len();
        if !(1..=255).contains(&octets) {
            let problem =
                origin.problem(field, "key token of the Secret cannot be sent (RFC 1929)");
            let problem = problem.found(format_args!("{octets} octets"));
            self.problems.push(problem.allowed("1 to 255 octets"));
        }
        self.problems.len() == before
    }

    /// Addresses that pods cannot send from are left out of the plan; their records are published all the same.
    pub(super) fn keep_addresses(&mut self, cluster: &Located<MailCluster>, plan: &mut Plan) {
        for ip in &self.resources.outbound_ips {
            let planned = plan.outbound_ips.get(&ip.origin.name);
            let is_own = planned.is_some_and(|ip| ip.attachment == Attachment::Egress(None));
            if is_own && ip.object.spec.attachment.egress_proxy.is_some() {
                // What its proxy is known by is not there, which was told.
                plan.outbound_ips.remove(&ip.origin.name);
                continue;
            }
            let Some((field, message, hint)) = unusable(cluster, &ip.object.spec) else {
                continue;
            };
            plan.outbound_ips.remove(&ip.origin.name);
            let problem = ip.origin.problem(field, message);
            let problem = problem.class(ProblemClass::Unsupported).hint(hint);
            self.problems.push(problem.kept());
        }
    }
}

/// The network that gives an egress pod of its own the address.
fn network(spec: &AttachmentSpec) -> Option<PodNetwork> {
    match spec.r#type {
        AttachmentType::HostNetwork | AttachmentType::EgressProxy => None,
        AttachmentType::Cilium => Some(PodNetwork::Cilium),
        AttachmentType::Antrea => {
            let pool = spec.antrea.as_ref();
            Some(PodNetwork::Antrea(
                pool.and_then(|pool| pool.external_ip_pool.clone()),
            ))
        }
        AttachmentType::OVN => Some(PodNetwork::Ovn),
        AttachmentType::Multus => {
            let multus = spec.multus.as_ref()?;
            Some(PodNetwork::Multus(
                multus.network.clone(),
                multus.prefix_length,
            ))
        }
    }
}

fn model(name: String, spec: &OutboundIPSpec, attachment: Attachment) -> OutboundIp {
    OutboundIp {
        name,
        address: spec.address,
        hostname: spec.hostname.clone(),
        sending: spec.role == OutboundRole::Sending,
        pool: spec.pool.clone(),
        weight: spec.weight,
        warm_up: spec.warm_up.as_ref().map(|warm_up| WarmUp {
            initial_per_day: warm_up.initial_per_day,
            duration: warm_up.duration.get(),
        }),
        attachment,
    }
}

/// Why pods cannot send from an address: the field, what is wrong with it, and what to do.
type Unusable = (&'static str, &'static str, &'static str);

fn unusable(cluster: &Located<MailCluster>, spec: &OutboundIPSpec) -> Option<Unusable> {
    const FIELD: &str = "spec.attachment.type";
    let roles = cluster.object.spec.roles.as_ref();
    let delivery = roles.and_then(|roles| roles.delivery.as_ref());
    let on_node = delivery.is_some_and(|role| role.host_network && role.replicas == Some(1));
    let proxies = roles.is_some_and(|roles| roles.egress.is_some());
    match spec.attachment.r#type {
        AttachmentType::HostNetwork if on_node => None,
        AttachmentType::HostNetwork => Some((
            FIELD,
            "pods do not send from it: they have no address of a node; its records are published",
            "EgressProxy, or spec.roles.delivery: {hostNetwork: true, replicas: 1} of the MailCluster where one node has all addresses",
        )),
        _ if network(&spec.attachment).is_some() && proxies => None,
        AttachmentType::EgressProxy if spec.attachment.egress_proxy.is_some() || proxies => None,
        AttachmentType::EgressProxy => Some((
            FIELD,
            "pods do not send from it: the MailCluster runs no egress proxies; its records are published",
            "spec.roles.egress: {} of the MailCluster, and the label mailpods.dev/egress=true on the node that has the address",
        )),
        AttachmentType::Cilium
        | AttachmentType::Antrea
        | AttachmentType::OVN
        | AttachmentType::Multus => Some((
            FIELD,
            "pods do not send from it: the MailCluster runs no egress pods; its records are published",
            "spec.roles.egress: {} of the MailCluster",
        )),
    }
}
