//! Numbers about the store and the queue.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::Shutdown;
use mailpods_store::QueueStore;
use mailpods_store::sqlite::{SqliteStore, Statistics};
use mailpods_telemetry::error_chain;
use mailpods_telemetry::metrics::{Gauge, Label, MetricsError, Registry};

/// How often the queue is counted.
const INTERVAL: Duration = Duration::from_secs(10);

/// What the writer has done, read when the metrics are.
///
/// # Errors
/// When a name is taken.
pub fn store(sqlite: &SqliteStore, registry: &Registry) -> Result<(), MetricsError> {
    type Pick = fn(Statistics) -> f64;
    let numbers: [(&str, &str, Pick); 5] = [
        ("mailpods_store_commits", "Commits since the start.", |s| {
            s.commits as f64
        }),
        ("mailpods_store_jobs", "Writes in these commits.", |s| {
            s.jobs as f64
        }),
        (
            "mailpods_store_jobs_waiting",
            "Writes that wait for the next commit.",
            |s| s.waiting as f64,
        ),
        (
            "mailpods_store_busy_seconds",
            "Time that the writer was at work.",
            |s| s.busy_micros as f64 / 1e6,
        ),
        (
            "mailpods_store_trace_dropped",
            "Trace events dropped because the buffer was full.",
            |s| s.trace_dropped as f64,
        ),
    ];
    for (name, help, pick) in numbers {
        let sqlite = sqlite.clone();
        registry.observed_gauge(name, help, move || Some(pick(sqlite.statistics())))?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum State {
    Ready,
    Deferred,
    Held,
}

impl Label for State {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Deferred => "deferred",
            Self::Held => "held",
        }
    }
}

/// Counts the queue from time to time, until the stop.
///
/// # Errors
/// When a name is taken.
pub fn queue(
    queue: Arc<dyn QueueStore>,
    registry: &Registry,
    stop: Shutdown,
) -> Result<impl Future<Output = ()> + Send + 'static, MetricsError> {
    let units = registry.gauge(
        "mailpods_queue_units",
        "Parts of messages on their way, by state.",
        &["state"],
    )?;
    let age = registry.gauge(
        "mailpods_queue_oldest_seconds",
        "Age of the oldest message on its way; 0: none.",
        &[],
    )?;
    Ok(async move {
        loop {
            count(queue.as_ref(), &units, &age).await;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.drain() => return,
            }
        }
    })
}

async fn count(queue: &dyn QueueStore, units: &Gauge<State>, age: &Gauge) {
    let now = unix_millis();
    match queue.totals(now).await {
        Ok(totals) => {
            let pairs = [
                (State::Ready, totals.ready),
                (State::Deferred, totals.deferred),
                (State::Held, totals.held),
            ];
            for (state, count) in pairs {
                units.set(state, i64::try_from(count).unwrap_or(i64::MAX));
            }
            let oldest = if totals.oldest == 0 {
                0
            } else {
                (now - totals.oldest).max(0) / 1000
            };
            age.set((), oldest);
        }
        Err(error) => tracing::warn!(error = error_chain(&error), "failed to count the queue"),
    }
}

fn unix_millis() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
