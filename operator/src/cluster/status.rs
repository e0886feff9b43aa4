//! What is told of a MailCluster. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::{MailClusterStatus, RoleStatus};
use mailpods_plan::Role;
use mailpods_rpc::control::{Observations, SuspendedObservation};

use super::build::roles;
use super::observe::Observed;
use super::validate::ValidCluster;
use crate::context::{Verdict, object_conditions, verdict};
use crate::dkim::key::stamp;
use crate::kube::conditions::{Holds, Said, said_before, types};
use crate::kube::error::{Class, Error};
use crate::names;
use crate::world::Workload;

/// The condition that says so, while accounts may not send.
pub const SENDERS_SUSPENDED: &str = "SendersSuspended";
/// The condition that says so, while a pool cannot keep the standby that is wanted.
pub const STANDBY_SHORT: &str = "StandbyShort";
/// Suspended accounts, or pools, that a message names.
const NAMED: usize = 5;
/// What stands before, between and after pools in the message of [`STANDBY_SHORT`], and between a pool and its providers.
const SHORT_OF: &str = "fewer than spec.outbound.minStandby are on standby of ";
const BETWEEN: &str = "; ";
const SEE_LIST: &str = ": `mailpods ip list`";
const FOR: &str = " for ";

/// The status of a MailCluster of which objects were built.
#[must_use]
pub fn status(
    observed: &Observed,
    valid: &ValidCluster,
    failed: Option<&Error>,
) -> MailClusterStatus {
    let mut parts = vec![tls(observed), store(observed), roles_ready(observed, valid)];
    parts.extend(suspended(observed));
    parts.extend(short(observed));
    if valid.spec.paused {
        let message = "spec.paused is set: objects, records and keys stay as they are; pods are told of changes all the same";
        parts.insert(0, Said::new("Paused", true, "Paused", message));
    }
    let mut verdict = verdict(&observed.problems);
    if let Some(error) = failed {
        note(&mut verdict, error);
    }
    with(observed, valid, verdict, parts)
}

/// An error is told where problems are.
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

fn with(
    observed: &Observed,
    valid: &ValidCluster,
    verdict: Verdict,
    parts: Vec<Said>,
) -> MailClusterStatus {
    let before = observed.current.status.clone().unwrap_or_default();
    let generation = observed.cluster.metadata.generation;
    let plan = observed.plan.as_ref();
    let silent = observed.is_new && observed.pods.is_empty();
    let kept = before.clone();
    let kept = Some(kept).filter(|_| silent).unwrap_or_default();
    let count = |number: usize| i64::try_from(number).ok();
    MailClusterStatus {
        observed_generation: generation,
        conditions: object_conditions(&before.conditions, verdict, parts, generation),
        version: version(observed).or(kept.version),
        queue_depth: queue(observed).or(kept.queue_depth),
        certificate_expiry: expiry(observed).or(kept.certificate_expiry),
        roles: roles(valid)
            .iter()
            .map(|role| (role.to_string(), role_status(observed, &before, *role)))
            .collect(),
        domains: plan.and_then(|plan| count(plan.domains.len())),
        mailboxes: plan.and_then(|plan| count(plan.mailboxes.len())),
    }
}

/// The status of a MailCluster of which nothing can be built.
#[must_use]
pub fn invalid(observed: &Observed, problems: &[mailpods_plan::Problem]) -> MailClusterStatus {
    let before = observed.current.status.clone().unwrap_or_default();
    let generation = observed.cluster.metadata.generation;
    let verdict = verdict(problems);
    MailClusterStatus {
        observed_generation: generation,
        conditions: object_conditions(&before.conditions, verdict, Vec::new(), generation),
        ..before
    }
}

