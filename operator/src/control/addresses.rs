//! From what pods tell of an OutboundIP to its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::{OutboundIPProviderStatus, OutboundIPStatus};
use mailpods_rpc::control::{AddressObservation, ProviderObservation};

use crate::context::{Verdict, object_conditions};
use crate::kube::conditions::{self, Holds, Said};

/// The address sends, or would when its turn comes.
pub const SENDING: &str = "Sending";
/// Some provider refuses the address, or a block list names it.
pub const HOT: &str = "Hot";

/// An event that is worth telling: whether it is good, its reason, and a note.
pub type Told = (bool, String, String);

/// The status with what pods tell; what they told before stays while none tells anything.
#[must_use]
pub fn status(before: &OutboundIPStatus, seen: Option<&AddressObservation>) -> OutboundIPStatus {
    let Some(seen) = seen else {
        return before.clone();
    };
    OutboundIPStatus {
        phase: Some(seen.phase.clone()).filter(|phase| !phase.is_empty()),
        reason: Some(seen.reason.clone()).filter(|reason| !reason.is_empty()),
        since: seen.since.and_then(time),
        until: seen.until.and_then(time),
        observed_address: seen.observed.clone(),
        sent: Some(rounded(seen.sent)),
        listed: seen.listed.clone(),
        providers: seen
            .providers
            .iter()
            .filter_map(provider)
            .take(64)
            .collect(),
        ..before.clone()
    }
}

fn provider(seen: &ProviderObservation) -> Option<OutboundIPProviderStatus> {
    Some(OutboundIPProviderStatus {
        name: seen.name.clone(),
        phase: seen.phase.clone(),
        reason: seen.reason.clone(),
        since: time(seen.since)?,
        until: time(seen.until)?,
        relapses: seen.relapses,
    })
}

/// RFC 3339, whole seconds.
fn time(millis: i64) -> Option<String> {
    Timestamp::from_second(millis / 1000)
        .ok()
        .map(|time| time.to_string())
}

/// Two leading digits: a status that changes with every message would be written with every message.
fn rounded(count: u64) -> u64 {
    let mut step = 1;
    while count / step >= 100 {
        step *= 10;
    }
    count / step * step
}

/// What is said of the address; nothing while no pod tells anything.
#[must_use]
pub fn said(seen: Option<&AddressObservation>) -> Vec<Said> {
    let Some(seen) = seen else {
        return Vec::new();
    };
    let rests = seen.phase == "Hot" && seen.providers.is_empty();
    let sends = !rests && !matches!(seen.phase.as_str(), "Pending" | "");
    let holds = if seen.phase.is_empty() {
        Holds::Unknown
    } else {
        sends.into()
    };
    let phase = if seen.phase.is_empty() {
        "Unknown"
    } else {
        seen.phase.as_str()
    };
    let hot = seen
        .providers
        .iter()
        .any(|provider| provider.phase == "Hot")
        || seen.phase == "Hot";
    let why = if hot { "Refused" } else { "NoRefusals" };
    let why = if hot && !seen.listed.is_empty() {
        "Listed"
    } else {
        why
    };
    let names: Vec<&str> = seen
        .providers
        .iter()
        .map(|provider| provider.name.as_str())
        .collect();
    let about = names
        .into_iter()
        .chain(seen.listed.iter().map(String::as_str));
    let about: Vec<&str> = about.filter(|_| hot).collect();
    vec![
        Said::new(SENDING, holds, phase.to_owned(), seen.reason.clone()),
        Said::new(HOT, hot, why, about.join(", ")),
    ]
}

/// The conditions with those of the address. Being hot for a provider is no fault that `Ready` would tell of: others are sent to.
#[must_use]
pub fn conditions(
    before: &[Condition],
    verdict: Verdict,
    seen: Option<&AddressObservation>,
    generation: Option<i64>,
) -> Vec<Condition> {
    let (hot, parts): (Vec<Said>, Vec<Said>) =
        said(seen).into_iter().partition(|said| said.kind == HOT);
    let mut all = object_conditions(before, verdict, parts, generation);
    all.extend(conditions::conditions(
        before,
        hot,
        generation,
        Timestamp::now(),
    ));
    all
}

