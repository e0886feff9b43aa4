//! Mailboxes and aliases.

use std::collections::HashMap;
use std::sync::Arc;

use mailpods_api::MailboxAddress;
use mailpods_api::v1alpha1::{MailCluster, Mailbox as MailboxResource};
use mailpods_policy::password::is_sprayed;
use mailpods_sasl::PasswordHash;

use super::Compiler;
use super::keeping::quota;
use crate::load::Located;
use crate::model::{Credential, CredentialKind, Mailbox, Plan, Transport};
use crate::problem::{Origin, ProblemClass};

impl Compiler<'_> {
    pub(super) fn add_mailboxes(&mut self, plan: &mut Plan) {
        let resources = self.resources;
        let mut owners: HashMap<MailboxAddress, &Origin> = HashMap::new();
        for resource in &resources.mailboxes {
            let Some(address) = self.mailbox_address(resource, plan) else {
                continue;
            };
            // One that was left out keeps its address, or a slip of the pen would give its mail to others.
            let absent = self.absent.get(&address);
            let absent = absent.filter(|absent| absent.is_older(resource));
            let absent = absent.map(|absent| &*absent.origin);
            if let Some(owner) = owners.get(&address).copied().or(absent) {
                let message = format!("is already the address of {}", owner.named());
                let problem = resource.origin.problem("spec.address", message);
                self.problems
                    .push(problem.found(&address).class(ProblemClass::Conflict));
                continue;
            }
            owners.insert(address.clone(), &resource.origin);
            let mailbox = self.mailbox(resource, address);
            plan.mailboxes
                .insert(mailbox.address.clone(), Arc::new(mailbox));
        }
    }

    /// The address in primary form, when mailboxes may be there.
    pub(super) fn mailbox_address(
        &mut self,
        resource: &Located<MailboxResource>,
        plan: &Plan,
    ) -> Option<MailboxAddress> {
        let address = &resource.object.spec.address;
        let problem = |message: &str| {
            resource
                .origin
                .problem("spec.address", message)
                .found(address)
        };
        let Some(domain) = plan.names.get(address.domain()) else {
            let known = plan
                .domains
                .keys()
                .take(10)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            let mut problem = problem("is in no MailDomain");
            // Other tenants' names are nobody's business.
            if !self.in_pods() {
                problem = problem.allowed(known);
            }
            self.missing(problem);
            return None;
        };
        if matches!(domain.transport, Transport::Relay(_)) {
            self.problems.push(
                problem("is in a domain that is relayed")
                    .hint("a relayed domain has no mailboxes here"),
            );
            return None;
        }
        if let Some((base, _)) = address.split_detail(&domain.detail_separators) {
            let hint = format!("mail for it would be mail for {base}");
            self.problems
                .push(problem("has a separator of plus addressing in it").hint(hint));
        }
        plan.primary(address)
    }

    pub(super) fn mailbox(
        &mut self,
        resource: &Located<MailboxResource>,
        address: MailboxAddress,
    ) -> Mailbox {
        let spec = &resource.object.spec;
        Mailbox {
            address,
            enabled: spec.enabled,
            credential: self.credential(resource),
            quota: quota(&spec.quota),
            folders: self.folders(&resource.origin, "spec.folders", &spec.folders),
            send_as: Vec::new(),
            sieve: self.sieve(&resource.origin, "spec.sieve", spec.sieve.as_ref()),
        }
    }

    fn credential(&mut self, resource: &Located<MailboxResource>) -> Option<Credential> {
        let (spec, origin) = (&resource.object.spec, &resource.origin);
        let (field, reference, key, kind) =
            match (&spec.password_secret_ref, &spec.password_hash_secret_ref) {
                (Some(reference), _) => (
                    "spec.passwordSecretRef",
                    reference,
                    "password",
                    CredentialKind::Password,
                ),
                (None, Some(reference)) => (
                    "spec.passwordHashSecretRef",
                    reference,
                    "passwordHash",
                    CredentialKind::Hash,
                ),
                (None, None) => return None,
            };
        let value =
            self.tolerating(|compiler| compiler.secret_key(origin, field, reference, key))?;
        if kind == CredentialKind::Password && is_sprayed(value.reveal().as_bytes()) {
            // RFC 9051 §11.7.
            let problem = origin.problem(field, "the password is one that attackers try first");
            let problem = problem.hint("set another one; nobody can log in with it");
            self.tolerating(|compiler| compiler.problems.push(problem));
        }
        if kind == CredentialKind::Hash
            && let Err(error) = PasswordHash::parse(value.reveal())
        {
            let problem = origin.problem(field, error.to_string());
            let problem = problem.hint("nobody can log in with it; `mailpods hash` makes one");
            self.tolerating(|compiler| compiler.problems.push(problem));
        }
        Some(Credential { kind, value })
    }

    pub(super) fn add_aliases(&mut self, plan: &mut Plan) {
        let resources = self.resources;
        for resource in &resources.domains {
            for (index, alias) in resource.object.spec.aliases.iter().enumerate() {
                let field = format!("spec.aliases[{index}]");
                match MailboxAddress::new(&alias.name, resource.object.spec.domain.clone()) {
                    Ok(address) => self.add_alias(
                        plan,
                        &resource.origin,
                        (&format!("{field}.name"), &address),
                        &alias.targets,
                    ),
                    Err(error) => {
                        let field = format!("{field}.name");
                        let problem = resource.origin.problem(&field, error.to_string());
                        self.problems.push(problem.kept());
                    }
                }
            }
        }
        for resource in &resources.mailboxes {
            let spec = &resource.object.spec;
            for (index, alias) in spec.aliases.iter().enumerate() {
                self.add_alias(
                    plan,
                    &resource.origin,
                    (&format!("spec.aliases[{index}]"), alias),
                    std::slice::from_ref(&spec.address),
                );
            }
            self.add_forward(plan, resource);
        }
    }

    fn add_alias(
        &mut self,
        plan: &mut Plan,
        origin: &Arc<Origin>,
        (field, address): (&str, &MailboxAddress),
        targets: &[MailboxAddress],
    ) {
        let Some(primary) = plan.primary(address) else {
            let problem = origin.problem(field, "is in no MailDomain").found(address);
            self.missing(problem.kept());
            return;
        };
        if !self.may_name(plan, origin, address) {
            let problem = origin.problem(field, "is in a domain of another namespace");
            return self.problems.push(problem.found(address).kept());
        }
        let taken = match () {
            () if plan.mailboxes.contains_key(&primary) => "is the address of a mailbox",
            () if self.absent.contains_key(&primary) => "is the address of a mailbox",
            () if plan.aliases.contains_key(&primary) => "is already an alias",
            () => "",
        };
        if !taken.is_empty() {
            let problem = origin.problem(field, taken).found(&primary);
            return self.problems.push(
                problem
                    .hint("an address leads to one thing")
                    .class(ProblemClass::Conflict)
                    .kept(),
            );
        }
        let targets = targets
            .iter()
            .map(|target| plan.primary(target).unwrap_or_else(|| target.clone()))
            .collect();
        self.alias_places
            .push((primary.clone(), origin.clone(), field.to_owned()));
        plan.aliases.insert(primary, targets);
    }

    /// In a cluster of several tenants, addresses are given by those who own the domain, and by those who own the cluster.
    pub(super) fn may_name(&self, plan: &Plan, origin: &Origin, address: &MailboxAddress) -> bool {
        let owner = plan
            .names
            .get(address.domain())
            .and_then(|domain| self.owners.get(&domain.name));
        let mut clusters = self.resources.clusters.iter();
        !self.in_pods()
            || owner.is_none_or(|owner| owner.namespace == origin.namespace)
            || clusters.any(|cluster| cluster.origin.namespace == origin.namespace)
    }

    /// A mailbox that forwards is an alias with its own name, that leads to itself when a copy is kept.
    fn add_forward(&mut self, plan: &mut Plan, resource: &Located<MailboxResource>) {
        let spec = &resource.object.spec;
        let (Some(forward), Some(primary)) = (&spec.forward, plan.primary(&spec.address)) else {
            return;
        };
        if !spec.enabled || !plan.mailboxes.contains_key(&primary) {
            return;
        }
        let others = forward
            .to
            .iter()
            .map(|target| plan.primary(target).unwrap_or_else(|| target.clone()));
        let others = others.filter(|target| *target != primary);
        let targets = forward
            .keep_copy
            .then(|| primary.clone())
            .into_iter()
            .chain(others)
            .collect();
        self.alias_places.push((
            primary.clone(),
            resource.origin.clone(),
            "spec.forward.to".to_owned(),
        ));
        plan.aliases.insert(primary, targets);
    }

    /// RFC 5321 §4.5.1: there is always somebody who gets mail for postmaster.
    pub(super) fn set_postmaster(&mut self, cluster: &Located<MailCluster>, plan: &mut Plan) {
        let resources = self.resources;
        let first = || {
            let receives = |mailbox: &&Located<MailboxResource>| mailbox.object.spec.enabled;
            let mailbox = resources.mailboxes.iter().find(receives)?;
            plan.primary(&mailbox.object.spec.address)
        };
        let named = cluster.object.spec.postmaster.as_ref();
        let postmaster = named
            .map(|address| plan.primary(address).unwrap_or_else(|| address.clone()))
            .or_else(first);
        plan.outbound.postmaster = postmaster;
    }
}
