//! OutboundIP: its records are published, and what pods see of it becomes its status.

use crate::context::{Context, verdict};
use crate::control::addresses;
use crate::kube::Key;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple::{self, Status};
use crate::world::snapshot::Kind;

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
    let conditions = addresses::conditions(before.conditions(), verdict, seen.as_ref(), generation);
    let after = addresses::status(&before, seen.as_ref()).with(generation, conditions);
    let told = addresses::events(&before, &after);
    simple::write(context, Kind::OutboundIP, &*current, (&before, after)).await?;
    let about = kube::Resource::object_ref(&*current, &());
    for (good, reason, note) in told {
        context.events.tell(&about, good, &reason, &note).await;
    }
    Ok(Outcome::Done)
}
