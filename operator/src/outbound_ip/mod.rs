//! OutboundIP: its records are published, and what pods see of it becomes its status.

pub mod attached;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::context::{Context, verdict};
use crate::control::addresses;
use crate::kube::Key;
use crate::kube::conditions;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple::{self, Status};
use crate::world::snapshot::Kind;

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
    let mut conditions =
        addresses::conditions(before.conditions(), verdict, seen.as_ref(), generation);
    let attached = attached::said(&compiled, &context.observed.proxies(key, &compiled));
    let is_at_proxies = attached.is_some();
    conditions.extend(conditions::conditions(
        before.conditions(),
        attached.into_iter().collect(),
        generation,
        Timestamp::now(),
    ));
    let after = addresses::status(&before, seen.as_ref()).with(generation, conditions);
    let told = addresses::events(&before, &after);
    simple::write(context, Kind::OutboundIP, &*current, (&before, after)).await?;
    let about = kube::Resource::object_ref(&*current, &());
    for (good, reason, note) in told {
        context.events.tell(&about, good, &reason, &note).await;
    }
    Ok(match is_at_proxies {
        // That a proxy tells nothing any more is told by nobody.
        true => Outcome::Again(LOOK_FOR_PROXIES),
        false => Outcome::Done,
    })
}
