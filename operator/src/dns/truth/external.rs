//! What ExternalDNS does and does not do, seen from outside.

use std::collections::BTreeSet;

use mailpods_plan::dns::{RecordType, quote_txt};

use super::compare::Fault;
use super::finding::{Finding, Reason};
use super::judge::Judging;
use super::seen::{RecordSeen, answers};
use super::{is_below, owner_name};

/// Types that ExternalDNS does not manage unless it is told.
const NOT_BY_DEFAULT: [RecordType; 4] = [
    RecordType::Mx,
    RecordType::Txt,
    RecordType::Srv,
    RecordType::Ptr,
];
/// Texts of others that a remedy names.
const MAX_NAMED: usize = 8;

impl Judging<'_> {
    /// Somebody else has records at the name, so that ExternalDNS creates none there.
    pub(super) fn apex_of_another_owner(&self, apex: &str) -> Option<Finding> {
        let at = |kind| self.records_at(apex, kind);
        let texts = at(RecordType::Txt);
        let texts_below = self.records.iter().any(|seen| {
            let record = &seen.record;
            record.kind == RecordType::Txt && is_below(&record.name, apex) && seen.is_there()
        });
        let blocked = !texts.is_empty() && texts.iter().all(|seen| seen.is_nowhere());
        if !blocked || !texts_below {
            return None;
        }
        let exchanged = at(RecordType::Mx).iter().any(|seen| seen.is_there());
        let ours = self.owner(&format!("_dmarc.{apex}"));
        let foreign = match (&ours, self.owner(apex)) {
            (Some(ours), owner) => owner.as_ref() != Some(ours),
            (None, _) => !exchanged,
        };
        foreign.then(|| self.apex_finding(apex, ours, exchanged))
    }

    fn apex_finding(&self, apex: &str, ours: Option<String>, exchanged: bool) -> Finding {
        let what = if exchanged {
            "SPF is"
        } else {
            "MX and SPF are"
        };
        let texts = self.unwanted(apex, RecordType::Txt);
        let hosts = [RecordType::A, RecordType::Aaaa].map(|kind| self.unwanted(apex, kind));
        let hosts = !hosts.concat().is_empty();
        let mut remedies = Vec::new();
        if hosts {
            remedies.push("an A or AAAA record there blocks mail only while the same ExternalDNS manages these types: give mail an instance of its own with --managed-record-types=MX,TXT,SRV,CNAME,PTR".to_owned());
        }
        if !texts.is_empty() || !hosts {
            remedies.push(adoption(apex, &texts, ours.as_deref()));
        }
        Finding {
            reason: Reason::ApexOfAnotherOwner,
            name: apex.to_owned(),
            kind: Some(RecordType::Txt),
            message: format!(
                "{what} not published at {apex} although names below it are: ExternalDNS leaves a name alone where another owner has a record"
            ),
            remedy: remedies.join("; "),
        }
    }

    /// Types of which no record at all is there, while others are.
    pub(super) fn types_not_managed(
        &self,
        covered: &BTreeSet<(String, RecordType)>,
    ) -> Vec<Finding> {
        let is_dark = |kind: &RecordType| {
            let missing = |seen: &&RecordSeen| seen.record.kind == *kind && seen.fault.is_some();
            let mut of_kind = self
                .records
                .iter()
                .filter(|r| r.record.kind == *kind)
                .peekable();
            let any = self.records.iter().any(|seen| missing(&seen));
            let nowhere = |seen: &RecordSeen| {
                let key = (seen.record.name.clone(), *kind);
                !covered.contains(&key)
                    && (seen.fault == Some(Fault::Missing)
                        || super::seen::is_not_offered(&seen.record))
            };
            of_kind.peek().is_some() && any && of_kind.all(nowhere)
        };
        let others = |kind: RecordType| {
            let other = |seen: &RecordSeen| seen.record.kind != kind && seen.is_there();
            self.records.iter().any(other)
        };
        let dark = NOT_BY_DEFAULT.into_iter().filter(is_dark);
        dark.filter(|kind| others(*kind)).map(not_managed).collect()
    }

    /// Data at a name that is not wanted there.
    fn unwanted(&self, name: &str, kind: RecordType) -> Vec<String> {
        let Some(Ok(seen)) = self.observed.get(&(name.to_owned(), kind)) else {
            return Vec::new();
        };
        let wanted = self.wanted_at(name, kind);
        let records = answers(seen).into_iter().flat_map(|answer| &answer.records);
        let foreign: BTreeSet<&String> = records
            .filter(|data| !wanted.contains(&super::compare::normal(kind, data)))
            .collect();
        foreign.into_iter().cloned().collect()
    }

    /// The owner that ExternalDNS has written down for the TXT records of a name.
    fn owner(&self, name: &str) -> Option<String> {
        let Some(Ok(seen)) = self.observed.get(&(owner_name(name), RecordType::Txt)) else {
            return None;
        };
        let mut texts = answers(seen).into_iter().flat_map(|answer| &answer.records);
        texts.find_map(|text| {
            let mut fields = text.trim_matches('"').split(',');
            let owner = fields.find_map(|field| field.strip_prefix("external-dns/owner="));
            owner.map(str::to_owned)
        })
    }
}

fn not_managed(kind: RecordType) -> Finding {
    let kind_name = kind.as_str();
    Finding {
        reason: Reason::TypeNotManaged,
        name: String::new(),
        kind: Some(kind),
        message: format!("no {kind_name} record is published although records of other types are"),
        remedy: format!(
            "start ExternalDNS with --managed-record-types={kind_name} besides its other types: by default it manages A, AAAA and CNAME only; for PTR it needs the reverse zone, too"
        ),
    }
}

/// How ExternalDNS is told that the texts of a name are its own.
fn adoption(apex: &str, texts: &[String], owner: Option<&str>) -> String {
    let values: Vec<String> = texts.iter().take(MAX_NAMED).map(|t| quote_txt(t)).collect();
    let keep = if values.is_empty() {
        "put the TXT values that are there into spec.dns.apexTXT".to_owned()
    } else {
        format!(
            "put the TXT values that are there into spec.dns.apexTXT, or they are deleted: {}",
            values.join(", ")
        )
    };
    let place = owner.map_or(" (OWNER: your --txt-owner-id)", |_| "");
    format!(
        "{keep}; then write by hand the record {}. TXT \"heritage=external-dns,external-dns/owner={}\"{place}, as --txt-prefix=%{{record_type}}-edns. names it",
        owner_name(apex),
        owner.unwrap_or("OWNER"),
    )
}
