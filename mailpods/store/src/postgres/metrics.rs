//! What the store tells Prometheus.

use std::sync::atomic::Ordering;

use mailpods_telemetry::metrics::{MetricsError, Registry};

use super::PostgresStore;
use super::shared::Shared;
use crate::common::metrics::{Observed, observe};

const OBSERVED: &[Observed<Shared>] = &[
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
        self.core.shared.metrics.register(registry)?;
        observe(registry, OBSERVED, &self.core.shared)
    }
}
