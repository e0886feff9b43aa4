//! The MailCluster that a resource means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use mailpods_api::v1alpha1::{AllowedNamespaces, ClusterRef, FromNamespaces, LabelSelector};

use super::{Inventory, Namespaces, located};
use crate::problem::{Origin, Problem, ProblemClass};
use crate::unread::{Claims, created};

/// Namespace and name of a MailCluster.
pub(super) type ClusterKey = (String, String);

/// A MailCluster that is there.
pub(super) struct Cluster<'a> {
    pub origin: Arc<Origin>,
    created: Option<SystemTime>,
    /// Who may name it; `None`: it cannot be read.
    pub allowed: Option<&'a AllowedNamespaces>,
}

/// All MailClusters, those that cannot be read too: what is theirs stays theirs.
pub(super) struct Clusters<'a> {
    all: BTreeMap<ClusterKey, Cluster<'a>>,
    pub namespaces: &'a Namespaces,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        let unread = inventory.unread.iter();
        let unread = unread.filter(|unread| unread.claims == Claims::Cluster);
        let unread = unread.map(|unread| Cluster {
            origin: unread.origin.clone(),
            created: unread.created,
            allowed: None,
        });
        let good = inventory.clusters.iter().map(|cluster| Cluster {
            origin: located(cluster).origin,
            created: created(&cluster.metadata),
            allowed: Some(&cluster.spec.allowed_namespaces),
        });
        Self {
            all: unread
                .chain(good)
                .map(|cluster| (key(&cluster.origin), cluster))
                .collect(),
            namespaces: &inventory.namespaces,
        }
    }

    pub(super) fn get(&self, key: &ClusterKey) -> Option<&Cluster<'a>> {
        self.all.get(key)
    }

    /// The MailCluster that a MailDomain means; `serving` is the one that serves it.
    pub(super) fn of_domain(
        &self,
        origin: &Origin,
        reference: Option<&ClusterRef>,
        serving: Option<&ClusterKey>,
    ) -> Result<ClusterKey, Box<Problem>> {
        match reference {
            Some(reference) => self.named(origin, reference, serving),
            None => only(origin, &self.beside(origin), serving),
        }
    }

    /// The MailCluster that an OutboundIP means. Nothing says which had it: one that came later and cannot be read takes it from
    /// nobody.
    pub(super) fn of_ip(
        &self,
        origin: &Origin,
        reference: Option<&ClusterRef>,
    ) -> Result<ClusterKey, Box<Problem>> {
        if let Some(reference) = reference {
            return self.named(origin, reference, None);
        }
        let mut own = self.beside(origin);
        let good = own.iter().filter(|cluster| cluster.allowed.is_some());
        let oldest = good.map(|cluster| cluster.created).min();
        own.retain(|cluster| {
            cluster.allowed.is_some() || oldest.is_none_or(|oldest| cluster.created < oldest)
        });
        only(origin, &own, None)
    }

    fn named(
        &self,
        origin: &Origin,
        reference: &ClusterRef,
        serving: Option<&ClusterKey>,
    ) -> Result<ClusterKey, Box<Problem>> {
        let namespace = reference.namespace.as_ref().unwrap_or(&origin.namespace);
        let wanted = (namespace.clone(), reference.name.clone());
        let shown = format!("{namespace}/{}", reference.name);
        let Some(cluster) = self.all.get(&wanted) else {
            let problem = origin.problem("spec.clusterRef", "names no MailCluster");
            return Err(Box::new(problem.found(shown).class(ProblemClass::Missing)));
        };
        let allows = match cluster.allowed {
            _ if *namespace == origin.namespace => true,
            Some(allowed) => self.allows(allowed, &origin.namespace),
            // Whom it lets in is not known: whom it served it lets in.
            None if serving == Some(&wanted) => true,
            None => return Err(Box::new(unread(origin, &wanted))),
        };
        if allows {
            return Ok(wanted);
        }
        let problem = origin
            .problem(
                "spec.clusterRef",
                "names a MailCluster that does not allow this namespace",
            )
            .found(shown)
            .hint("its spec.allowedNamespaces says which it allows");
        Err(Box::new(problem.class(ProblemClass::Missing)))
    }

    /// Those of the namespace: others have to be named, or whoever makes one that lets all in would get the domains of others.
    fn beside(&self, origin: &Origin) -> Vec<&Cluster<'a>> {
        let first = (origin.namespace.clone(), String::new());
        let from = self.all.range(first..);
        from.take_while(|((namespace, _), _)| *namespace == origin.namespace)
            .map(|(_, cluster)| cluster)
            .collect()
    }

    fn allows(&self, allowed: &AllowedNamespaces, namespace: &str) -> bool {
        match allowed.from {
            FromNamespaces::Same => false,
            FromNamespaces::All => true,
            FromNamespaces::Selector => {
                let selector = allowed.selector.as_ref();
                selector.is_some_and(|selector| self.selects(selector, namespace))
            }
        }
    }

    /// Whether a namespace has all labels of a selector.
    pub(super) fn selects(&self, selector: &LabelSelector, namespace: &str) -> bool {
        let labels = self.namespaces.get(namespace);
        let mut wanted = selector.match_labels.iter();
        wanted.all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
    }
}

/// The only one of the namespace, or the one that serves: a second one takes nothing from the first.
fn only(
    origin: &Origin,
    own: &[&Cluster<'_>],
    serving: Option<&ClusterKey>,
) -> Result<ClusterKey, Box<Problem>> {
    let serves = |cluster: &&&Cluster<'_>| serving == Some(&key(&cluster.origin));
    let message = match (own, own.iter().find(serves)) {
        ([cluster], _) | (_, Some(cluster)) => return Ok(key(&cluster.origin)),
        ([], _) => "is needed: there is no MailCluster in this namespace",
        _ => "is needed: there are several MailClusters in this namespace",
    };
    let problem = origin.problem("spec.clusterRef", message);
    Err(Box::new(problem.class(ProblemClass::Missing)))
}

/// What is said of what a MailCluster serves that cannot be read.
pub(super) fn unread(origin: &Origin, (namespace, name): &ClusterKey) -> Problem {
    let problem = origin
        .problem("spec.clusterRef", "the MailCluster cannot be read")
        .found(format_args!("{namespace}/{name}"))
        .hint("its status says why");
    problem.class(ProblemClass::Missing)
}

pub(super) fn key(origin: &Origin) -> ClusterKey {
    (origin.namespace.clone(), origin.name.clone())
}
