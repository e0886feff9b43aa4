//! Checks that need everything in its place: where aliases lead, and who may send as what.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mailpods_api::MailboxAddress;

use super::Compiler;
use crate::model::{Plan, Resolved, Transport};
use crate::problem::{Origin, Problem, nearest};

impl Compiler<'_> {
    /// Every alias, forward, catch-all and postmaster leads to something.
    pub(super) fn check_targets(&mut self, plan: &Plan) {
        for (address, origin, field) in std::mem::take(&mut self.alias_places) {
            if matches!(plan.resolve(&address), Resolved::Loop) {
                let hint = "at most 16 steps and 1000 ends, never round in a circle";
                self.problems.push(
                    origin
                        .problem(&field, "aliases lead in a circle or too far")
                        .found(&address)
                        .hint(hint),
                );
            }
            let place = field
                .strip_suffix(".name")
                .map_or_else(|| field.clone(), |field| format!("{field}.targets"));
            for (index, target) in plan.aliases.get(&address).into_iter().flatten().enumerate() {
                let place = format!("{place}[{index}]");
                match *target == address && !plan.mailboxes.contains_key(&address) {
                    true => self.problems.push(itself(&origin, &place, target)),
                    false => self.check_target(plan, &origin, &place, target),
                }
            }
        }
        let resources = self.resources;
        for domain in &resources.domains {
            if let Some(catch_all) = &domain.object.spec.catch_all {
                self.check_own(plan, &domain.origin, "spec.catchAll", catch_all);
            }
        }
        for cluster in resources.clusters.iter().take(1) {
            if let Some(postmaster) = &cluster.object.spec.postmaster {
                self.check_target(plan, &cluster.origin, "spec.postmaster", postmaster);
            }
            if let Some(complaints) = &cluster.object.spec.outbound.complaints {
                let field = "spec.outbound.complaints.address";
                match plan.is_local(complaints.address.domain()) {
                    true => self.check_target(plan, &cluster.origin, field, &complaints.address),
                    false => {
                        let problem = cluster
                            .origin
                            .problem(field, "is no address of a MailDomain here");
                        self.missing(problem.found(&complaints.address));
                    }
                }
            }
        }
    }

    fn check_target(
        &mut self,
        plan: &Plan,
        origin: &Arc<Origin>,
        field: &str,
        target: &MailboxAddress,
    ) {
        if !is_there(plan, target) {
            self.missing(nobody(plan, origin, field, target));
        }
    }

    /// A catch-all has to be there without its own help.
    fn check_own(
        &mut self,
        plan: &Plan,
        origin: &Arc<Origin>,
        field: &str,
        target: &MailboxAddress,
    ) {
        let Some(primary) = plan.primary(target) else {
            return;
        };
        if !plan.is_taken(&primary) && !plan.is_held(&primary) {
            self.missing(nobody(plan, origin, field, target));
        }
    }

    /// Fills in what each log-in may send as: its own address and the aliases that lead to it, under every name of their domains.
    pub(super) fn grant_senders(&mut self, plan: &mut Plan) {
        let mut grants: HashMap<MailboxAddress, Vec<MailboxAddress>> = HashMap::new();
        let mut aliases: Vec<&MailboxAddress> = plan.aliases.keys().collect();
        aliases.sort();
        for alias in aliases
            .into_iter()
            .filter(|alias| !plan.mailboxes.contains_key(*alias))
        {
            for owner in owners(plan, alias) {
                grants
                    .entry(owner)
                    .or_default()
                    .extend(every_name(plan, alias));
            }
        }
        let own: Vec<Vec<MailboxAddress>> = plan
            .mailboxes
            .keys()
            .map(|address| every_name(plan, address))
            .collect();
        for (mailbox, mut names) in plan.mailboxes.values_mut().zip(own) {
            if !grants.is_empty() {
                names.extend(grants.remove(&mailbox.address).into_iter().flatten());
            }
            Arc::make_mut(mailbox).send_as = names;
        }
    }
}

/// Addresses that one alias is followed through.
const MAX_OWNED: usize = 1_000;

/// Mailboxes that an alias leads to. What a mailbox forwards to does not own the mailbox's addresses.
fn owners(plan: &Plan, alias: &MailboxAddress) -> Vec<MailboxAddress> {
    let mut owners = Vec::new();
    let mut seen = HashSet::from([alias.clone()]);
    let mut waiting = vec![alias.clone()];
    while let Some(address) = waiting.pop() {
        for target in plan.aliases.get(&address).into_iter().flatten() {
            let target = base(plan, target).filter(|target| seen.insert(target.clone()));
            let Some(target) = target else { continue };
            if plan.mailboxes.contains_key(&target) {
                owners.push(target);
            } else if seen.len() <= MAX_OWNED {
                waiting.push(target);
            }
        }
    }
    owners
}

/// An address of ours in primary form, without detail when it has one.
fn base(plan: &Plan, address: &MailboxAddress) -> Option<MailboxAddress> {
    let primary = plan.primary(address)?;
    if plan.mailboxes.contains_key(&primary) || plan.aliases.contains_key(&primary) {
        return Some(primary);
    }
    let domain = plan.names.get(primary.domain())?;
    primary
        .split_detail(&domain.detail_separators)
        .map(|(base, _)| base)
}

/// Whether mail for an address goes somewhere on purpose: what only a catch-all takes is more likely a slip of the pen.
fn is_there(plan: &Plan, address: &MailboxAddress) -> bool {
    let Some(domain) = plan.names.get(address.domain()) else {
        return true;
    };
    if matches!(domain.transport, Transport::Relay(_)) {
        return true;
    }
    let taken = |address: &MailboxAddress| {
        plan.mailboxes.contains_key(address) || plan.aliases.contains_key(address)
    };
    let reserved = |address: &MailboxAddress| {
        let postmaster = plan.outbound.postmaster.as_ref();
        matches!(address.local(), "postmaster" | "abuse")
            && postmaster.is_some_and(|other| other != address)
    };
    let own = |address: &MailboxAddress| taken(address) || reserved(address);
    plan.is_held(address)
        || plan.primary(address).is_none_or(|primary| own(&primary))
        || base(plan, address).is_some_and(|base| taken(&base))
}

fn nobody(plan: &Plan, origin: &Origin, field: &str, target: &MailboxAddress) -> Problem {
    let problem = origin
        .problem(field, "leads to an address that does not exist")
        .found(target);
    let domain = plan.primary(target);
    let domain = domain.as_ref().unwrap_or(target).domain();
    let mut known: Vec<&str> = plan
        .mailboxes
        .keys()
        .chain(plan.aliases.keys())
        .filter(|known| known.domain() == domain)
        .map(MailboxAddress::local)
        .collect();
    known.sort_unstable();
    match nearest(target.local(), known) {
        Some(near) => problem.hint(format!("did you mean {near}@{domain}?")),
        None => problem.hint("add a Mailbox or an alias of that name"),
    }
}

fn itself(origin: &Origin, field: &str, target: &MailboxAddress) -> Problem {
    origin
        .problem(field, "is the alias itself")
        .found(target)
        .hint("name another address, or make this one a Mailbox instead of an alias")
}

/// An address under the primary name of its domain and under each alias.
pub(super) fn every_name(plan: &Plan, address: &MailboxAddress) -> Vec<MailboxAddress> {
    let aliases = plan
        .names
        .get(address.domain())
        .map(|domain| domain.alias_names.as_slice())
        .unwrap_or_default();
    std::iter::once(address.clone())
        .chain(aliases.iter().map(|name| address.with_domain(name.clone())))
        .collect()
}
