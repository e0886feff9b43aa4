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

    /// Keeps what a pod of a MailCluster tells; its status is looked at when that matters.
    pub fn tell(&self, cluster: &Key, observations: Observations) {
        if self.keep(cluster, observations) {
            self.world.wish(Kind::MailCluster, cluster.clone());
        }
    }

    /// Whether something new is told that matters.
    fn keep(&self, cluster: &Key, observations: Observations) -> bool {
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
            return false;
        }
        let told = (observations.clone(), Instant::now());
        let before = pods.insert(observations.pod.clone(), told);
        before.is_none_or(|(before, _)| matters(&before) != matters(&observations))
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

/// What a status is written for at once; counts wait for the next look.
fn matters(told: &Observations) -> (bool, Option<bool>, Option<i64>, &str) {
    (
        told.ready,
        told.store_reachable,
        told.certificate_not_after,
        &told.version,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pod: String) -> Observations {
        Observations {
            pod,
            ..Observations::default()
        }
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
