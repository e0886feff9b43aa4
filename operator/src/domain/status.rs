//! What is told of a MailDomain. Pure.

use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::{
    ClusterDnsSpec, DkimKeyStatus, DnsMode, MailDomainStatus, RecordStatus,
};
use mailpods_plan::DkimAlgorithm;
use mailpods_plan::dns::{Answer, Difference, Fault, Record, RecordType, zone};
use mailpods_policy::dkim::Phase;
use mailpods_policy::spf;

use super::observe::Observed;
use crate::context::{Verdict, object_conditions, verdict};
use crate::dkim::key::stamp;
use crate::dns::endpoint::Refused;
use crate::dns::remedy::told;
use crate::kube::conditions::{Holds, Said, said_before, types};
use crate::kube::error::{Class, Error};

/// Records that a status shows one by one.
const MAX_RECORDS: usize = 64;

/// The status of a MailDomain.
#[must_use]
pub fn status(
    observed: &Observed,
    refused: &[Refused],
    failed: Option<&Error>,
    now: Timestamp,
) -> MailDomainStatus {
    let before = observed.current.status.clone().unwrap_or_default();
    let generation = observed.domain.metadata.generation;
    let mut verdict = verdict(&observed.problems);
    if let Some(error) = failed {
        note(&mut verdict, error);
    }
    let conditions = object_conditions(
        &before.conditions,
        verdict,
        parts(observed, refused),
        generation,
    );
    let budget = spf_budget(observed);
    let small = |number: usize| i32::try_from(number).ok();
    MailDomainStatus {
        observed_generation: generation,
        conditions,
        records: records(observed, &before.records, now),
        spf_lookups: budget.and_then(|budget| small(budget.lookups)),
        spf_octets: budget.and_then(|budget| small(budget.octets)),
        cluster: observed.cluster.as_ref().map(|(key, _)| key.to_string()),
        dkim: keys(observed),
        zone: manual(observed).then(|| zone(&observed.records)),
    }
}

fn note(verdict: &mut Verdict, error: &Error) {
    match error.class() {
        Class::Invalid => {
            verdict
                .stalled
                .get_or_insert((error.reason(), error.said()));
        }
        Class::Blocked | Class::Transient => {
            let said = Said::new("Objects", false, error.reason(), error.said());
            verdict.waits.get_or_insert(said);
        }
    }
}

fn manual(observed: &Observed) -> bool {
    dns(observed).is_some_and(|dns| dns.mode == DnsMode::Manual)
}

fn dns(observed: &Observed) -> Option<&ClusterDnsSpec> {
    observed
        .cluster
        .as_ref()
        .map(|(_, cluster)| &cluster.spec.dns)
}

fn parts(observed: &Observed, refused: &[Refused]) -> Vec<Said> {
    if observed.cluster.is_none() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    if observed.is_paused() {
        parts.push(Said::new(
            "Paused",
            true,
            "Paused",
            "spec.paused is set: nothing is changed",
        ));
    }
    parts.push(dns_ready(observed, refused));
    if observed.is_signed_here() {
        parts.push(dkim_ready(observed));
    }
    parts
}

fn dns_ready(observed: &Observed, refused: &[Refused]) -> Said {
    let said =
        |holds: Holds, reason, message: String| Said::new(types::DNS, holds, reason, message);
    if let Some(first) = refused.first() {
        let kind = first.kind.as_str();
        let message = format!("{kind} {} is not published: {}", first.name, first.reason);
        return said(Holds::False, "RecordRefused", message);
    }
    let Some(differences) = observed.differences() else {
        // Another leader has looked: what it saw is told until this one has.
        let status = observed.current.status.as_ref();
        let before = status.and_then(|status| said_before(&status.conditions, types::DNS));
        if let Some(before) = before {
            return before;
        }
        return said(
            Holds::Unknown,
            "NotLookedUp",
            "the records were not looked up yet".to_owned(),
        );
    };
    let Some(worst) = worst(&differences) else {
        return said(Holds::True, "Published", String::new());
    };
    let mode = dns(observed).map_or(DnsMode::Manual, |dns| dns.mode);
    let domain = observed.domain.spec.domain.as_str();
    let message = told(domain, &observed.records, &differences, mode);
    match worst {
        Fault::Unknown => said(Holds::Unknown, "LookUpFailed", message),
        Fault::SeveralSpf => said(Holds::False, "SeveralSPF", message),
        Fault::Missing => said(Holds::False, "NotPublished", message),
        Fault::Different | Fault::Extra => said(Holds::False, "Different", message),
        Fault::NoKey => said(Holds::False, "NoKey", message),
    }
}

