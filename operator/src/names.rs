//! Names and labels of what the operator makes.

use std::collections::BTreeMap;

use mailpods_plan::Role;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::kube::children::{MANAGER, OWNER_KIND, OWNER_NAME};

/// Longest name of a MailCluster: what is put behind it must fit into a label of DNS.
pub const MAX_CLUSTER_NAME: usize = 40;
/// Longest name of an object.
const MAX_NAME: usize = 253;
/// Longest value of a label.
const MAX_LABEL: usize = 63;

/// Who brought an object about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Kind.
    pub kind: &'static str,
    /// Namespace; what it brings about is in the same.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; none without an API server.
    pub uid: Option<String>,
}

impl Owner {
    /// Labels of everything that it brings about.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/managed-by", MANAGER.to_owned()),
            (OWNER_KIND, self.kind.to_owned()),
            (OWNER_NAME, label(&self.name)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The reference by which the API server removes what is left when the owner is gone.
    #[must_use]
    pub fn reference(&self) -> Option<Value> {
        let uid = self.uid.as_ref()?;
        Some(json!({
            "apiVersion": mailpods_api::API_VERSION,
            "kind": self.kind,
            "name": self.name,
            "uid": uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }))
    }

    /// Metadata of an object of this name, with more labels.
    #[must_use]
    pub fn metadata(&self, name: &str, labels: &BTreeMap<String, String>) -> Value {
        let mut all = labels.clone();
        all.extend(self.labels());
        let mut metadata = json!({"name": name, "namespace": self.namespace, "labels": all});
        if let (Some(reference), Some(metadata)) = (self.reference(), metadata.as_object_mut()) {
            metadata.insert("ownerReferences".to_owned(), json!([reference]));
        }
        metadata
    }
}

/// A name as the value of a label: longer ones are cut and told apart by a digest.
#[must_use]
pub fn label(name: &str) -> String {
    shortened(name, MAX_LABEL)
}

/// A name of at most so many octets; longer ones are cut and told apart by a digest.
#[must_use]
pub fn shortened(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let digest = digest(name);
    let kept: String = name.chars().take(limit.saturating_sub(11)).collect();
    format!("{}-{digest}", kept.trim_end_matches(['.', '-', '_']))
}

/// A text as the name of an object. A name of DNS may have underscores, that of an object may not.
#[must_use]
pub fn object_name(text: &str) -> String {
    if !text.contains('_') {
        return shortened(text, MAX_NAME);
    }
    let bare = text.replace('_', "-");
    shortened(&format!("{bare}-{}", digest(text)), MAX_NAME)
}

/// Ten hexadecimal digits.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(5)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// Name of a role's objects: ServiceAccount, workload, Service.
#[must_use]
pub fn of_role(cluster: &str, role: Role) -> String {
    format!("{cluster}-{role}")
}

/// Labels that the pods of a role are selected by. They never change: a workload's selector is immutable.
#[must_use]
pub fn selector(cluster: &str, role: Role) -> BTreeMap<String, String> {
    let mut labels = instance(cluster);
    labels.insert("app.kubernetes.io/component".to_owned(), role.to_string());
    labels
}

/// Labels that all pods of a MailCluster have.
#[must_use]
pub fn instance(cluster: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "mailpods"),
        ("app.kubernetes.io/instance", cluster),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A selector as text, `a=b,c=d`.
#[must_use]
pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(",")
}

/// Role that a ServiceAccount of a MailCluster stands for.
#[must_use]
pub fn role_of(cluster: &str, account: &str) -> Option<Role> {
    Role::ALL
        .into_iter()
        .find(|role| of_role(cluster, *role) == account)
}

/// Secret with the key that plans are sealed with.
#[must_use]
pub fn seal_secret(cluster: &str) -> String {
    format!("{cluster}-seal")
}

/// Secret with certificate and token of the filter.
#[must_use]
pub fn filter_secret(cluster: &str) -> String {
    format!("{cluster}-filter")
}

/// Secret with certificate and token of the egress proxies.
#[must_use]
pub fn egress_secret(cluster: &str) -> String {
    format!("{cluster}-egress")
}

/// ConfigMap with the authority of the control channel.
#[must_use]
pub fn control_config(cluster: &str) -> String {
    format!("{cluster}-control")
}
