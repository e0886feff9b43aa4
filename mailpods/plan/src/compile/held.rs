//! What is left out of the plan and has mail all the same.

use mailpods_api::MailboxAddress;
use mailpods_api::v1alpha1::Mailbox;

use super::Compiler;
use crate::load::Located;
use crate::model::{Held, Plan, Transport};

impl Compiler<'_> {
    /// Names and addresses of what was left out, as far as nothing else has them.
    pub(super) fn held(&self, plan: &Plan) -> Held {
        let left_out = &self.resources.left_out;
        let names = left_out.names.iter();
        let mailboxes = left_out.mailboxes.iter();
        Held {
            domains: names
                .filter(|name| !plan.names.contains_key(*name))
                .cloned()
                .collect(),
            addresses: mailboxes
                .flat_map(|mailbox| self.held_addresses(plan, mailbox))
                .collect(),
        }
    }

    fn held_addresses(&self, plan: &Plan, mailbox: &Located<Mailbox>) -> Vec<MailboxAddress> {
        let spec = &mailbox.object.spec;
        let own = std::iter::once(&spec.address);
        let aliases = spec.aliases.iter();
        let aliases = aliases.filter(|alias| self.may_name(plan, &mailbox.origin, alias));
        own.chain(aliases)
            .filter_map(|address| plan.primary(address))
            .filter(|primary| !plan.is_taken(primary) && has_mailboxes(plan, primary))
            .collect()
    }
}

/// What a relayed domain has no mailbox for goes on as before.
fn has_mailboxes(plan: &Plan, address: &MailboxAddress) -> bool {
    let domain = plan.names.get(address.domain());
    domain.is_some_and(|domain| matches!(domain.transport, Transport::Mailboxes))
}
