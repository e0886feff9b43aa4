//! What pods told last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_rpc::control::Observations;
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
        let told = (observations.clone(), now);
        let before = pods.insert(pod, told).map(|(before, _)| before);
        if before.is_none_or(|before| matters(&before) != matters(&observations)) {
            self.world.wish(Kind::MailCluster, cluster.clone());
        }
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
