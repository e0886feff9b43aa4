//! What there is of a MailCluster. Client not required: the watches have told.

use std::collections::BTreeMap;
use std::sync::Arc;

use mailpods_api::v1alpha1::MailCluster;
use mailpods_plan::dns::Record;
use mailpods_plan::{Plan, Problem};
use mailpods_rpc::control::Observations;

use super::hosts;
use crate::context::Context;
use crate::kube::Key;
use crate::kube::apply::LiveObjects;
use crate::world::Workload;
use crate::world::snapshot::Kind;

/// What there is of a MailCluster.
pub struct Observed {
    /// The object that was compiled.
    pub cluster: Arc<MailCluster>,
    /// The object as it is now, whose status is compared.
    pub current: Arc<MailCluster>,
    /// What the compiler found wrong.
    pub problems: Vec<Problem>,
    /// The plan that pods get.
    pub plan: Option<Arc<Plan>>,
    /// Records of its hosts that are in no MailDomain; `None`: without a plan nobody knows.
    pub hosts: Option<Vec<Record>>,
    /// What it brought about.
    pub live: LiveObjects,
    /// Pods by name of the workload.
    pub workloads: BTreeMap<String, Workload>,
    /// What pods told.
    pub pods: Vec<Observations>,
    /// Whether pods may not have had the time to tell anything.
    pub is_new: bool,
}

/// Looks; `None` when there is nothing to look at.
#[must_use]
pub fn observe(context: &Context, key: &Key) -> Option<Observed> {
    let snapshot = context.world.snapshot();
    let cluster = snapshot.objects.clusters.get(key)?.clone();
    let current = context.world.clusters.get(key)?.ok()?;
    let workloads = mailpods_plan::Role::ALL.into_iter().filter_map(|role| {
        let name = crate::names::of_role(&key.name, role);
        let workload = context
            .world
            .workload(&Key::new(key.namespace.clone(), name.clone()))?;
        Some((name, workload))
    });
    let view = snapshot.clusters.get(key);
    let plan = view.and_then(|view| view.plan.clone());
    Some(Observed {
        problems: snapshot.problems(Kind::MailCluster, key).to_vec(),
        hosts: plan
            .as_ref()
            .map(|plan| hosts::records(plan, &snapshot.served)),
        plan,
        live: context.world.live(Kind::MailCluster, key),
        workloads: workloads.collect(),
        pods: context.observed.pods(key),
        is_new: context.is_new(),
        cluster,
        current,
    })
}
