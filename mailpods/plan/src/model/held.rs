//! What is there, but does not serve because of a problem.

use std::collections::HashSet;

use mailpods_api::{DomainName, MailboxAddress};

/// Names and addresses of resources that a problem keeps out of the plan. Somebody means to have mail there, so that it is
/// put off until the problem is gone, and never comes back over a slip of the pen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Names of MailDomains, aliases too.
    pub domains: HashSet<DomainName>,
    /// Addresses of Mailboxes, aliases too, in primary form.
    pub addresses: HashSet<MailboxAddress>,
}
