//! Numbers about the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailpods_net::Shutdown;
use mailpods_store::QueueStore;
use mailpods_telemetry::error_chain;
use mailpods_telemetry::metrics::{Gauge, Label, MetricsError, Registry};

/// How often the queue is counted.
const INTERVAL: Duration = Duration::from_secs(10);
/// How much longer than a count the pause after it is.
const REST: u32 = 50;

/// How long the queue is not counted after that took `time`: where there are millions of messages that is done seldom.
#[must_use]
pub fn rest_after(time: Duration) -> Duration {
    time.saturating_mul(REST)
}

#[derive(Clone, Copy)]
enum State {
    Ready,
    Deferred,
    Held,
    Suspended,
}

impl Label for State {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Suspended => "suspended",
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
        "Age of the oldest message on its way that is neither held nor suspended; 0: none.",
        &[],
    )?;
    Ok(async move {
        loop {
            let begin = Instant::now();
            count(queue.as_ref(), &units, &age).await;
            let rest = rest_after(begin.elapsed()).max(INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
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
                (State::Suspended, totals.suspended),
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

/// Milliseconds since 1970.
#[must_use]
pub fn unix_millis() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
