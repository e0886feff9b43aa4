//! Deployments, the StatefulSet, and how many of their pods may be away.

use mailpods_api::v1alpha1::{RoleSpec, RolesSpec};
use mailpods_plan::Role;
use serde_json::{Value, json};

use super::{Context, roles};
use crate::kube::children::{Child, ChildKind, Mode};
use crate::names;

/// Pods of a role that says nothing: one may be away.
const REPLICAS: u16 = 2;
/// Size of the volume of a cluster that says nothing.
const VOLUME: &str = "10Gi";

impl Context<'_> {
    pub(super) fn workloads(&self) -> Vec<Child> {
        let roles = roles(self.cluster).into_iter();
        roles
            .flat_map(|role| {
                // A drained node takes its pod of a DaemonSet along, and no other could replace it.
                let budget = (role != Role::Egress).then(|| self.budget(role));
                std::iter::once(self.workload(role)).chain(budget)
            })
            .collect()
    }

    fn workload(&self, role: Role) -> Child {
        let name = names::of_role(self.cluster.name(), role);
        let wanted = replicas(self.cluster.spec.roles.as_ref(), role);
        let (kind, mode, spec) = match (role, wanted) {
            (Role::Egress, _) => (ChildKind::DaemonSet, Mode::Apply, self.daemon_set()),
            (Role::All, _) => (ChildKind::StatefulSet, Mode::Apply, self.stateful_set()),
            (_, Some(wanted)) => (
                ChildKind::Deployment,
                Mode::Apply,
                self.deployment(role, wanted),
            ),
            // A HorizontalPodAutoscaler or a person may have another number.
            (_, None) => (
                ChildKind::Deployment,
                Mode::Scalable,
                self.deployment(role, REPLICAS),
            ),
        };
        self.child(kind, mode, &name, json!({ "spec": spec }))
    }

    fn deployment(&self, role: Role, replicas: u16) -> Value {
        // Nobody is turned away while pods are exchanged; but two on one node would want the same ports of it.
        let strategy = match self.cluster.is_on_node(role) {
            true => json!({"type": "Recreate"}),
            false => {
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
            }
        };
        json!({
            "replicas": replicas,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": names::selector(self.cluster.name(), role)},
            "strategy": strategy,
            "template": self.template(role),
        })
    }

    /// A pod on each node that has outbound addresses. One after the other: the addresses of a node rest while its pod is exchanged.
    fn daemon_set(&self) -> Value {
        json!({
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": names::selector(self.cluster.name(), Role::Egress)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": self.template(Role::Egress),
        })
    }

    /// One pod with the volume of the embedded store: a second one would need the same volume.
    fn stateful_set(&self) -> Value {
        let store = self.cluster.spec.store.embedded.clone().unwrap_or_default();
        let size = store
            .size
            .map_or_else(|| VOLUME.to_owned(), |size| size.to_string());
        let mut claim = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        });
        if let (Some(class), Some(claim)) = (store.storage_class_name, claim.as_object_mut()) {
            claim.insert("storageClassName".to_owned(), json!(class));
        }
        json!({
            "replicas": 1,
            "serviceName": format!("{}-pods", self.cluster.name()),
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": names::selector(self.cluster.name(), Role::All)},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": self.template(Role::All),
            "volumeClaimTemplates": [{
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data"},
                "spec": claim,
            }],
        })
    }

    fn budget(&self, role: Role) -> Child {
        let spec = json!({
            "maxUnavailable": 1,
            "selector": {"matchLabels": names::selector(self.cluster.name(), role)},
            // A pod that serves nobody must not keep its node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        });
        self.child(
            ChildKind::PodDisruptionBudget,
            Mode::Apply,
            &names::of_role(self.cluster.name(), role),
            json!({ "spec": spec }),
        )
    }
}

/// Pods of a role, where the resource says how many.
fn replicas(roles: Option<&RolesSpec>, role: Role) -> Option<u16> {
    let spec: Option<&RoleSpec> = roles.and_then(|roles| match role {
        Role::Smtp => roles.smtp.as_ref(),
        Role::Imap => roles.imap.as_ref(),
        Role::Filter => roles.filter.as_ref(),
        Role::Delivery => roles.delivery.as_ref(),
        Role::Egress | Role::All => None,
    });
    spec?.replicas
}
