//! Egress pods that have one OutboundIP each, by the network of the Kubernetes cluster, and what that network is asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mailpods_plan::{Attachment, Plan, PodNetwork, Role};
use serde_json::{Map, Value, json};

use super::{Context, ValidCluster};
use crate::kube::children::{Child, ChildKind, Mode};
use crate::names;

/// Label of pods that are for one OutboundIP, with its name.
const OUTBOUND_IP: &str = "mailpods.dev/outbound-ip";
/// What `app.kubernetes.io/component` says of them.
const COMPONENT: &str = "egress-address";
/// Where Multus reads which networks a pod has.
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The label by which Cilium knows the namespace of a pod.
const CILIUM_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The label with the name that every namespace has.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// An OutboundIP that an egress pod of its own has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name of the OutboundIP.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// What gives it to the pod.
    pub network: PodNetwork,
}

/// The addresses of a plan that egress pods of their own have.
#[must_use]
pub fn addresses(cluster: &ValidCluster, plan: Option<&Plan>) -> Vec<Address> {
    let plan = plan.filter(|_| cluster.egress().is_some());
    let ips = plan.map(|plan| plan.outbound_ips.values());
    let address = |ip: &mailpods_plan::OutboundIp| match &ip.attachment {
        Attachment::Pod(network) => Some(Address {
            name: ip.name.clone(),
            address: ip.address,
            network: network.clone(),
        }),
        Attachment::Host | Attachment::Egress(_) => None,
    };
    ips.into_iter().flatten().filter_map(address).collect()
}

