//! One compiled state of everything.

mod edited;
mod marks;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP};
use mailpods_plan::dns::{Record, domain_records, fill, filled};
use mailpods_plan::{
    Inventory, ManagedDkim, Plan, Problem, Resources, assign, compile_valid, hold,
};
use mailpods_policy::dkim_life::Phase;

use crate::dkim::key::ManagedKey;
use crate::kube::Key;
use crate::packed::Packed;
pub use edited::Edits;

/// Kinds of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// MailCluster.
    MailCluster,
    /// MailDomain.
    MailDomain,
    /// Mailbox.
    Mailbox,
    /// OutboundIP.
    OutboundIP,
    /// MailingList.
    MailingList,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::MailCluster,
        Self::MailDomain,
        Self::Mailbox,
        Self::OutboundIP,
        Self::MailingList,
    ];

    /// The name in YAML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MailCluster => "MailCluster",
            Self::MailDomain => "MailDomain",
            Self::Mailbox => "Mailbox",
            Self::OutboundIP => "OutboundIP",
            Self::MailingList => "MailingList",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What came of one MailCluster.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// The plan that pods get: the newest good one.
    pub plan: Option<Arc<Plan>>,
    /// Whether the plan is of this state, and not kept from before.
    pub current: bool,
}

/// One compiled state. What did not change is shared with the state before.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Whether everything had been read.
    pub complete: bool,
    /// MailClusters.
    pub clusters: BTreeMap<Key, ClusterView>,
    /// The objects that were compiled.
    pub objects: Objects,
    /// Who has each domain.
    pub served: Arc<BTreeMap<DomainName, Served>>,
    records: Arc<HashMap<DomainName, DomainRecords>>,
    /// DKIM keys by namespace and domain.
    keys: Arc<Keys>,
    /// Names that more than one MailDomain claims.
    contested: Arc<HashSet<DomainName>>,
    problems: Arc<HashMap<Kind, HashMap<Key, Vec<Problem>>>>,
    /// What each object's status depends on, as a hash; sorted.
    marks: BTreeMap<Kind, Marks>,
}

/// Who has a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The MailCluster.
    pub cluster: Key,
    /// The MailDomain.
    pub domain: Key,
}

impl Served {
    /// From what was assigned.
    #[must_use]
    pub fn of(owner: mailpods_plan::Owner) -> Self {
        let (namespace, name) = owner.cluster;
        Self {
            cluster: Key::new(namespace, name),
            domain: Key::new(&*owner.domain.namespace, &*owner.domain.name),
        }
    }
}

/// Hashes of objects of one kind.
type Marks = Arc<Vec<(Arc<Key>, u64)>>;

/// The records of a domain, and what they follow from.
#[derive(Debug, Clone)]
struct DomainRecords {
    records: Packed,
    domain: Arc<MailDomain>,
    cluster: Arc<MailCluster>,
    keys: Vec<Arc<ManagedKey>>,
    /// Whether some are of hosts and addresses, which follow from other objects too.
    of_hosts: bool,
}

