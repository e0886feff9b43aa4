//! The clean stop.

use std::time::Duration;

use mailpods_net::{Stage, Tracker, Trigger};

/// Ends sessions and workers within `grace`, and cuts what is left. Sessions that only wait end within `spread`, one after the
/// other. Listeners are to be closed before.
pub async fn finish(trigger: &Trigger, tracker: &Tracker, grace: Duration, spread: Duration) {
    tracing::info!(running = tracker.running(), ?grace, "stopping");
    trigger.advance(Stage::StopAccepting);
    trigger.drain_over(spread);
    let drained = tracker.finish(trigger, grace).await;
    tracing::info!(finished = drained.finished, cut = drained.cut, "stopped");
}
