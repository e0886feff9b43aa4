//! What the store tells Prometheus.

use mailpods_telemetry::metrics::{MetricsError, Registry};

use super::SqliteStore;
use super::shared::Shared;
use crate::common::metrics::{Observed, observe};

const OBSERVED: &[Observed<Shared>] = &[
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

impl SqliteStore {
    /// Adds the store's metrics to a registry; they stay with the first one that is given.
    ///
    /// # Errors
    /// [`MetricsError`] when names of these metrics are taken.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), MetricsError> {
        self.core.shared.metrics.register(registry)?;
        observe(registry, OBSERVED, &self.core.shared)
    }
}