impl DomainRecords {
    /// Whether the same records follow from these.
    fn follow_from(
        &self,
        domain: &MailDomain,
        cluster: &MailCluster,
        keys: &[Arc<ManagedKey>],
    ) -> bool {
        let same = |one: &ObjectMeta, other: &ObjectMeta| {
            one.generation.is_some() && (&one.uid, one.generation) == (&other.uid, other.generation)
        };
        let mut both = self.keys.iter().zip(keys);
        !self.of_hosts
            && same(&self.domain.metadata, &domain.metadata)
            && same(&self.cluster.metadata, &cluster.metadata)
            // Those that it is not given are left out.
            && self.domain.spec.domain_aliases == domain.spec.domain_aliases
            && self.keys.len() == keys.len()
            && both.all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// Objects of one kind.
pub type ByKey<K> = Arc<BTreeMap<Arc<Key>, Arc<K>>>;

/// Objects by kind.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// MailClusters.
    pub clusters: ByKey<MailCluster>,
    /// MailDomains.
    pub domains: ByKey<MailDomain>,
    /// Mailboxes.
    pub mailboxes: ByKey<Mailbox>,
    /// OutboundIPs.
    pub outbound_ips: ByKey<OutboundIP>,
    /// MailingLists.
    pub mailing_lists: ByKey<MailingList>,
}

impl Snapshot {
    /// Compiles everything: `objects`, and what else is in the inventory. A MailCluster that has no good plan keeps the one
    /// that it had `before`.
    #[must_use]
    pub fn compile(
        objects: Objects,
        inventory: Inventory,
        keys: Vec<Arc<ManagedKey>>,
        before: &Self,
    ) -> Self {
        let inventory = Inventory {
            records_apart: true,
            clusters: objects.clusters.values().cloned().collect(),
            domains: objects.domains.values().cloned().collect(),
            mailboxes: objects.mailboxes.values().cloned().collect(),
            outbound_ips: objects.outbound_ips.values().cloned().collect(),
            mailing_lists: objects.mailing_lists.values().cloned().collect(),
            ..inventory
        };
        let assigned = assign(inventory);
        let served = assigned.domains.into_iter();
        let mut snapshot = Self {
            complete: true,
            objects,
            keys: Arc::new(by_owner(keys)),
            contested: Arc::new(assigned.contested),
            served: Arc::new(
                served
                    .map(|(domain, owner)| (domain, Served::of(owner)))
                    .collect(),
            ),
            ..Self::default()
        };
        snapshot.note(assigned.problems);
        for ((namespace, name), mut resources) in assigned.clusters {
            let key = Key::new(namespace, name);
            let domains = resources.domains.iter();
            let domains: Vec<_> = domains.map(|domain| domain.object.clone()).collect();
            let dkim = Arc::new(managed(domains.iter(), &snapshot.keys));
            resources.dkim = Some(dkim.clone());
            let compiled = compile_valid(resources);
            snapshot.note(compiled.problems);
            let result = compiled.plan.ok_or(compiled.uncompiled);
            snapshot.add(key, result, (domains, &dkim), before);
        }
        snapshot.marks = snapshot.marked();
        snapshot
    }

    fn add(
        &mut self,
        key: Key,
        plan: Result<Plan, Option<Resources>>,
        (domains, dkim): (Vec<Arc<MailDomain>>, &BTreeMap<DomainName, ManagedDkim>),
        before: &Self,
    ) {
        let current = plan.is_ok();
        let kept = before.clusters.get(&key).and_then(|view| view.plan.clone());
        let plan = match plan {
            Ok(mut plan) => {
                if let Some(cluster) = self.objects.clusters.get(&key).cloned() {
                    self.add_records(&cluster, &plan, (&domains, dkim), before);
                }
                if let Some(kept) = &kept {
                    plan.share(kept);
                }
                Some(Arc::new(plan))
            }
            Err(resources) => {
                self.keep_records(&key, before);
                let resources = resources.unwrap_or_default();
                kept.map(|kept| hold(&kept, &resources))
            }
        };
        self.clusters.insert(key, ClusterView { plan, current });
    }

    /// Keeps records by domain; those that follow from the same as before are shared with it.
    fn add_records(
        &mut self,
        cluster: &Arc<MailCluster>,
        plan: &Plan,
        (domains, dkim): (&[Arc<MailDomain>], &BTreeMap<DomainName, ManagedDkim>),
        before: &Self,
    ) {
        let mut addresses: HashMap<DomainName, Vec<Record>> = HashMap::new();
        for record in fill(plan, None, |_, _| None) {
            addresses
                .entry(record.domain.clone())
                .or_default()
                .push(record);
        }
        let mut new = std::mem::take(Arc::make_mut(&mut self.records));
        for domain in domains.iter().filter(|domain| self.is_good(domain)) {
            let (name, keys) = (&domain.spec.domain, self.dkim(domain).to_vec());
            let own = addresses.remove(name).unwrap_or_default();
            let of_hosts = !own.is_empty();
            let known = before
                .records
                .get(name)
                .filter(|known| !of_hosts && known.follow_from(domain, cluster, &keys));
            let records = known.map_or_else(
                || {
                    let kept = dkim.get(name).cloned().unwrap_or_default();
                    let wanted = domain_records(cluster, domain, plan, Some(&kept));
                    let wanted = wanted.iter().map(|record| filled(record, |_, _| None));
                    let records: Vec<Record> = wanted.chain(own).collect();
                    Packed::of(&records).unwrap_or_default()
                },
                |known| known.records.clone(),
            );
            let records = DomainRecords {
                records,
                domain: domain.clone(),
                cluster: cluster.clone(),
                keys,
                of_hosts,
            };
            new.insert(name.clone(), records);
        }
        self.records = Arc::new(new);
    }

