//! What is left out of the plan and has mail all the same.

use std::collections::HashMap;
use std::sync::Arc;

use mailpods_api::MailboxAddress;

use super::Compiler;
use crate::load::{LeftAddresses, Resources};
use crate::model::{Held, Plan, Transport};

impl<'a> Compiler<'a> {
    /// Names and addresses of what was left out, as far as nothing else has them.
    pub(super) fn held(&self, plan: &Plan) -> Held {
        let left_out = &self.resources.left_out;
        let names = left_out.names.iter();
        let addresses = left_out.addresses.iter();
        Held {
            domains: names
                .filter(|name| !plan.names.contains_key(*name))
                .cloned()
                .collect(),
            addresses: addresses
                .flat_map(|left| self.held_addresses(plan, left))
                .collect(),
        }
    }

    fn held_addresses(&self, plan: &Plan, left: &LeftAddresses) -> Vec<MailboxAddress> {
        let own = left.all();
        own.filter(|address| self.may_name(plan, &left.origin, address))
            .filter_map(|address| plan.primary(address))
            .filter(|primary| !plan.is_taken(primary) && has_mailboxes(plan, primary))
            .collect()
    }

    /// Who was left out and has each address all the same, in primary form: the oldest one.
    pub(super) fn absent(&self, plan: &Plan) -> HashMap<MailboxAddress, &'a LeftAddresses> {
        let mut absent = HashMap::new();
        for left in &self.resources.left_out.addresses {
            let own = left.own.iter();
            let mut own = own.filter(|address| self.may_name(plan, &left.origin, address));
            let primary = own.next().and_then(|address| plan.primary(address));
            let Some(address) = primary.filter(|primary| has_mailboxes(plan, primary)) else {
                continue;
            };
            let known = absent.entry(address).or_insert(left);
            if left.created < known.created {
                *known = left;
            }
        }
        absent
    }

    /// What came after a plan was compiled, and what is left out of it.
    fn held_besides(&mut self, plan: &Plan) -> Held {
        let resources = self.resources;
        for domain in &resources.domains {
            self.claim(domain);
        }
        let mut held = self.held(plan);
        let mut new = Resources::default().left_out;
        for domain in &resources.domains {
            new.add(&domain.object);
            let spec = &domain.object.spec;
            let names = spec.aliases.iter();
            let aliases = names
                .filter_map(|alias| MailboxAddress::new(&alias.name, spec.domain.clone()).ok());
            new.addresses.push(LeftAddresses {
                origin: domain.origin.clone(),
                created: None,
                own: None,
                aliases: aliases.collect(),
            });
        }
        let mailboxes = resources.mailboxes.iter();
        new.addresses.extend(mailboxes.map(LeftAddresses::of));
        let names = new.names.into_iter();
        held.domains
            .extend(names.filter(|name| !plan.names.contains_key(name)));
        for left in &new.addresses {
            held.addresses.extend(self.held_addresses(plan, left));
        }
        held
    }
}

/// A plan that goes on because nothing better can be compiled of these: mail for what it does not know yet is put off.
#[must_use]
pub fn hold(plan: &Arc<Plan>, resources: &Resources) -> Arc<Plan> {
    let held = Compiler::new(resources).held_besides(plan);
    if *plan.held == held {
        return plan.clone();
    }
    Arc::new(Plan {
        held: held.into(),
        ..(**plan).clone()
    })
}

/// What a relayed domain has no mailbox for goes on as before.
fn has_mailboxes(plan: &Plan, address: &MailboxAddress) -> bool {
    let domain = plan.names.get(address.domain());
    domain.is_some_and(|domain| matches!(domain.transport, Transport::Mailboxes))
}
