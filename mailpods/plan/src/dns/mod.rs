//! Wanted records as people and programs want them, and what differs from what is published.

mod compare;
mod render;

pub use crate::records::{domain_records, leaving_records};
pub use compare::{Answer, Difference, Fault, Lookup, compare, lookups};
pub use render::{endpoints, json, quote_txt, zone};

use mailpods_api::{DomainName, Selector};

use crate::model::{Plan, RecordData, WantedRecord};

/// Types of records.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Canonical name.
    Cname,
    /// Mail exchanger.
    Mx,
    /// Name of an address.
    Ptr,
    /// Service location.
    Srv,
    /// Text.
    Txt,
}

impl RecordType {
    /// As in zone files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }
}

/// A record with nothing left to fill in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// The domain that wants it.
    pub domain: DomainName,
    /// Owner name, A-labels, no final dot.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// Data: names without final dot, text without quotes: `10 mail.example.com`, `0 1 993 mail.example.com`, `v=spf1 -all`.
    /// `None`: a DKIM key that is not made yet.
    pub data: Option<String>,
    /// Seconds.
    pub ttl: u32,
}

/// The records of a plan, of one domain or of all, with DKIM keys filled in by `dkim_text`.
pub fn fill(
    plan: &Plan,
    domain: Option<&DomainName>,
    dkim_text: impl Fn(&DomainName, &Selector) -> Option<String>,
) -> Vec<Record> {
    let asked = plan
        .records
        .iter()
        .filter(|record| domain.is_none_or(|domain| record.domain == *domain));
    asked.map(|record| filled(record, &dkim_text)).collect()
}

/// A wanted record with its DKIM key filled in by `dkim_text`.
pub fn filled(
    record: &WantedRecord,
    dkim_text: impl Fn(&DomainName, &Selector) -> Option<String>,
) -> Record {
    let (kind, data) = match &record.data {
        RecordData::A(address) => (RecordType::A, Some(address.to_string())),
        RecordData::Aaaa(address) => (RecordType::Aaaa, Some(address.to_string())),
        RecordData::Mx {
            preference,
            exchange,
        } => (RecordType::Mx, Some(format!("{preference} {exchange}"))),
        RecordData::Txt(text) => (RecordType::Txt, Some(text.clone())),
        RecordData::DkimTxt { domain, selector } => (RecordType::Txt, dkim_text(domain, selector)),
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => (
            RecordType::Srv,
            Some(format!("{priority} {weight} {port} {target}")),
        ),
        RecordData::Cname(target) => (RecordType::Cname, Some(target.clone())),
        RecordData::Ptr(target) => (RecordType::Ptr, Some(target.clone())),
    };
    Record {
        domain: record.domain.clone(),
        name: record.name.clone(),
        kind,
        data,
        ttl: record.ttl,
    }
}
