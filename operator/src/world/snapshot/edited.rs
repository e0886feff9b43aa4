//! A state that differs from the one before in a few resources alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::{Resource, ResourceExt as _};
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailDomain, Mailbox};
use mailpods_plan::{ProblemClass, Secrets};

use super::{ClusterView, Kind, Snapshot, by_owner, managed};
use crate::dkim::key::ManagedKey;
use crate::kube::Key;

/// Resources that changed, as they are now.
#[derive(Debug, Default)]
pub struct Edits {
    /// MailDomains.
    pub domains: Vec<(Arc<Key>, Arc<MailDomain>)>,
    /// Mailboxes, new ones too.
    pub mailboxes: Vec<(Arc<Key>, Arc<Mailbox>)>,
    /// Namespaces and domains whose DKIM keys changed.
    pub owners: BTreeSet<(String, DomainName)>,
    /// All keys of those.
    pub keys: Vec<Arc<ManagedKey>>,
}

/// What changes in the plans of the MailClusters.
type ByCluster = BTreeMap<Key, mailpods_plan::Edits>;

impl Snapshot {
    /// The next state; `None` where everything has to be compiled. It costs what changed, and copies of maps.
    #[must_use]
    pub fn edited(&self, mut edits: Edits, secrets: impl FnOnce() -> Arc<Secrets>) -> Option<Self> {
        let mut next = self.shared();
        next.take_keys(&mut edits)?;
        let mut plans = ByCluster::new();
        for (key, domain) in &edits.domains {
            self.edit_domain(&mut plans, key, domain)?;
        }
        for (key, mailbox) in &edits.mailboxes {
            self.edit_mailbox(&mut plans, key, mailbox)?;
        }
        if !edits.domains.is_empty() {
            Arc::make_mut(&mut next.objects.domains).extend(edits.domains.iter().cloned());
        }
        if !edits.mailboxes.is_empty() {
            Arc::make_mut(&mut next.objects.mailboxes).extend(edits.mailboxes.iter().cloned());
        }
        let secrets = secrets();
        for (cluster, changes) in plans {
            next.edit_plan(&cluster, changes, &secrets)?;
        }
        next.mark_edited(&edits);
        Some(next)
    }

    /// The same state; everything is shared.
    pub(crate) fn shared(&self) -> Self {
        Self {
            complete: self.complete,
            clusters: self.clusters.clone(),
            objects: self.objects.clone(),
            served: self.served.clone(),
            records: self.records.clone(),
            keys: self.keys.clone(),
            contested: self.contested.clone(),
            problems: self.problems.clone(),
            marks: self.marks.clone(),
        }
    }

    /// Takes over the keys that changed; their domains change with them.
    fn take_keys(&mut self, edits: &mut Edits) -> Option<()> {
        if edits.owners.is_empty() {
            return Some(());
        }
        // A Secret that came may be what something waited for.
        if self.misses_something() {
            return None;
        }
        let mut new = by_owner(std::mem::take(&mut edits.keys));
        let keys = Arc::make_mut(&mut self.keys);
        for owner in &edits.owners {
            match new.remove(owner) {
                Some(own) => drop(keys.insert(owner.clone(), own)),
                None => drop(keys.remove(owner)),
            }
            // Keys of a domain that has not its name, or is in no plan, are looked at with everything.
            let planned = &self.records.get(&owner.1)?.domain;
            let key = Key::of(&planned.metadata);
            if key.namespace != owner.0 {
                return None;
            }
            if !edits.domains.iter().any(|(other, _)| **other == key) {
                let (key, domain) = self.objects.domains.get_key_value(&key)?;
                edits.domains.push((key.clone(), domain.clone()));
            }
        }
        Some(())
    }

    fn misses_something(&self) -> bool {
        let mut all = self
            .problems
            .values()
            .flat_map(|kind| kind.values().flatten());
        all.any(|problem| problem.class == ProblemClass::Missing)
    }

