//! What the operator counts.

use mailpods_telemetry::metrics::{Counter, Gauge, Label, MetricsError, Registry};

use crate::kube::error::Class;
use crate::world::snapshot::Kind;

/// What came of a look at an object.
#[derive(Debug, Clone, Copy)]
pub enum Result {
    /// It is as it should be.
    Done,
    /// A change of the resource is needed.
    Invalid,
    /// Something else is needed.
    Blocked,
    /// Time is needed.
    Transient,
}

impl From<Class> for Result {
    fn from(class: Class) -> Self {
        match class {
            Class::Invalid => Self::Invalid,
            Class::Blocked => Self::Blocked,
            Class::Transient => Self::Transient,
        }
    }
}

impl Label for Result {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Invalid => "invalid",
            Self::Blocked => "blocked",
            Self::Transient => "transient",
        }
    }
}

impl Label for Kind {
    fn as_str(&self) -> &'static str {
        match self {
            Self::MailCluster => "mailcluster",
            Self::MailDomain => "maildomain",
            Self::Mailbox => "mailbox",
            Self::OutboundIP => "outboundip",
            Self::MailingList => "mailinglist",
        }
    }
}

/// The operator's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Looks at objects.
    pub reconciliations: Counter<(Kind, Result)>,
    /// Statuses written.
    pub statuses: Counter<Kind>,
    /// Whether this replica leads.
    pub leader: Gauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken, which is a mistake in this program.
    pub fn new(registry: &Registry) -> std::result::Result<Self, MetricsError> {
        Ok(Self {
            reconciliations: registry.counter(
                "mailpods_operator_reconciliations_total",
                "Looks at objects by kind and outcome.",
                &["kind", "outcome"],
            )?,
            statuses: registry.counter(
                "mailpods_operator_status_writes_total",
                "Statuses written by kind.",
                &["kind"],
            )?,
            leader: registry.gauge(
                "mailpods_operator_leader",
                "1 while this replica leads.",
                &[],
            )?,
        })
    }
}
