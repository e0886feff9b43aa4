//! MailDomain: records and keys.

pub mod build;
mod keys;
mod observe;
mod status;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::MailDomainStatus;
use mailpods_policy::dkim_life::Decision;

use crate::context::Context;
use crate::dns::endpoint::Refused;
use crate::kube::Key;
use crate::kube::children::Child;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple;
use crate::world::snapshot::Kind;
use observe::Observed;

pub use keys::ROTATE;

/// Brings one MailDomain to what it should be.
///
/// # Errors
/// What the API server refused, after the status says so.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let now = Timestamp::now();
    let Some(observed) = observe::observe(context, key, now) else {
        return Ok(Outcome::Done);
    };
    if observed.current.metadata.deletion_timestamp.is_some() {
        // One that lost its name says nothing of the one that has it.
        if observed.cluster.is_some() {
            context.look_ups.forget(&observed.domain.spec.domain);
        }
        return Ok(Outcome::Done);
    }
    keys::adopt(context, &observed).await?;
    if observed.is_unplanned() {
        // Records that nobody wants for now are not withdrawn: mail would be lost over a mistake elsewhere.
        let status = status::unplanned(&observed);
        return write(context, &observed, status)
            .await
            .map(|()| Outcome::Done);
    }
    if observed.cluster.is_some() {
        let name = &observed.domain.spec.domain;
        context.look_ups.want(name, observed.wish(key));
    }
    let (children, refused) = built(&observed);
    let decision = keys::decided(&observed, now);
    let done = if observed.is_paused() {
        Ok(None)
    } else {
        changed(context, &observed, &children, (&decision, now)).await
    };
    let failed = done.as_ref().err();
    let status = status::status(&observed, &refused, &decision.blocked, failed);
    write(context, &observed, status).await?;
    done.map(|again| again.map_or(Outcome::Done, Outcome::Again))
}

async fn write(
    context: &Context,
    observed: &Observed,
    status: MailDomainStatus,
) -> Result<(), Error> {
    let before = observed.current.status.clone().unwrap_or_default();
    simple::write(
        context,
        Kind::MailDomain,
        &*observed.current,
        (&before, status),
    )
    .await
}

fn built(observed: &Observed) -> (Vec<Child>, Vec<Refused>) {
    match &observed.cluster {
        Some((_, cluster)) => build::build(&observed.domain, &observed.records, &cluster.spec.dns),
        None => (Vec::new(), Vec::new()),
    }
}

/// Keys first: a record is wanted when its key is there.
async fn changed(
    context: &Context,
    observed: &Observed,
    children: &[Child],
    (decision, now): (&Decision, Timestamp),
) -> Result<Option<Duration>, Error> {
    let again = keys::advance(context, observed, decision, now).await?;
    let applier = context.applier(Kind::MailDomain);
    let owner = build::owner(&observed.domain);
    let applied = applier.apply(&owner, children, &observed.live).await?;
    applier.prune(&owner, &applied, &observed.live).await?;
    Ok(again)
}
