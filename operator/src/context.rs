//! What every controller works with.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use mailpods_plan::{Problem, ProblemClass};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::build::Surroundings;
use crate::control::observed::Observed;
use crate::dns::look_ups::LookUps;
use crate::kube::apply::Applier;
use crate::kube::conditions::{Said, conditions, summary, types};
use crate::kube::error::Class;
use crate::kube::events::Events;
use crate::kube::queue::Outcome;
use crate::metrics::Metrics;
use crate::world::World;
use crate::world::snapshot::Kind;

/// What every controller works with.
pub struct Context {
    /// The client.
    pub client: Client,
    /// What there is.
    pub world: Arc<World>,
    /// Events.
    pub events: Events,
    /// What is the same for all MailClusters, as it was at the start.
    surroundings: Surroundings,
    /// What pods told.
    pub observed: Arc<Observed>,
    /// What DNS answers.
    pub look_ups: Arc<LookUps>,
    /// Numbers.
    pub metrics: Metrics,
    /// PEM of the authorities of the control channel, as they are now.
    authorities: watch::Receiver<String>,
    appliers: [Applier; 5],
    /// When this replica began to lead.
    leads_since: OnceLock<Instant>,
}

/// Time in which all pods tell of themselves and all workloads are read.
const SETTLED: Duration = Duration::from_secs(60);

impl Context {
    /// A context of these.
    #[must_use]
    pub fn new(
        client: Client,
        world: Arc<World>,
        surroundings: Surroundings,
        (observed, look_ups): (Arc<Observed>, Arc<LookUps>),
        (events, metrics): (Events, Metrics),
    ) -> Self {
        let authorities = watch::Sender::new(surroundings.control_ca.clone()).subscribe();
        let appliers = Kind::ALL.map(|kind| Applier::new(client.clone(), manager(kind)));
        Self {
            client,
            world,
            events,
            surroundings,
            observed,
            look_ups,
            metrics,
            authorities,
            appliers,
            leads_since: OnceLock::new(),
        }
    }

    /// The same with authorities of the control channel that change.
    #[must_use]
    pub fn trusting(mut self, authorities: watch::Receiver<String>) -> Self {
        self.authorities = authorities;
        self
    }

    /// What MailClusters are built with now.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            control_ca: self.authorities.borrow().clone(),
            foreign: self.world.foreign(),
            ..self.surroundings.clone()
        }
    }

    /// From now on this replica leads.
    pub fn lead(&self) {
        self.leads_since.get_or_init(Instant::now);
    }

    /// Whether what was not told yet may be on its way: what was said of it before holds on.
    #[must_use]
    pub fn is_new(&self) -> bool {
        let since = self.leads_since.get();
        since.is_none_or(|since| since.elapsed() < SETTLED)
    }

    /// The applier of a kind's controller, with its own field manager.
    #[must_use]
    pub fn applier(&self, kind: Kind) -> &Applier {
        let [cluster, domain, mailbox, ip, list] = &self.appliers;
        match kind {
            Kind::MailCluster => cluster,
            Kind::MailDomain => domain,
            Kind::Mailbox => mailbox,
            Kind::OutboundIP => ip,
            Kind::MailingList => list,
        }
    }
}

const fn manager(kind: Kind) -> &'static str {
    match kind {
        Kind::MailCluster => "mailpods-mailcluster",
        Kind::MailDomain => "mailpods-maildomain",
        Kind::Mailbox => "mailpods-mailbox",
        Kind::OutboundIP => "mailpods-outboundip",
        Kind::MailingList => "mailpods-mailinglist",
    }
}

/// What the problems of an object come to: what stalls it, and what it waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// A person has to change the resource, for this reason.
    pub stalled: Option<(&'static str, String)>,
    /// Something is missing.
    pub waits: Option<Said>,
    /// Another resource owns what this one claims.
    pub conflict: Option<Said>,
}

/// Judges the problems of an object.
#[must_use]
pub fn verdict(problems: &[Problem]) -> Verdict {
    let of = |class: ProblemClass| {
        let said: Vec<String> = problems
            .iter()
            .filter(|problem| problem.class == class)
            .map(Problem::said)
            .collect();
        Some(said.join("\n")).filter(|said| !said.is_empty())
    };
    let conflict = of(ProblemClass::Conflict);
    let invalid = of(ProblemClass::Invalid).map(|said| ("Invalid", said));
    let conflicted = conflict.clone().map(|said| ("Conflicted", said));
    let not_allowed = of(ProblemClass::NotAllowed).map(|said| ("NotAllowed", said));
    let unsupported = of(ProblemClass::Unsupported).map(|said| ("Unsupported", said));
    let missing = of(ProblemClass::Missing);
    Verdict {
        stalled: invalid.or(conflicted).or(not_allowed).or(unsupported),
        waits: missing.map(|said| Said::new("References", false, "Missing", said)),
        conflict: conflict.map(|said| Said::new(types::CONFLICTED, true, "Conflicted", said)),
    }
}

/// The conditions of an object from its problems and from what is said of its parts.
#[must_use]
pub fn object_conditions(
    before: &[Condition],
    verdict: Verdict,
    mut parts: Vec<Said>,
    generation: Option<i64>,
) -> Vec<Condition> {
    let mut judged: Vec<Said> = verdict.waits.into_iter().collect();
    judged.extend(parts.iter().cloned());
    let mut said = summary(&judged, verdict.stalled);
    said.append(&mut parts);
    said.extend(verdict.conflict);
    conditions(before, said, generation, Timestamp::now())
}

/// The condition that everything comes down to, when it turned. That a new object is good, or waits for something, is no news.
#[must_use]
pub fn turned<'a>(before: &[Condition], after: &'a [Condition]) -> Option<&'a Condition> {
    let ready = |conditions: &'a [Condition]| {
        conditions
            .iter()
            .find(|condition| condition.type_ == types::READY)
    };
    let old = before
        .iter()
        .find(|condition| condition.type_ == types::READY);
    let new = ready(after)?;
    let same = match old {
        Some(old) => (&old.status, &old.reason) == (&new.status, &new.reason),
        None => !after
            .iter()
            .any(|condition| condition.type_ == types::STALLED),
    };
    (!same).then_some(new)
}

/// Time until what was refused is tried again.
const REFUSED: Duration = Duration::from_secs(300);

/// How work goes on after an error.
#[must_use]
pub const fn after(class: Class) -> Outcome {
    match class {
        // A change of the resource asks for another look at once; one of a webhook or definition of others does not.
        Class::Invalid => Outcome::Again(REFUSED),
        Class::Blocked | Class::Transient => Outcome::Failed,
    }
}
