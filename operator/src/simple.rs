//! Kinds that bring no objects about: their status is all.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Serialize;

use crate::context::{Context, object_conditions, turned, verdict};
use crate::kube::Key;
use crate::kube::conditions::Said;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::world::snapshot::Kind;

/// A status as far as all kinds have it.
pub trait Status: Clone + Default + PartialEq + Serialize {
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
    /// The same with these.
    #[must_use]
    fn with(self, generation: Option<i64>, conditions: Vec<Condition>) -> Self;
}

macro_rules! status {
    ($($status:ty),+) => {
        $(impl Status for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn with(self, generation: Option<i64>, conditions: Vec<Condition>) -> Self {
                Self {
                    observed_generation: generation,
                    conditions,
                    ..self
                }
            }
        })+
    };
}

status!(
    mailpods_api::v1alpha1::MailClusterStatus,
    mailpods_api::v1alpha1::MailDomainStatus,
    mailpods_api::v1alpha1::MailboxStatus,
    mailpods_api::v1alpha1::OutboundIPStatus,
    mailpods_api::v1alpha1::MailingListStatus
);

/// An object of one of our kinds, with its status.
pub struct Looked<K, S> {
    /// The object that was compiled.
    pub compiled: Arc<K>,
    /// The object as it is now.
    pub current: Arc<K>,
    /// Its status.
    pub before: S,
}

/// Writes the status of an object whose compiler's verdict is all that there is to say.
///
/// # Errors
/// When the API server does not take the status.
pub async fn reconcile<K, S>(
    context: &Context,
    (kind, key): (Kind, &Key),
    looked: Looked<K, S>,
    parts: Vec<Said>,
) -> Result<Outcome, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    S: Status,
{
    let snapshot = context.world.snapshot();
    let verdict = verdict(snapshot.problems(kind, key));
    let generation = looked.compiled.meta().generation;
    let conditions = object_conditions(looked.before.conditions(), verdict, parts, generation);
    let after = looked.before.clone().with(generation, conditions);
    write(context, kind, &*looked.current, (&looked.before, after)).await?;
    Ok(Outcome::Done)
}

/// Writes a status when it differs, and tells of a turn.
///
/// # Errors
/// When the API server does not take the status.
pub async fn write<K, S>(
    context: &Context,
    kind: Kind,
    object: &K,
    (before, after): (&S, S),
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    S: Status,
{
    if *before == after {
        return Ok(());
    }
    context.applier(kind).status(object, &after).await?;
    context.metrics.statuses.inc(kind);
    if let Some(ready) = turned(before.conditions(), after.conditions()) {
        let about = object.object_ref(&());
        let good = ready.status == "True";
        context
            .events
            .tell(&about, good, &ready.reason, &ready.message)
            .await;
    }
    Ok(())
}
