//! What there is of a MailDomain. Client not required: the watches have told.

use std::sync::Arc;

use mailpods_api::v1alpha1::{MailCluster, MailDomain, Provider};
use mailpods_plan::Problem;
use mailpods_plan::dns::{Difference, Lookup, Record, compare};

use crate::context::Context;
use crate::dkim::key::ManagedKey;
use crate::kube::Key;
use crate::kube::apply::LiveObjects;
use crate::world::snapshot::Kind;

/// What there is of a MailDomain.
pub struct Observed {
    /// The object that was compiled.
    pub domain: Arc<MailDomain>,
    /// The object as it is now, whose status is compared.
    pub current: Arc<MailDomain>,
    /// What the compiler found wrong.
    pub problems: Vec<Problem>,
    /// The MailCluster that serves it; `None`: none does.
    pub cluster: Option<(Key, Arc<MailCluster>)>,
    /// Records that are wanted.
    pub records: Vec<Record>,
    /// What DNS answered; `None`: nobody has looked yet.
    pub found: Option<Arc<Vec<Lookup>>>,
    /// Keys.
    pub keys: Vec<Arc<ManagedKey>>,
    /// Objects in its namespace.
    pub live: LiveObjects,
}

impl Observed {
    /// Record sets that are not as wanted; `None`: nobody has looked yet.
    #[must_use]
    pub fn differences(&self) -> Option<Vec<Difference>> {
        let found = self.found.as_ref()?;
        Some(compare(&self.records, found))
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let cluster = self.cluster.as_ref();
        self.domain.spec.paused || cluster.is_some_and(|(_, cluster)| cluster.spec.paused)
    }

    /// Whether mail of the domain is signed here.
    #[must_use]
    pub fn is_signed_here(&self) -> bool {
        self.cluster.is_some() && self.domain.spec.provider == Provider::Builtin
    }
}

/// Looks; `None` when there is nothing to look at.
#[must_use]
pub fn observe(context: &Context, key: &Key) -> Option<Observed> {
    let snapshot = context.world.snapshot();
    let domain = snapshot.objects.domains.get(key)?.clone();
    let current = context.world.domains.get(key)?.ok()?;
    let name = &domain.spec.domain;
    let problems = snapshot.problems(Kind::MailDomain, key).to_vec();
    // Of two that claim a name, the one without a problem of that kind has it.
    let conflicted = problems
        .iter()
        .any(|problem| problem.class == mailpods_plan::ProblemClass::Conflict);
    let cluster = snapshot.served.get(name).filter(|_| !conflicted);
    let cluster = cluster.and_then(|key| {
        let cluster = snapshot.objects.clusters.get(key)?;
        Some((key.clone(), cluster.clone()))
    });
    let records = match &cluster {
        Some(_) => snapshot.records.get(name).cloned().unwrap_or_default(),
        None => Vec::new(),
    };
    Some(Observed {
        problems,
        records,
        found: context.truth.found(name),
        keys: snapshot.dkim(&domain).to_vec(),
        live: context.world.live(&key.namespace),
        cluster,
        domain,
        current,
    })
}