fn tls(observed: &Observed) -> Said {
    let spec = &observed.cluster.spec.tls;
    let there = observed
        .plan
        .as_ref()
        .is_some_and(|plan| plan.tls.certificate.is_some());
    let said = |holds: bool, reason, message: &str| Said::new(types::TLS, holds, reason, message);
    match (spec.secret_ref.is_some(), spec.issuer_ref.is_some(), there) {
        (_, _, true) => said(true, "Certificate", ""),
        (false, false, false) => said(
            true,
            "SelfSigned",
            "no certificate is named: pods make their own",
        ),
        (_, true, false) => said(false, "Issuing", "the issuer has made no certificate yet"),
        (true, ..) => said(
            false,
            "NoCertificate",
            "the Secret has no certificate that can be used",
        ),
    }
}

/// What was said before of what this leader has not had the time to look at.
fn before(observed: &Observed, kind: &'static str) -> Option<Said> {
    let status = observed
        .current
        .status
        .as_ref()
        .filter(|_| observed.is_new)?;
    said_before(&status.conditions, kind)
}

fn store(observed: &Observed) -> Said {
    let said = |holds: Holds, reason, message| Said::new(types::STORE, holds, reason, message);
    let asked = |pod: &&Observations| pod.store_reachable.is_some();
    let asked: Vec<&Observations> = observed.pods.iter().filter(asked).collect();
    let away = || {
        asked
            .iter()
            .filter(|pod| pod.store_reachable == Some(false))
    };
    if asked.is_empty() {
        if let Some(before) = before(observed, types::STORE) {
            return before;
        }
        let message = "no pod has told of the store yet".to_owned();
        return said(Holds::Unknown, "NotObserved", message);
    }
    let Some(first) = away().find_map(|pod| store_error(pod)) else {
        return match away().count() {
            0 => said(Holds::True, "Reachable", String::new()),
            _ => said(
                Holds::False,
                "Unreachable",
                "the store does not answer all pods".to_owned(),
            ),
        };
    };
    let message = format!(
        "{} of {} pods do not reach the store; {first}",
        away().count(),
        asked.len()
    );
    said(Holds::False, "Unreachable", message)
}

/// Why a pod is without the store, as it tells in its readiness.
fn store_error(pod: &Observations) -> Option<String> {
    let mut reasons = pod.not_ready.iter();
    let error = reasons.find_map(|reason| reason.strip_prefix("store: "))?;
    Some(format!("{}: {error}", pod.role))
}

/// Accounts that may not send. All pods know the same of them, so the one that has heard of the last one counts.
fn suspended(observed: &Observed) -> Option<Said> {
    let told = observed.pods.iter().map(|pod| &pod.suspended);
    let newest = |told: &&Vec<SuspendedObservation>| told.iter().map(|one| one.since).max();
    let told = told.max_by_key(newest).filter(|told| !told.is_empty())?;
    let named = told.iter().take(NAMED).map(|one| {
        let since = Timestamp::from_millisecond(one.since).map(stamp);
        let since = since.unwrap_or_default();
        format!("{} ({}, since {since})", one.account, one.cause)
    });
    let named: Vec<String> = named.collect();
    let more = match told.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "{}{more} may not send: `mailpods suspension list`",
        named.join(", ")
    );
    Some(Said::new(SENDERS_SUSPENDED, true, "Suspended", message))
}

/// Pools that cannot keep their standby. Pods may differ for a second; what one of them sees counts.
fn short(observed: &Observed) -> Option<Said> {
    // By pool and family: the providers that pods tell of, or none where it is so for all.
    let mut pools: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for told in observed.pods.iter().flat_map(|pod| &pod.short) {
        let (pool, providers) = told.split_once(FOR).unwrap_or((told, ""));
        let known = pools.entry(pool).or_default();
        known.extend(providers.split(", ").take(NAMED));
    }
    if pools.is_empty() {
        return None;
    }
    let named = pools.iter().take(NAMED).map(|(pool, providers)| {
        if providers.contains("") {
            return (*pool).to_owned();
        }
        let named: Vec<&str> = providers.iter().copied().take(NAMED).collect();
        format!("{pool}{FOR}{}", named.join(", "))
    });
    let named: Vec<String> = named.collect();
    let more = match pools.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("{BETWEEN}and {more} more"),
    };
    let message = format!("{SHORT_OF}{}{more}{SEE_LIST}", named.join(BETWEEN));
    Some(Said::new(STANDBY_SHORT, true, "Short", message))
}

