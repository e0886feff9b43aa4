//! Which names a namespace may have.

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::AllowedDomains;

use super::Assigner;
use super::clusters::{Cluster, ClusterKey, Clusters};
use super::domains::{Claim, field};
use crate::problem::{Origin, Problem, ProblemClass};

/// Names that are said of those that are allowed.
const SHOWN: usize = 10;

impl Assigner<'_> {
    /// Whether a MailCluster gives a name to a namespace.
    pub(super) fn permits(
        &self,
        (origin, index): (&Origin, usize),
        cluster: &ClusterKey,
        name: &DomainName,
    ) -> Result<(), Box<Problem>> {
        let Some(cluster) = self.clusters.get(cluster) else {
            return Ok(());
        };
        let rules = cluster.allowed.map_or(&[][..], |allowed| &allowed.domains);
        let is_own = cluster.origin.namespace == origin.namespace;
        if is_own || rules.is_empty() || self.clusters.gives(cluster, &origin.namespace, name) {
            return Ok(());
        }
        let message = format!(
            "is none of the names that {} allows in namespace {}",
            cluster.origin.named(),
            origin.namespace
        );
        let problem = origin
            .problem(&field(index), message)
            .found(name)
            .allowed(self.clusters.shown(rules, &origin.namespace))
            .hint("spec.allowedNamespaces.domains of the MailCluster says which names are whose");
        Err(Box::new(problem.class(ProblemClass::NotAllowed)))
    }

    /// Whether a name is below none that another namespace has, or may be there.
    pub(super) fn is_free_of_others(
        &self,
        (origin, index): (&Origin, usize),
        name: &DomainName,
    ) -> Result<(), Box<Problem>> {
        let Some((parent, claim)) = self.above(name) else {
            return Ok(());
        };
        // Those who run the mail of the name above say who may be below.
        let key = claim.cluster.as_ref();
        let cluster = key.and_then(|key| self.clusters.get(key));
        let gives = |cluster| self.clusters.gives(cluster, &origin.namespace, name);
        let is_own = claim.origin.namespace == origin.namespace
            || key.is_some_and(|key| key.0 == origin.namespace);
        if is_own || cluster.is_some_and(gives) {
            return Ok(());
        }
        let message = format!("is below {parent}, a domain of {}", claim.origin.named());
        let mut problem = origin.problem(&field(index), message).found(name);
        if let Some((namespace, cluster)) = key {
            problem = problem.hint(format!(
                "spec.allowedNamespaces.domains of MailCluster {namespace}/{cluster} can allow it in namespace {}",
                origin.namespace
            ));
        }
        Err(Box::new(problem.class(ProblemClass::NotAllowed)))
    }

    /// The nearest name above that somebody has. What is below a public suffix is not its own: or whoever claims `com` would keep all
    /// others from new names.
    fn above(&self, name: &DomainName) -> Option<(&DomainName, &Claim)> {
        let mut rest = name.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            let claim = self.claims.get_key_value(above);
            if let Some(claim) = claim.filter(|_| !is_public_suffix(above)) {
                return Some(claim);
            }
            rest = above;
        }
        None
    }
}

fn is_public_suffix(name: &str) -> bool {
    let suffix = psl::suffix(name.as_bytes()).filter(|suffix| suffix.is_known());
    suffix.is_some_and(|suffix| suffix.as_bytes().len() == name.len())
}

impl Clusters<'_> {
    /// Whether a rule gives a name to a namespace.
    fn gives(&self, cluster: &Cluster<'_>, namespace: &str, name: &DomainName) -> bool {
        let rules = cluster.allowed.map_or(&[][..], |allowed| &allowed.domains);
        let mut rules = rules.iter().filter(|rule| self.is_for(rule, namespace));
        rules.any(|rule| rule.suffixes.iter().any(|suffix| name.is_within(suffix)))
    }

    fn is_for(&self, rule: &AllowedDomains, namespace: &str) -> bool {
        let selector = rule.selector.as_ref();
        selector.is_none_or(|selector| self.selects(selector, namespace))
    }

    /// What the rules give to a namespace, for people.
    fn shown(&self, rules: &[AllowedDomains], namespace: &str) -> String {
        let rules = rules.iter().filter(|rule| self.is_for(rule, namespace));
        let suffixes: Vec<&str> = rules
            .flat_map(|rule| &rule.suffixes)
            .map(DomainName::as_str)
            .collect();
        let more = if suffixes.len() > SHOWN { ", …" } else { "" };
        match suffixes.as_slice() {
            [] => "none".to_owned(),
            all => {
                let shown: Vec<_> = all.iter().copied().take(SHOWN).collect();
                format!("{}{more}, and names below", shown.join(", "))
            }
        }
    }
}