/// What most needs somebody to look at it.
fn worst(differences: &[Difference]) -> Option<Fault> {
    let weight = |fault: Fault| match fault {
        Fault::SeveralSpf => 5,
        Fault::Missing => 4,
        Fault::Different => 3,
        Fault::Extra => 2,
        Fault::NoKey => 1,
        Fault::Unknown => 0,
    };
    differences
        .iter()
        .map(|difference| difference.fault)
        .max_by_key(|fault| weight(*fault))
}

fn dkim_ready(observed: &Observed) -> Said {
    let signing = observed.keys.iter().any(|key| key.phase == Phase::Signing);
    if signing {
        return Said::new(types::DKIM, true, "Signing", "");
    }
    let Some((_, cluster)) = &observed.cluster else {
        return Said::new(types::DKIM, Holds::Unknown, "NoCluster", "");
    };
    let keys = observed.domain.spec.dkim.as_ref();
    if keys
        .map_or(&cluster.spec.dkim.keys, |dkim| &dkim.keys)
        .is_empty()
    {
        return Said::new(types::DKIM, true, "NotSigned", "no key is wanted");
    }
    let phases: Vec<String> = observed
        .keys
        .iter()
        .map(|key| format!("{} is {}", key.selector, key.phase))
        .collect();
    let message = if phases.is_empty() {
        "keys are being made".to_owned()
    } else {
        phases.join(", ")
    };
    Said::new(types::DKIM, false, "Publishing", message)
}

fn keys(observed: &Observed) -> Vec<DkimKeyStatus> {
    let mut keys: Vec<DkimKeyStatus> = observed
        .keys
        .iter()
        .map(|key| DkimKeyStatus {
            selector: key.selector.to_string(),
            algorithm: match key.algorithm {
                DkimAlgorithm::RsaSha256 => "RsaSha256".to_owned(),
                DkimAlgorithm::Ed25519Sha256 => "Ed25519Sha256".to_owned(),
            },
            phase: key.phase.to_string(),
            since: Some(stamp(key.since)),
        })
        .collect();
    keys.sort_by(|a, b| a.selector.cmp(&b.selector));
    keys
}

/// What the domain's SPF record costs by itself.
fn spf_budget(observed: &Observed) -> Option<spf::SpfBudget> {
    let domain = observed.domain.spec.domain.as_str();
    let record = observed.records.iter().find(|record| {
        let text = record.data.as_deref().unwrap_or_default();
        record.name == domain && record.kind == RecordType::Txt && spf::is_record(text)
    })?;
    record.data.as_deref().map(spf::cost)
}

fn records(observed: &Observed, before: &[RecordStatus], now: Timestamp) -> Vec<RecordStatus> {
    let differences = observed.differences();
    let records = observed.records.iter().take(MAX_RECORDS);
    records
        .map(|record| record_status(observed, differences.as_deref(), record, before, now))
        .collect()
}

fn record_status(
    observed: &Observed,
    differences: Option<&[Difference]>,
    record: &Record,
    before: &[RecordStatus],
    now: Timestamp,
) -> RecordStatus {
    let fault = differences.and_then(|differences| {
        let mut differences = differences.iter();
        differences
            .find(|difference| difference.name == record.name && difference.kind == record.kind)
    });
    let looked = observed.found.is_some();
    let known = before.iter().find(|old| {
        !looked
            && old.name == record.name
            && old.r#type == record.kind.as_str()
            && Some(&old.wanted) == record.data.as_ref()
    });
    if let Some(known) = known {
        return known.clone();
    }
    let new = RecordStatus {
        name: record.name.clone(),
        r#type: record.kind.as_str().to_owned(),
        wanted: record.data.clone().unwrap_or_default(),
        seen: answered(observed, record),
        since: None,
        fault: fault.map(|difference| format!("{:?}", difference.fault)),
    };
    let same = before.iter().find(|old| {
        let old = RecordStatus {
            since: None,
            ..(*old).clone()
        };
        old == new
    });
    let since = same.map_or_else(|| Some(stamp(now)), |old| old.since.clone());
    RecordStatus { since, ..new }
}

/// What DNS answered for a record's name and type.
fn answered(observed: &Observed, record: &Record) -> Option<String> {
    let lookups = observed.found.as_ref()?.iter();
    let mut lookups =
        lookups.filter(|lookup| lookup.name == record.name && lookup.kind == record.kind);
    match &lookups.next()?.answer {
        Answer::Records(records) if records.is_empty() => None,
        Answer::Records(records) => {
            let wanted = record.data.as_deref();
            let ours = records.iter().find(|seen| Some(seen.as_str()) == wanted);
            Some(ours.cloned().unwrap_or_else(|| records.join(" | ")))
        }
        Answer::Failed(_) => None,
    }
}
