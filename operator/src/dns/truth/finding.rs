//! What is wrong, why, and what helps.

use std::fmt;

use mailpods_plan::dns::RecordType;

/// Why records are not as wanted, what needs somebody most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The world does not know the domain.
    NotDelegated,
    /// More than one SPF record.
    SeveralSpf,
    /// More than one DMARC record.
    SeveralDmarc,
    /// More than one record at the name of a DKIM key, or of another text that must be alone.
    SeveralTexts,
    /// The domain's own name has records of another owner, which ExternalDNS leaves alone.
    ApexOfAnotherOwner,
    /// No record of a type is published: ExternalDNS is not told to manage it.
    TypeNotManaged,
    /// Mail goes to other hosts, too.
    ForeignMx,
    /// An SPF record takes more look-ups than receivers make.
    SpfOverBudget,
    /// Names lead to others, too.
    ForeignRecords,
    /// What is at the name of a DKIM key is another key.
    DkimDiffers,
    /// Only the case of letters differs, which ExternalDNS does not see.
    CaseDiffers,
    /// Any name is answered.
    Wildcard,
    /// A name is an alias, beside which nothing else can be.
    Alias,
    /// Something else is published.
    Different,
    /// Nothing is published.
    NotPublished,
    /// Servers of the zone have different records.
    ServersDisagree,
    /// A key is not made yet.
    KeyNotMade,
    /// Nobody answers.
    NotAnswered,
    /// A server of the zone does not serve it.
    ServerFails,
    /// The record of a DKIM key is still there that should not be.
    StaleSelector,
}

/// What a finding means for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Records are not as wanted.
    Wrong,
    /// Nobody knows whether they are.
    Unknown,
    /// They are, and something else should be looked at.
    Warning,
}

impl Reason {
    /// The reason of a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDelegated => "NotDelegated",
            Self::SeveralSpf => "SeveralSPF",
            Self::SeveralDmarc => "SeveralDMARC",
            Self::SeveralTexts => "SeveralTexts",
            Self::ApexOfAnotherOwner => "ApexOfAnotherOwner",
            Self::TypeNotManaged => "TypeNotManaged",
            Self::ForeignMx => "ForeignMX",
            Self::SpfOverBudget => "SPFOverBudget",
            Self::ForeignRecords => "ForeignRecords",
            Self::DkimDiffers => "DKIMDiffers",
            Self::CaseDiffers => "CaseDiffers",
            Self::Wildcard => "Wildcard",
            Self::Alias => "Alias",
            Self::Different => "Different",
            Self::NotPublished => "NotPublished",
            Self::ServersDisagree => "ServersDisagree",
            Self::KeyNotMade => "KeyNotMade",
            Self::NotAnswered => "NotAnswered",
            Self::ServerFails => "ServerFails",
            Self::StaleSelector => "StaleSelector",
        }
    }

    /// What it means for the whole.
    #[must_use]
    pub const fn weight(self) -> Weight {
        match self {
            Self::NotAnswered => Weight::Unknown,
            Self::ServerFails | Self::StaleSelector => Weight::Warning,
            _ => Weight::Wrong,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Why.
    pub reason: Reason,
    /// Name of the records; of the server or zone where it is about one.
    pub name: String,
    /// Type of the records, where it is about one.
    pub kind: Option<RecordType>,
    /// What was found, for people.
    pub message: String,
    /// What helps; empty: nothing but to wait.
    pub remedy: String,
}
