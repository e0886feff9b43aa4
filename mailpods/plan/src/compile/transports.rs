//! The fallback relay and the transports of `spec.outbound`.

use std::collections::BTreeMap;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{OutboundSpec, TransportRuleSpec};

use super::Compiler;
use crate::model::{NextHop, Plan, TransportRule, TransportRules};
use crate::problem::Origin;

/// Domains that were named, with the place of the rule.
type Seen<'a> = BTreeMap<(&'static str, &'a DomainName), usize>;

impl Compiler<'_> {
    pub(super) fn fallback_relay(
        &mut self,
        origin: &Origin,
        spec: &OutboundSpec,
    ) -> Option<NextHop> {
        let hop = spec.fallback_relay.as_ref()?;
        let field = "spec.outbound.fallbackRelay";
        if let Some(smart_host) = &spec.smart_host {
            let text = "is for mail to mail exchangers, and smartHost takes all that";
            let problem = origin.problem(field, text).found(&hop.host);
            let hint = format!(
                "leave out fallbackRelay, or smartHost ({})",
                smart_host.host
            );
            self.problems.push(problem.hint(hint));
        }
        Some(self.next_hop(origin, field, hop))
    }

    pub(super) fn transports(&mut self, origin: &Origin, spec: &OutboundSpec) -> TransportRules {
        let mut seen = Seen::new();
        let rules = spec.transports.iter().enumerate();
        let rules = rules.map(|(place, rule)| {
            let field = format!("spec.outbound.transports[{place}]");
            self.check_names(origin, (place, rule), &mut seen);
            let hop = rule.next_hop.as_ref();
            TransportRule {
                domains: rule.domains.clone(),
                suffixes: rule.suffixes.clone(),
                next_hop: hop.map(|hop| self.next_hop(origin, &format!("{field}.nextHop"), hop)),
                once: rule.once,
                serial: rule.serial,
            }
        });
        TransportRules::new(rules.collect())
    }

    /// A name that stands in a rule before has no effect.
    fn check_names<'a>(
        &mut self,
        origin: &Origin,
        (place, rule): (usize, &'a TransportRuleSpec),
        seen: &mut Seen<'a>,
    ) {
        for (list, names) in [("domains", &rule.domains), ("suffixes", &rule.suffixes)] {
            for name in names {
                if let Some(first) = seen
                    .insert((list, name), place)
                    .filter(|first| *first != place)
                {
                    let field = format!("spec.outbound.transports[{place}].{list}");
                    let text = format!("is in transports[{first}] already");
                    self.problems.push(origin.problem(&field, text).found(name));
                }
            }
        }
    }

    /// Mail to a domain of ours goes where its MailDomain says.
    pub(super) fn check_transports(&mut self, origin: &Origin, plan: &Plan) {
        for (place, rule) in plan.outbound.transports.iter().enumerate() {
            for name in &rule.domains {
                if plan.names.contains_key(name) {
                    let field = format!("spec.outbound.transports[{place}].domains");
                    let text =
                        "is a domain of a MailDomain: its spec.transport says where its mail goes";
                    self.problems.push(origin.problem(&field, text).found(name));
                }
            }
        }
    }
}
