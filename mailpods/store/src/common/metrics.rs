//! What every back end tells Prometheus.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use mailpods_telemetry::metrics::{COUNT, Histogram, LATENCY_SECONDS, MetricsError, Registry};

/// Name, help, and how to read the number at each scrape.
pub(crate) type Observed<S> = (&'static str, &'static str, fn(&S) -> u64);

/// Observed by writers for each group; empty until somebody registers them.
#[derive(Debug, Default)]
pub(crate) struct WriterMetrics(OnceLock<Histograms>);

#[derive(Debug)]
struct Histograms {
    commit_seconds: Histogram,
    group_jobs: Histogram,
}

impl WriterMetrics {
    /// A group that was carried out.
    pub(crate) fn group(&self, jobs: usize, time: Duration) {
        if let Some(histograms) = self.0.get() {
            histograms.commit_seconds.observe_duration((), time);
            histograms.group_jobs.observe((), jobs as f64);
        }
    }

    /// Adds them to a registry; they stay with the first one that is given.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), MetricsError> {
        let histograms = Histograms {
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
        // Somebody else may have registered before: then the writers go on with theirs.
        let _ = self.0.set(histograms);
        Ok(())
    }
}

/// Adds gauges that are read at each scrape, as long as what they read is there.
pub(crate) fn observe<S: Send + Sync + 'static>(
    registry: &Registry,
    observed: &'static [Observed<S>],
    shared: &Arc<S>,
) -> Result<(), MetricsError> {
    for (name, help, read) in observed {
        let shared: Weak<S> = Arc::downgrade(shared);
        registry.observed_gauge(name, help, move || {
            shared.upgrade().map(|shared| read(&shared) as f64)
        })?;
    }
    Ok(())
}
