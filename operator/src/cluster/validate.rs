//! What must hold of a MailCluster before anything is built of it.

use mailpods_api::v1alpha1::{
    EgressRoleSpec, ListenerProtocol, ListenerSpec, MailCluster, MailClusterSpec,
    PostgresqlStoreSpec,
};
use mailpods_plan::{Origin, Problem, Role};

use crate::names::{MAX_CLUSTER_NAME, Owner};

/// A MailCluster of which objects can be built.
#[derive(Debug, Clone)]
pub struct ValidCluster {
    /// Who owns what is built.
    pub owner: Owner,
    /// The specification.
    pub spec: MailClusterSpec,
}

impl ValidCluster {
    /// Name of the MailCluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// The PostgreSQL store; `None`: the embedded one.
    #[must_use]
    pub fn postgresql(&self) -> Option<&PostgresqlStoreSpec> {
        self.spec.store.postgresql.as_ref()
    }

    /// Whether all roles but egress are in one pod, on the embedded store.
    #[must_use]
    pub fn is_one_pod(&self) -> bool {
        self.postgresql().is_none()
    }

    /// The egress proxies, where there are any.
    #[must_use]
    pub fn egress(&self) -> Option<&EgressRoleSpec> {
        self.spec.roles.as_ref()?.egress.as_ref()
    }

    /// Whether the pods of a role use the network of their node.
    #[must_use]
    pub fn is_on_node(&self, role: Role) -> bool {
        let delivery = || self.spec.roles.as_ref()?.delivery.as_ref();
        match role {
            Role::Egress => true,
            Role::Delivery => delivery().is_some_and(|role| role.host_network),
            Role::Smtp | Role::Imap | Role::Filter | Role::All => false,
        }
    }

    /// Listeners that pods open; health and metrics have a port of their own.
    pub fn listeners(&self) -> impl Iterator<Item = &ListenerSpec> {
        let listeners = self.spec.listeners.iter();
        listeners.filter(|listener| listener.protocol != ListenerProtocol::Http)
    }
}

/// Checks what the schema cannot say.
///
/// # Errors
/// Everything that is wrong.
pub fn validate(cluster: &MailCluster) -> Result<ValidCluster, Vec<Problem>> {
    let (name, namespace) = (
        cluster.metadata.name.clone().unwrap_or_default(),
        cluster
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
    );
    let origin = Origin::of_object("MailCluster", &namespace, &name);
    let mut problems = Vec::new();
    if name.len() > MAX_CLUSTER_NAME || name.contains('.') {
        let problem = origin.problem("metadata.name", "cannot be part of a host name");
        let allowed = format!("at most {MAX_CLUSTER_NAME} characters without a dot");
        problems.push(problem.found(&name).allowed(allowed));
    }
    for (index, listener) in cluster.spec.listeners.iter().enumerate() {
        if listener.port == 0 {
            let field = format!("spec.listeners[{index}].port");
            let problem = origin.problem(&field, "pods need a port that is known before");
            problems.push(problem.found(0).allowed("1 to 65535"));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(ValidCluster {
        owner: Owner {
            kind: "MailCluster",
            namespace,
            name,
            uid: cluster.metadata.uid.clone(),
        },
        spec: cluster.spec.clone(),
    })
}
