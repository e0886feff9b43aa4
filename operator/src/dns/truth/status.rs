//! What was judged, as status has it. Pure.

use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::RecordStatus;
use mailpods_policy::dkim_life::Observation;

use super::compare::{Fault, is_dkim};
use super::finding::{Finding, Weight};
use super::judge::Judged;
use super::seen::RecordSeen;

/// Records that a status shows.
const MAX_RECORDS: usize = 64;
/// Findings that a message tells; more are counted.
const MAX_TOLD: usize = 8;

/// What the condition `DNSReady` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// `None`: nobody knows.
    pub holds: Option<bool>,
    /// Reason.
    pub reason: &'static str,
    /// For people: what was found, then what helps.
    pub message: String,
}

/// The condition `DNSReady`.
#[must_use]
pub fn ready(judged: &Judged) -> Ready {
    let worst = |weight: Weight| {
        let mut findings = judged.findings.iter();
        findings.find(|finding| finding.reason.weight() == weight)
    };
    let (holds, reason) = match (worst(Weight::Wrong), worst(Weight::Unknown)) {
        (Some(wrong), _) => (Some(false), wrong.reason.as_str()),
        (None, Some(unknown)) => (None, unknown.reason.as_str()),
        (None, None) => (Some(true), "Published"),
    };
    Ready {
        holds,
        reason,
        message: message(&judged.findings),
    }
}

fn message(findings: &[Finding]) -> String {
    let told = findings.iter().take(MAX_TOLD);
    let mut parts: Vec<String> = told
        .clone()
        .map(|finding| finding.message.clone())
        .collect();
    if let Some(more) = findings
        .len()
        .checked_sub(MAX_TOLD)
        .filter(|more| *more > 0)
    {
        parts.push(format!("and {more} more"));
    }
    for finding in told.filter(|finding| !finding.remedy.is_empty()) {
        if !parts.contains(&finding.remedy) {
            parts.push(finding.remedy.clone());
        }
    }
    parts.join("; ")
}

/// The records for a status: what is as it was keeps its time. All DKIM keys are among them, since their time counts.
#[must_use]
pub fn record_statuses(
    judged: &Judged,
    before: &[RecordStatus],
    now: Timestamp,
) -> Vec<RecordStatus> {
    let keys = judged
        .records
        .iter()
        .filter(|seen| is_dkim(&seen.record.name));
    let mut room = MAX_RECORDS.saturating_sub(keys.count());
    let shown = judged.records.iter().filter(|seen| {
        let fits = room > 0;
        let is_key = is_dkim(&seen.record.name);
        room -= usize::from(fits && !is_key);
        is_key || fits
    });
    shown.map(|seen| dated(seen, before, now)).collect()
}

fn status(seen: &RecordSeen) -> RecordStatus {
    RecordStatus {
        name: seen.record.name.clone(),
        r#type: seen.record.kind.as_str().to_owned(),
        wanted: seen.record.data.clone().unwrap_or_default(),
        seen: seen.seen.clone(),
        servers: (seen.servers > 0).then(|| format!("{}/{}", seen.showing, seen.servers)),
        since: None,
        fault: seen.fault.map(|fault| fault.as_str().to_owned()),
    }
}

/// The status of a record with its time. Servers that fail to answer change nothing of what was seen before.
fn dated(seen: &RecordSeen, before: &[RecordStatus], now: Timestamp) -> RecordStatus {
    let new = status(seen);
    let old = before.iter().find(|old| question(old) == question(&new));
    let new = match old.filter(|old| is_hidden(seen, &new, old)) {
        Some(old) => RecordStatus {
            seen: old.seen.clone(),
            servers: old.servers.clone(),
            ..new
        },
        None => new,
    };
    let same = old.filter(|old| {
        (&old.seen, &old.servers) == (&new.seen, &new.servers) && is_same_fault(old, &new)
    });
    let since: Option<Timestamp> = same.and_then(|old| old.since.as_ref()?.parse().ok());
    // A time to come was written by a clock that was ahead.
    let since = since.filter(|since| *since <= now).unwrap_or(now);
    let whole = Timestamp::from_second(since.as_second()).unwrap_or(since);
    RecordStatus {
        since: Some(whole.to_string()),
        ..new
    }
}

fn question(status: &RecordStatus) -> (&str, &str, &str) {
    (&status.name, &status.r#type, &status.wanted)
}

/// Whether servers did not answer, and those that did show what was there before: then what they all showed stands.
fn is_hidden(seen: &RecordSeen, new: &RecordStatus, old: &RecordStatus) -> bool {
    if seen.answering == 0 {
        return seen.fault == Some(Fault::NotAnswered);
    }
    let total = |status: &RecordStatus| {
        let servers = status.servers.as_deref()?;
        Some(servers.split_once('/')?.1.to_owned())
    };
    seen.answering < seen.servers
        && new.seen == old.seen
        && is_same_fault(old, new)
        && total(new) == total(old)
}

/// Nobody's answer is no fault of the record.
fn is_same_fault(old: &RecordStatus, new: &RecordStatus) -> bool {
    let unknown = Some(Fault::NotAnswered.as_str());
    old.fault == new.fault || old.fault.as_deref() == unknown || new.fault.as_deref() == unknown
}

/// What DNS shows of a DKIM key, by the name of its record. `statuses`: those of [`record_statuses`], which know since when.
#[must_use]
pub fn key_seen(judged: &Judged, statuses: &[RecordStatus], name: &str) -> Observation {
    let mut all = judged.records.iter().chain(&judged.withdrawn);
    let Some(seen) = all.find(|seen| seen.record.name == name) else {
        return Observation::Unknown;
    };
    let wanted = seen.record.data.as_deref();
    let is_it =
        |status: &&RecordStatus| status.name == name && Some(status.wanted.as_str()) == wanted;
    let since = statuses.iter().find(is_it).and_then(|status| {
        let since: Timestamp = status.since.as_ref()?.parse().ok()?;
        Some(since.as_second())
    });
    match (seen.fault, seen.showing, since) {
        (Some(Fault::NotAnswered | Fault::NoKey), ..) => Observation::Unknown,
        (_, 0, _) => Observation::Absent,
        (None, showing, Some(since)) if showing == seen.servers => {
            Observation::Everywhere { since }
        }
        _ => Observation::Partly,
    }
}
