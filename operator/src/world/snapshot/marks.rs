//! What each object's status depends on, as a hash: who is to be looked at again.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kube::Resource;
use mailpods_api::v1alpha1::{MailCluster, MailDomain};

use super::{ByKey, Edits, Kind, Marks, Snapshot};
use crate::kube::Key;

impl Snapshot {
    /// Every object.
    pub fn keys(&self) -> impl Iterator<Item = (Kind, Arc<Key>)> + '_ {
        let kinds = self.marks.iter();
        kinds.flat_map(|(kind, marks)| marks.iter().map(|(key, _)| (*kind, key.clone())))
    }

    /// Objects whose status may differ from before.
    #[must_use]
    pub fn changed(&self, before: &Self) -> Vec<(Kind, Arc<Key>)> {
        let mut changed = Vec::new();
        for (kind, marks) in &self.marks {
            let known = before.marks.get(kind);
            if known.is_some_and(|known| Arc::ptr_eq(known, marks)) {
                continue;
            }
            // Both are sorted: one walk over the two.
            let mut known = known.into_iter().flat_map(|known| known.iter()).peekable();
            for (key, mark) in marks.iter() {
                while known.next_if(|(other, _)| other < key).is_some() {}
                let same = known.next_if(|(other, _)| other == key);
                if same.is_none_or(|(_, other)| other != mark) {
                    changed.push((*kind, key.clone()));
                }
            }
        }
        changed
    }

    pub(super) fn marked(&self) -> BTreeMap<Kind, Marks> {
        let objects = &self.objects;
        let dns = self.dns_of_clusters();
        [
            self.mark(Kind::MailCluster, &objects.clusters, |key, _, hash| {
                self.hash_cluster(key, hash);
            }),
            self.mark(Kind::MailDomain, &objects.domains, |_, domain, hash| {
                self.hash_domain(domain, &dns, hash);
            }),
            self.mark(Kind::Mailbox, &objects.mailboxes, |_, _, _| {}),
            self.mark(Kind::OutboundIP, &objects.outbound_ips, |_, _, _| {}),
            self.mark(Kind::MailingList, &objects.mailing_lists, |_, _, _| {}),
        ]
        .into()
    }

    fn hash_cluster(&self, cluster: &Key, hash: &mut DefaultHasher) {
        let view = self.clusters.get(cluster);
        let plan = view.and_then(|view| view.plan.as_ref());
        plan.map(|plan| (plan.domains.len(), plan.mailboxes.len()))
            .hash(hash);
    }

    fn hash_domain(
        &self,
        domain: &MailDomain,
        dns: &HashMap<&Key, String>,
        hash: &mut DefaultHasher,
    ) {
        let served = self.cluster_of(&domain.spec.domain);
        served.and_then(|cluster| dns.get(cluster)).hash(hash);
        served.hash(hash);
        self.packed_records(&domain.spec.domain).hash(hash);
        for key in self.dkim(domain) {
            (&key.selector, key.phase, key.since.as_second()).hash(hash);
        }
    }

    /// What a domain's objects depend on of its MailCluster.
    fn dns_of_clusters(&self) -> HashMap<&Key, String> {
        let clusters = self.objects.clusters.iter();
        let dns = |cluster: &MailCluster| {
            let spec = &cluster.spec;
            format!("{:?} {:?} {}", spec.dns, spec.dkim, spec.paused)
        };
        clusters
            .map(|(key, cluster)| (&**key, dns(cluster)))
            .collect()
    }

    fn mark<K: Resource>(
        &self,
        kind: Kind,
        objects: &ByKey<K>,
        more: impl Fn(&Key, &K, &mut DefaultHasher),
    ) -> (Kind, Marks) {
        let objects = objects.iter();
        let marks = objects.map(|(key, object)| {
            let mark = self.mark_of(kind, key, &**object, |object, hash| more(key, object, hash));
            (key.clone(), mark)
        });
        (kind, Arc::new(marks.collect()))
    }

    fn mark_of<K: Resource>(
        &self,
        kind: Kind,
        key: &Key,
        object: &K,
        more: impl FnOnce(&K, &mut DefaultHasher),
    ) -> u64 {
        let mut hash = DefaultHasher::new();
        // An object that was made anew under the name of another has a status to get.
        (&object.meta().uid, object.meta().generation).hash(&mut hash);
        object.meta().annotations.hash(&mut hash);
        for problem in self.problems(kind, key) {
            problem.said().hash(&mut hash);
        }
        more(object, &mut hash);
        hash.finish()
    }

    /// The same after a few edits.
    pub(super) fn mark_edited(&mut self, edits: &Edits) {
        let dns = self.dns_of_clusters();
        let domains = edits.domains.iter().map(|(key, domain)| {
            let mark = self.mark_of(Kind::MailDomain, key, &**domain, |domain, hash| {
                self.hash_domain(domain, &dns, hash);
            });
            (Kind::MailDomain, key.clone(), mark)
        });
        let mailboxes = edits.mailboxes.iter().map(|(key, mailbox)| {
            let mark = self.mark_of(Kind::Mailbox, key, &**mailbox, |_, _| {});
            (Kind::Mailbox, key.clone(), mark)
        });
        let clusters = self.objects.clusters.iter().map(|(key, cluster)| {
            let mark = self.mark_of(Kind::MailCluster, key, &**cluster, |_, hash| {
                self.hash_cluster(key, hash);
            });
            (Kind::MailCluster, key.clone(), mark)
        });
        let marks: Vec<_> = domains.chain(mailboxes).chain(clusters).collect();
        for (kind, key, mark) in marks {
            let all = Arc::make_mut(self.marks.entry(kind).or_default());
            match all.binary_search_by(|(other, _)| other.cmp(&key)) {
                Ok(index) => {
                    if let Some(known) = all.get_mut(index) {
                        known.1 = mark;
                    }
                }
                Err(index) => all.insert(index, (key, mark)),
            }
        }
    }
}
