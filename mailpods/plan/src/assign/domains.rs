//! Who has which name.

use std::sync::Arc;
use std::time::SystemTime;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{ClusterRef, MailDomain, MailDomainSpec, Provider};

use super::clusters::{self, ClusterKey};
use super::{Assigner, Inventory, Owner, located};
use crate::load::Located;
use crate::problem::{Origin, Problem, ProblemClass};
use crate::unread::{Claims, Unread, created};

/// A name of a domain that somebody has.
pub(super) struct Claim {
    pub origin: Arc<Origin>,
    /// `None` when no MailCluster serves it.
    pub cluster: Option<ClusterKey>,
}

/// A name whose mail is put off.
pub(super) struct Hold {
    name: DomainName,
    /// Who claims it.
    origin: Arc<Origin>,
    cluster: ClusterKey,
}

/// A MailDomain that asks for its names.
struct Claimant<'a> {
    origin: Arc<Origin>,
    created: Option<SystemTime>,
    /// Its name and its aliases.
    names: Vec<&'a DomainName>,
    reference: Option<&'a ClusterRef>,
    /// The MailCluster that serves it, as its status says.
    serving: Option<ClusterKey>,
    /// Aliases that are served, as its status says.
    served_aliases: &'a [DomainName],
    takes_mail: bool,
    /// The resource; `None`: it cannot be read.
    domain: Option<&'a Arc<MailDomain>>,
    /// The MailCluster that it means.
    cluster: Option<ClusterKey>,
}

impl<'a> Claimant<'a> {
    fn good(domain: &'a Arc<MailDomain>) -> Self {
        let (spec, status) = (&domain.spec, domain.status.as_ref());
        Self {
            origin: located(domain).origin,
            created: created(&domain.metadata),
            names: std::iter::once(&spec.domain)
                .chain(&spec.domain_aliases)
                .collect(),
            reference: spec.cluster_ref.as_ref(),
            serving: status.and_then(|status| serving(status.cluster.as_deref())),
            served_aliases: status.map_or(&[], |status| &status.domain_aliases),
            takes_mail: spec.provider == Provider::Builtin,
            domain: Some(domain),
            cluster: None,
        }
    }

    fn unread(unread: &'a Unread) -> Option<Self> {
        let Claims::Domain(domain) = &unread.claims else {
            return None;
        };
        Some(Self {
            origin: unread.origin.clone(),
            created: unread.created,
            names: domain.names.iter().collect(),
            reference: domain.cluster.as_ref(),
            serving: serving(domain.serving.as_deref()),
            served_aliases: &domain.served_aliases,
            takes_mail: domain.takes_mail,
            domain: None,
            cluster: None,
        })
    }

    /// Whether a name is served, as the status says.
    fn serves(&self, index: usize) -> bool {
        let name = self.names.get(index);
        self.serving.is_some()
            && (index == 0 || name.is_some_and(|name| self.served_aliases.contains(name)))
    }

    fn age(&self) -> (Option<SystemTime>, &str, &str) {
        (self.created, &self.origin.namespace, &self.origin.name)
    }

    fn claim(&self) -> Claim {
        Claim {
            origin: self.origin.clone(),
            cluster: self.cluster.clone(),
        }
    }

    /// The resource with those of its aliases that it is given.
    fn with(&self, domain: &Arc<MailDomain>, given: &[DomainName]) -> Located<MailDomain> {
        let object = if given.len() == self.names.len() {
            domain.clone()
        } else {
            let given = |name: &&DomainName| given.contains(name);
            let aliases = domain.spec.domain_aliases.iter().filter(given);
            Arc::new(MailDomain {
                spec: MailDomainSpec {
                    domain_aliases: aliases.cloned().collect(),
                    ..domain.spec.clone()
                },
                ..(**domain).clone()
            })
        };
        Located {
            object,
            origin: self.origin.clone(),
        }
    }
}

