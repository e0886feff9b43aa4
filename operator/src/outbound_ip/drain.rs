//! An OutboundIP that somebody deletes: nothing new leaves from it, and its records stay until nothing does and whoever has seen mail from
//! it has had the time to look. A finalizer holds the object, and so its records, for that long.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use mailpods_api::v1alpha1::OutboundIP;
use mailpods_rpc::control::AddressObservation;
use serde_json::json;

use super::LOOK_AGAIN;
use crate::context::Context;
use crate::control::observed::may_tell;
use crate::kube::Key;
use crate::kube::conditions::{Said, said_before};
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::world::snapshot::Snapshot;

/// Holds an OutboundIP that pods send from.
pub const FINALIZER: &str = "mailpods.dev/drain";
/// No pod sends from the address any more.
pub const DRAINED: &str = "Drained";

/// How long connections are waited for.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// How long records stay after that at most, whatever their time to live.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// What is known of an address that is deleted.
pub struct Facts<'a> {
    /// When it was deleted.
    pub deleted: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// Since when nothing leaves from it; `None`: not yet.
    pub drained: Option<Timestamp>,
    /// What pods tell of it.
    pub pods: &'a [AddressObservation],
    /// Pods may not have had the time to tell anything.
    pub is_new: bool,
    /// Time to live of its records.
    pub ttl: SignedDuration,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pods still send from it; in words.
    Draining(String),
    /// Nothing leaves from it since now; or it was waited for long enough.
    Drained {
        /// Connections did not end in time.
        late: bool,
    },
    /// Its records stay until then.
    Stays(Timestamp),
    /// Its records may go.
    Over,
}

/// Decides.
#[must_use]
pub fn step(facts: &Facts<'_>) -> Step {
    if let Some(drained) = facts.drained {
        let until = drained + facts.ttl.min(LONGEST);
        return if facts.now >= until {
            Step::Over
        } else {
            Step::Stays(until)
        };
    }
    let late = facts.now >= facts.deleted + PATIENCE;
    let unaware = facts.pods.iter().filter(|pod| !pod.draining).count();
    let connections: u64 = facts.pods.iter().map(|pod| pod.connections).sum();
    let unheard = facts.pods.is_empty() && facts.is_new;
    if !late && (unaware > 0 || connections > 0 || unheard) {
        return Step::Draining(format!(
            "{connections} connections; {unaware} of {} pods do not know of it yet",
            facts.pods.len()
        ));
    }
    Step::Drained {
        late: late && (unaware > 0 || connections > 0),
    }
}

/// Since when the condition says that the address is drained.
#[must_use]
pub fn since(conditions: &[Condition]) -> Option<Timestamp> {
    let mut all = conditions.iter();
    let drained = all.find(|condition| condition.type_ == DRAINED)?;
    (drained.status == "True").then_some(drained.last_transition_time.0)
}

impl Step {
    /// What the condition says; `None`: the object goes.
    #[must_use]
    pub fn said(&self, before: &[Condition]) -> Option<Said> {
        match self {
            Self::Draining(text) => Some(Said::new(DRAINED, false, "Connections", text.clone())),
            Self::Drained { late: true } => {
                let text = "connections from it did not end in ten minutes";
                Some(Said::new(DRAINED, true, "TimedOut", text.to_owned()))
            }
            Self::Drained { late: false } => {
                let text = "no connection uses it; its records stay for their time to live";
                Some(Said::new(DRAINED, true, "Unused", text.to_owned()))
            }
            Self::Stays(_) => said_before(before, DRAINED),
            Self::Over => None,
        }
    }
}

/// Whether pods send from an address by the plan that they have; where there is none, nobody knows that they do not.
#[must_use]
pub fn is_sent_from(snapshot: &Snapshot, key: &Key, ip: &OutboundIP) -> bool {
    let mut own = snapshot
        .clusters
        .iter()
        .filter(|(cluster, _)| may_tell(cluster, key, ip));
    own.any(|(_, view)| {
        view.plan.as_ref().is_none_or(|plan| {
            let planned = plan.outbound_ips.get(&key.name);
            planned.is_some_and(|planned| planned.address == ip.spec.address)
        })
    })
}

/// Time to live of the records of an address.
#[must_use]
pub fn ttl(snapshot: &Snapshot, key: &Key, ip: &OutboundIP) -> SignedDuration {
    let own = snapshot
        .clusters
        .iter()
        .filter(|(cluster, _)| may_tell(cluster, key, ip));
    let ttls = own.filter_map(|(_, view)| Some(view.plan.as_ref()?.dns.ttl));
    let longest = ttls.max().map(SignedDuration::try_from);
    longest.and_then(Result::ok).unwrap_or(LONGEST)
}

