//! What is told of a MailDomain. Pure.

use mailpods_api::v1alpha1::{DkimKeyStatus, DnsMode, MailDomainStatus, RecordStatus};
use mailpods_plan::DkimAlgorithm;
use mailpods_plan::dns::zone;
use mailpods_policy::dkim_life::{Blocked, MAX_KEYS, Phase};
use mailpods_policy::spf;

use super::observe::Observed;
use crate::context::{Verdict, object_conditions, verdict};
use crate::dkim::key::stamp;
use crate::dns::endpoint::Refused;
use crate::dns::truth::ready;
use crate::kube::conditions::{Holds, Said, said_before, types};
use crate::kube::error::{Class, Error};

/// The status of a MailDomain.
#[must_use]
pub fn status(
    observed: &Observed,
    refused: &[Refused],
    blocked: &[(String, Blocked)],
    failed: Option<&Error>,
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
        parts(observed, refused, blocked),
        generation,
    );
    let budget = spf_budget(observed);
    let small = |number: usize| i32::try_from(number).ok();
    MailDomainStatus {
        observed_generation: generation,
        conditions,
        records: records(observed, before.records),
        spf_lookups: budget.and_then(|budget| small(budget.lookups)),
        spf_octets: budget.and_then(|budget| small(budget.octets)),
        cluster: observed.cluster.as_ref().map(|(key, _)| key.to_string()),
        domain_aliases: observed.aliases.clone(),
        dkim: keys(observed),
        zone: (observed.cluster.is_some() && observed.mode() == DnsMode::Manual)
            .then(|| zone(&observed.records)),
    }
}

/// The status of a MailDomain that is in no plan: what was said of its records and keys holds on, since nothing is changed.
#[must_use]
pub fn unplanned(observed: &Observed) -> MailDomainStatus {
    let before = observed.current.status.clone().unwrap_or_default();
    let generation = observed.domain.metadata.generation;
    let mut verdict = verdict(&observed.problems);
    verdict.waits.get_or_insert_with(|| {
        let message = "no plan has it yet: the status of the MailCluster says why; its records stay as they are";
        Said::new("Plan", false, "NoPlan", message)
    });
    let parts = [types::DNS, types::DKIM]
        .into_iter()
        .filter_map(|kind| said_before(&before.conditions, kind));
    MailDomainStatus {
        observed_generation: generation,
        conditions: object_conditions(&before.conditions, verdict, parts.collect(), generation),
        // The one that had it last puts its mail off meanwhile.
        cluster: observed
            .cluster
            .as_ref()
            .map(|(key, _)| key.to_string())
            .or(before.cluster),
        ..before
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

fn parts(observed: &Observed, refused: &[Refused], blocked: &[(String, Blocked)]) -> Vec<Said> {
    if observed.cluster.is_none() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    if observed.is_paused() {
        parts.push(Said::new(
            "Paused",
            true,
            "Paused",
            "spec.paused is set: records and keys stay as they are; pods are told of changes all the same",
        ));
    }
    parts.push(dns_ready(observed, refused));
    if observed.is_signed_here() {
        parts.push(dkim_ready(observed, blocked));
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
    let Some(seen) = &observed.seen else {
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
    let ready = ready(&seen.judged);
    let holds = ready.holds.map_or(Holds::Unknown, Holds::from);
    said(holds, ready.reason, ready.message)
}

fn dkim_ready(observed: &Observed, blocked: &[(String, Blocked)]) -> Said {
    if observed.has_key_of_another_namespace() {
        let message = "the MailCluster names a private key of its own namespace, which is not copied into another one: name keys in spec.dkim.keys";
        return Said::new(types::DKIM, false, "KeyOfAnotherNamespace", message);
    }
    let of = |why: Blocked| blocked.iter().find(|(_, other)| *other == why);
    if let Some((base, _)) = of(Blocked::SelectorTaken) {
        let message = format!(
            "the key for selector {base} is not taken: another key has the selector, and keys never change under one; name a new selector in spec.dkim.keys"
        );
        return Said::new(types::DKIM, false, "SelectorTaken", message);
    }
    let full = of(Blocked::TooManyKeys).map(|(base, _)| {
        format!("no further key is made for {base} before the oldest of {MAX_KEYS} is gone")
    });
    if observed.keys.iter().any(|key| key.phase == Phase::Signing) {
        return Said::new(types::DKIM, true, "Signing", full.unwrap_or_default());
    }
    if let Some(full) = full {
        return Said::new(types::DKIM, false, "TooManyKeys", full);
    }
    if observed.dkim().is_empty() {
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

/// What the domain's SPF record costs; until somebody has looked at what it includes, by itself.
fn spf_budget(observed: &Observed) -> Option<spf::SpfBudget> {
    match &observed.seen {
        Some(seen) => seen.spf,
        None => observed.spf_record().map(spf::cost),
    }
}

/// Until somebody has looked, what was seen before the operator started holds, with its times.
fn records(observed: &Observed, before: Vec<RecordStatus>) -> Vec<RecordStatus> {
    match (&observed.seen, &observed.cluster) {
        (_, None) => Vec::new(),
        (None, Some(_)) => before,
        (Some(seen), Some(_)) => seen.records.clone(),
    }
}
