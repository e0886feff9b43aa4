//! Rules of which names other namespaces may have.

use mailpods_api::v1alpha1::MailCluster;

use super::Compiler;
use crate::load::Located;

impl Compiler<'_> {
    /// A rule that is for no namespace gives nobody what somebody wanted to give.
    pub(super) fn check_allowed(&mut self, cluster: &Located<MailCluster>) {
        let allowed = &cluster.object.spec.allowed_namespaces;
        let wanted = allowed.selector.as_ref();
        let wanted = wanted.map(|selector| &selector.match_labels);
        for (index, rule) in allowed.domains.iter().enumerate() {
            let labels = rule.selector.iter();
            for (label, value) in labels.flat_map(|selector| &selector.match_labels) {
                let other = wanted.and_then(|wanted| wanted.get(label));
                if let Some(other) = other.filter(|other| *other != value) {
                    let field = format!(
                        "spec.allowedNamespaces.domains[{index}].selector.matchLabels.{label}"
                    );
                    let problem = cluster
                        .origin
                        .problem(&field, "selects no namespace that is allowed");
                    let problem = problem.found(value).allowed(other);
                    self.problems
                        .push(problem.hint("spec.allowedNamespaces.selector asks for that value"));
                }
            }
        }
    }
}
