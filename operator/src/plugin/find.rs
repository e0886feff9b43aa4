//! Which pod the tool runs in.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, Error};
use mailpods_api::v1alpha1::MailCluster;
use mailpods_plan::Role;

use super::PluginError;
use crate::names;

/// A container to run a tool in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

/// Roles whose pods have the store, and a plan that knows the addresses to send from; the first one that is there is taken.
const ROLES: [Role; 2] = [Role::Delivery, Role::All];

/// The only MailCluster of a namespace.
pub(super) async fn cluster(client: &Client, namespace: &str) -> Result<String, PluginError> {
    let clusters: Api<MailCluster> = Api::namespaced(client.clone(), namespace);
    // Metadata alone: one that cannot be read counts too.
    let found = clusters.list_metadata(&ListParams::default()).await;
    let found = found.map_err(|error| match status(&error) {
        Some(403) => PluginError::Forbidden {
            verbs: "list",
            resource: "mailclusters",
            namespace: namespace.to_owned(),
        },
        Some(404) => PluginError::NotInstalled,
        _ => PluginError::api("list the MailClusters", error),
    })?;
    let mut names: Vec<String> = found
        .items
        .into_iter()
        .filter_map(|cluster| cluster.metadata.name)
        .collect();
    names.sort();
    match names.len() {
        0 => Err(PluginError::NoCluster(namespace.to_owned())),
        1 => Ok(names.remove(0)),
        _ => Err(PluginError::Several {
            namespace: namespace.to_owned(),
            names,
        }),
    }
}

/// A ready pod of a MailCluster.
pub(super) async fn pod(
    client: &Client,
    namespace: &str,
    cluster: &str,
) -> Result<Place, PluginError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let roles = ROLES.map(|role| role.to_string()).join(",");
    let selector = format!(
        "{},app.kubernetes.io/component in ({roles})",
        names::selector_text(&names::instance(cluster))
    );
    let found = pods.list(&ListParams::default().labels(&selector)).await;
    let found = found.map_err(|error| match status(&error) {
        Some(403) => PluginError::Forbidden {
            verbs: "list",
            resource: "pods",
            namespace: namespace.to_owned(),
        },
        _ => PluginError::api("list the pods", error),
    })?;
    let mut pods = found.items;
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    choose(&pods, namespace, cluster)
}

fn choose(pods: &[Pod], namespace: &str, cluster: &str) -> Result<Place, PluginError> {
    let ready = ROLES.into_iter().find_map(|role| {
        let of_role = pods.iter().filter(|pod| component(pod) == role.as_str());
        let pod = of_role.into_iter().find(|pod| is_ready(pod))?;
        Some((pod.metadata.name.clone()?, role))
    });
    if let Some((pod, role)) = ready {
        return Ok(Place {
            namespace: namespace.to_owned(),
            pod,
            container: role.to_string(),
        });
    }
    let (namespace, cluster) = (namespace.to_owned(), cluster.to_owned());
    match pods.is_empty() {
        true => Err(PluginError::NoPod { namespace, cluster }),
        false => Err(PluginError::NotReady {
            namespace,
            cluster,
            pods: pods.iter().map(state).collect(),
        }),
    }
}

fn component(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    let component = labels.and_then(|labels| labels.get("app.kubernetes.io/component"));
    component.map(String::as_str).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .filter(|condition| condition.type_ == "Ready")
            .any(|condition| condition.status == "True")
}

/// Name and phase, as `kubectl get pods` tells them.
fn state(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let phase = match pod.metadata.deletion_timestamp {
        Some(_) => "Terminating",
        None => phase.unwrap_or("Unknown"),
    };
    format!("{name} ({phase})")
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}
