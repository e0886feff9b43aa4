//! What is wanted against what was seen. Pure.

use std::collections::BTreeSet;

use mailpods_api::v1alpha1::DnsMode;
use mailpods_plan::dns::{Record, RecordType};
use mailpods_policy::spf;

use super::compare::{Fault, is_dkim, normal};
use super::finding::{Finding, Reason};
use super::seen::{Case, RecordSeen, answers};
use super::wire::Failure;
use super::{Observed, Seen, Wanted, is_below, probe};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Each wanted record, in the order of the wanted ones.
    pub records: Vec<RecordSeen>,
    /// Each record that should not be there any more.
    pub withdrawn: Vec<RecordSeen>,
    /// What is wrong, what needs somebody most first.
    pub findings: Vec<Finding>,
}

/// Compares. The result depends on nothing else, and says nothing that changes by itself.
#[must_use]
pub fn judge(wanted: Wanted<'_>, observed: &Observed) -> Judged {
    let mut judging = Judging {
        wanted,
        observed,
        records: Vec::new(),
        withdrawn: Vec::new(),
    };
    judging.records = wanted.records.iter().map(|r| judging.record(r)).collect();
    judging.withdrawn = wanted.withdrawn.iter().map(|r| judging.record(r)).collect();
    let mut findings = judging.findings();
    findings.sort();
    findings.dedup();
    Judged {
        records: judging.records,
        withdrawn: judging.withdrawn,
        findings,
    }
}

pub(super) struct Judging<'a> {
    pub(super) wanted: Wanted<'a>,
    pub(super) observed: &'a Observed,
    pub(super) records: Vec<RecordSeen>,
    withdrawn: Vec<RecordSeen>,
}

