//! Kinds that bring no objects about: their status is all.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use mailpods_api::v1alpha1::{Mailbox, MailingList};
use serde::Serialize;

use crate::context::{Context, object_conditions, turned, verdict};
use crate::kube::Key;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::world::objects::Objects;
use crate::world::snapshot::{self, ByKey, Kind};
use crate::world::{Read, World};

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

            fn with(mut self, generation: Option<i64>, conditions: Vec<Condition>) -> Self {
                (self.observed_generation, self.conditions) = (generation, conditions);
                self
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

/// A kind whose compiler's verdict is all that there is to say.
pub trait Simple:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus<Status: Status>
{
    /// Which.
    const KIND: Kind;

    /// Objects as they were compiled.
    fn compiled(objects: &snapshot::Objects) -> &ByKey<Self>;

    /// Objects as they are now.
    fn current(world: &World) -> &Objects<Read<Self>>;
}

macro_rules! simple {
    ($($kind:ident in $field:ident),+) => {
        $(impl Simple for $kind {
            const KIND: Kind = Kind::$kind;

            fn compiled(objects: &snapshot::Objects) -> &ByKey<Self> {
                &objects.$field
            }

            fn current(world: &World) -> &Objects<Read<Self>> {
                &world.$field
            }
        })+
    };
}

simple!(
    Mailbox in mailboxes,
    MailingList in mailing_lists
);

/// Brings the status of one object to what it should be.
///
/// # Errors
/// When the API server does not take the status.
pub async fn reconcile<K: Simple>(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let snapshot = context.world.snapshot();
    let compiled = K::compiled(&snapshot.objects).get(key);
    let current = K::current(&context.world).get(key).and_then(Result::ok);
    let Some((compiled, current)) = compiled.zip(current) else {
        return Ok(Outcome::Done);
    };
    let before = current.status().cloned().unwrap_or_default();
    let verdict = verdict(snapshot.problems(K::KIND, key));
    let generation = compiled.meta().generation;
    let conditions = object_conditions(before.conditions(), verdict, Vec::new(), generation);
    let after = before.clone().with(generation, conditions);
    write(context, K::KIND, &*current, (&before, after)).await?;
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
    let (key, writes) = (Key::of(object.meta()), &context.world.writes);
    if *before == after {
        // What was written last may not have come back yet, and be another: then it is looked at.
        writes.forget(kind, &key);
        return Ok(());
    }
    writes.begin(kind, key.clone(), &after);
    let written = context.applier(kind).status(object, &after).await;
    written.inspect_err(|_| writes.forget(kind, &key))?;
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
