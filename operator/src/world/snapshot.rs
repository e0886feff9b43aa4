//! One compiled state of everything.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kube::{Resource, ResourceExt as _};
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP};
use mailpods_plan::dns::{Record, fill};
use mailpods_plan::{Inventory, Located, ManagedDkim, Plan, Problem, assign, compile_valid};
use mailpods_policy::dkim_life::Phase;

use crate::dkim::key::ManagedKey;
use crate::kube::Key;

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

/// One compiled state.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Whether everything had been read.
    pub complete: bool,
    /// MailClusters.
    pub clusters: BTreeMap<Key, ClusterView>,
    /// The objects that were compiled.
    pub objects: Objects,
    /// MailCluster of each domain that has one.
    pub served: BTreeMap<DomainName, Key>,
    /// Records by domain.
    pub records: HashMap<DomainName, Vec<Record>>,
    /// DKIM keys by namespace and domain.
    keys: Keys,
    problems: HashMap<(Kind, Key), Vec<Problem>>,
    /// What each object's status depends on, as a hash.
    marks: BTreeMap<(Kind, Key), u64>,
}

/// Objects by kind.
#[derive(Debug, Default)]
pub struct Objects {
    /// MailClusters.
    pub clusters: BTreeMap<Key, Arc<MailCluster>>,
    /// MailDomains.
    pub domains: BTreeMap<Key, Arc<MailDomain>>,
    /// Mailboxes.
    pub mailboxes: BTreeMap<Key, Arc<Mailbox>>,
    /// OutboundIPs.
    pub outbound_ips: BTreeMap<Key, Arc<OutboundIP>>,
    /// MailingLists.
    pub mailing_lists: BTreeMap<Key, Arc<MailingList>>,
}

fn keyed<K: Resource>(objects: &[Arc<K>]) -> BTreeMap<Key, Arc<K>> {
    let objects = objects.iter();
    objects
        .map(|object| (Key::of(object.meta()), object.clone()))
        .collect()
}

impl Snapshot {
    /// Compiles everything. A MailCluster that has no good plan keeps the one that it had `before`.
    #[must_use]
    pub fn compile(inventory: Inventory, keys: Vec<Arc<ManagedKey>>, before: &Self) -> Self {
        let objects = Objects {
            clusters: keyed(&inventory.clusters),
            domains: keyed(&inventory.domains),
            mailboxes: keyed(&inventory.mailboxes),
            outbound_ips: keyed(&inventory.outbound_ips),
            mailing_lists: keyed(&inventory.mailing_lists),
        };
        let assigned = assign(inventory);
        let served = assigned.domains.into_iter();
        let mut snapshot = Self {
            complete: true,
            objects,
            keys: by_owner(keys),
            served: served
                .map(|(domain, (namespace, name))| (domain, Key::new(namespace, name)))
                .collect(),
            ..Self::default()
        };
        snapshot.note(assigned.problems);
        for ((namespace, name), mut resources) in assigned.clusters {
            let key = Key::new(namespace, name);
            resources.dkim = Some(Arc::new(managed(&resources.domains, &snapshot.keys)));
            let compiled = compile_valid(resources);
            snapshot.note(compiled.problems);
            snapshot.add(key, compiled.plan, before);
        }
        snapshot.marks = snapshot.marked();
        snapshot
    }

    fn add(&mut self, key: Key, plan: Option<Plan>, before: &Self) {
        let current = plan.is_some();
        let kept = || before.clusters.get(&key).and_then(|view| view.plan.clone());
        let plan = plan.map(Arc::new).or_else(kept);
        for record in plan.iter().flat_map(|plan| fill(plan, None, |_, _| None)) {
            self.records
                .entry(record.domain.clone())
                .or_default()
                .push(record);
        }
        self.clusters.insert(key, ClusterView { plan, current });
    }

