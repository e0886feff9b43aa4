//! Which MailCluster serves which resource, where there may be several of both.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube_core::{ObjectMeta, ResourceExt};
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{
    AllowedNamespaces, ClusterRef, FromNamespaces, MailCluster, MailDomain, Mailbox, MailingList,
    OutboundIP,
};

use crate::load::{Environment, Located, ManagedDkim, Resources, Secrets};
use crate::problem::{Origin, Problem, ProblemClass};

/// Labels of namespaces by name.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// Everything that an API server holds of ours.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// MailClusters.
    pub clusters: Vec<Arc<MailCluster>>,
    /// MailDomains.
    pub domains: Vec<Arc<MailDomain>>,
    /// Mailboxes.
    pub mailboxes: Vec<Arc<Mailbox>>,
    /// OutboundIPs.
    pub outbound_ips: Vec<Arc<OutboundIP>>,
    /// MailingLists.
    pub mailing_lists: Vec<Arc<MailingList>>,
    /// Secrets.
    pub secrets: Arc<Secrets>,
    /// Namespaces.
    pub namespaces: Arc<Namespaces>,
    /// DKIM keys by domain.
    pub dkim: Arc<BTreeMap<DomainName, ManagedDkim>>,
    /// See [`Resources::records_apart`].
    pub records_apart: bool,
}

/// What each MailCluster serves.
#[derive(Debug, Default)]
pub struct Assigned {
    /// Resources by namespace and name of the MailCluster.
    pub clusters: BTreeMap<(String, String), Resources>,
    /// Namespace and name of the MailCluster of each domain that has one.
    pub domains: BTreeMap<DomainName, (String, String)>,
    /// What is wrong with those that no MailCluster serves.
    pub problems: Vec<Problem>,
}

/// Gives each resource to its MailCluster. The older of two MailDomains that claim a name gets it.
#[must_use]
pub fn assign(mut inventory: Inventory) -> Assigned {
    by_age(&mut inventory.clusters);
    by_age(&mut inventory.domains);
    by_age(&mut inventory.mailboxes);
    by_age(&mut inventory.outbound_ips);
    by_age(&mut inventory.mailing_lists);
    let mut assigner = Assigner::new(&inventory);
    for domain in &inventory.domains {
        assigner.domain(domain);
    }
    for mailbox in &inventory.mailboxes {
        let (origin, domain) = (located(mailbox), mailbox.spec.address.domain().clone());
        assigner.address(origin, &domain, |resources| &mut resources.mailboxes);
    }
    for list in &inventory.mailing_lists {
        let (origin, domain) = (located(list), list.spec.address.domain().clone());
        assigner.address(origin, &domain, |resources| &mut resources.mailing_lists);
    }
    for ip in &inventory.outbound_ips {
        assigner.outbound_ip(ip);
    }
    assigner.hold();
    assigner.assigned
}

/// Age first, then namespace and name: what was there first stays, whatever comes later.
fn by_age<K: kube_core::Resource>(objects: &mut [Arc<K>]) {
    objects.sort_by(|one, other| {
        let (one, other) = (one.meta(), other.meta());
        let created = |meta: &ObjectMeta| meta.creation_timestamp.as_ref().map(|time| time.0);
        created(one)
            .cmp(&created(other))
            .then_with(|| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)))
    });
}

pub(crate) fn located<K: kube_core::Resource<DynamicType = ()>>(object: &Arc<K>) -> Located<K> {
    let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
    Located {
        origin: Arc::new(Origin::of_object(
            &K::kind(&()),
            &namespace,
            &object.name_any(),
        )),
        object: object.clone(),
    }
}

/// A name of a domain that somebody has.
struct Claim {
    origin: Arc<Origin>,
    /// `None` when no MailCluster serves it.
    cluster: Option<(String, String)>,
}

struct Assigner<'a> {
    clusters: Vec<Located<MailCluster>>,
    namespaces: &'a Namespaces,
    claims: HashMap<DomainName, Claim>,
    /// MailDomains that a problem keeps from being served, with the MailCluster that would serve them or did.
    unserved: Vec<(Arc<MailDomain>, (String, String))>,
    assigned: Assigned,
}

