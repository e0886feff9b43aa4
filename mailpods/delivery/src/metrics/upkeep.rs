//! What upkeep counts.

use mailpods_telemetry::metrics::{Counter, Label, MetricsError, Registry};

/// What an owner is told of the quota, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    Reached,
    Below,
}

impl Label for Told {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Below => "below",
        }
    }
}

pub(crate) struct Upkeep {
    /// Messages to owners about how full their mailboxes are.
    pub(crate) warnings: Counter<Told>,
    /// Messages that were removed for their age.
    pub(crate) expunged: Counter,
}

impl Upkeep {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            warnings: registry.counter(
                "mailpods_quota_warnings_total",
                "Messages to owners about how full their mailboxes are.",
                &["about"],
            )?,
            expunged: registry.counter(
                "mailpods_autoexpunged_messages_total",
                "Messages removed from folders for their age.",
                &[],
            )?,
        })
    }
}
