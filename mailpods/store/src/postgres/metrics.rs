//! What the store tells Prometheus.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mailpods_telemetry::metrics::{COUNT, Histogram, LATENCY_SECONDS, MetricsError, Registry};

use super::PostgresStore;
use super::shared::Shared;

/// Reads one number at each scrape.
type Read = fn(&Shared) -> u64;

/// Observed by the writers for each group.
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

/// Names, helps and how to read them.
const OBSERVED: [(&str, &str, Read); 8] = [
    (
        "mailpods_store_jobs_waiting",
        "Jobs that wait for a writer.",
        |shared| shared.stats.waiting.load(Ordering::Relaxed),
    ),
    (
        "mailpods_store_trace_dropped",
        "Trace events dropped because their buffer was full.",
        |shared| shared.trace.dropped(),
    ),
    (
        "mailpods_store_connections_used",
        "Connections to the database in use.",
        |shared| shared.pool.sizes(shared.options.max_connections).0 as u64,
    ),
    (
        "mailpods_store_connections_idle",
        "Connections to the database that wait for use.",
        |shared| shared.pool.sizes(shared.options.max_connections).1 as u64,
    ),
    (
        "mailpods_store_connection_waits",
        "Calls that had to wait for a connection, since the start.",
        |shared| shared.pool.stats.waited.load(Ordering::Relaxed),
    ),
    (
        "mailpods_store_connections_opened",
        "Connections opened to the database, since the start.",
        |shared| shared.pool.stats.opened.load(Ordering::Relaxed),
    ),
    (
        "mailpods_store_connection_failures",
        "Failed attempts to reach the database, since the start.",
        |shared| shared.pool.stats.failed.load(Ordering::Relaxed),
    ),
    (
        "mailpods_store_doubtful_commits",
        "Commits whose end was unknown and looked up, since the start.",
        |shared| shared.stats.doubtful.load(Ordering::Relaxed),
    ),
];

impl PostgresStore {
    /// Adds the store's metrics to a registry; they stay with the first one that is given.
    ///
    /// # Errors
    /// [`MetricsError`] when names of these metrics are taken.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), MetricsError> {
        let shared = &self.core.shared;
        let writer = WriterMetrics {
            commit_seconds: registry.histogram(
                "mailpods_store_commit_seconds",
                "Time a writer took for a group of jobs, commit included.",
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
        for (name, help, read) in OBSERVED {
            let shared: Weak<Shared> = Arc::downgrade(shared);
            registry.observed_gauge(name, help, move || {
                shared.upgrade().map(|shared| read(&shared) as f64)
            })?;
        }
        // Somebody else may have registered before: then the writers go on with theirs.
        let _ = shared.metrics.set(writer);
        Ok(())
    }
}