fn serving(cluster: Option<&str>) -> Option<ClusterKey> {
    let (namespace, name) = cluster?.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// The field of a name: the first is that of the domain, others are aliases.
pub(super) fn field(index: usize) -> String {
    match index.checked_sub(1) {
        None => "spec.domain".to_owned(),
        Some(index) => format!("spec.domainAliases[{index}]"),
    }
}

impl<'a> Assigner<'a> {
    /// Gives names to MailDomains, and those to their MailClusters.
    pub(super) fn domains(&mut self, inventory: &'a Inventory) {
        let good = inventory.domains.iter().map(Claimant::good);
        let unread = inventory.unread.iter();
        let unread = unread.filter_map(|unread| Claimant::unread(unread));
        let mut claimants: Vec<Claimant<'a>> = good.chain(unread).collect();
        claimants.sort_by(|one, other| one.age().cmp(&other.age()));
        for claimant in &mut claimants {
            let reference = (claimant.reference, claimant.serving.as_ref());
            let wanted = self
                .clusters
                .of_domain(&claimant.origin, reference.0, reference.1);
            match wanted {
                Ok(cluster) => claimant.cluster = Some(cluster),
                Err(problem) => self.say(claimant, *problem),
            }
        }
        self.reserve(&claimants);
        let unserved: Vec<_> = claimants
            .iter()
            .filter(|claimant| !self.is_given(claimant))
            .collect();
        for claimant in unserved {
            self.unserved(claimant);
        }
        self.hold();
    }

    /// Of what cannot be read, the status says why; nothing else matters before that is mended.
    fn say(&mut self, claimant: &Claimant<'_>, problem: Problem) {
        if claimant.domain.is_some() {
            self.assigned.problems.push(problem);
        }
    }

    /// Names in service stay where they are, whoever else claims them. So do those of a MailDomain whose MailCluster is away, or
    /// does not let it in any more: that may be a slip of the pen, and whoever serves a name keeps it.
    fn reserve(&mut self, claimants: &[Claimant<'_>]) {
        let (served, away): (Vec<_>, Vec<_>) = claimants
            .iter()
            .partition(|claimant| claimant.cluster.is_some());
        for claimant in served.into_iter().chain(away) {
            let cluster = claimant.cluster.as_ref().or(claimant.serving.as_ref());
            let Some(cluster) = cluster else {
                continue;
            };
            for (index, name) in claimant.names.iter().enumerate() {
                let place = (&*claimant.origin, index);
                if claimant.serves(index) && self.permits(place, cluster, name).is_ok() {
                    self.claims
                        .entry((*name).clone())
                        .or_insert(claimant.claim());
                }
            }
        }
    }

    /// Gives a MailDomain its names; whether it is served, which it is without aliases that it is not given.
    fn is_given(&mut self, claimant: &Claimant<'_>) -> bool {
        let Some(cluster) = &claimant.cluster else {
            return false;
        };
        let mut given = Vec::new();
        for (index, name) in claimant.names.iter().enumerate() {
            match self.claim(claimant, cluster, index, name) {
                Ok(()) => given.push((*name).clone()),
                Err(problem) if index == 0 && claimant.domain.is_some() => {
                    self.say(claimant, *problem);
                    return false;
                }
                Err(problem) => {
                    self.say(claimant, problem.kept());
                    self.put_off(claimant, cluster, (index, name));
                }
            }
        }
        self.serve(claimant, cluster, given);
        true
    }

    fn claim(
        &mut self,
        claimant: &Claimant<'_>,
        cluster: &ClusterKey,
        index: usize,
        name: &DomainName,
    ) -> Result<(), Box<Problem>> {
        let place = (&*claimant.origin, index);
        self.permits(place, cluster, name)?;
        match self.claims.get(name) {
            Some(claim) if Arc::ptr_eq(&claim.origin, &claimant.origin) => Ok(()),
            Some(claim) => {
                let problem = taken(place, name, &claim.origin);
                self.assigned.contested.insert(name.clone());
                Err(Box::new(problem))
            }
            None => {
                self.is_free_of_others(place, name)?;
                self.claims.insert(name.clone(), claimant.claim());
                Ok(())
            }
        }
    }

    fn serve(&mut self, claimant: &Claimant<'_>, cluster: &ClusterKey, given: Vec<DomainName>) {
        if let Some(first) = given.first() {
            let owner = Owner {
                cluster: cluster.clone(),
                domain: claimant.origin.clone(),
            };
            self.assigned.domains.insert(first.clone(), owner);
        }
        let resources = self.assigned.clusters.get_mut(cluster);
        match (claimant.domain, resources) {
            (Some(domain), Some(resources)) => {
                resources.domains.push(claimant.with(domain, &given));
            }
            (Some(_), None) => {
                let problem = clusters::unread(&claimant.origin, cluster);
                self.assigned.problems.push(problem);
            }
            (None, Some(resources)) if claimant.takes_mail => {
                resources.left_out.names.extend(given)
            }
            (None, _) => {}
        }
    }

    /// Keeps in mind who is to put off the mail of a MailDomain that nobody serves.
    fn unserved(&mut self, claimant: &Claimant<'_>) {
        let cluster = claimant.cluster.as_ref().or(claimant.serving.as_ref());
        for (index, name) in claimant.names.iter().enumerate() {
            if let Some(cluster) = cluster {
                self.put_off(claimant, cluster, (index, name));
            }
            let claim = Claim {
                cluster: None,
                ..claimant.claim()
            };
            self.claims.entry((*name).clone()).or_insert(claim);
        }
        self.lose(claimant);
    }

    /// One that was in service and is not any more has lost its name to who is: its records must go.
    fn lose(&mut self, claimant: &Claimant<'_>) {
        let name = claimant
            .names
            .first()
            .filter(|_| claimant.serving.is_some());
        let Some((name, claim)) = name.and_then(|name| Some((name, self.claims.get(*name)?)))
        else {
            return;
        };
        if claim.cluster.is_none() || Arc::ptr_eq(&claim.origin, &claimant.origin) {
            return;
        }
        let problem = taken((&claimant.origin, 0), name, &claim.origin);
        self.assigned.contested.insert((*name).clone());
        if !self.assigned.problems.contains(&problem) {
            self.say(claimant, problem);
        }
    }

    /// Mail for a name is put off where it was served, or would be if nothing were wrong.
    fn put_off(
        &mut self,
        claimant: &Claimant<'_>,
        cluster: &ClusterKey,
        (index, name): (usize, &DomainName),
    ) {
        // Or anybody could keep the mail of others from any name.
        let place = (&*claimant.origin, index);
        let may_have = || {
            claimant.cluster.is_some()
                && self.permits(place, cluster, name).is_ok()
                && self.is_free_of_others(place, name).is_ok()
        };
        if claimant.takes_mail && (claimant.serves(index) || may_have()) {
            self.holds.push(Hold {
                name: name.clone(),
                origin: claimant.origin.clone(),
                cluster: cluster.clone(),
            });
        }
    }

    /// Names that nobody else has are put off.
    fn hold(&mut self) {
        for hold in std::mem::take(&mut self.holds) {
            let claim = self.claims.get(&hold.name);
            let others = claim.is_some_and(|claim| {
                claim.cluster.is_some() && !Arc::ptr_eq(&claim.origin, &hold.origin)
            });
            let resources = self.assigned.clusters.get_mut(&hold.cluster);
            if let Some(resources) = resources.filter(|_| !others) {
                resources.left_out.names.push(hold.name);
            }
        }
    }
}

fn taken((origin, index): (&Origin, usize), name: &DomainName, owner: &Origin) -> Problem {
    let message = format!("is already a domain of {}", owner.named());
    let problem = origin.problem(&field(index), message).found(name);
    problem.class(ProblemClass::Conflict)
}
