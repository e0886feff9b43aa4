//! What the role counts.

mod senders;
mod upkeep;

use mailpods_policy::Reason;
use mailpods_policy::outbound::blocklist::Word;
use mailpods_policy::outbound::classify::{Blame, Bounce};
use mailpods_policy::outbound::life::{Cause, Phase};
use mailpods_policy::outbound::tls::report::ResultType;
use mailpods_telemetry::metrics::{
    Counter, Gauge, Histogram, LATENCY_SECONDS, Label, MetricsError, Registry, WAIT_SECONDS,
};

pub(crate) use senders::{Complained, Complaint, Senders, SuspendedFor};
pub(crate) use upkeep::{Told, Upkeep};

/// Where mail goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Local,
    Remote,
}

impl Label for Way {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// A reason as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Why(pub(crate) Reason);

impl Label for Why {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// How an attempt at a connection ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Connected {
    Plain,
    Tls,
    Reused,
    Failed,
}

impl Label for Connected {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Reused => "reused",
            Self::Failed => "failed",
        }
    }
}

/// The kind of a notification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind(pub(crate) mailpods_message::dsn::Action);

impl Label for Kind {
    fn as_str(&self) -> &'static str {
        self.0.name()
    }
}

/// What a refusal is about, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault(pub(crate) Blame);

impl Label for Fault {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// The kind of a failure as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure(pub(crate) Bounce);

impl Label for Failure {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// Why an address changed, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed(pub(crate) Cause);

impl Label for Changed {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// What a block list said, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Listed,
    Clear,
    Nothing,
}

impl Asked {
    const ALL: [Self; 3] = [Self::Listed, Self::Clear, Self::Nothing];

    pub(crate) const fn of(word: &Word) -> Self {
        match word {
            Word::Listed(_) => Self::Listed,
            Word::Clear => Self::Clear,
            Word::Nothing(_) => Self::Nothing,
        }
    }
}

impl Label for Asked {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Clear => "clear",
            Self::Nothing => "no-answer",
        }
    }
}

/// What an address is called that an operator drained.
pub(crate) const DRAINED: &str = "Drained";

/// The phase of an address as a label; `None`: it was drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stands(pub(crate) Option<Phase>);

impl Label for Stands {
    fn as_str(&self) -> &'static str {
        self.0.map_or(DRAINED, Phase::as_str)
    }
}

/// Who asked for the protection of a connection, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protected(pub(crate) &'static str);

impl Label for Protected {
    fn as_str(&self) -> &'static str {
        self.0
    }
}

/// What came of it, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsOutcome(pub(crate) Option<ResultType>);

impl Label for TlsOutcome {
    fn as_str(&self) -> &'static str {
        self.0.map_or("ok", ResultType::as_str)
    }
}

/// The class of a failure as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BounceClass(pub(crate) &'static str);

impl Label for BounceClass {
    fn as_str(&self) -> &'static str {
        self.0
    }
}

/// The metrics of the role.
pub(crate) struct Metrics {
    /// Recipients by way and reason.
    pub(crate) recipients: Counter<(Way, Why)>,
    /// Time from acceptance to the end of the unit, in seconds.
    pub(crate) age: Histogram<Way>,
    /// Duration of an attempt, in seconds.
    pub(crate) attempt: Histogram<Way>,
    /// Units under lease.
    pub(crate) leased: Gauge<Way>,
    /// Connections by how they came.
    pub(crate) connections: Counter<Connected>,
    /// Notifications by kind.
    pub(crate) notifications: Counter<Kind>,
    /// What refusals are about.
    pub(crate) refusals: Counter<(Fault, Failure)>,
    /// Accounts that receivers speak against.
    pub(crate) senders: Senders,
    /// Mailboxes that are looked after.
    pub(crate) upkeep: Upkeep,
    /// Recipients not served, by class.
    pub(crate) failures: Counter<(Way, BounceClass)>,
    /// Connections by who asked for their protection and what came of it.
    pub(crate) tls: Counter<(Protected, TlsOutcome)>,
    /// Changes in the lives of outbound addresses.
    pub(crate) transitions: Counter<Changed>,
    /// Outbound addresses by phase.
    pub(crate) addresses: Gauge<Stands>,
    /// Pools that cannot keep the standby that is wanted.
    pub(crate) short: Gauge,
    /// What block lists said of the own addresses.
    pub(crate) asked: Counter<Asked>,
    /// Outbound addresses that a block list names.
    pub(crate) listed: Gauge,
    /// Domains whose SPF record does not show an address that their mail may leave from.
    pub(crate) hidden: Gauge,
    /// Leases that were lost before they were settled.
    pub(crate) leases_lost: Counter,
    /// Messages that left without a signature because a key could not be used.
    pub(crate) unsigned: Counter,
}

