//! OutboundIP: its records are published, and what pods see of it becomes its status.

pub mod attached;
pub mod drain;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::OutboundIP;

use crate::context::{Context, verdict};
use crate::control::addresses;
use crate::kube::Key;
use crate::kube::conditions;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple::{self, Status};
use crate::world::snapshot::Kind;

use drain::Step;

/// How often one that is being removed is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often is looked who has an address that leaves by egress proxies.
const LOOK_FOR_PROXIES: Duration = Duration::from_secs(30);

/// Brings the status of one OutboundIP to what it should be, and tells of what happened to it.
///
/// # Errors
/// When the API server does not take the status.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let snapshot = context.world.snapshot();
    let compiled = snapshot.objects.outbound_ips.get(key).cloned();
    let current = context.world.outbound_ips.get(key).and_then(Result::ok);
    let Some((compiled, current)) = compiled.zip(current) else {
        return Ok(Outcome::Done);
    };
    let before = current.status.clone().unwrap_or_default();
    let seen = context.observed.address(key, &compiled);
    let generation = compiled.metadata.generation;
    let verdict = verdict(snapshot.problems(Kind::OutboundIP, key));
    let leaving = leaving(context, key, &current).await?;
    if leaving == Some(Step::Over) {
        let text = "its records are withdrawn";
        let about = kube::Resource::object_ref(&*current, &());
        context.events.tell(&about, true, "Withdrawn", text).await;
        drain::hold(context, &current.metadata, false).await?;
        return Ok(Outcome::Done);
    }
    let mut conditions =
        addresses::conditions(before.conditions(), verdict, seen.as_ref(), generation);
    let drained = leaving
        .as_ref()
        .and_then(|step| step.said(before.conditions()));
    let attached = attached::said(&compiled, &context.observed.proxies(key, &compiled));
    let is_at_proxies = attached.is_some();
    conditions.extend(conditions::conditions(
        before.conditions(),
        drained.into_iter().chain(attached).collect(),
        generation,
        Timestamp::now(),
    ));
    let after = addresses::status(&before, seen.as_ref()).with(generation, conditions);
    let mut told = addresses::events(&before, &after);
    told.extend(
        leaving
            .as_ref()
            .and_then(|step| tells(step, before.conditions())),
    );
    simple::write(context, Kind::OutboundIP, &*current, (&before, after)).await?;
    let about = kube::Resource::object_ref(&*current, &());
    for (good, reason, note) in told {
        context.events.tell(&about, good, &reason, &note).await;
    }
    Ok(match (leaving, is_at_proxies) {
        (Some(_), _) => Outcome::Again(LOOK_AGAIN),
        // That a proxy tells nothing any more is told by nobody.
        (None, true) => Outcome::Again(LOOK_FOR_PROXIES),
        (None, false) => Outcome::Done,
    })
}

/// Holds an object that pods send from, and tells how far one is that somebody deleted; `None`: it is not held, or not deleted.
async fn leaving(context: &Context, key: &Key, ip: &OutboundIP) -> Result<Option<Step>, Error> {
    let snapshot = context.world.snapshot();
    let held = drain::is_held(&ip.metadata);
    let sent_from = drain::is_sent_from(&snapshot, key, ip)
        || (held && context.world.has_unread_cluster(&snapshot, &key.namespace));
    let Some(deleted) = &ip.metadata.deletion_timestamp else {
        if sent_from != held && (sent_from || snapshot.complete) {
            drain::hold(context, &ip.metadata, sent_from).await?;
        }
        return Ok(None);
    };
    if !held {
        return Ok(None);
    }
    if !sent_from {
        return Ok(Some(Step::Over));
    }
    let before = ip.status.clone().unwrap_or_default();
    let facts = drain::Facts {
        deleted: deleted.0,
        now: Timestamp::now(),
        drained: drain::since(&before.conditions),
        pods: &context.observed.addresses(key, ip),
        is_new: context.is_new(),
        ttl: drain::ttl(&snapshot, key, ip),
    };
    Ok(Some(drain::step(&facts)))
}

/// The event of a step that is new.
fn tells(step: &Step, before: &[Condition]) -> Option<addresses::Told> {
    let mut all = before.iter();
    let old = all.find(|condition| condition.type_ == drain::DRAINED);
    let said = step.said(before)?;
    let is_news = old.is_none_or(|old| old.status != said.holds.as_str());
    let reason = match step {
        Step::Draining(_) => "Draining",
        Step::Drained { late: true } => "DrainTimedOut",
        _ => "Drained",
    };
    let good = !matches!(step, Step::Drained { late: true });
    is_news.then(|| (good, reason.to_owned(), said.message))
}
