//! What the filter counts.

use std::time::Duration;

use mailpods_policy::Reason;
use mailpods_rpc::{Action, Mechanism, Verdict};
use mailpods_telemetry::metrics::{
    Counter, Histogram, LATENCY_SECONDS, Label, MetricsError, Registry,
};

/// Counters of checks and verdicts.
#[derive(Debug, Clone)]
pub struct Metrics {
    checks: Counter<(MechanismLabel, ResultLabel)>,
    verdicts: Counter<(ActionLabel, ReasonLabel)>,
    failures: Counter<ReasonLabel>,
    seconds: Histogram,
}

impl Metrics {
    /// Registers the metrics of the filter; once for each registry.
    ///
    /// # Errors
    /// When a metric of the same name is there already.
    pub fn register(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            checks: registry.counter(
                "mailpods_filter_checks_total",
                "Checks made on messages before the 250, by mechanism and result.",
                &["mechanism", "result"],
            )?,
            verdicts: registry.counter(
                "mailpods_filter_verdicts_total",
                "Verdicts on messages, by action and reason.",
                &["action", "reason"],
            )?,
            failures: registry.counter(
                "mailpods_filter_failures_total",
                "Scans without a verdict, by reason.",
                &["reason"],
            )?,
            seconds: registry.histogram(
                "mailpods_filter_scan_seconds",
                "Time for one scan, look-ups included.",
                &[],
                LATENCY_SECONDS,
            )?,
        })
    }

    pub(crate) fn count(&self, verdict: &Verdict, took: Duration) {
        for check in &verdict.results {
            self.checks
                .inc((MechanismLabel(check.mechanism), ResultLabel(check.result)));
        }
        self.verdicts
            .inc((ActionLabel(verdict.action), ReasonLabel(verdict.reason)));
        self.seconds.observe_duration((), took);
    }

    pub(crate) fn count_failure(&self, reason: Reason) {
        self.failures.inc(ReasonLabel(reason));
    }
}

#[derive(Debug, Clone, Copy)]
struct MechanismLabel(Mechanism);

impl Label for MechanismLabel {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

#[derive(Debug, Clone, Copy)]
struct ResultLabel(&'static str);

impl Label for ResultLabel {
    fn as_str(&self) -> &'static str {
        self.0
    }
}

#[derive(Debug, Clone, Copy)]
struct ActionLabel(Action);

impl Label for ActionLabel {
    fn as_str(&self) -> &'static str {
        crate::decide::action_name(self.0)
    }
}

#[derive(Debug, Clone, Copy)]
struct ReasonLabel(Reason);

impl Label for ReasonLabel {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}