/// The pools that a message of [`STANDBY_SHORT`] names, whatever the providers.
fn pools(message: &str) -> Vec<&str> {
    let list = message.strip_prefix(SHORT_OF).unwrap_or(message);
    let list = list.strip_suffix(SEE_LIST).unwrap_or(list);
    list.split(BETWEEN).map(pool).collect()
}

/// Pool and family of what a pod tells of one without its standby, whatever the providers.
pub(crate) fn pool(told: &str) -> &str {
    told.split_once(FOR).map_or(told, |(pool, _)| pool)
}

/// What is told by Events of accounts that may not send and of pools without their standby, when it is something new: reason and note.
#[must_use]
pub fn events(
    before: &MailClusterStatus,
    after: &MailClusterStatus,
) -> Vec<(&'static str, String)> {
    let said = |status: &MailClusterStatus, kind: &str| {
        let mut conditions = status.conditions.iter();
        let found = conditions.find(|condition| condition.type_ == kind)?;
        Some(found.message.clone())
    };
    let news = |kind: &'static str| {
        let now = said(after, kind)?;
        let is_known = said(before, kind).is_some_and(|before| match kind {
            STANDBY_SHORT => pools(&before) == pools(&now),
            _ => before == now,
        });
        (!is_known).then_some((kind, now))
    };
    [SENDERS_SUSPENDED, STANDBY_SHORT]
        .into_iter()
        .filter_map(news)
        .collect()
}

fn roles_ready(observed: &Observed, valid: &ValidCluster) -> Said {
    let unread = |role: &Role| workload(observed, *role).is_none();
    if roles(valid).iter().any(unread)
        && let Some(before) = before(observed, types::ROLES)
    {
        return before;
    }
    let waiting: Vec<String> = roles(valid)
        .iter()
        .filter_map(|role| {
            let workload = workload(observed, *role).cloned().unwrap_or_default();
            let done = workload.observed
                && workload.ready >= workload.wanted
                && workload.updated >= workload.wanted;
            (!done).then(|| format!("{role}: {} of {} ready", workload.ready, workload.wanted))
        })
        .collect();
    if waiting.is_empty() {
        Said::new(types::ROLES, true, "Serving", "")
    } else {
        Said::new(types::ROLES, false, "Starting", waiting.join(", "))
    }
}

fn workload(observed: &Observed, role: Role) -> Option<&Workload> {
    let name = observed
        .cluster
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    observed.workloads.get(&names::of_role(name, role))
}

fn role_status(observed: &Observed, before: &MailClusterStatus, role: Role) -> RoleStatus {
    let name = observed
        .cluster
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let workload = workload(observed, role).cloned();
    if let (None, true, Some(before)) =
        (&workload, observed.is_new, before.roles.get(role.as_str()))
    {
        return before.clone();
    }
    let workload = workload.unwrap_or_default();
    RoleStatus {
        replicas: workload.replicas,
        ready: workload.ready,
        updated: workload.updated,
        selector: names::selector_text(&names::selector(name, role)),
    }
}

/// Versions of all pods, each once.
fn version(observed: &Observed) -> Option<String> {
    let versions = observed.pods.iter().map(|pod| pod.version.as_str());
    let versions: BTreeMap<&str, ()> = versions
        .filter(|version| !version.is_empty())
        .map(|version| (version, ()))
        .collect();
    let versions: Vec<&str> = versions.into_keys().collect();
    Some(versions.join(", ")).filter(|text| !text.is_empty())
}

/// The queue is one, whichever pod looks at it.
fn queue(observed: &Observed) -> Option<i64> {
    let depths = observed.pods.iter().filter_map(|pod| pod.queue);
    depths
        .map(|queue| queue.depth)
        .max()
        .and_then(|depth| i64::try_from(depth).ok())
}

/// The certificate that ends first.
fn expiry(observed: &Observed) -> Option<String> {
    let ends = observed
        .pods
        .iter()
        .filter_map(|pod| pod.certificate_not_after);
    let first = ends.min()?;
    Timestamp::from_second(first).ok().map(stamp)
}
