//! Resources to one plan: references, ownership, defaults, and what is not supported yet.

mod cluster;
mod domains;
mod mailboxes;
mod references;
mod secrets;
mod unsupported;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mailpods_api::v1alpha1::{ClusterRef, MailCluster, OutboundRole};
use mailpods_api::{DomainName, MailboxAddress};

use crate::load::{Located, Resources, Source, load_valid};
use crate::model::{Domain, OutboundIp, Plan, WarmUp};
use crate::problem::{Origin, Problem};
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

/// Loads and compiles: the plan when nothing is wrong, or every problem of the folder.
#[must_use]
pub fn check(sources: &[Source]) -> (Option<Plan>, Vec<Problem>) {
    let (resources, mut problems) = load_valid(sources);
    match compile(&resources) {
        Ok(plan) if problems.is_empty() => return (Some(plan), problems),
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    problems.sort();
    (None, problems)
}

struct Compiler<'a> {
    resources: &'a Resources,
    problems: Vec<Problem>,
    /// Who owns each name of a domain.
    owners: HashMap<DomainName, Arc<Origin>>,
    /// Who made each alias and where: for problems found when everything is there.
    alias_places: Vec<(MailboxAddress, Arc<Origin>, String)>,
}

impl<'a> Compiler<'a> {
    fn new(resources: &'a Resources) -> Self {
        Self {
            resources,
            problems: Vec::new(),
            owners: HashMap::new(),
            alias_places: Vec::new(),
        }
    }

    fn plan(&mut self) -> Option<Plan> {
        self.refuse_unsupported();
        let cluster = self.cluster()?;
        let outbound_ips = self.outbound_ips(cluster);
        let (domains, names) = self.domains(cluster, &outbound_ips);
        let mut plan = self.settings(cluster)?;
        plan.outbound_ips = outbound_ips.into();
        plan.domains = domains.into();
        plan.names = names.into();
        self.add_mailboxes(&mut plan);
        self.add_aliases(&mut plan);
        self.set_postmaster(cluster, &mut plan);
        self.check_pools(cluster, &plan);
        self.check_targets(&plan);
        self.grant_senders(&mut plan);
        plan.records = records::wanted(&cluster.object.spec, &self.resources.domains, &plan);
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

    /// Whether a reference means the one MailCluster.
    fn check_cluster_ref(
        &mut self,
        reference: Option<&ClusterRef>,
        origin: &Origin,
        cluster: &Located<MailCluster>,
    ) {
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

    fn outbound_ips(&mut self, cluster: &Located<MailCluster>) -> BTreeMap<String, OutboundIp> {
        let mut addresses = HashMap::new();
        let mut ips = BTreeMap::new();
        for ip in &self.resources.outbound_ips {
            let spec = &ip.object.spec;
            self.check_cluster_ref(spec.cluster_ref.as_ref(), &ip.origin, cluster);
            if let Some(other) = addresses.insert(spec.address, &ip.origin.resource) {
                let problem = ip
                    .origin
                    .problem("spec.address", format!("already belongs to {other}"));
                self.problems.push(problem.found(spec.address));
            }
            let name = ip.origin.name.clone();
            let (address, hostname) = (spec.address, spec.hostname.clone());
            let sending = spec.role == OutboundRole::Sending;
            ips.insert(
                name.clone(),
                OutboundIp {
                    name,
                    address,
                    hostname,
                    sending,
                    pool: spec.pool.clone(),
                    weight: spec.weight,
                    warm_up: spec.warm_up.as_ref().map(|warm_up| WarmUp {
                        initial_per_day: warm_up.initial_per_day,
                        duration: warm_up.duration.get(),
                    }),
                },
            );
        }
        ips
    }

    /// A problem that another resource might be the cause of: said only when nothing was left out.
    fn missing(&mut self, problem: Problem) {
        if self.resources.complete {
            self.problems.push(problem);
        }
    }
}

/// Every name of our domains, aliases too, to its domain.
type Names = HashMap<DomainName, Arc<Domain>>;
