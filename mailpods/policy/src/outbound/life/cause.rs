//! Why the phase of an address changes.

use serde::{Deserialize, Serialize};

/// Why a phase changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Every check of the gate passed.
    GatePassed,
    /// A check of the gate failed.
    GateFailed,
    /// More refusals than chance gives.
    Refusals,
    /// Refused again soon after a rest.
    Relapse,
    /// The rest is over.
    RestOver,
    /// The probation is over.
    ProbationOver,
    /// The slow start is over.
    RampOver,
    /// An operator lets it rest.
    RestedByOperator,
    /// An operator takes it out of use.
    DrainedByOperator,
    /// An operator wants it used, whatever was seen.
    ActivatedByOperator,
    /// An operator wants it checked like any other again.
    RecheckedByOperator,
    /// Its hostname is another one: nothing that was checked counts any more.
    HostnameChanged,
    /// A block list names it.
    Listed,
    /// No block list names it any more.
    Delisted,
    /// It sends in place of another one.
    SeatTaken,
    /// It is kept back again.
    SeatGivenBack,
    /// One that only a later release knows.
    #[serde(other)]
    Unknown,
}

impl Cause {
    /// All causes that this release gives.
    pub const ALL: [Self; 16] = [
        Self::GatePassed,
        Self::GateFailed,
        Self::Refusals,
        Self::Relapse,
        Self::RestOver,
        Self::ProbationOver,
        Self::RampOver,
        Self::RestedByOperator,
        Self::DrainedByOperator,
        Self::ActivatedByOperator,
        Self::RecheckedByOperator,
        Self::HostnameChanged,
        Self::Listed,
        Self::Delisted,
        Self::SeatTaken,
        Self::SeatGivenBack,
    ];

    /// Whether somebody should look into it: the address sends less for what others found.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::GateFailed | Self::Refusals | Self::Relapse | Self::Listed
        )
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatePassed => "gate-passed",
            Self::GateFailed => "gate-failed",
            Self::Refusals => "refusals",
            Self::Relapse => "relapse",
            Self::RestOver => "rest-over",
            Self::ProbationOver => "probation-over",
            Self::RampOver => "ramp-over",
            Self::RestedByOperator => "rested-by-operator",
            Self::DrainedByOperator => "drained-by-operator",
            Self::ActivatedByOperator => "activated-by-operator",
            Self::RecheckedByOperator => "rechecked-by-operator",
            Self::HostnameChanged => "hostname-changed",
            Self::Listed => "listed",
            Self::Delisted => "delisted",
            Self::SeatTaken => "seat-taken",
            Self::SeatGivenBack => "seat-given-back",
            Self::Unknown => "unknown",
        }
    }
}
