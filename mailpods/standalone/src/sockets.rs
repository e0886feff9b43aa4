//! Keeps the sockets as the plan wants them, and tells which are not.

use std::collections::BTreeMap;
use std::sync::Arc;

use mailpods_net::Tracker;
use mailpods_net::listener::BindError;
use mailpods_plan::{Plan, Protocol};
use mailpods_process::{Closed, Listeners, Roles};
use mailpods_telemetry::health::Component;
use mailpods_telemetry::metrics::{Gauge, Label, MetricsError, Registry};

const PROTOCOLS: [Protocol; 11] = [
    Protocol::Smtp,
    Protocol::Submission,
    Protocol::Submissions,
    Protocol::Lmtp,
    Protocol::Imap,
    Protocol::Imaps,
    Protocol::Pop3,
    Protocol::Pop3s,
    Protocol::ManageSieve,
    Protocol::Http,
    Protocol::Https,
];

#[derive(Clone, Copy)]
struct Spoken(Protocol);

impl Label for Spoken {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// Opens and closes listeners, and says in a metric and in `/readyz` which of them could not be opened.
pub struct Sockets {
    roles: Arc<Roles>,
    tracker: Tracker,
    closed: Gauge<Spoken>,
    health: Component,
}

impl Sockets {
    /// Registers the metric. `health` becomes ready while all are open.
    ///
    /// # Errors
    /// When the metric's name is taken.
    pub fn new(
        roles: Arc<Roles>,
        tracker: Tracker,
        registry: &Registry,
        health: Component,
    ) -> Result<Self, MetricsError> {
        let closed = registry.gauge(
            "mailpods_listeners_closed",
            "Listeners of the plan that could not be opened and are tried again every few seconds, by protocol.",
            &["protocol"],
        )?;
        Ok(Self {
            roles,
            tracker,
            closed,
            health,
        })
    }

    /// Makes the sockets those of the plan; those that could not be opened before are tried again.
    pub fn apply(&self, listeners: &mut Listeners, plan: &Plan) -> Vec<BindError> {
        let before = listeners.closed().clone();
        let errors = listeners.apply(plan, &self.roles, &self.tracker);
        for bound in listeners.bound() {
            if before.contains_key(&bound.name) {
                tracing::info!(listener = bound.name, address = %bound.address, "the listener is open now");
            }
        }
        self.tell(listeners.closed());
        errors
    }

    fn tell(&self, closed: &BTreeMap<String, Closed>) {
        for protocol in PROTOCOLS {
            let count = closed
                .values()
                .filter(|one| one.protocol == protocol)
                .count();
            self.closed
                .set(Spoken(protocol), i64::try_from(count).unwrap_or(i64::MAX));
        }
        if closed.is_empty() {
            return self.health.ready();
        }
        let reasons: Vec<&str> = closed.values().map(|one| one.reason.as_str()).collect();
        self.health.not_ready(reasons.join("; "));
    }
}