    /// Whether more than one MailDomain claims a name of this one.
    #[must_use]
    pub fn is_contested(&self, domain: &MailDomain) -> bool {
        let spec = &domain.spec;
        let mut names = std::iter::once(&spec.domain).chain(&spec.domain_aliases);
        self.has_contests() && names.any(|name| self.contested.contains(name))
    }

    /// Whether there is a name that more than one MailDomain claims.
    #[must_use]
    pub fn has_contests(&self) -> bool {
        !self.contested.is_empty()
    }

    /// The aliases that a MailDomain is given.
    #[must_use]
    pub fn aliases(&self, domain: &MailDomain) -> &[DomainName] {
        let own = self.records.get(&domain.spec.domain);
        let own = own.filter(|own| Key::of(&own.domain.metadata) == Key::of(&domain.metadata));
        own.map_or(&[], |own| &own.domain.spec.domain_aliases)
    }

    /// Whether nothing is wrong with a domain that would leave it out of the plan.
    fn is_good(&self, domain: &MailDomain) -> bool {
        let problems = self.problems(Kind::MailDomain, &Key::of(&domain.metadata));
        problems.iter().all(|problem| problem.kept)
    }

    /// The MailCluster of a domain.
    #[must_use]
    pub fn cluster_of(&self, domain: &DomainName) -> Option<&Key> {
        self.served.get(domain).map(|served| &served.cluster)
    }

    /// Records that are wanted of a domain.
    #[must_use]
    pub fn records(&self, domain: &DomainName) -> Vec<Record> {
        self.packed_records(domain).unpacked().unwrap_or_default()
    }

    /// The same as it is kept.
    #[must_use]
    pub fn packed_records(&self, domain: &DomainName) -> Packed {
        let own = self.records.get(domain);
        own.map(|own| own.records.clone()).unwrap_or_default()
    }

    /// The records of a MailCluster whose plan is kept.
    fn keep_records(&mut self, cluster: &Key, before: &Self) {
        let kept = before.records.iter();
        for (domain, records) in
            kept.filter(|(domain, _)| before.cluster_of(domain) == Some(cluster))
        {
            Arc::make_mut(&mut self.records)
                .entry(domain.clone())
                .or_insert_with(|| records.clone());
        }
    }

    fn note(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            let named = problem.resource.as_deref().unwrap_or_default();
            let Some((kind, name)) = named.split_once('/') else {
                continue;
            };
            if let Some(kind) = Kind::named(kind) {
                let key = Key::new(problem.namespace.clone(), name);
                let problems = Arc::make_mut(&mut self.problems).entry(kind).or_default();
                problems.entry(key).or_default().push(problem);
            }
        }
    }

    /// What is wrong with an object.
    #[must_use]
    pub fn problems(&self, kind: Kind, key: &Key) -> &[Problem] {
        let problems = self.problems.get(&kind).and_then(|all| all.get(key));
        problems.map(Vec::as_slice).unwrap_or_default()
    }

    /// DKIM keys of a MailDomain.
    #[must_use]
    pub fn dkim(&self, domain: &MailDomain) -> &[Arc<ManagedKey>] {
        let owner = (
            domain.namespace().unwrap_or_default(),
            domain.spec.domain.clone(),
        );
        self.keys.get(&owner).map(Vec::as_slice).unwrap_or_default()
    }
}