impl Context<'_> {
    /// A pod for each address, and before it what gives it the address: a pod without that would send from another one.
    pub(super) fn addresses(&self) -> Vec<Child> {
        let given = |address: &&Address| {
            let kind = self.policy_kind(address);
            kind.is_none_or(|kind| self.surroundings.foreign.contains(&kind))
        };
        let addresses = self.surroundings.addresses.iter().filter(given);
        addresses
            .flat_map(|address| {
                let policy = self.address_policy(address);
                policy.into_iter().chain([self.address_workload(address)])
            })
            .collect()
    }

    /// The kind that the network is asked by; `None`: the pod itself asks.
    const fn policy_kind(&self, address: &Address) -> Option<ChildKind> {
        match address.network {
            PodNetwork::Cilium => Some(ChildKind::CiliumEgressGatewayPolicy),
            PodNetwork::Antrea(_) => Some(ChildKind::AntreaEgress),
            PodNetwork::Ovn => Some(ChildKind::EgressIp),
            PodNetwork::Multus(..) => None,
        }
    }

    fn address_labels(&self, address: &Address) -> BTreeMap<String, String> {
        let mut labels = names::instance(self.cluster.name());
        labels.insert(
            "app.kubernetes.io/component".to_owned(),
            COMPONENT.to_owned(),
        );
        labels.insert(OUTBOUND_IP.to_owned(), names::label(&address.name));
        labels
    }

    fn address_policy(&self, address: &Address) -> Option<Child> {
        let kind = self.policy_kind(address)?;
        let owner = &self.cluster.owner;
        let (labels, source) = (self.address_labels(address), address.address);
        let pods = json!({ "matchLabels": labels });
        let namespace = json!({"matchLabels": {NAMESPACE: owner.namespace}});
        let spec = match &address.network {
            PodNetwork::Cilium => self.cilium(labels, source),
            PodNetwork::Antrea(pool) => {
                let mut spec = json!({
                    "appliedTo": {"podSelector": pods, "namespaceSelector": namespace},
                    "egressIP": source,
                });
                if let (Some(pool), Some(spec)) = (pool, spec.as_object_mut()) {
                    spec.insert("externalIPPool".to_owned(), json!(pool));
                }
                spec
            }
            PodNetwork::Ovn => json!({
                "egressIPs": [source],
                "namespaceSelector": namespace,
                "podSelector": pods,
            }),
            PodNetwork::Multus(..) => return None,
        };
        let name = names::of_address_anywhere(&owner.namespace, &owner.name, &address.name);
        Some(self.child(kind, Mode::Apply, &name, json!({ "spec": spec })))
    }

    fn cilium(&self, mut labels: BTreeMap<String, String>, source: IpAddr) -> Value {
        labels.insert(
            CILIUM_NAMESPACE.to_owned(),
            self.cluster.owner.namespace.clone(),
        );
        let world = if source.is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        json!({
            "selectors": [{"podSelector": {"matchLabels": labels}}],
            "destinationCIDRs": [world],
            "egressGateway": {"nodeSelector": {"matchLabels": self.egress_nodes()}, "egressIP": source},
        })
    }

    /// One pod: two could not both have the address.
    fn address_workload(&self, address: &Address) -> Child {
        let spec = json!({
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": self.address_labels(address)},
            "strategy": {"type": "Recreate"},
            "template": self.address_template(address),
        });
        let name = names::of_address(self.cluster.name(), &address.name);
        let spec = json!({ "spec": spec });
        self.child(ChildKind::Deployment, Mode::Apply, &name, spec)
    }

    /// That of an egress pod, on the network of pods.
    fn address_template(&self, address: &Address) -> Value {
        let pods = self.pods_spec();
        let mut template = self.template(Role::Egress);
        if let Some(metadata) = template["metadata"].as_object_mut() {
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                let own = self.address_labels(address).into_iter();
                labels.extend(own.map(|(name, value)| (name, json!(value))));
            }
            self.ask_multus(metadata, address);
        }
        if let Some(spec) = template["spec"].as_object_mut() {
            for field in ["hostNetwork", "dnsPolicy", "nodeSelector"] {
                spec.remove(field);
            }
            if !pods.node_selector.is_empty() {
                spec.insert("nodeSelector".to_owned(), json!(pods.node_selector));
            }
        }
        let container = &mut template["spec"]["containers"][0];
        if let Some(arguments) = container["args"].as_array_mut() {
            for argument in arguments.iter_mut() {
                let text = argument
                    .as_str()
                    .map(|text| text.replace("$(HOST_IP)", "0.0.0.0"));
                *argument = json!(text);
            }
            arguments.push(json!(format!("--egress-source={}", address.address)));
            if address.network.translates() {
                arguments.push(json!("--egress-translated"));
            }
        }
        template
    }

    fn ask_multus(&self, metadata: &mut Map<String, Value>, address: &Address) {
        let PodNetwork::Multus(network, prefix) = &address.network else {
            return;
        };
        let ips = [format!("{}/{prefix}", address.address)];
        let asked =
            json!([{"name": network, "namespace": self.cluster.owner.namespace, "ips": ips}]);
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(NETWORKS.to_owned(), json!(asked.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mailpods_api::v1alpha1::MailCluster;

    use super::*;
    use crate::cluster::build::{Surroundings, build};
    use crate::cluster::validate::validate;

    /// Fields of the published schemas that stand in ours: path, and whether the schema demands it. From cilium.io/v2 (Cilium 1.19),
    /// crd.antrea.io/v1beta1 (Antrea 2.7) and k8s.ovn.org/v1 (OVN-Kubernetes 1.2).
    const CILIUM: &[(&str, bool)] = &[
        ("/destinationCIDRs", true),
        ("/egressGateway", true),
        ("/egressGateway/egressIP", false),
        ("/egressGateway/nodeSelector", true),
        ("/egressGateway/nodeSelector/matchLabels", false),
        ("/selectors", true),
        ("/selectors/podSelector", false),
        ("/selectors/podSelector/matchLabels", false),
    ];
    const ANTREA: &[(&str, bool)] = &[
        ("/appliedTo", true),
        ("/appliedTo/namespaceSelector", false),
        ("/appliedTo/namespaceSelector/matchLabels", false),
        ("/appliedTo/podSelector", false),
        ("/appliedTo/podSelector/matchLabels", false),
        ("/egressIP", true),
        ("/externalIPPool", false),
    ];
    const OVN: &[(&str, bool)] = &[
        ("/egressIPs", true),
        ("/namespaceSelector", true),
        ("/namespaceSelector/matchLabels", false),
        ("/podSelector", false),
        ("/podSelector/matchLabels", false),
    ];

    fn built(network: PodNetwork, foreign: &[ChildKind]) -> Vec<Child> {
        let cluster: MailCluster = serde_json::from_value(json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "MailCluster",
            "metadata": {"name": "main", "namespace": "mail", "uid": "1"},
            "spec": {"hostname": "mail.example.test", "roles": {"egress": {}}},
        }))
        .unwrap();
        let address = Address {
            name: "out.1".to_owned(),
            address: "192.0.2.1".parse().unwrap(),
            network,
        };
        let surroundings = Surroundings {
            addresses: vec![address],
            foreign: foreign.to_vec(),
            ..crate::render::surroundings("mailpods:test", "mailpods-system")
        };
        build(&validate(&cluster).unwrap(), &surroundings)
    }

    /// Paths of fields, those of maps of labels and of lists by what is in them.
    fn paths(at: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !at.ends_with("/matchLabels") => {
                for (name, value) in fields {
                    let path = format!("{at}/{name}");
                    into.insert(path.clone());
                    paths(&path, value, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| paths(at, item, into)),
            _ => {}
        }
    }

    #[test]
    fn networks_are_asked_in_the_form_that_they_publish() {
        let pool = Some("outbound".to_owned());
        for (network, kind, known) in [
            (
                PodNetwork::Cilium,
                ChildKind::CiliumEgressGatewayPolicy,
                CILIUM,
            ),
            (PodNetwork::Antrea(pool), ChildKind::AntreaEgress, ANTREA),
            (PodNetwork::Antrea(None), ChildKind::AntreaEgress, ANTREA),
            (PodNetwork::Ovn, ChildKind::EgressIp, OVN),
        ] {
            let children = built(network.clone(), &[kind]);
            let at = |wanted: ChildKind| {
                let mut children = children.iter().enumerate();
                children.find(|(_, child)| child.kind == wanted).unwrap()
            };
            let (before, policy) = at(kind);
            let mut found = BTreeSet::new();
            paths("", &policy.object["spec"], &mut found);
            let all: BTreeSet<String> = known.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert!(found.is_subset(&all), "{found:?}");
            let demanded = known.iter().filter(|(_, demanded)| *demanded);
            assert!(
                demanded.into_iter().all(|(path, _)| found.contains(*path)),
                "{found:?}"
            );
            // It goes with the MailCluster by its labels, and selects the pods that come after it, and no others.
            let metadata = &policy.object["metadata"];
            assert!(metadata["namespace"].is_null() && metadata["ownerReferences"].is_null());
            assert_eq!(metadata["labels"]["mailpods.dev/owner-namespace"], "mail");
            assert_eq!(metadata["labels"]["mailpods.dev/owner-uid"], "1");
            let (after, workload) = at(ChildKind::Deployment);
            assert!(before < after);
            assert!(
                policy.object.to_string().contains("out.1")
                    && workload.name().starts_with("main-egress-out-1-")
            );
            let args =
                workload.object["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
            assert!(
                args.contains("--egress-source=192.0.2.1") && args.contains("--egress-translated")
            );
            // Where the kind is not there, neither is a pod, which would send from another address.
            let without = built(network, &[]);
            assert!(
                without
                    .iter()
                    .all(|child| child.kind != ChildKind::Deployment)
            );
        }
    }

    #[test]
    fn multus_is_asked_by_the_pod_itself() {
        let children = built(PodNetwork::Multus("wide".to_owned(), 24), &[]);
        let workload = children
            .iter()
            .find(|child| child.kind == ChildKind::Deployment);
        let template = &workload.unwrap().object["spec"]["template"];
        let asked = template["metadata"]["annotations"][NETWORKS]
            .as_str()
            .unwrap();
        let asked: Value = serde_json::from_str(asked).unwrap();
        let wanted = json!([{"name": "wide", "namespace": "mail", "ips": ["192.0.2.1/24"]}]);
        assert_eq!(asked, wanted);
        assert!(!template.to_string().contains("--egress-translated"));
        assert!(template["spec"]["hostNetwork"].is_null());
    }
}