impl Judging<'_> {
    fn record(&self, record: &Record) -> RecordSeen {
        let question = (record.name.clone(), record.kind);
        let apexes = self.wanted.apexes().into_iter();
        let above = apexes.filter(|apex| is_below(&record.name, apex));
        let apex = above.max_by_key(|apex| apex.len());
        let probed = apex.and_then(|apex| self.observed.get(&(probe(apex), record.kind)));
        let case = Case {
            record,
            wanted: &self.wanted_at(&record.name, record.kind),
            seen: self.observed.get(&question),
            probe: probed.and_then(|seen| seen.as_ref().ok()),
        };
        case.judge()
    }

    /// Data that is wanted at a name, in normal form.
    pub(super) fn wanted_at(&self, name: &str, kind: RecordType) -> BTreeSet<String> {
        let all = self.wanted.records.iter();
        let at = all.filter(|record| record.name == name && record.kind == kind);
        at.filter_map(|record| Some(normal(kind, record.data.as_deref()?)))
            .collect()
    }

    pub(super) fn records_at(&self, name: &str, kind: RecordType) -> Vec<&RecordSeen> {
        let all = self.records.iter();
        all.filter(|seen| seen.record.name == name && seen.record.kind == kind)
            .collect()
    }

    fn findings(&self) -> Vec<Finding> {
        // What one finding explains needs no other.
        let mut covered = BTreeSet::new();
        let mut findings = Vec::new();
        for apex in self.wanted.apexes() {
            if let Some(finding) = self.not_delegated(apex) {
                let names = self.records.iter().map(|seen| &seen.record);
                let names = names.filter(|r| r.name == apex || is_below(&r.name, apex));
                covered.extend(names.map(|record| (record.name.clone(), record.kind)));
                findings.push(finding);
            } else if let Some(finding) = self.external(|| self.apex_of_another_owner(apex)) {
                let kinds = [RecordType::Mx, RecordType::Txt];
                covered.extend(kinds.map(|kind| (apex.to_owned(), kind)));
                findings.push(finding);
            }
        }
        for finding in self
            .external(|| Some(self.types_not_managed(&covered)))
            .into_iter()
            .flatten()
        {
            let of_kind = self.records.iter().map(|seen| &seen.record);
            let of_kind = of_kind.filter(|record| Some(record.kind) == finding.kind);
            covered.extend(of_kind.map(|record| (record.name.clone(), record.kind)));
            findings.push(finding);
        }
        let rest = self
            .records
            .iter()
            .filter(|seen| !covered.contains(&(seen.record.name.clone(), seen.record.kind)));
        findings.extend(rest.filter_map(|seen| self.finding(seen)));
        findings.extend(super::spf::over_budget(self.wanted, self.observed));
        findings.extend(self.failing_servers());
        findings.extend(self.stale());
        findings
    }

    fn external<T>(&self, find: impl FnOnce() -> Option<T>) -> Option<T> {
        (self.wanted.mode == DnsMode::ExternalDNS)
            .then(find)
            .flatten()
    }

    /// Servers of a top-level domain answer for it.
    fn not_delegated(&self, apex: &str) -> Option<Finding> {
        let seen = self.observed.get(&(apex.to_owned(), RecordType::Mx))?;
        let zone = &seen.as_ref().ok()?.zone;
        let top = zone == "." || !zone.is_empty() && !zone.contains('.');
        (top && apex.contains('.')).then(|| Finding {
            reason: Reason::NotDelegated,
            name: apex.to_owned(),
            kind: None,
            message: format!("no zone of {apex} is delegated: the servers of {zone} answer for it"),
            remedy: "register the domain, and have its parent name the servers of its zone"
                .to_owned(),
        })
    }

    fn finding(&self, seen: &RecordSeen) -> Option<Finding> {
        let record = &seen.record;
        let (reason, what) = told(seen, self.why(record), self.disagreeing(seen))?;
        Some(Finding {
            reason,
            name: record.name.clone(),
            kind: Some(record.kind),
            message: format!("{} {} {what}", record.kind.as_str(), record.name),
            remedy: remedy(reason, self.wanted.mode).to_owned(),
        })
    }

    /// Why nobody answered.
    fn why(&self, record: &Record) -> String {
        let seen = self.observed.get(&(record.name.clone(), record.kind));
        match seen {
            None => Failure::OutOfTime.to_string(),
            Some(Err(failure)) => failure.to_string(),
            Some(Ok(seen)) => {
                let failed = |(server, answer): &(String, Result<_, Failure>)| {
                    Some(format!("{server} {}", answer.as_ref().err()?))
                };
                let failures: Vec<String> = seen.answers.iter().filter_map(failed).collect();
                match failures.is_empty() {
                    true => Failure::NoZone.to_string(),
                    false => failures.join(", "),
                }
            }
        }
    }

    /// Servers that answered without the record.
    fn disagreeing(&self, seen: &RecordSeen) -> String {
        let record = &seen.record;
        let (Some(Ok(answers)), Some(data)) = (
            self.observed.get(&(record.name.clone(), record.kind)),
            record.data.as_deref(),
        ) else {
            return String::new();
        };
        let data = normal(record.kind, data);
        let lacks = |(server, answer): &(String, Result<super::Answer, Failure>)| {
            let mut records = answer.as_ref().ok()?.records.iter();
            let has = records.any(|other| normal(record.kind, other) == data);
            (!has).then(|| server.clone())
        };
        let without: Vec<String> = answers.answers.iter().filter_map(lacks).collect();
        without.join(", ")
    }

    /// Servers that fail while others of their zone answer.
    fn failing_servers(&self) -> Vec<Finding> {
        let wanted = self.wanted.records.iter();
        let questions = wanted.map(|record| (record.name.clone(), record.kind));
        let seen = questions.filter_map(|question| self.observed.get(&question)?.as_ref().ok());
        seen.filter(|seen| !answers(seen).is_empty())
            .flat_map(failing)
            .collect()
    }

    /// Keys that are shown and should not be.
    fn stale(&self) -> Vec<Finding> {
        let stale = self.withdrawn.iter().filter(|seen| seen.showing > 0);
        let told = |record: &Record| Finding {
            reason: Reason::StaleSelector,
            name: record.name.clone(),
            kind: Some(record.kind),
            message: format!(
                "{} {} is still there and is not wanted any more",
                record.kind.as_str(),
                record.name
            ),
            remedy: remedy(Reason::StaleSelector, self.wanted.mode).to_owned(),
        };
        stale.map(|seen| told(&seen.record)).collect()
    }
}

fn failing(seen: &Seen) -> impl Iterator<Item = Finding> {
    seen.answers.iter().filter_map(|(server, answer)| {
        let failure = answer.as_ref().err()?;
        Some(Finding {
            reason: Reason::ServerFails,
            name: seen.zone.clone(),
            kind: None,
            message: format!("{server} {failure}"),
            remedy:
                "mend the server, or take it out of the NS records of the zone and of its parent"
                    .to_owned(),
        })
    })
}