    fn note(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            let named = problem.resource.as_deref().unwrap_or_default();
            let Some((kind, name)) = named.split_once('/') else {
                continue;
            };
            if let Some(kind) = Kind::named(kind) {
                let key = Key::new(problem.namespace.clone(), name);
                self.problems.entry((kind, key)).or_default().push(problem);
            }
        }
    }

    /// What is wrong with an object.
    #[must_use]
    pub fn problems(&self, kind: Kind, key: &Key) -> &[Problem] {
        self.problems
            .get(&(kind, key.clone()))
            .map(Vec::as_slice)
            .unwrap_or_default()
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

    /// Every object.
    pub fn keys(&self) -> impl Iterator<Item = (Kind, Key)> + '_ {
        self.marks.keys().cloned()
    }

    /// Objects whose status may differ from before.
    pub fn changed<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (Kind, Key)> + 'a {
        let marks = self.marks.iter();
        marks
            .filter(|(object, mark)| before.marks.get(*object) != Some(*mark))
            .map(|(object, _)| object.clone())
    }

    fn marked(&self) -> BTreeMap<(Kind, Key), u64> {
        let mut marks = BTreeMap::new();
        self.mark(
            &mut marks,
            Kind::MailCluster,
            &self.objects.clusters,
            |key, _, hash| {
                let plan = self.clusters.get(key).and_then(|view| view.plan.as_ref());
                plan.map(|plan| (plan.domains.len(), plan.mailboxes.len()))
                    .hash(hash);
            },
        );
        self.mark(
            &mut marks,
            Kind::MailDomain,
            &self.objects.domains,
            |_, domain, hash| {
                let name = &domain.spec.domain;
                self.served.get(name).hash(hash);
                for record in self.records.get(name).into_iter().flatten() {
                    (&record.name, record.kind, &record.data, record.ttl).hash(hash);
                }
                for key in self.dkim(domain) {
                    (&key.selector, key.phase, key.since.as_second()).hash(hash);
                }
                self.dns_of(domain).hash(hash);
            },
        );
        self.mark(
            &mut marks,
            Kind::Mailbox,
            &self.objects.mailboxes,
            |_, _, _| {},
        );
        self.mark(
            &mut marks,
            Kind::OutboundIP,
            &self.objects.outbound_ips,
            |_, _, _| {},
        );
        self.mark(
            &mut marks,
            Kind::MailingList,
            &self.objects.mailing_lists,
            |_, _, _| {},
        );
        marks
    }

    /// What a domain's objects depend on of its MailCluster.
    fn dns_of(&self, domain: &MailDomain) -> String {
        let cluster = self.served.get(&domain.spec.domain);
        let cluster = cluster.and_then(|key| self.objects.clusters.get(key));
        cluster
            .map(|cluster| {
                format!(
                    "{:?} {:?} {}",
                    cluster.spec.dns, cluster.spec.dkim, cluster.spec.paused
                )
            })
            .unwrap_or_default()
    }

    fn mark<K: Resource>(
        &self,
        marks: &mut BTreeMap<(Kind, Key), u64>,
        kind: Kind,
        objects: &BTreeMap<Key, Arc<K>>,
        more: impl Fn(&Key, &K, &mut DefaultHasher),
    ) {
        for (key, object) in objects {
            let mut hash = DefaultHasher::new();
            object.meta().generation.hash(&mut hash);
            object.meta().annotations.hash(&mut hash);
            for problem in self.problems(kind, key) {
                problem.said().hash(&mut hash);
            }
            more(key, object, &mut hash);
            marks.insert((kind, key.clone()), hash.finish());
        }
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
fn managed(domains: &[Located<MailDomain>], keys: &Keys) -> BTreeMap<DomainName, ManagedDkim> {
    let mut managed = BTreeMap::new();
    for domain in domains {
        let name = domain.object.spec.domain.clone();
        let owner = (domain.object.namespace().unwrap_or_default(), name.clone());
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
        let inventory = Inventory {
            clusters: vec![object(
                "mail",
                0,
                "MailCluster",
                &json!({"hostname": "mail.example.test", "allowedNamespaces": {"from": "All"}}),
            )],
            domains: vec![
                object("a-thief", 9, "MailDomain", &domain),
                object("mail", 1, "MailDomain", &domain),
            ],
            ..Inventory::default()
        };
        let keys = vec![key("a-thief", "thief"), key("mail", "own")];
        let snapshot = Snapshot::compile(inventory, keys, &Snapshot::default());
        let name: DomainName = "example.test".parse().unwrap();
        let plan = snapshot.clusters[&Key::new("mail", "a")].plan.clone();
        let plan = plan.unwrap();
        let signing = plan.domains[&name].dkim.iter();
        let signing: Vec<_> = signing.map(|key| key.selector.as_str()).collect();
        assert_eq!(signing, ["own"]);
        let records = snapshot.records[&name].iter();
        let keys = records.filter(|record| record.name.contains("._domainkey."));
        let names: Vec<_> = keys.map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["own._domainkey.example.test"]);
    }
}
