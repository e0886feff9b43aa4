//! Metrics of the role.

use mailpods_plan::Protocol;
use mailpods_policy::Reason;
use mailpods_telemetry::metrics::{
    COUNT, Counter, Gauge, Histogram, LATENCY_SECONDS, Label, MetricsError, Registry, SIZE_OCTETS,
};

/// A listener's protocol as a label.
#[derive(Clone, Copy)]
pub(crate) struct Service(pub(crate) Protocol);

impl Label for Service {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// A reason as a label.
#[derive(Clone, Copy)]
pub(crate) struct Why(pub(crate) Reason);

impl Label for Why {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    Junk,
    Reject,
    Defer,
}

impl Label for Action {
    fn as_str(&self) -> &'static str {
        match self {
            Action::Accept => "accept",
            Action::Junk => "junk",
            Action::Reject => "reject",
            Action::Defer => "defer",
        }
    }
}

pub(crate) struct Metrics {
    pub(crate) sessions: Gauge<Service>,
    pub(crate) connections: Counter<(Service, Action, Why)>,
    pub(crate) cut: Counter<(Service, Why)>,
    pub(crate) recipients: Counter<(Service, Action, Why)>,
    pub(crate) messages: Counter<(Service, Action, Why)>,
    pub(crate) octets: Histogram<Service>,
    pub(crate) per_message: Histogram<Service>,
    pub(crate) seconds: Histogram<Service>,
    pub(crate) in_flight: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Metrics, MetricsError> {
        let outcome = &["service", "action", "reason"];
        Ok(Metrics {
            sessions: registry.gauge(
                "mailpods_smtp_sessions",
                "Sessions open now.",
                &["service"],
            )?,
            connections: registry.counter(
                "mailpods_smtp_connections_total",
                "Connections by outcome.",
                outcome,
            )?,
            cut: registry.counter(
                "mailpods_smtp_sessions_cut_total",
                "Sessions that were ended by this side.",
                &["service", "reason"],
            )?,
            recipients: registry.counter(
                "mailpods_smtp_recipients_total",
                "RCPT commands by outcome.",
                outcome,
            )?,
            messages: registry.counter(
                "mailpods_smtp_messages_total",
                "Messages by outcome.",
                outcome,
            )?,
            octets: registry.histogram(
                "mailpods_smtp_message_octets",
                "Octets of accepted messages.",
                &["service"],
                SIZE_OCTETS,
            )?,
            per_message: registry.histogram(
                "mailpods_smtp_message_recipients",
                "Recipients of accepted messages.",
                &["service"],
                COUNT,
            )?,
            seconds: registry.histogram(
                "mailpods_smtp_decide_seconds",
                "Time from the end of data to the reply.",
                &["service"],
                LATENCY_SECONDS,
            )?,
            in_flight: registry.gauge(
                "mailpods_smtp_octets_in_flight",
                "Octets of messages held in memory now.",
                &[],
            )?,
        })
    }
}
