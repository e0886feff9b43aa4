//! Resources that are not what their kind is, though the API server took them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use kube_core::ObjectMeta;
use mailpods_api::v1alpha1::{ClusterRef, Provider};
use mailpods_api::{DomainName, MailboxAddress};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Origin;

/// What can be read of a resource that is not what its kind is. It serves nothing until it is mended, and what it claims stays
/// its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Kind, namespace and name.
    pub origin: Arc<Origin>,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// What it claims.
    pub claims: Claims,
}

/// What an unread resource claims, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claims {
    /// A MailCluster: the domains that it serves.
    Cluster,
    /// A MailDomain: names.
    Domain(UnreadDomain),
    /// A Mailbox or MailingList: addresses.
    Addresses {
        /// That of the Mailbox.
        own: Option<MailboxAddress>,
        /// Others that lead there.
        aliases: Vec<MailboxAddress>,
    },
    /// An OutboundIP: records of a host.
    Host {
        /// The address and its name; `None` when one of the two cannot be read.
        host: Option<(IpAddr, DomainName)>,
        /// The MailCluster that it names.
        cluster: Option<ClusterRef>,
    },
}

/// What can be read of a MailDomain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadDomain {
    /// Its name, when that can be read, and its aliases.
    pub names: Vec<DomainName>,
    /// The MailCluster that it names.
    pub cluster: Option<ClusterRef>,
    /// Whether its mail is taken here.
    pub takes_mail: bool,
    /// The MailCluster that serves it, `namespace/name`, as its status says.
    pub serving: Option<String>,
    /// Aliases that are served, as its status says.
    pub served_aliases: Vec<DomainName>,
}

impl Unread {
    /// Reads what can be read; `None` for a kind that claims nothing.
    #[must_use]
    pub fn of(kind: &str, metadata: &ObjectMeta, object: &Value) -> Option<Self> {
        let claims = match kind {
            "MailCluster" => Claims::Cluster,
            "MailDomain" => Claims::Domain(domain(object)),
            "Mailbox" => Claims::Addresses {
                own: field(object, "/spec/address"),
                aliases: list(object, "/spec/aliases"),
            },
            // It takes its address from nothing that serves.
            "MailingList" => Claims::Addresses {
                own: None,
                aliases: field(object, "/spec/address").into_iter().collect(),
            },
            "OutboundIP" => Claims::Host {
                host: field(object, "/spec/address").zip(field(object, "/spec/hostname")),
                cluster: field(object, "/spec/clusterRef"),
            },
            _ => return None,
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let origin = Origin::of_object(kind, &text(&metadata.namespace), &text(&metadata.name));
        Some(Self {
            origin: Arc::new(origin),
            created: created(metadata),
            claims,
        })
    }
}

/// When an object was made.
pub(crate) fn created(metadata: &ObjectMeta) -> Option<SystemTime> {
    let time = metadata.creation_timestamp.as_ref();
    time.map(|time| time.0.into())
}

fn domain(object: &Value) -> UnreadDomain {
    let mut names: Vec<DomainName> = field(object, "/spec/domain").into_iter().collect();
    names.extend(list(object, "/spec/domainAliases"));
    UnreadDomain {
        names,
        cluster: field(object, "/spec/clusterRef"),
        takes_mail: field(object, "/spec/provider").unwrap_or(Provider::Builtin)
            == Provider::Builtin,
        serving: field(object, "/status/cluster"),
        served_aliases: list(object, "/status/domainAliases"),
    }
}

/// A value, when it is there and can be read.
fn field<T: DeserializeOwned>(object: &Value, pointer: &str) -> Option<T> {
    T::deserialize(object.pointer(pointer)?).ok()
}

/// The values of a list that can be read.
fn list<T: DeserializeOwned>(object: &Value, pointer: &str) -> Vec<T> {
    let values = object.pointer(pointer).and_then(Value::as_array);
    let read = values
        .into_iter()
        .flatten()
        .map(|value| T::deserialize(value));
    read.filter_map(Result::ok).collect()
}
