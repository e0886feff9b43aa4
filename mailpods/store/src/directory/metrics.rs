//! Metrics of log-ins.
use mailpods_policy::Reason;
use mailpods_sasl::Mechanism;
use mailpods_telemetry::metrics::{
    Counter, Histogram, LATENCY_SECONDS, Label, MetricsError, Registry,
};

use super::Service;

impl Label for Service {
    fn as_str(&self) -> &'static str {
        Service::as_str(*self)
    }
}

#[derive(Clone, Copy)]
pub(super) struct MechanismLabel(pub Mechanism);

impl Label for MechanismLabel {
    fn as_str(&self) -> &'static str {
        self.0.name()
    }
}

#[derive(Clone, Copy)]
pub(super) struct ReasonLabel(pub Reason);

impl Label for ReasonLabel {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

pub(super) struct Metrics {
    pub logins: Counter<(Service, MechanismLabel, ReasonLabel)>,
    pub upgrades: Counter,
    pub hash_seconds: Histogram,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            logins: registry.counter(
                "mailpods_logins_total",
                "Log-ins by service, mechanism and outcome.",
                &["service", "mechanism", "reason"],
            )?,
            upgrades: registry.counter(
                "mailpods_password_upgrades_total",
                "Password hashes replaced by better ones at log-in.",
                &[],
            )?,
            hash_seconds: registry.histogram(
                "mailpods_password_hash_seconds",
                "Time to check one password, wait for a free core included.",
                &[],
                LATENCY_SECONDS,
            )?,
        })
    }
}
