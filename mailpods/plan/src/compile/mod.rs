//! Resources to one plan: references, ownership, defaults, and what is not supported yet.

mod addresses;
mod allowed;
mod cluster;
mod domains;
mod edit;
mod held;
mod keeping;
mod mailboxes;
mod references;
mod reputation;
mod secrets;
mod shares;
mod sieve;
mod tls;
mod transports;
mod unsupported;

pub use cluster::{dns_server, issued_secret};
pub use edit::{Edits, edit};
pub use held::hold;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mailpods_api::v1alpha1::{ClusterRef, MailCluster};
use mailpods_api::{DomainName, MailboxAddress};

use crate::load::{Environment, LeftAddresses, Located, Resources, Source, load_valid};
use crate::model::{Domain, Plan};
use crate::problem::{Origin, Problem, ProblemClass};
use crate::records;

/// Compiles resources into a plan.
///
/// # Errors
/// Every problem between the resources.
pub fn compile(resources: &Resources) -> Result<Plan, Vec<Problem>> {
    let mut compiler = Compiler::new(resources);
    let plan = compiler.plan();
    let mut problems = compiler.problems;
    problems.sort();
    problems.dedup();
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(problems),
    }
}

/// What came of resources of which some may be bad.
#[derive(Debug)]
pub struct Compiled {
    /// The plan of what is good; `None` when the MailCluster itself is not.
    pub plan: Option<Plan>,
    /// What is wrong, in a stable order.
    pub problems: Vec<Problem>,
    /// What could not be compiled, for [`hold`]; `None` when there is a plan.
    pub uncompiled: Option<Resources>,
}

/// Compiles what is good: a resource with a problem is left out, and nothing else is, but for what cannot be without it. Mail
/// for what is left out is put off.
#[must_use]
pub fn compile_valid(mut resources: Resources) -> Compiled {
    resources.complete = true;
    let mut found = Vec::new();
    let plan = loop {
        let mut compiler = Compiler::new(&resources);
        let plan = compiler.plan();
        let problems = compiler.problems;
        let bad: HashSet<(String, String)> = problems
            .iter()
            .filter(|problem| !problem.kept)
            .map(owner)
            .collect();
        if bad.is_empty() {
            found.extend(problems);
            break plan;
        }
        // What is said of the others is said again when these are gone, as far as it still holds.
        let (gone, rest) = problems
            .into_iter()
            .partition::<Vec<_>, _>(|problem| bad.contains(&owner(problem)));
        found.extend(gone);
        if !resources.leave_out(&bad) {
            found.extend(rest);
            break None;
        }
    };
    found.sort();
    found.dedup();
    Compiled {
        uncompiled: plan.is_none().then_some(resources),
        plan,
        problems: found,
    }
}

/// Namespace and `Kind/name` of the resource that a problem is about.
fn owner(problem: &Problem) -> (String, String) {
    (
        problem.namespace.clone(),
        problem.resource.clone().unwrap_or_default(),
    )
}

/// Loads and compiles: the plan when nothing is wrong, or every problem of the folder.
#[must_use]
pub fn check(sources: &[Source]) -> (Option<Plan>, Vec<Problem>) {
    check_with(sources, |_, _| Vec::new())
}

/// As [`check`], with what only the caller can look at: `also` gets the plan even when it has other problems.
#[must_use]
pub fn check_with(
    sources: &[Source],
    also: impl FnOnce(&Plan, &Resources) -> Vec<Problem>,
) -> (Option<Plan>, Vec<Problem>) {
    let (resources, mut problems) = load_valid(sources);
    let mut compiler = Compiler::new(&resources);
    let plan = compiler.plan();
    problems.append(&mut compiler.problems);
    if let Some(plan) = &plan {
        problems.extend(also(plan, &resources));
    }
    problems.sort();
    problems.dedup();
    (plan.filter(|_| problems.is_empty()), problems)
}

