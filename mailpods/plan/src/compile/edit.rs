//! Values of a few resources compiled anew, and all else of a plan as it was.
//!
//! Only where a resource keeps its place in the plan: its names, where they lead and what leads to it. What else of it changes
//! touches no other resource. Everything that might is left to the whole compiler.

use std::collections::BTreeMap;
use std::sync::Arc;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, MailDomainSpec, Mailbox, MailboxSpec};

use super::Compiler;
use super::references::every_name;
use crate::assign::located;
use crate::load::{Environment, Located, ManagedDkim, Resources, Secrets};
use crate::model::Plan;

/// What changed.
#[derive(Debug, Default)]
pub struct Edits {
    /// MailDomains that the plan has, as they were and are.
    pub domains: Vec<(Arc<MailDomain>, Arc<MailDomain>)>,
    /// Mailboxes that the plan has, as they were and are.
    pub mailboxes: Vec<(Arc<Mailbox>, Arc<Mailbox>)>,
    /// Mailboxes that were not there. Nothing must have waited for them: no problem of the plan may be about what is missing.
    pub new_mailboxes: Vec<Arc<Mailbox>>,
    /// DKIM keys of the domains.
    pub dkim: BTreeMap<DomainName, ManagedDkim>,
    /// All Secrets.
    pub secrets: Arc<Secrets>,
}

/// The plan of a MailCluster with what changed; `None` where everything has to be compiled: a resource changes its place, or
/// something is wrong with it.
#[must_use]
pub fn edit(plan: &Plan, cluster: &Arc<MailCluster>, edits: Edits) -> Option<Plan> {
    let mut domains = edits.domains.iter();
    let mut mailboxes = edits.mailboxes.iter();
    let stay = domains.all(|(before, after)| domain_stays(&before.spec, &after.spec))
        && mailboxes.all(|(before, after)| mailbox_stays(&before.spec, &after.spec))
        && edits
            .new_mailboxes
            .iter()
            .all(|new| is_plain(&new.spec) && plan.outbound.postmaster.is_some());
    if !stay {
        return None;
    }
    let known = edits.mailboxes.iter().map(|(_, after)| after);
    let resources = Resources {
        clusters: vec![located(cluster)],
        domains: edits
            .domains
            .iter()
            .map(|(_, after)| located(after))
            .collect(),
        mailboxes: known.chain(&edits.new_mailboxes).map(located).collect(),
        secrets: edits.secrets,
        dkim: Some(Arc::new(edits.dkim)),
        environment: Environment::Cluster,
        complete: true,
        records_apart: true,
        ..Resources::default()
    };
    let is_known = |index: usize| index < edits.mailboxes.len();
    let mut compiler = Compiler::new(&resources);
    let edited = compiler.edit(plan.clone(), is_known)?;
    // What is wrong with the MailCluster was said before.
    let mut problems = compiler.problems.iter();
    let cluster = resources.clusters.first()?;
    problems
        .all(|problem| problem.resource.as_ref() == Some(&cluster.origin.resource))
        .then_some(edited)
}

impl Compiler<'_> {
    fn edit(&mut self, mut plan: Plan, is_known: impl Fn(usize) -> bool) -> Option<Plan> {
        self.refuse_unsupported();
        let resources = self.resources;
        let cluster = resources.clusters.first()?;
        for resource in &resources.domains {
            let known = plan.domains.get(&resource.object.spec.domain)?;
            // Its addresses stay: what names them has not changed.
            let addresses = known.outbound_ips.clone();
            let domain = Arc::new(self.domain(resource, cluster, addresses));
            for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
                plan.names.insert(name.clone(), domain.clone());
            }
            plan.domains.insert(domain.name.clone(), domain);
        }
        for (index, resource) in resources.mailboxes.iter().enumerate() {
            self.edit_mailbox(&mut plan, resource, is_known(index))?;
        }
        Some(plan)
    }

    fn edit_mailbox(
        &mut self,
        plan: &mut Plan,
        resource: &Located<Mailbox>,
        is_known: bool,
    ) -> Option<()> {
        let address = self.mailbox_address(resource, plan)?;
        let known = plan.mailboxes.get(&address);
        let send_as = match (known, is_known) {
            (Some(known), true) => known.send_as.clone(),
            (None, false) if !plan.aliases.contains_key(&address) && !plan.is_held(&address) => {
                every_name(plan, &address)
            }
            _ => return None,
        };
        let mut mailbox = self.mailbox(resource, address.clone());
        mailbox.send_as = send_as;
        plan.mailboxes.insert(address, Arc::new(mailbox));
        Some(())
    }
}

/// Whether only its limits, DNS, scripts and the like differ.
fn domain_stays(before: &MailDomainSpec, after: &MailDomainSpec) -> bool {
    let valued = MailDomainSpec {
        dns: after.dns.clone(),
        limits: after.limits,
        quota: after.quota.clone(),
        mailbox_defaults: after.mailbox_defaults.clone(),
        sieve: after.sieve.clone(),
        paused: after.paused,
        ..before.clone()
    };
    // Equal addresses may still be written differently.
    let mut aliases = before.aliases.iter().zip(&after.aliases);
    valued == *after
        && aliases.all(|(one, other)| {
            let mut targets = one.targets.iter().zip(&other.targets);
            targets.all(|(one, other)| one.is_written_as(other))
        })
}

/// Whether only its password, quota, folders and script differ.
fn mailbox_stays(before: &MailboxSpec, after: &MailboxSpec) -> bool {
    let valued = MailboxSpec {
        password_secret_ref: after.password_secret_ref.clone(),
        password_hash_secret_ref: after.password_hash_secret_ref.clone(),
        quota: after.quota.clone(),
        folders: after.folders.clone(),
        sieve: after.sieve.clone(),
        ..before.clone()
    };
    valued == *after && after.forward.is_none()
}

/// Whether nothing but mail for its address leads to it, or on from it. Aliases may lead to the two names that every domain has.
fn is_plain(spec: &MailboxSpec) -> bool {
    let everywhere = matches!(spec.address.local(), "postmaster" | "abuse");
    spec.enabled
        && spec.aliases.is_empty()
        && spec.forward.is_none()
        && spec.sharing.is_none()
        && !everywhere
}
