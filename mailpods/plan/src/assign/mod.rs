//! Which MailCluster serves which resource, where there may be several of both.

mod clusters;
mod domains;
mod rules;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube_core::ResourceExt;
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP};

use crate::load::{Environment, LeftAddresses, Located, ManagedDkim, Resources, Secrets};
use crate::problem::{Origin, Problem, ProblemClass};
use crate::unread::{Claims, Unread, created};
use clusters::{ClusterKey, Clusters, key};
use domains::{Claim, Hold};

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
    /// Resources that are not what their kind is, and were never known as anything better.
    pub unread: Vec<Arc<Unread>>,
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
    /// Who has each domain.
    pub domains: BTreeMap<DomainName, Owner>,
    /// Names that more than one MailDomain claims: who has them hangs on who is in service.
    pub contested: HashSet<DomainName>,
    /// What is wrong with those that no MailCluster serves.
    pub problems: Vec<Problem>,
}

/// Who has a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Namespace and name of the MailCluster, which may be one that cannot be read.
    pub cluster: (String, String),
    /// The MailDomain.
    pub domain: Arc<Origin>,
}

/// Gives each resource to its MailCluster. Of two MailDomains that claim a name, the one in service keeps it; where neither is,
/// the older one gets it.
#[must_use]
pub fn assign(mut inventory: Inventory) -> Assigned {
    by_age(&mut inventory.clusters);
    by_age(&mut inventory.mailboxes);
    by_age(&mut inventory.outbound_ips);
    by_age(&mut inventory.mailing_lists);
    let mut assigner = Assigner::new(&inventory);
    assigner.domains(&inventory);
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
    for unread in &inventory.unread {
        assigner.unread(unread);
    }
    assigner.assigned
}

/// Age first, then namespace and name: what was there first stays, whatever comes later.
fn by_age<K: kube_core::Resource>(objects: &mut [Arc<K>]) {
    objects.sort_by(|one, other| {
        let (one, other) = (one.meta(), other.meta());
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

struct Assigner<'a> {
    clusters: Clusters<'a>,
    claims: HashMap<DomainName, Claim>,
    /// Names that are put off, unless somebody else turns out to have them.
    holds: Vec<Hold>,
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
            clusters: Clusters::new(inventory),
            claims: HashMap::new(),
            holds: Vec::new(),
            assigned,
        }
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
            Box::new(problem.class(ProblemClass::Missing))
        };
        let place = place(&self.claims, origin, domain).and_then(|cluster| {
            let resources = self.assigned.clusters.get_mut(cluster);
            resources.ok_or_else(|| missing("is in a MailDomain whose MailCluster cannot be read"))
        });
        match place {
            Ok(resources) => list(resources).push(located),
            Err(problem) => self.assigned.problems.push(*problem),
        }
    }

    /// Addresses belong to those who run the MailCluster.
    fn outbound_ip(&mut self, ip: &Arc<OutboundIP>) {
        let located = located(ip);
        let origin = &located.origin;
        let wanted = self.clusters.of_ip(origin, ip.spec.cluster_ref.as_ref());
        let cluster = match wanted {
            Ok(cluster) => cluster,
            Err(problem) => return self.assigned.problems.push(*problem),
        };
        if cluster.0 != origin.namespace {
            let problem = origin
                .problem("metadata.namespace", "is not that of the MailCluster")
                .found(&origin.namespace)
                .allowed(&cluster.0);
            return self.assigned.problems.push(problem);
        }
        match self.assigned.clusters.get_mut(&cluster) {
            Some(resources) => resources.outbound_ips.push(located),
            None => self
                .assigned
                .problems
                .push(clusters::unread(origin, &cluster)),
        }
    }

    /// Notes where mail for what cannot be read is put off, and which records stay. Its status says what is wrong.
    fn unread(&mut self, unread: &Unread) {
        match &unread.claims {
            Claims::Cluster | Claims::Domain(_) => {}
            Claims::Addresses { own, aliases } => {
                let left = LeftAddresses {
                    origin: unread.origin.clone(),
                    created: unread.created,
                    own: own.clone(),
                    aliases: aliases.clone(),
                };
                let places = left
                    .all()
                    .filter_map(|address| place(&self.claims, &left.origin, address.domain()).ok());
                for cluster in places.collect::<BTreeSet<_>>() {
                    if let Some(resources) = self.assigned.clusters.get_mut(cluster) {
                        resources.left_out.addresses.push(left.clone());
                    }
                }
            }
            Claims::Host { host, cluster } => {
                let wanted = self.clusters.of_ip(&unread.origin, cluster.as_ref());
                let own = wanted.ok().filter(|key| key.0 == unread.origin.namespace);
                let resources = own.and_then(|key| self.assigned.clusters.get_mut(&key));
                if let Some(resources) = resources {
                    resources.left_out.hosts.extend(host.clone());
                }
            }
        }
    }
}

/// The MailCluster of an address in a domain.
fn place<'a>(
    claims: &'a HashMap<DomainName, Claim>,
    origin: &Origin,
    domain: &DomainName,
) -> Result<&'a ClusterKey, Box<Problem>> {
    let missing = |message: &str| {
        let problem = origin.problem("spec.address", message).found(domain);
        Box::new(problem.class(ProblemClass::Missing))
    };
    let claim = claims.get(domain);
    let claim = claim.ok_or_else(|| missing("is in no MailDomain"))?;
    let cluster = claim.cluster.as_ref();
    let cluster = cluster.ok_or_else(|| missing("is in a MailDomain without MailCluster"))?;
    if claim.origin.namespace == origin.namespace || cluster.0 == origin.namespace {
        return Ok(cluster);
    }
    let problem = origin
        .problem("metadata.namespace", "is not that of the MailDomain")
        .found(&origin.namespace)
        .hint("a Mailbox is in the namespace of its MailDomain or of the MailCluster");
    Err(Box::new(problem))
}
