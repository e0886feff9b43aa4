//! Names and labels of what the operator makes.

use std::collections::BTreeMap;

use mailpods_plan::Role;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::kube::children::{MANAGER, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID};

/// Longest name of a MailCluster: what is put behind it must fit into a label of DNS.
pub const MAX_CLUSTER_NAME: usize = 40;
/// Longest name of an object.
const MAX_NAME: usize = 253;
/// Longest name of a workload: it is in the names of its pods.
const MAX_POD_NAME: usize = 63;
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

    /// Metadata of an object that is in no namespace: labels say whose it is, since an owner there cannot be one in a namespace.
    #[must_use]
    pub fn cluster_metadata(&self, name: &str, labels: &BTreeMap<String, String>) -> Value {
        let mut all = labels.clone();
        all.extend(self.labels());
        all.insert(OWNER_NAMESPACE.to_owned(), self.namespace.clone());
        all.extend(self.uid.clone().map(|uid| (OWNER_UID.to_owned(), uid)));
        json!({"name": name, "labels": all})
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

/// Labels that all egress pods of a MailCluster are selected by, on nodes and elsewhere.
#[must_use]
pub fn proxies(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = instance(cluster);
    labels.insert("mailpods.dev/proxy".to_owned(), "egress".to_owned());
    labels
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

/// Objects of the egress pod of one OutboundIP.
#[must_use]
pub fn of_address(cluster: &str, ip: &str) -> String {
    let name = format!("{}{ip}", of_addresses(cluster));
    match name.contains('.') {
        // Names that differ in dots alone stay apart.
        true => shortened(
            &format!("{}-{}", name.replace('.', "-"), digest(ip)),
            MAX_POD_NAME,
        ),
        false => shortened(&name, MAX_POD_NAME),
    }
}

/// What the names of such objects begin with.
#[must_use]
pub fn of_addresses(cluster: &str) -> String {
    format!("{cluster}-egress-")
}

/// Such an object that is in no namespace: names there are for all.
#[must_use]
pub fn of_address_anywhere(namespace: &str, cluster: &str, ip: &str) -> String {
    let digest = digest(&format!("{namespace}/{cluster}/{ip}"));
    format!(
        "{}-{digest}",
        shortened(&format!("mailpods-{namespace}-{ip}"), 200)
    )
}

/// ConfigMap with the authority of the control channel.
#[must_use]
pub fn control_config(cluster: &str) -> String {
    format!("{cluster}-control")
}
