//! SORT and THREAD (RFC 5256, RFC 5957).

use super::SearchCommand;

/// SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortCommand {
    /// By what, the first before the others; never empty.
    pub criteria: Vec<SortCriterion>,
    /// Of which messages; RETURN as in RFC 5267 §3.
    pub search: SearchCommand,
}

/// One criterion of SORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// What is compared.
    pub key: SortKey,
    /// REVERSE: the largest comes first.
    pub reverse: bool,
}

/// What SORT compares (RFC 5256 §3, RFC 5957 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// ARRIVAL: the internal date.
    Arrival,
    /// CC: the local part of the first address.
    Cc,
    /// DATE: the Date field, or the internal date.
    Date,
    /// DISPLAYFROM: the name of the first address, or the address.
    DisplayFrom,
    /// DISPLAYTO
    DisplayTo,
    /// FROM
    From,
    /// SIZE
    Size,
    /// SUBJECT: the base subject.
    Subject,
    /// TO
    To,
}

impl SortKey {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Arrival,
        Self::Cc,
        Self::Date,
        Self::DisplayFrom,
        Self::DisplayTo,
        Self::From,
        Self::Size,
        Self::Subject,
        Self::To,
    ];

    /// The key as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "ARRIVAL",
            Self::Cc => "CC",
            Self::Date => "DATE",
            Self::DisplayFrom => "DISPLAYFROM",
            Self::DisplayTo => "DISPLAYTO",
            Self::From => "FROM",
            Self::Size => "SIZE",
            Self::Subject => "SUBJECT",
            Self::To => "TO",
        }
    }
}

/// THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadCommand {
    /// What makes a thread.
    pub algorithm: ThreadAlgorithm,
    /// Of which messages.
    pub search: SearchCommand,
}

/// What makes a thread (RFC 5256 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThreadAlgorithm {
    /// ORDEREDSUBJECT: the base subject.
    OrderedSubject,
    /// REFERENCES: what messages say that they answer, then the base subject.
    References,
}