/// The reason of a record's fault, and what is said after its type and name.
fn told(seen: &RecordSeen, why: String, without: String) -> Option<(Reason, String)> {
    let there = seen.seen.as_deref().unwrap_or_default();
    let wanted = seen.record.data.as_deref().unwrap_or_default();
    Some(match seen.fault? {
        Fault::NoKey => (Reason::KeyNotMade, "waits for its key".to_owned()),
        Fault::NotAnswered => (Reason::NotAnswered, format!("is unknown: {why}")),
        Fault::Missing => (Reason::NotPublished, "is not published".to_owned()),
        Fault::Different if is_dkim(&seen.record.name) => {
            (Reason::DkimDiffers, format!("is another key: {there}"))
        }
        Fault::Different if leads_elsewhere(&seen.record, there) => {
            (Reason::ForeignMx, format!("leads elsewhere: {there}"))
        }
        Fault::Different => (Reason::Different, format!("is {there}, wanted is {wanted}")),
        Fault::DifferentCase => (
            Reason::CaseDiffers,
            format!("differs in the case of letters: {there}, wanted is {wanted}"),
        ),
        Fault::Several => (several(wanted), format!("has several: {there}")),
        Fault::Foreign if seen.record.kind == RecordType::Mx => {
            (Reason::ForeignMx, format!("leads elsewhere, too: {there}"))
        }
        Fault::Foreign => (
            Reason::ForeignRecords,
            format!("has more than is wanted: {there}"),
        ),
        Fault::Alias => (Reason::Alias, format!("cannot be beside an alias: {there}")),
        Fault::Wildcard => (
            Reason::Wildcard,
            format!("is answered from a wildcard: {there}"),
        ),
        Fault::NotEverywhere => (Reason::ServersDisagree, format!("is not at {without}")),
    })
}

/// Whether mail goes to another host; a preference that differs leads to the same.
fn leads_elsewhere(wanted: &Record, there: &str) -> bool {
    let host = |text: &str| {
        text.rsplit(' ')
            .next()
            .map(|host| normal(wanted.kind, host))
    };
    let own = wanted.data.as_deref().and_then(host);
    wanted.kind == RecordType::Mx && there.split(" | ").any(|text| host(text) != own)
}

fn several(wanted: &str) -> Reason {
    if spf::is_record(wanted) {
        Reason::SeveralSpf
    } else if wanted.to_ascii_lowercase().starts_with("v=dmarc1") {
        Reason::SeveralDmarc
    } else {
        Reason::SeveralTexts
    }
}

/// What helps.
const fn remedy(reason: Reason, mode: DnsMode) -> &'static str {
    let external = matches!(mode, DnsMode::ExternalDNS);
    match reason {
        // RFC 7208 §4.5.
        Reason::SeveralSpf => {
            "receivers take several SPF records for an error: remove the others, and name their parts in spec.dns.spfIncludes or spec.dns.spf; another DNSEndpoint, also of another namespace, may publish them"
        }
        Reason::SeveralDmarc => {
            "receivers take several DMARC records for none: remove the others, or set spec.dns.dmarc"
        }
        Reason::SeveralTexts => "remove the others: which one receivers read is left to chance",
        Reason::ForeignMx => {
            "remove the MX records that lead elsewhere, also from other DNSEndpoints, or mail goes there"
        }
        Reason::ForeignRecords => "remove the others",
        Reason::DkimDiffers if external => {
            "remove the other key, or choose another selector: keys never change under a selector"
        }
        Reason::CaseDiffers if external => {
            "ExternalDNS does not see a change of case only: change spec.dns.ttl of the MailCluster by a second, or use a new selector"
        }
        Reason::Wildcard => {
            "wait for the record, which then stands before the wildcard; a wildcard of TXT or MX records is best removed"
        }
        Reason::Alias => "remove the CNAME record: nothing can stand beside it",
        Reason::Different | Reason::NotPublished if external => {
            "see whether ExternalDNS has the zone, watches the namespace and the labels of the DNSEndpoint (spec.dns.labels), and logs no refused record, which stops all others"
        }
        Reason::StaleSelector if external => {
            "ExternalDNS removes it with --policy=sync only; else remove it by hand"
        }
        Reason::StaleSelector => "remove the record",
        Reason::ServersDisagree => {
            "wait until the other servers have taken over the zone; if they do not, see to its transfer"
        }
        Reason::NotAnswered => {
            "see whether the operator may ask DNS servers outside the cluster, UDP and TCP port 53, and whether the servers of the zone work"
        }
        Reason::Different | Reason::NotPublished | Reason::DkimDiffers | Reason::CaseDiffers => {
            "publish what .status.zone shows"
        }
        _ => "",
    }
}
