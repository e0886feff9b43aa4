//! What pods told last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_api::v1alpha1::OutboundIP;
use mailpods_plan::Role;
use mailpods_rpc::control::{AddressObservation, Observations};
use tokio::time::Instant;

use crate::cluster::status::pool;
use crate::kube::Key;
use crate::world::World;
use crate::world::snapshot::Kind;

/// A pod that says nothing for so long is not counted.
const FRESH: Duration = Duration::from_secs(60);
/// Pods of one MailCluster.
const MAX_PODS: usize = 1_000;
/// Longest name of a pod.
const MAX_NAME: usize = 253;

/// Pods of MailClusters by name, each with what it told and when.
type Pods = HashMap<Key, HashMap<String, (Observations, Instant)>>;

/// What pods told last.
pub struct Observed {
    world: Arc<World>,
    pods: Mutex<Pods>,
}

impl Observed {
    /// Nothing was told yet.
    #[must_use]
    pub fn new(world: Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world,
            pods: Mutex::default(),
        })
    }

    /// Keeps what a pod of a MailCluster tells; what it is about is looked at when that matters.
    pub fn tell(&self, cluster: &Key, observations: Observations) {
        let news = self.keep(cluster, observations);
        if news.matters {
            self.world.wish(Kind::MailCluster, cluster.clone());
        }
        if !news.addresses.is_empty() {
            self.wish_addresses(cluster, &news.addresses);
        }
    }

    /// OutboundIPs of a MailCluster are looked at.
    fn wish_addresses(&self, cluster: &Key, names: &[String]) {
        let snapshot = self.world.snapshot();
        let ips = snapshot.objects.outbound_ips.iter();
        let is_named = |key: &Key, ip: &OutboundIP| {
            names.contains(&key.name) || names.contains(&ip.spec.address.to_string())
        };
        let named = ips.filter(|(key, ip)| is_named(key, ip) && may_tell(cluster, key, ip));
        for (key, _) in named {
            self.world.wish(Kind::OutboundIP, key.clone());
        }
    }

    /// What pods told of an OutboundIP, the newest change first: they share what is known of it. Pods of a MailCluster that it is not of
    /// are not heard.
    #[must_use]
    pub fn address(&self, key: &Key, ip: &OutboundIP) -> Option<AddressObservation> {
        let told = self.addresses(key, ip).into_iter();
        told.max_by_key(|told| (told.since, told.sent))
    }

    /// What each pod told of an OutboundIP.
    #[must_use]
    pub fn addresses(&self, key: &Key, ip: &OutboundIP) -> Vec<AddressObservation> {
        let (all, address) = (self.lock(), ip.spec.address.to_string());
        let heard = all
            .iter()
            .filter(|(cluster, _)| may_tell(cluster, key, ip))
            .flat_map(|(_, pods)| pods.values())
            .filter(|(_, at)| at.elapsed() < FRESH);
        let told = heard.flat_map(|(told, _)| &told.addresses);
        let own = told.filter(|told| told.name == key.name && told.address == address);
        own.cloned().collect()
    }

    /// The egress proxies that may have an OutboundIP, by name of the pod, and whether each does.
    #[must_use]
    pub fn proxies(&self, key: &Key, ip: &OutboundIP) -> Vec<(String, bool)> {
        let (all, address) = (self.lock(), ip.spec.address.to_string());
        let heard = all
            .iter()
            .filter(|(cluster, _)| may_tell(cluster, key, ip))
            .flat_map(|(_, pods)| pods.values())
            .filter(|(told, at)| at.elapsed() < FRESH && told.role == Role::Egress.as_str());
        let mut proxies: Vec<(String, bool)> = heard
            .map(|(told, _)| (told.pod.clone(), told.plumbed.contains(&address)))
            .collect();
        proxies.sort();
        proxies
    }

    /// Keeps what a pod tells; what is new in it.
    fn keep(&self, cluster: &Key, observations: Observations) -> News {
        let mut all = self.lock();
        // Those of a MailCluster that is gone stay no longer than their pods.
        all.retain(|_, pods| pods.values().any(|(_, at)| at.elapsed() < FRESH));
        let pods = all.entry(cluster.clone()).or_default();
        if !pods.contains_key(&observations.pod) && pods.len() >= MAX_PODS {
            pods.retain(|_, (_, at)| at.elapsed() < FRESH);
        }
        // One that tells under more and more names is not heard any more, and takes no memory.
        let room = pods.contains_key(&observations.pod) || pods.len() < MAX_PODS;
        if !room || observations.pod.len() > MAX_NAME {
            tracing::warn!(%cluster, "a pod too many tells of itself; it is not heard");
            return News::default();
        }
        // One that was not counted any more counts again, whatever it tells.
        let before = pods.get(&observations.pod);
        let before = before.filter(|(_, at)| at.elapsed() < FRESH);
        let news = News::between(before.map(|(before, _)| before), &observations);
        pods.insert(observations.pod.clone(), (observations, Instant::now()));
        news
    }

    /// What the pods of a MailCluster told, by name.
    #[must_use]
    pub fn pods(&self, cluster: &Key) -> Vec<Observations> {
        let all = self.lock();
        let mut told: Vec<Observations> = all
            .get(cluster)
            .into_iter()
            .flat_map(HashMap::values)
            .filter(|(_, at)| at.elapsed() < FRESH)
            .map(|(observations, _)| observations.clone())
            .collect();
        told.sort_by(|a, b| a.pod.cmp(&b.pod));
        told
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        // Each change is whole before the lock is given back.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is new in what a pod tells.
#[derive(Debug, Default)]
struct News {
    /// The status of its MailCluster is to be looked at.
    matters: bool,
    /// Names or addresses of OutboundIPs of which it tells something else than before.
    addresses: Vec<String>,
}

impl News {
    fn between(before: Option<&Observations>, now: &Observations) -> Self {
        let known = before.map_or(&[][..], |before| &before.addresses);
        let changed = now.addresses.iter().filter(|one| !known.contains(one));
        let changed = changed.map(|one| one.name.clone());
        let here = before.map_or(&[][..], |before| &before.plumbed);
        let came = now.plumbed.iter().filter(|one| !here.contains(one));
        let went = here.iter().filter(|one| !now.plumbed.contains(one));
        Self {
            matters: before.is_none_or(|before| matters(before, now)),
            addresses: changed.chain(came.chain(went).cloned()).collect(),
        }
    }
}

/// Whether pods of a MailCluster send from an OutboundIP, and are heard about it, which is in the namespace of its MailCluster.
pub fn may_tell(cluster: &Key, key: &Key, ip: &OutboundIP) -> bool {
    let named = ip.spec.cluster_ref.as_ref();
    cluster.namespace == key.namespace
        && named.is_none_or(|reference| reference.name == cluster.name)
}

/// Whether a status is written at once for what is new; counts wait for the next look.
fn matters(before: &Observations, now: &Observations) -> bool {
    before.ready != now.ready
        || before.store_reachable != now.store_reachable
        || before.certificate_not_after != now.certificate_not_after
        || before.version != now.version
        || before.suspended != now.suspended
        // Providers come and go by themselves.
        || !before.short.iter().map(|told| pool(told)).eq(now.short.iter().map(|told| pool(told)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(pod: String) -> Observations {
        Observations {
            pod,
            ..Observations::default()
        }
    }

    #[tokio::test]
    async fn pods_of_a_mail_cluster_are_heard_about_its_addresses_alone() {
        let ip: OutboundIP = serde_json::from_value(json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "OutboundIP",
            "metadata": {"name": "one", "namespace": "mail"},
            "spec": {"address": "192.0.2.1", "hostname": "out.example.test", "clusterRef": {"name": "main"}},
        }))
        .unwrap();
        let (observed, key) = (Observed::new(World::new(None)), Key::new("mail", "one"));
        let tell = |namespace: &str, cluster: &str, address: &str| {
            let seen = AddressObservation {
                name: "one".to_owned(),
                address: address.to_owned(),
                ..AddressObservation::default()
            };
            let told = Observations {
                addresses: vec![seen],
                ..told("pod".to_owned())
            };
            observed.tell(&Key::new(namespace, cluster), told);
        };
        tell("other", "main", "192.0.2.1");
        tell("mail", "second", "192.0.2.1");
        tell("mail", "main", "192.0.2.2");
        assert_eq!(observed.address(&key, &ip), None);
        tell("mail", "main", "192.0.2.1");
        assert!(observed.address(&key, &ip).is_some());
        assert_eq!(observed.proxies(&key, &ip), []);
        for (cluster, name, plumbed) in [
            ("main", "b", vec!["192.0.2.1".to_owned()]),
            ("main", "a", vec![]),
            ("second", "c", vec!["192.0.2.1".to_owned()]),
        ] {
            let seen = Observations {
                role: "egress".to_owned(),
                plumbed,
                ..told(name.to_owned())
            };
            observed.tell(&Key::new("mail", cluster), seen);
        }
        let wanted = [("a".to_owned(), false), ("b".to_owned(), true)];
        assert_eq!(observed.proxies(&key, &ip), wanted);
    }

    #[test]
    fn an_address_that_comes_to_a_node_or_leaves_it_is_news() {
        let told = |plumbed: &[&str]| Observations {
            plumbed: plumbed.iter().map(|&one| one.to_owned()).collect(),
            ..told("pod".to_owned())
        };
        let news = News::between(Some(&told(&["a", "b"])), &told(&["b", "c"]));
        assert_eq!(news.addresses, ["c", "a"]);
        assert!(
            News::between(Some(&told(&["a"])), &told(&["a"]))
                .addresses
                .is_empty()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_was_silent_for_long_is_news_again() {
        let observed = Observed::new(World::new(None));
        let cluster = Key::new("mail", "main");
        let matters = |pod: &str| observed.keep(&cluster, told(pod.to_owned())).matters;
        assert!(matters("pod") && matters("other"));
        tokio::time::advance(FRESH / 2).await;
        assert!(!matters("other"));
        tokio::time::advance(FRESH / 2).await;
        assert!(matters("pod"));
        assert!(!matters("pod"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_of_many_names_takes_bounded_memory_until_its_names_are_old() {
        let observed = Observed::new(World::new(None));
        let (cluster, other) = (Key::new("mail", "main"), Key::new("mail", "other"));
        for count in 0..MAX_PODS + 10 {
            observed.tell(&cluster, told(format!("pod-{count}")));
        }
        observed.tell(&cluster, told("x".repeat(MAX_NAME + 1)));
        observed.tell(&other, told("pod".to_owned()));
        assert_eq!(observed.pods(&cluster).len(), MAX_PODS);
        assert_eq!(observed.pods(&other).len(), 1);
        tokio::time::advance(FRESH).await;
        observed.tell(&other, told("pod".to_owned()));
        assert_eq!(observed.pods(&cluster).len(), 0);
        assert!(!observed.lock().contains_key(&cluster));
    }
}