type Keys = HashMap<(String, DomainName), Vec<Arc<ManagedKey>>>;

fn by_owner(keys: Vec<Arc<ManagedKey>>) -> Keys {
    let mut owners = Keys::new();
    for key in keys {
        let owner = (key.secret.namespace.clone(), key.domain.clone());
        owners.entry(owner).or_default().push(key);
    }
    owners
}

/// The keys of each domain, from Secrets beside the MailDomain that has the name: what is elsewhere may be anybody's, also
/// beside another MailDomain that claims the same name in vain.
fn managed<'a>(
    domains: impl Iterator<Item = &'a Arc<MailDomain>>,
    keys: &Keys,
) -> BTreeMap<DomainName, ManagedDkim> {
    let mut managed = BTreeMap::new();
    for domain in domains {
        let name = domain.spec.domain.clone();
        let owner = (domain.namespace().unwrap_or_default(), name.clone());
        let Some(keys) = keys.get(&owner) else {
            continue;
        };
        let published = keys.iter().filter(|key| key.phase.is_published());
        let signing = keys.iter().filter(|key| key.phase == Phase::Signing);
        let kept = ManagedDkim {
            published: published
                .map(|key| (key.selector.clone(), key.record.clone()))
                .collect(),
            signing: signing.map(|key| key.signing()).collect(),
        };
        managed.insert(name, kept);
    }
    managed
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use mailpods_plan::{DkimAlgorithm, SecretText};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::dkim::key::Origin;

    fn object<K: DeserializeOwned>(namespace: &str, age: u32, kind: &str, spec: &Value) -> Arc<K> {
        let object = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": "a", "namespace": namespace, "creationTimestamp": format!("2026-01-01T00:00:{age:02}Z")},
            "spec": spec,
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn key(namespace: &str, selector: &str) -> Arc<ManagedKey> {
        Arc::new(ManagedKey {
            secret: Key::new(namespace, selector),
            live: crate::kube::apply::Live::default(),
            domain: "example.test".parse().unwrap(),
            selector: selector.parse().unwrap(),
            algorithm: DkimAlgorithm::Ed25519Sha256,
            origin: Origin::default(),
            phase: Phase::Signing,
            since: Timestamp::UNIX_EPOCH,
            created: Timestamp::UNIX_EPOCH,
            has_signed: true,
            record: format!("v=DKIM1; k=ed25519; p={selector}"),
            pem: SecretText::new(String::new()),
        })
    }

    #[test]
    fn keys_beside_a_domain_that_has_not_the_name_neither_sign_nor_are_published() {
        let domain = json!({"domain": "example.test"});
        let cluster =
            json!({"hostname": "mail.example.test", "allowedNamespaces": {"from": "All"}});
        let at = |namespace: &str| Arc::new(Key::new(namespace, "a"));
        let objects = Objects {
            clusters: Arc::new([(at("mail"), object("mail", 0, "MailCluster", &cluster))].into()),
            domains: Arc::new(
                [
                    (at("a-thief"), object("a-thief", 9, "MailDomain", &domain)),
                    (at("mail"), object("mail", 1, "MailDomain", &domain)),
                ]
                .into(),
            ),
            ..Objects::default()
        };
        let keys = vec![key("a-thief", "thief"), key("mail", "own")];
        let inventory = Inventory::default();
        let snapshot = Snapshot::compile(objects, inventory, keys, &Snapshot::default());
        let name: DomainName = "example.test".parse().unwrap();
        let plan = snapshot.clusters[&Key::new("mail", "a")].plan.clone();
        let plan = plan.unwrap();
        let signing = plan.domains[&name].dkim.iter();
        let signing: Vec<_> = signing.map(|key| key.selector.as_str()).collect();
        assert_eq!(signing, ["own"]);
        let records = snapshot.records(&name);
        let keys = records
            .iter()
            .filter(|record| record.name.contains("._domainkey."));
        let names: Vec<_> = keys.map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["own._domainkey.example.test"]);
    }
}
