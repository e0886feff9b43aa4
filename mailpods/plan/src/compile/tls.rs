//! What is said about TLS to other servers, and of theirs to us.

use std::collections::BTreeMap;

use mailpods_api::v1alpha1::{MailDomain, OutboundTlsSpec, Provider};

use super::Compiler;
use crate::load::Located;
use crate::problem::Origin;

impl Compiler<'_> {
    /// A domain in two destinations would have two answers.
    pub(super) fn check_destinations(&mut self, origin: &Origin, spec: &OutboundTlsSpec) {
        let mut seen = BTreeMap::new();
        for (index, destination) in spec.destinations.iter().enumerate() {
            for domain in &destination.domains {
                if let Some(first) = seen.insert(domain, index).filter(|first| *first != index) {
                    let field = format!("spec.outbound.tls.destinations[{index}].domains");
                    let text = format!("is in destinations[{first}] already");
                    self.problems
                        .push(origin.problem(&field, text).found(domain));
                }
            }
        }
    }

    /// A policy is about mail that comes to this server.
    pub(super) fn check_mta_sts(&mut self, resource: &Located<MailDomain>) {
        let spec = &resource.object.spec;
        let elsewhere = spec.provider != Provider::Builtin;
        if spec.dns.mta_sts.is_some() && elsewhere {
            let text =
                "is for domains whose mail comes here; the provider publishes its own policy";
            let problem = resource.origin.problem("spec.dns.mtaSTS", text);
            self.problems.push(problem.hint("leave it out"));
        }
    }
}
