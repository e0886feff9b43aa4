//! What the store tells Prometheus.

use std::sync::{Arc, Weak};
use std::time::Duration;

use mailpods_telemetry::metrics::{COUNT, Histogram, LATENCY_SECONDS, MetricsError, Registry};

use super::SqliteStore;
use super::shared::Shared;

/// Reads one number at each scrape.
type Read = fn(&Shared) -> u64;

/// Observed by the writer for each group.
#[derive(Debug)]
pub(super) struct WriterMetrics {
    commit_seconds: Histogram,
    group_jobs: Histogram,
}

impl WriterMetrics {
    pub(super) fn group(&self, jobs: usize, time: Duration) {
        self.commit_seconds.observe_duration((), time);
        self.group_jobs.observe((), jobs as f64);
    }
}

impl SqliteStore {
    /// Adds the store's metrics to a registry; they stay with the first one that is given.
    ///
    /// # Errors
    /// [`MetricsError`] when names of these metrics are taken.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), MetricsError> {
        let shared = &self.core.shared;
        let writer = WriterMetrics {
            commit_seconds: registry.histogram(
                "mailpods_store_commit_seconds",
                "Time the writer took for a group of jobs, commit included.",
                &[],
                LATENCY_SECONDS,
            )?,
            group_jobs: registry.histogram(
                "mailpods_store_group_jobs",
                "Jobs that shared a commit.",
                &[],
                COUNT,
            )?,
        };
        let observed: [(&str, &str, Read); 2] = [
            (
                "mailpods_store_jobs_waiting",
                "Jobs that wait for the writer.",
                |shared| shared.statistics().waiting,
            ),
            (
                "mailpods_store_trace_dropped",
                "Trace events dropped because their buffer was full.",
                |shared| shared.trace.dropped(),
            ),
        ];
        for (name, help, read) in observed {
            let shared: Weak<Shared> = Arc::downgrade(shared);
            registry.observed_gauge(name, help, move || {
                shared.upgrade().map(|shared| read(&shared) as f64)
            })?;
        }
        // Somebody else may have registered before: then the writer goes on with theirs.
        let _ = shared.metrics.set(writer);
        Ok(())
    }
}
