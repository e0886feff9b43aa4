//! What pods told last.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_rpc::control::{AddressObservation, Observations};
use tokio::time::Instant;

use crate::kube::Key;
use crate::world::World;
use crate::world::snapshot::Kind;

/// A pod that says nothing for so long is not counted.
const FRESH: Duration = Duration::from_secs(60);
/// Pods of all MailClusters.
const MAX_PODS: usize = 10_000;

/// What pods told last.
pub struct Observed {
    world: Arc<World>,
    pods: Mutex<HashMap<(Key, String), (Observations, Instant)>>,
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

    /// Keeps what a pod of a MailCluster tells; its status is looked at when that matters.
    pub fn tell(&self, cluster: &Key, observations: Observations) {
        let mut pods = self.lock();
        let now = Instant::now();
        if pods.len() >= MAX_PODS {
            pods.retain(|_, (_, at)| at.elapsed() < FRESH);
        }
        let pod = (cluster.clone(), observations.pod.clone());
        let addresses = observations.addresses.clone();
        let told = (observations.clone(), now);
        let before = pods.insert(pod, told).map(|(before, _)| before);
        let before_addresses = before.as_ref().map(|before| before.addresses.clone());
        let before_addresses = before_addresses.unwrap_or_default();
        if before.is_none_or(|before| matters(&before) != matters(&observations)) {
            self.world.wish(Kind::MailCluster, cluster.clone());
        }
        drop(pods);
        self.tell_addresses(&addresses, before_addresses);
    }

    /// OutboundIPs whose state changed are looked at.
    fn tell_addresses(&self, now: &[AddressObservation], before: Vec<AddressObservation>) {
        let changed: Vec<&str> = now
            .iter()
            .filter(|address| !before.contains(address))
            .map(|address| address.name.as_str())
            .collect();
        if changed.is_empty() {
            return;
        }
        let snapshot = self.world.snapshot();
        let keys = snapshot.objects.outbound_ips.keys();
        for key in keys.filter(|key| changed.contains(&key.name.as_str())) {
            self.world.wish(Kind::OutboundIP, key.clone());
        }
    }

    /// What pods told of an address, the newest change first: they share what is known of it.
    #[must_use]
    pub fn address(&self, name: &str, address: IpAddr) -> Option<AddressObservation> {
        let (pods, address) = (self.lock(), address.to_string());
        let fresh = pods.values().filter(|(_, at)| at.elapsed() < FRESH);
        let told = fresh.flat_map(|(told, _)| &told.addresses);
        let own = told.filter(|told| told.name == name && told.address == address);
        own.max_by_key(|told| (told.since, told.sent)).cloned()
    }

    /// What the pods of a MailCluster told, by name.
    #[must_use]
    pub fn pods(&self, cluster: &Key) -> Vec<Observations> {
        let pods = self.lock();
        let mut told: Vec<Observations> = pods
            .iter()
            .filter(|((of, _), (_, at))| of == cluster && at.elapsed() < FRESH)
            .map(|(_, (observations, _))| observations.clone())
            .collect();
        told.sort_by(|a, b| a.pod.cmp(&b.pod));
        told
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Key, String), (Observations, Instant)>> {
        // Each change is a single insert or remove.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a status is written for at once; counts wait for the next look.
fn matters(told: &Observations) -> (bool, Option<bool>, Option<i64>, &str) {
    (
        told.ready,
        told.store_reachable,
        told.certificate_not_after,
        &told.version,
    )
}