impl Metrics {
    /// What counts seldom is there from the start, so that an alert sees the first time too.
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let metrics = Self::registered(registry)?;
        for cause in Cause::ALL {
            metrics.transitions.add(Changed(cause), 0);
        }
        for answer in Asked::ALL {
            metrics.asked.add(answer, 0);
        }
        Ok(metrics)
    }

    fn registered(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            recipients: registry.counter(
                "mailpods_delivery_recipients_total",
                "Recipients by way and reason.",
                &["way", "reason"],
            )?,
            age: registry.histogram(
                "mailpods_delivery_age_seconds",
                "Age of a unit when it is done.",
                &["way"],
                WAIT_SECONDS,
            )?,
            attempt: registry.histogram(
                "mailpods_delivery_attempt_seconds",
                "Duration of an attempt (of a batch, for local mail).",
                &["way"],
                LATENCY_SECONDS,
            )?,
            leased: registry.gauge(
                "mailpods_delivery_leased_units",
                "Units under lease.",
                &["way"],
            )?,
            connections: registry.counter(
                "mailpods_delivery_connections_total",
                "Connections to next servers.",
                &["result"],
            )?,
            notifications: registry.counter(
                "mailpods_delivery_notifications_total",
                "Notifications made.",
                &["action"],
            )?,
            refusals: registry.counter(
                "mailpods_outbound_refusals_total",
                "Refusals by what they are about and of what kind they are.",
                &["blame", "kind"],
            )?,
            failures: registry.counter(
                "mailpods_delivery_failures_total",
                "Recipients given up or put off, by way and class of the failure.",
                &["way", "class"],
            )?,
            senders: Senders::new(registry)?,
            upkeep: Upkeep::new(registry)?,
            tls: registry.counter(
                "mailpods_outbound_tls_total",
                "Connections to next servers by who asked for their protection, and what came of it.",
                &["policy", "outcome"],
            )?,
            transitions: registry.counter(
                "mailpods_outbound_transitions_total",
                "Changes in the lives of outbound addresses.",
                &["cause"],
            )?,
            addresses: registry.gauge(
                "mailpods_outbound_addresses",
                "Outbound addresses by phase; those that rest for one provider at least count as Hot.",
                &["phase"],
            )?,
            short: registry.gauge(
                "mailpods_outbound_standby_short",
                "Pools of two addresses or more that cannot keep as many on standby as are wanted, for one provider at least.",
                &[],
            )?,
            asked: registry.counter(
                "mailpods_outbound_block_list_answers_total",
                "Answers of block lists for the own addresses.",
                &["answer"],
            )?,
            listed: registry.gauge(
                "mailpods_outbound_listed_addresses",
                "Outbound addresses that a block list names.",
                &[],
            )?,
            hidden: registry.gauge(
                "mailpods_outbound_spf_missing",
                "Pairs of a domain and an address of its pool that its SPF record does not show.",
                &[],
            )?,
            leases_lost: registry.counter(
                "mailpods_delivery_leases_lost_total",
                "Leases lost before they were settled.",
                &[],
            )?,
            unsigned: registry.counter(
                "mailpods_delivery_unsigned_total",
                "Messages that could not be signed.",
                &[],
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    /// What dashboards and alerts ask for is there.
    #[test]
    fn the_names_in_the_chart_are_those_of_metrics() {
        let known = [
            include_str!("metrics.rs"),
            include_str!("metrics/senders.rs"),
            include_str!("../../process/src/measures.rs"),
        ];
        let asked = [
            include_str!("../../../charts/mailpods/dashboards/outbound.json"),
            include_str!("../../../charts/mailpods/templates/outbound-monitoring.yaml"),
        ];
        let mut names = std::collections::BTreeSet::new();
        for text in asked {
            let parts = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            names.extend(parts.filter(|part| part.starts_with("mailpods_")));
        }
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            let base = name.trim_end_matches("_bucket");
            let quoted = format!("\"{base}\"");
            assert!(
                known.iter().any(|source| source.contains(&quoted)),
                "{name}"
            );
        }
    }
}
