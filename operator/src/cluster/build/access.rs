//! Accounts, keys and who may talk to whom.

use std::collections::BTreeMap;

use mailpods_plan::Role;
use serde_json::{Value, json};

use super::{Context, FILTER_PORT, pod_port, roles, served_by};
use crate::kube::children::{Child, ChildKind, Mode};
use crate::names;

/// The port that SMTP goes out by.
const SMTP: u16 = 25;

impl Context<'_> {
    pub(super) fn access(&self) -> Vec<Child> {
        let roles = roles(self.cluster);
        let mut children = vec![
            self.control_config(),
            self.once(&names::seal_secret(self.cluster.name())),
        ];
        if roles.contains(&Role::Filter) {
            children.push(self.once(&names::filter_secret(self.cluster.name())));
        }
        if roles.contains(&Role::Egress) {
            children.push(self.once(&names::egress_secret(self.cluster.name())));
        }
        children.extend(roles.iter().map(|role| self.account(*role)));
        children.extend(roles.iter().map(|role| self.policy(*role)));
        children
    }

    /// A Secret whose data is made when it is created.
    fn once(&self, name: &str) -> Child {
        self.child(
            ChildKind::Secret,
            Mode::Once,
            name,
            json!({"type": "Opaque"}),
        )
    }

    fn control_config(&self) -> Child {
        let name = names::control_config(self.cluster.name());
        let data = json!({"data": {"ca.crt": self.surroundings.control_ca}});
        self.child(ChildKind::ConfigMap, Mode::Apply, &name, data)
    }

    fn account(&self, role: Role) -> Child {
        let name = names::of_role(self.cluster.name(), role);
        let rest = json!({"automountServiceAccountToken": false});
        self.child(ChildKind::ServiceAccount, Mode::Apply, &name, rest)
    }

    fn policy(&self, role: Role) -> Child {
        let name = names::of_role(self.cluster.name(), role);
        let selector = match role {
            Role::Egress => names::proxies(self.cluster.name()),
            _ => names::selector(self.cluster.name(), role),
        };
        let mut ingress = vec![
            // Nodes probe in any case; this is for who scrapes.
            json!({"from": [{"namespaceSelector": {}}], "ports": [tcp(self.health_port(role))]}),
        ];
        let ports: Vec<Value> = self.ports(role).into_iter().map(tcp).collect();
        if !ports.is_empty() {
            ingress.push(json!({ "ports": ports }));
        }
        if role == Role::Filter {
            let from = names::selector(self.cluster.name(), Role::Smtp);
            ingress.push(json!({"from": [pods(&from)], "ports": [tcp(FILTER_PORT)]}));
        }
        // Many network plug-ins pass over pods on the network of their node: TLS and the token hold in any case.
        if let (Role::Egress, Some(egress)) = (role, self.cluster.egress()) {
            let sends = if self.cluster.is_one_pod() {
                Role::All
            } else {
                Role::Delivery
            };
            let from = names::selector(self.cluster.name(), sends);
            ingress.push(json!({"from": [pods(&from)], "ports": [tcp(egress.port)]}));
        }
        let spec = json!({
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": [egress(role)],
        });
        self.child(
            ChildKind::NetworkPolicy,
            Mode::Apply,
            &name,
            json!({ "spec": spec }),
        )
    }

    /// Ports inside the pods of a role that the world may reach.
    fn ports(&self, role: Role) -> Vec<u16> {
        let listeners = self.cluster.listeners();
        let served = listeners.filter(|listener| {
            served_by(listener.protocol).is_some_and(|by| by == role || role == Role::All)
        });
        served.map(|listener| pod_port(listener.port)).collect()
    }
}

fn tcp(port: u16) -> Value {
    json!({"protocol": "TCP", "port": port})
}

fn pods(labels: &BTreeMap<String, String>) -> Value {
    json!({"podSelector": {"matchLabels": labels}})
}

/// Where pods may connect to: the store, the operator and name servers may be anywhere, but mail leaves from delivery and egress alone.
fn egress(role: Role) -> Value {
    match role {
        Role::Delivery | Role::Egress | Role::All => json!({}),
        Role::Smtp | Role::Imap | Role::Filter => json!({"ports": [
            {"protocol": "UDP", "port": 53},
            {"protocol": "TCP", "port": 1, "endPort": SMTP - 1},
            {"protocol": "TCP", "port": SMTP + 1, "endPort": 65535},
        ]}),
    }
}
