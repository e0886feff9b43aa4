//! Names and addresses of the pods.

use mailpods_api::v1alpha1::{
    EgressRoleSpec, ExternalTrafficPolicy, IpFamilyPolicy, ListenerSpec, ServiceSpec, ServiceType,
};
use mailpods_plan::{Role, issued_secret};
use serde_json::{Map, Value, json};

use super::{Context, FILTER_PORT, HEALTH_PORT, pod_port, roles, served_by};
use crate::kube::children::{Child, ChildKind, Mode};
use crate::names;

impl Context<'_> {
    pub(super) fn services(&self) -> Vec<Child> {
        let public = [Role::Smtp, Role::Imap];
        let mut children: Vec<Child> = public
            .into_iter()
            .filter_map(|role| self.public(role))
            .collect();
        children.push(self.headless());
        if roles(self.cluster).contains(&Role::Filter) {
            children.push(self.filter());
        }
        children.extend(self.cluster.egress().map(|egress| self.egress(egress)));
        children.extend(self.certificate());
        children
    }

    /// What the world connects to. In one pod, all roles are behind each Service.
    fn public(&self, role: Role) -> Option<Child> {
        let listeners = self.cluster.listeners();
        let ports: Vec<Value> = listeners
            .filter(|listener| served_by(listener.protocol) == Some(role))
            .map(port)
            .collect();
        if ports.is_empty() {
            return None;
        }
        let all = self.cluster.is_one_pod();
        let selector = names::selector(self.cluster.name(), if all { Role::All } else { role });
        let service = self.cluster.spec.service.clone().unwrap_or_default();
        let mut spec = exposure(&service);
        spec.insert("selector".to_owned(), json!(selector));
        spec.insert("ports".to_owned(), json!(ports));
        let name = names::of_role(self.cluster.name(), role);
        let child = self.child(
            ChildKind::Service,
            Mode::Apply,
            &name,
            json!({ "spec": spec }),
        );
        Some(with_own(child, &service))
    }

    /// Every pod by name, ready or not: for scraping, and what the StatefulSet is governed by.
    fn headless(&self) -> Child {
        let spec = json!({
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": names::instance(self.cluster.name()),
            "ports": [{"name": "metrics", "port": HEALTH_PORT, "targetPort": "health", "protocol": "TCP"}],
        });
        self.child(
            ChildKind::Service,
            Mode::Apply,
            &format!("{}-pods", self.cluster.name()),
            json!({ "spec": spec }),
        )
    }

    fn filter(&self) -> Child {
        let name = names::of_role(self.cluster.name(), Role::Filter);
        let spec = json!({
            "type": "ClusterIP",
            "selector": names::selector(self.cluster.name(), Role::Filter),
            "ports": [{"name": "scan", "port": FILTER_PORT, "targetPort": "scan", "protocol": "TCP"}],
        });
        self.child(
            ChildKind::Service,
            Mode::Apply,
            &name,
            json!({ "spec": spec }),
        )
    }

    /// Every proxy by address: delivery asks each for the addresses that it has.
    fn egress(&self, egress: &EgressRoleSpec) -> Child {
        let name = names::of_role(self.cluster.name(), Role::Egress);
        let spec = json!({
            "clusterIP": "None",
            "selector": names::proxies(self.cluster.name()),
            "ports": [{"name": "socks5", "port": egress.port, "targetPort": "socks5", "protocol": "TCP"}],
        });
        let spec = json!({ "spec": spec });
        self.child(ChildKind::Service, Mode::Apply, &name, spec)
    }

    /// What cert-manager is asked for.
    fn certificate(&self) -> Option<Child> {
        let issuer = self.cluster.spec.tls.issuer_ref.as_ref()?;
        let name = issued_secret(self.cluster.name());
        let hostname = std::iter::once(self.cluster.spec.hostname.to_string());
        let names: Vec<String> = hostname
            .chain(self.surroundings.policy_hosts.iter().cloned())
            .collect();
        let spec = json!({
            "secretName": name,
            "dnsNames": names,
            "issuerRef": {"group": "cert-manager.io", "kind": issuer.kind, "name": issuer.name},
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        });
        Some(self.child(
            ChildKind::Certificate,
            Mode::Apply,
            &name,
            json!({ "spec": spec }),
        ))
    }
}

fn port(listener: &ListenerSpec) -> Value {
    json!({"name": listener.name, "port": listener.port, "targetPort": pod_port(listener.port), "protocol": "TCP"})
}

/// Type, class and policies.
fn exposure(service: &ServiceSpec) -> Map<String, Value> {
    let mut spec = Map::new();
    spec.insert("type".to_owned(), json!(service.r#type));
    if service.r#type != ServiceType::ClusterIP {
        let policy = match service.external_traffic_policy {
            ExternalTrafficPolicy::Local => "Local",
            ExternalTrafficPolicy::Cluster => "Cluster",
        };
        spec.insert("externalTrafficPolicy".to_owned(), json!(policy));
    }
    if let (ServiceType::LoadBalancer, Some(class)) = (service.r#type, &service.load_balancer_class)
    {
        spec.insert("loadBalancerClass".to_owned(), json!(class));
    }
    if let Some(policy) = service.ip_family_policy {
        let policy = match policy {
            IpFamilyPolicy::SingleStack => "SingleStack",
            IpFamilyPolicy::PreferDualStack => "PreferDualStack",
            IpFamilyPolicy::RequireDualStack => "RequireDualStack",
        };
        spec.insert("ipFamilyPolicy".to_owned(), json!(policy));
    }
    spec
}

/// The user's labels and annotations; the operator's own labels win.
fn with_own(mut child: Child, service: &ServiceSpec) -> Child {
    let metadata = child
        .object
        .get_mut("metadata")
        .and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        if !service.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(service.annotations));
        }
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            for (name, value) in &service.labels {
                labels.entry(name.clone()).or_insert_with(|| json!(value));
            }
        }
    }
    child
}