/// Whether the object is held.
#[must_use]
pub fn is_held(metadata: &ObjectMeta) -> bool {
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|name| name == FINALIZER)
}

/// Holds the object, or lets it go.
///
/// # Errors
/// When the API server does not take that.
pub async fn hold(context: &Context, metadata: &ObjectMeta, held: bool) -> Result<(), Error> {
    let key = Key::of(metadata);
    let others = metadata.finalizers.iter().flatten();
    let mut finalizers: Vec<&str> = others
        .map(String::as_str)
        .filter(|name| *name != FINALIZER)
        .collect();
    finalizers.extend(held.then_some(FINALIZER));
    // Of this version alone: others have finalizers of their own.
    let version = metadata.resource_version.as_deref();
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    let api: Api<OutboundIP> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = PatchParams::default();
    match api
        .patch_metadata(&key.name, &params, &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        // It is gone meanwhile.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(source) => Err(Error::Apply {
            kind: "OutboundIP",
            name: key.to_string(),
            source: Box::new(source),
        }),
    }
}

/// Lets go of an object that cannot be read and was deleted. Its status cannot tell how far it is: connections and then records have all
/// the time that they may take.
///
/// # Errors
/// When the API server does not take that.
pub async fn let_go_unread(context: &Context, metadata: &ObjectMeta) -> Result<Outcome, Error> {
    let deleted = metadata.deletion_timestamp.as_ref();
    let Some(deleted) = deleted.filter(|_| is_held(metadata)) else {
        return Ok(Outcome::Done);
    };
    let (snapshot, key) = (context.world.snapshot(), Key::of(metadata));
    let known = snapshot.objects.outbound_ips.get(&key);
    let known = known.filter(|ip| is_sent_from(&snapshot, &key, ip));
    let stays = known.map(|ip| PATIENCE + ttl(&snapshot, &key, ip).min(LONGEST));
    let until = deleted.0 + stays.unwrap_or_default();
    match Duration::try_from(until.duration_since(Timestamp::now())) {
        Ok(left) if !left.is_zero() => return Ok(Outcome::Again(left)),
        _ if !snapshot.complete => return Ok(Outcome::Again(LOOK_AGAIN)),
        _ => {}
    }
    hold(context, metadata, false).await?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(START + seconds).unwrap()
    }

    fn pod(draining: bool, connections: u64) -> AddressObservation {
        AddressObservation {
            draining,
            connections,
            ..AddressObservation::default()
        }
    }

    fn of(pods: &[AddressObservation], now: i64, drained: Option<i64>) -> Step {
        step(&Facts {
            deleted: at(0),
            now: at(now),
            drained: drained.map(at),
            pods,
            is_new: false,
            ttl: SignedDuration::from_mins(5),
        })
    }

    #[test]
    fn connections_end_and_then_records_stay_for_their_time_to_live() {
        let waits = of(&[pod(true, 0), pod(false, 0)], 1, None);
        assert!(matches!(waits, Step::Draining(text) if text.contains("1 of 2 pods")));
        let waits = of(&[pod(true, 2), pod(true, 0)], 1, None);
        assert!(matches!(waits, Step::Draining(text) if text.starts_with("2 connections")));
        let drained = Step::Drained { late: false };
        assert_eq!(of(&[pod(true, 0)], 1, None), drained);
        assert_eq!(of(&[], 1, None), drained, "no pod sends from it");
        assert_eq!(of(&[], 299, Some(0)), Step::Stays(at(300)));
        assert_eq!(of(&[], 300, Some(0)), Step::Over);
    }

    #[test]
    fn nothing_is_waited_for_without_end() {
        assert!(matches!(of(&[pod(true, 1)], 599, None), Step::Draining(_)));
        assert_eq!(of(&[pod(true, 1)], 600, None), Step::Drained { late: true });
        let facts = Facts {
            deleted: at(0),
            now: at(7_200),
            drained: Some(at(3_600)),
            pods: &[],
            is_new: false,
            ttl: SignedDuration::from_hours(48),
        };
        assert_eq!(step(&facts), Step::Over);
        let unheard = Facts {
            now: at(1),
            drained: None,
            is_new: true,
            ..facts
        };
        assert!(matches!(step(&unheard), Step::Draining(_)));
    }
}