impl<'a> Assigner<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        let clusters: Vec<_> = inventory.clusters.iter().map(located).collect();
        let resources = |cluster: &Located<MailCluster>| Resources {
            clusters: vec![cluster.clone()],
            secrets: inventory.secrets.clone(),
            dkim: Some(inventory.dkim.clone()),
            records_apart: inventory.records_apart,
            environment: Environment::Cluster,
            complete: true,
            ..Resources::default()
        };
        let assigned = Assigned {
            clusters: clusters
                .iter()
                .map(|cluster| (key(&cluster.origin), resources(cluster)))
                .collect(),
            ..Assigned::default()
        };
        Self {
            clusters,
            namespaces: &inventory.namespaces,
            claims: HashMap::new(),
            unserved: Vec::new(),
            assigned,
        }
    }

    fn domain(&mut self, domain: &Arc<MailDomain>) {
        let located = located(domain);
        let status = domain.status.as_ref();
        let serving = status.and_then(|status| status.cluster.as_deref());
        if !self.unclaimed(&located) {
            return self.unserved(domain, &located.origin, serving);
        }
        let cluster = self.cluster(&located.origin, domain.spec.cluster_ref.as_ref(), serving);
        for name in std::iter::once(&domain.spec.domain).chain(&domain.spec.domain_aliases) {
            let claim = Claim {
                origin: located.origin.clone(),
                cluster: cluster.clone(),
            };
            self.claims.insert(name.clone(), claim);
        }
        if let Some(cluster) = cluster {
            self.assigned
                .domains
                .insert(domain.spec.domain.clone(), cluster.clone());
            if let Some(resources) = self.assigned.clusters.get_mut(&cluster) {
                resources.domains.push(located);
            }
        } else {
            self.unserved(domain, &located.origin, serving);
        }
    }

    /// Keeps in mind who is to put off the mail of a domain that nobody serves.
    fn unserved(&mut self, domain: &Arc<MailDomain>, origin: &Origin, serving: Option<&str>) {
        let wanted = self.wanted(origin, domain.spec.cluster_ref.as_ref(), serving);
        let before = serving.and_then(|serving| serving.split_once('/'));
        let before = before.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        if let Some(cluster) = wanted.ok().or(before) {
            self.unserved.push((domain.clone(), cluster));
        }
    }

    /// Names of unserved domains that nobody else has.
    fn hold(&mut self) {
        for (domain, cluster) in std::mem::take(&mut self.unserved) {
            let Some(resources) = self.assigned.clusters.get_mut(&cluster) else {
                continue;
            };
            let claims = &self.claims;
            let served = |name: &DomainName| {
                claims
                    .get(name)
                    .is_some_and(|claim| claim.cluster.is_some())
            };
            resources.left_out.add(&domain);
            resources.left_out.names.retain(|name| !served(name));
        }
    }

    /// Whether nobody has a name of the domain. The first that somebody has is said.
    fn unclaimed(&mut self, located: &Located<MailDomain>) -> bool {
        let spec = &located.object.spec;
        let aliases = spec.domain_aliases.iter().enumerate();
        let aliases = aliases.map(|(index, name)| (name, format!("spec.domainAliases[{index}]")));
        let names = std::iter::once((&spec.domain, "spec.domain".to_owned())).chain(aliases);
        for (name, field) in names {
            // One that no MailCluster serves keeps no name from others, or anybody could keep any name.
            let claim = self.claims.get(name);
            if let Some(claim) = claim.filter(|claim| claim.cluster.is_some()) {
                let message = format!("is already a domain of {}", claim.origin.named());
                let problem = located.origin.problem(&field, message).found(name);
                self.assigned
                    .problems
                    .push(problem.class(ProblemClass::Conflict));
                return false;
            }
        }
        true
    }

    /// What has an address belongs where the domain of the address is.
    fn address<K>(
        &mut self,
        located: Located<K>,
        domain: &DomainName,
        list: impl FnOnce(&mut Resources) -> &mut Vec<Located<K>>,
    ) {
        let origin = &located.origin;
        let missing = |message: &str| {
            let problem = origin.problem("spec.address", message).found(domain);
            problem.class(ProblemClass::Missing)
        };
        let problem = match self.claims.get(domain) {
            None => missing("is in no MailDomain"),
            Some(Claim { cluster: None, .. }) => missing("is in a MailDomain without MailCluster"),
            Some(Claim {
                origin: owner,
                cluster: Some(cluster),
            }) => {
                if owner.namespace == origin.namespace || cluster.0 == origin.namespace {
                    if let Some(resources) = self.assigned.clusters.get_mut(cluster) {
                        list(resources).push(located);
                    }
                    return;
                }
                origin
                    .problem("metadata.namespace", "is not that of the MailDomain")
                    .found(&origin.namespace)
                    .hint("a Mailbox is in the namespace of its MailDomain or of the MailCluster")
            }
        };
        self.assigned.problems.push(problem);
    }

    /// Addresses belong to those who run the MailCluster.
    fn outbound_ip(&mut self, ip: &Arc<OutboundIP>) {
        let located = located(ip);
        let origin = &located.origin;
        let Some(cluster) = self.cluster(origin, ip.spec.cluster_ref.as_ref(), None) else {
            return;
        };
        if cluster.0 != origin.namespace {
            let problem = origin
                .problem("metadata.namespace", "is not that of the MailCluster")
                .found(&origin.namespace)
                .allowed(&cluster.0);
            return self.assigned.problems.push(problem);
        }
        if let Some(resources) = self.assigned.clusters.get_mut(&cluster) {
            resources.outbound_ips.push(located);
        }
    }

    /// The MailCluster that a reference means, or the only one that there is in the namespace.
    fn cluster(
        &mut self,
        origin: &Origin,
        reference: Option<&ClusterRef>,
        serving: Option<&str>,
    ) -> Option<(String, String)> {
        match self.wanted(origin, reference, serving) {
            Ok(key) => Some(key),
            Err(problem) => {
                self.assigned.problems.push(*problem);
                None
            }
        }
    }

    fn wanted(
        &self,
        origin: &Origin,
        reference: Option<&ClusterRef>,
        serving: Option<&str>,
    ) -> Result<(String, String), Box<Problem>> {
        match reference {
            Some(reference) => self.named(origin, reference),
            None => self.only(origin, serving),
        }
    }

    fn named(
        &self,
        origin: &Origin,
        reference: &ClusterRef,
    ) -> Result<(String, String), Box<Problem>> {
        let namespace = reference.namespace.as_ref().unwrap_or(&origin.namespace);
        let wanted = (namespace.clone(), reference.name.clone());
        let shown = format!("{namespace}/{}", reference.name);
        let mut clusters = self.clusters.iter();
        let Some(cluster) = clusters.find(|cluster| key(&cluster.origin) == wanted) else {
            let problem = origin.problem("spec.clusterRef", "names no MailCluster");
            return Err(Box::new(problem.found(shown).class(ProblemClass::Missing)));
        };
        if self.allows(cluster, &origin.namespace) {
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

    /// Those of other namespaces have to be named, or whoever makes one that lets all in would get the domains of others.
    fn only(
        &self,
        origin: &Origin,
        serving: Option<&str>,
    ) -> Result<(String, String), Box<Problem>> {
        let all = self.clusters.iter();
        let own: Vec<_> = all
            .filter(|cluster| cluster.origin.namespace == origin.namespace)
            .collect();
        // A second one takes nothing from the first.
        let serves = |cluster: &&&Located<MailCluster>| {
            let name = format!("{}/{}", cluster.origin.namespace, cluster.origin.name);
            serving == Some(name.as_str())
        };
        let message = match (own.as_slice(), own.iter().find(serves)) {
            ([cluster], _) | (_, Some(cluster)) => return Ok(key(&cluster.origin)),
            ([], _) => "is needed: there is no MailCluster in this namespace",
            _ => "is needed: there are several MailClusters in this namespace",
        };
        let problem = origin.problem("spec.clusterRef", message);
        Err(Box::new(problem.class(ProblemClass::Missing)))
    }

    fn allows(&self, cluster: &Located<MailCluster>, namespace: &str) -> bool {
        let allowed = &cluster.object.spec.allowed_namespaces;
        cluster.origin.namespace == namespace || allows(allowed, self.namespaces, namespace)
    }
}

fn allows(allowed: &AllowedNamespaces, namespaces: &Namespaces, namespace: &str) -> bool {
    match allowed.from {
        FromNamespaces::Same => false,
        FromNamespaces::All => true,
        FromNamespaces::Selector => {
            let labels = namespaces.get(namespace);
            allowed.selector.as_ref().is_some_and(|selector| {
                let mut wanted = selector.match_labels.iter();
                wanted
                    .all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
            })
        }
    }
}

fn key(origin: &Origin) -> (String, String) {
    (origin.namespace.clone(), origin.name.clone())
}
