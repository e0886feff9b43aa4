//! Whose mailboxes others may use.

use std::collections::HashMap;
use std::sync::Arc;

use mailpods_api::v1alpha1::{GrantSpec, Mailbox as MailboxResource};
use mailpods_api::{DomainName, Grantee};

use super::Compiler;
use crate::load::Located;
use crate::model::{Grant, Plan, Share, Shares};
use crate::problem::{Origin, ProblemClass};

impl Compiler<'_> {
    /// Mailboxes and domains are known. What is wrong with one grant leaves that one out.
    pub(super) fn add_shares(&mut self, plan: &mut Plan) {
        let resources = self.resources;
        let mut shares = Shares::default();
        for resource in &resources.domains {
            let spec = &resource.object.spec;
            if spec.sharing.across_domains && plan.domains.contains_key(&spec.domain) {
                shares.domains.insert(spec.domain.clone());
            }
        }
        plan.shares = shares.into();
        let mut names = HashMap::new();
        for resource in &resources.mailboxes {
            self.add_share(plan, resource, &mut names);
        }
    }

    fn add_share(
        &mut self,
        plan: &mut Plan,
        resource: &Located<MailboxResource>,
        names: &mut HashMap<(DomainName, String), Arc<Origin>>,
    ) {
        let spec = &resource.object.spec;
        let (Some(sharing), Some(address)) = (&spec.sharing, plan.primary(&spec.address)) else {
            return;
        };
        if !plan.mailboxes.contains_key(&address) {
            return;
        }
        let origin = &resource.origin;
        let mut public_name = sharing.public_name.clone();
        if let Some(name) = &sharing.public_name {
            let key = (address.domain().clone(), name.clone());
            if let Some(other) = names.get(&key) {
                let message = format!("is already the public name of {}", other.named());
                let problem = origin.problem("spec.sharing.publicName", message);
                self.problems
                    .push(problem.found(name).class(ProblemClass::Conflict));
                public_name = None;
            } else {
                names.insert(key, origin.clone());
            }
        }
        let grants = sharing.grants.iter().enumerate();
        let grants = grants.filter_map(|(index, grant)| {
            self.grant(plan, origin, address.domain(), (index, grant))
        });
        let share = Share {
            grants: grants.collect(),
            public_name,
        };
        plan.shares.mailboxes.insert(address, Arc::new(share));
    }

    fn grant(
        &mut self,
        plan: &Plan,
        origin: &Origin,
        owner: &DomainName,
        (index, spec): (usize, &GrantSpec),
    ) -> Option<Grant> {
        let to = match &spec.to {
            Grantee::Anyone => Grantee::Anyone,
            Grantee::Person(address) => {
                let field = format!("spec.sharing.grants[{index}].to");
                let Some(primary) = plan.primary(address) else {
                    let problem = origin.problem(&field, "is in no MailDomain");
                    self.missing(problem.found(address));
                    return None;
                };
                if !plan.may_share(owner, primary.domain()) {
                    let problem =
                        origin.problem(&field, "is in a domain that shares nothing with this one");
                    let hint = "spec.sharing.acrossDomains: true in both MailDomains allows it";
                    self.problems.push(problem.found(address).hint(hint));
                    return None;
                }
                Grantee::Person(primary)
            }
        };
        Some(Grant {
            to,
            rights: spec.rights,
            mailbox: spec.mailbox.clone(),
        })
    }
}