    fn edit_domain(&self, plans: &mut ByCluster, key: &Key, after: &Arc<MailDomain>) -> Option<()> {
        let before = self.objects.domains.get(key)?;
        let name = &before.spec.domain;
        let has_name = Key::of(&self.records.get(name)?.domain.metadata) == *key;
        if !has_name
            || !is_same(&**before, &**after)
            || !self.problems(Kind::MailDomain, key).is_empty()
        {
            return None;
        }
        let plan = plans.entry(self.cluster_of(name)?.clone()).or_default();
        plan.domains.push((before.clone(), after.clone()));
        Some(())
    }

    fn edit_mailbox(&self, plans: &mut ByCluster, key: &Key, after: &Arc<Mailbox>) -> Option<()> {
        if !self.problems(Kind::Mailbox, key).is_empty() {
            return None;
        }
        let name = after.spec.address.domain();
        let mut clusters = self.clusters.iter();
        let (cluster, domain) = clusters.find_map(|(cluster, view)| {
            let domain = view.plan.as_ref()?.names.get(name)?;
            Some((cluster, domain))
        })?;
        let plan = plans.entry(cluster.clone()).or_default();
        match self.objects.mailboxes.get(key) {
            Some(before) if is_same(&**before, &**after) => {
                plan.mailboxes.push((before.clone(), after.clone()));
            }
            Some(_) => return None,
            None => {
                let owner = self
                    .records
                    .get(&domain.name)?
                    .domain
                    .metadata
                    .namespace
                    .as_ref();
                let may_be_there =
                    owner == Some(&key.namespace) || cluster.namespace == key.namespace;
                if !may_be_there
                    || self.misses_something()
                    || !self.has_postmaster_before(cluster, after)
                {
                    return None;
                }
                plan.new_mailboxes.push(after.clone());
            }
        }
        Some(())
    }

    /// Whether mail for postmaster goes where it went when a Mailbox is new: where nobody is named, to the first one, and objects of the
    /// same second come in any order.
    fn has_postmaster_before(&self, cluster: &Key, new: &Mailbox) -> bool {
        let named = self.objects.clusters.get(cluster);
        let is_named = named.is_some_and(|cluster| cluster.spec.postmaster.is_some());
        let created = new.creation_timestamp();
        let is_before = |(key, mailbox): (&Arc<Key>, &Arc<Mailbox>)| {
            mailbox.spec.enabled
                && mailbox.creation_timestamp() < created
                && self.cluster_of(mailbox.spec.address.domain()) == Some(cluster)
                && self.problems(Kind::Mailbox, key).is_empty()
        };
        // The first that is found is enough, and nearly every one is older.
        is_named || self.objects.mailboxes.iter().any(is_before)
    }

    fn edit_plan(
        &mut self,
        key: &Key,
        changes: mailpods_plan::Edits,
        secrets: &Arc<Secrets>,
    ) -> Option<()> {
        let view = self.clusters.get(key).filter(|view| view.current)?;
        let (before, cluster) = (view.plan.clone()?, self.objects.clusters.get(key)?.clone());
        let domains: Vec<_> = changes
            .domains
            .iter()
            .map(|(_, after)| after.clone())
            .collect();
        let dkim = managed(domains.iter(), &self.keys);
        let changes = mailpods_plan::Edits {
            dkim: dkim.clone(),
            secrets: secrets.clone(),
            ..changes
        };
        let plan = mailpods_plan::edit(&before, &cluster, changes)?;
        if !domains.is_empty() {
            self.add_records(&cluster, &plan, (&domains, &dkim), &Self::default());
        }
        let view = ClusterView {
            plan: Some(Arc::new(plan)),
            current: true,
        };
        self.clusters.insert(key.clone(), view);
        Some(())
    }
}

/// Whether it is the same object, and not one that was made anew: its age decides, too.
fn is_same<K: Resource>(before: &K, after: &K) -> bool {
    let (before, after) = (before.meta(), after.meta());
    before.uid.is_some()
        && (&before.uid, &before.creation_timestamp) == (&after.uid, &after.creation_timestamp)
}

#[cfg(test)]
mod tests;