/// What happened between two statuses.
#[must_use]
pub fn events(before: &OutboundIPStatus, after: &OutboundIPStatus) -> Vec<Told> {
    let mut told = Vec::new();
    if let Some(phase) = after.phase.as_ref().filter(|_| before.phase != after.phase) {
        let good = matches!(phase.as_str(), "Active" | "Warming" | "Standby");
        told.push((
            good,
            phase.clone(),
            after.reason.clone().unwrap_or_default(),
        ));
    }
    for provider in &after.providers {
        let old = before
            .providers
            .iter()
            .find(|old| old.name == provider.name);
        if old.is_none_or(|old| old.phase != provider.phase) {
            let note = format!(
                "{}: {} until {}",
                provider.name, provider.reason, provider.until
            );
            let good = provider.phase != "Hot";
            told.push((good, format!("Provider{}", provider.phase), note));
        }
    }
    for provider in &before.providers {
        if !after.providers.iter().any(|new| new.name == provider.name) {
            told.push((true, "ProviderFine".to_owned(), provider.name.clone()));
        }
    }
    for zone in after
        .listed
        .iter()
        .filter(|zone| !before.listed.contains(zone))
    {
        told.push((false, "Listed".to_owned(), zone.clone()));
    }
    for zone in before
        .listed
        .iter()
        .filter(|zone| !after.listed.contains(zone))
    {
        told.push((true, "Delisted".to_owned(), zone.clone()));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hot() -> AddressObservation {
        AddressObservation {
            name: "one".to_owned(),
            phase: "Hot".to_owned(),
            reason: "google: refusals 421".to_owned(),
            since: Some(1_700_000_000_000),
            sent: 12_345,
            providers: vec![ProviderObservation {
                name: "google".to_owned(),
                phase: "Hot".to_owned(),
                since: 1_700_000_000_000,
                until: 1_700_003_600_000,
                ..ProviderObservation::default()
            }],
            ..AddressObservation::default()
        }
    }

    #[test]
    fn what_pods_tell_becomes_status_and_events() {
        let seen = hot();
        let first = status(&OutboundIPStatus::default(), Some(&seen));
        assert_eq!(first.since.as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(
            (first.sent, first.providers[0].until.as_str()),
            (Some(12_000), "2023-11-14T23:13:20Z")
        );
        let told: Vec<String> = events(&OutboundIPStatus::default(), &first)
            .into_iter()
            .map(|told| told.1)
            .collect();
        assert_eq!(told, ["Hot", "ProviderHot"]);
        assert_eq!(status(&first, None), first, "nobody tells anything");
        assert!(events(&first, &first).is_empty());
        let fine = AddressObservation {
            phase: "Active".to_owned(),
            listed: vec!["bl.test".to_owned()],
            ..AddressObservation::default()
        };
        let then = status(&first, Some(&fine));
        let told: Vec<(bool, String)> = events(&first, &then)
            .into_iter()
            .map(|told| (told.0, told.1))
            .collect();
        let told: Vec<(bool, &str)> = told.iter().map(|told| (told.0, told.1.as_str())).collect();
        assert_eq!(
            told,
            [(true, "Active"), (true, "ProviderFine"), (false, "Listed")]
        );
    }

    #[test]
    fn conditions_say_whether_it_sends() {
        let of = |seen: &AddressObservation| {
            said(Some(seen))
                .iter()
                .map(|said| (said.kind, said.holds))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&hot()),
            [(SENDING, Holds::True), (HOT, Holds::True)],
            "others are sent to"
        );
        let pending = AddressObservation {
            phase: "Pending".to_owned(),
            ..AddressObservation::default()
        };
        assert_eq!(of(&pending), [(SENDING, Holds::False), (HOT, Holds::False)]);
        assert!(said(None).is_empty());
        let hot = conditions(&[], Verdict::default(), Some(&hot()), None);
        let told: Vec<_> = hot
            .iter()
            .map(|one| (one.type_.as_str(), one.status.as_str()))
            .collect();
        assert_eq!(
            told,
            [("Ready", "True"), ("Sending", "True"), ("Hot", "True")]
        );
    }
}
