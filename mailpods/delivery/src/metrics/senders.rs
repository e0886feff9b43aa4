//! What is counted of accounts that receivers speak against.

use mailpods_policy::outbound::suspension;
use mailpods_telemetry::metrics::{Counter, Gauge, Label, MetricsError, Registry};

/// Why an account is suspended, as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SuspendedFor(pub(crate) suspension::Cause);

impl Label for SuspendedFor {
    fn as_str(&self) -> &'static str {
        self.0.as_str()
    }
}

/// Providers that have a profile, and all others.
const KNOWN: [&str; 15] = [
    "google",
    "microsoft",
    "yahoo",
    "apple",
    "united-internet",
    "comcast",
    "ovh",
    "proton",
    "zoho",
    "fastmail",
    "t-online",
    "orange",
    "mimecast",
    "mail-ru",
    "qq",
];
const OTHER: &str = "other";

/// Whose user complained, as a label: one of the providers that are known by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Complained(&'static str);

impl Complained {
    pub(crate) fn of(provider: Option<&str>) -> Self {
        let known = KNOWN.iter().find(|known| provider == Some(**known));
        Self(known.copied().unwrap_or(OTHER))
    }
}

impl Label for Complained {
    fn as_str(&self) -> &'static str {
        self.0
    }
}

/// What a feedback report was, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// A complaint.
    Counted,
    /// One that was known.
    Repeated,
    /// Of a kind that is none.
    None,
    /// About no message that left from here.
    Unmatched,
}

impl Complaint {
    const ALL: [Self; 4] = [Self::Counted, Self::Repeated, Self::None, Self::Unmatched];
}

impl Label for Complaint {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Repeated => "repeated",
            Self::None => "no-complaint",
            Self::Unmatched => "unmatched",
        }
    }
}

/// Accounts that receivers speak against.
pub(crate) struct Senders {
    /// Feedback reports.
    pub(crate) complaints: Counter<(Complained, Complaint)>,
    /// Accounts that were suspended.
    pub(crate) suspensions: Counter<SuspendedFor>,
    /// Accounts that are suspended.
    pub(crate) suspended: Gauge,
}

impl Senders {
    /// What counts seldom is there from the start, so that an alert sees the first time too.
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let senders = Self::registered(registry)?;
        for cause in suspension::Cause::ALL {
            senders.suspensions.add(SuspendedFor(cause), 0);
        }
        for provider in KNOWN.into_iter().chain([OTHER]) {
            for outcome in Complaint::ALL {
                senders.complaints.add((Complained(provider), outcome), 0);
            }
        }
        Ok(senders)
    }

    fn registered(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            complaints: registry.counter(
                "mailpods_outbound_complaints_total",
                "Feedback reports by provider and what came of them.",
                &["provider", "outcome"],
            )?,
            suspensions: registry.counter(
                "mailpods_outbound_suspensions_total",
                "Accounts that were suspended.",
                &["cause"],
            )?,
            suspended: registry.gauge(
                "mailpods_outbound_suspended_accounts",
                "Accounts that may not send now.",
                &[],
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever has a profile is known by its name.
    #[test]
    fn providers_with_a_profile_have_a_label() {
        let profiles = include_str!("../../../policy/data/providers.toml");
        let names = profiles
            .lines()
            .filter_map(|line| line.strip_prefix("name = \""));
        let names: Vec<&str> = names.map(|name| name.trim_end_matches('"')).collect();
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            assert_eq!(Complained::of(Some(name)).as_str(), name);
        }
        assert_eq!(Complained::of(Some("nobody.test")).as_str(), "other");
    }
}
