//! MailCluster: workloads, Services, keys.

mod apply;
pub mod build;
pub mod hosts;
mod observe;
pub mod status;
pub mod validate;

use std::time::Duration;

use mailpods_api::v1alpha1::MailClusterStatus;

use crate::context::Context;
use crate::kube::Key;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple;
use crate::world::snapshot::Kind;
use observe::Observed;

/// What pods tell changes without a watch.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Brings one MailCluster to what it should be.
///
/// # Errors
/// What the API server refused, after the status says so.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let Some(observed) = observe::observe(context, key) else {
        let is_gone = context.world.is_ready() && context.world.clusters.get(key).is_none();
        if is_gone {
            // The API server removes what is in the namespace, and nothing else.
            let live = context.world.live(Kind::MailCluster, key);
            context
                .applier(Kind::MailCluster)
                .remove_left(&live)
                .await?;
        }
        return Ok(Outcome::Done);
    };
    if observed.current.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Done);
    }
    let valid = match validate::validate(&observed.cluster) {
        Ok(valid) => valid,
        Err(problems) => {
            write(context, &observed, status::invalid(&observed, &problems)).await?;
            return Ok(Outcome::Done);
        }
    };
    let failed = if valid.spec.paused {
        None
    } else {
        let surroundings = build::Surroundings {
            policy_hosts: build::policy_hosts(&valid, observed.plan.as_deref()),
            addresses: build::addresses(&valid, observed.plan.as_deref()),
            ..context.surroundings()
        };
        let children = build::build(&valid, &surroundings);
        apply::apply(context, &valid, children, &observed)
            .await
            .err()
    };
    let status = status::status(&observed, &valid, failed.as_ref());
    write(context, &observed, status).await?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Outcome::Again(LOOK_AGAIN)),
    }
}

async fn write(
    context: &Context,
    observed: &Observed,
    status: MailClusterStatus,
) -> Result<(), Error> {
    let before = observed.current.status.clone().unwrap_or_default();
    let told = status::events(&before, &status);
    simple::write(
        context,
        Kind::MailCluster,
        &*observed.current,
        (&before, status),
    )
    .await?;
    let about = kube::Resource::object_ref(&*observed.current, &());
    for (reason, note) in told {
        context.events.tell(&about, false, reason, &note).await;
    }
    Ok(())
}