struct Compiler<'a> {
    resources: &'a Resources,
    problems: Vec<Problem>,
    /// Who owns each name of a domain.
    owners: HashMap<DomainName, Arc<Origin>>,
    /// Who has an address and was left out.
    absent: HashMap<MailboxAddress, &'a LeftAddresses>,
    /// Who made each alias and where: for problems found when everything is there.
    alias_places: Vec<(MailboxAddress, Arc<Origin>, String)>,
}

impl<'a> Compiler<'a> {
    fn new(resources: &'a Resources) -> Self {
        Self {
            resources,
            problems: Vec::new(),
            owners: HashMap::new(),
            absent: HashMap::new(),
            alias_places: Vec::new(),
        }
    }

    fn plan(&mut self) -> Option<Plan> {
        self.refuse_unsupported();
        let Some(cluster) = self.cluster() else {
            self.check_scripts();
            return None;
        };
        self.tolerating(|compiler| compiler.check_allowed(cluster));
        let outbound_ips = self.outbound_ips(cluster);
        let (domains, names) = self.domains(cluster, &outbound_ips);
        let mut plan = self.settings(cluster)?;
        plan.outbound_ips = outbound_ips.into();
        plan.domains = domains.into();
        plan.names = names.into();
        self.absent = self.absent(&plan);
        self.add_mailboxes(&mut plan);
        self.add_aliases(&mut plan);
        self.tolerating(|compiler| compiler.add_shares(&mut plan));
        self.set_postmaster(cluster, &mut plan);
        plan.held = self.held(&plan).into();
        self.tolerating(|compiler| compiler.check_pools(cluster, &plan));
        self.tolerating(|compiler| compiler.check_transports(&cluster.origin, &plan));
        self.tolerating(|compiler| compiler.check_targets(&plan));
        self.grant_senders(&mut plan);
        plan.records = records::wanted(cluster, self.resources, &plan);
        if self.in_pods() {
            self.keep_addresses(cluster, &mut plan);
        }
        Some(plan)
    }

    /// The one MailCluster.
    fn cluster(&mut self) -> Option<&'a Located<MailCluster>> {
        let mut clusters = self.resources.clusters.iter();
        let first = clusters.next();
        for other in clusters {
            let message = "a second MailCluster; one process serves one";
            let first = first
                .map(|first| first.origin.location())
                .unwrap_or_default();
            self.problems.push(
                other
                    .origin
                    .problem("", message)
                    .hint(format!("the first is at {first}")),
            );
        }
        if first.is_none() && self.resources.complete {
            let problem = Problem::of_file("", "there is no MailCluster")
                .hint("a folder needs one resource of kind MailCluster");
            self.problems.push(Problem {
                file: ".".to_owned(),
                ..problem
            });
        }
        first
    }

    /// Whether a reference means the one MailCluster. Where there may be several, [`crate::assign`] has chosen.
    fn check_cluster_ref(
        &mut self,
        reference: Option<&ClusterRef>,
        origin: &Origin,
        cluster: &Located<MailCluster>,
    ) {
        if self.resources.environment == Environment::Cluster {
            return;
        }
        let Some(reference) = reference else { return };
        let namespace = reference.namespace.as_ref().unwrap_or(&origin.namespace);
        if reference.name != cluster.origin.name || *namespace != cluster.origin.namespace {
            let problem = origin
                .problem("spec.clusterRef", "names no MailCluster")
                .found(format_args!("{namespace}/{}", reference.name));
            let allowed = format!("{}/{}", cluster.origin.namespace, cluster.origin.name);
            self.problems.push(problem.allowed(allowed));
        }
    }

    /// A problem that another resource might be the cause of: said only when nothing was left out.
    fn missing(&mut self, problem: Problem) {
        if self.resources.complete {
            self.problems.push(problem.class(ProblemClass::Missing));
        }
    }

    /// Runs a step whose problems leave the resource in use.
    fn tolerating<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.problems.len();
        let result = step(self);
        for problem in self.problems.iter_mut().skip(before) {
            problem.kept = true;
        }
        result
    }

    fn in_pods(&self) -> bool {
        self.resources.environment == Environment::Cluster
    }
}

/// Every name of our domains, aliases too, to its domain.
type Names = HashMap<DomainName, Arc<Domain>>;
