//! Sieve scripts of resources.

use mailpods_api::v1alpha1::{ClusterSieveSpec, DomainSieveSpec};

use super::Compiler;
use crate::problem::Origin;
use crate::sieve::{SieveScript, SieveSettings, SieveStages};

impl Compiler<'_> {
    /// Compiles one script; what is wrong in it is told with its line and column.
    pub(super) fn sieve(
        &mut self,
        origin: &Origin,
        field: &str,
        source: Option<&String>,
    ) -> Option<SieveScript> {
        match SieveScript::compile(source?) {
            Ok(script) => Some(script),
            Err(errors) => {
                for error in errors {
                    let message = format!("{} of the script: {}", error.at, error.message);
                    let problem = origin.problem(field, message);
                    self.problems.push(if error.allowed.is_empty() {
                        problem
                    } else {
                        problem.allowed(error.allowed)
                    });
                }
                None
            }
        }
    }

    /// What is wrong in scripts is told also where there can be no plan.
    pub(super) fn check_scripts(&mut self) {
        let resources = self.resources;
        for domain in &resources.domains {
            self.domain_sieve(&domain.origin, domain.object.spec.sieve.as_ref());
        }
        for mailbox in &resources.mailboxes {
            let script = mailbox.object.spec.sieve.as_ref();
            self.sieve(&mailbox.origin, "spec.sieve", script);
        }
    }

    /// The scripts around those of a domain's mailboxes.
    pub(super) fn domain_sieve(
        &mut self,
        origin: &Origin,
        spec: Option<&DomainSieveSpec>,
    ) -> SieveStages {
        let Some(spec) = spec else {
            return SieveStages::default();
        };
        SieveStages {
            before: self.sieve(origin, "spec.sieve.before", spec.before.as_ref()),
            after: self.sieve(origin, "spec.sieve.after", spec.after.as_ref()),
        }
    }

    /// What all scripts of the cluster have in common.
    pub(super) fn cluster_sieve(
        &mut self,
        origin: &Origin,
        spec: Option<&ClusterSieveSpec>,
    ) -> SieveSettings {
        let Some(spec) = spec else {
            return SieveSettings::default();
        };
        let stages = SieveStages {
            before: self.sieve(origin, "spec.sieve.before", spec.before.as_ref()),
            after: self.sieve(origin, "spec.sieve.after", spec.after.as_ref()),
        };
        let mut settings = SieveSettings {
            stages,
            lists: spec.lists.clone(),
            ..SieveSettings::default()
        };
        for (name, source) in &spec.scripts {
            let field = format!("spec.sieve.scripts.{name}");
            if let Some(script) = self.sieve(origin, &field, Some(source)) {
                settings.scripts.insert(name.clone(), script);
            }
        }
        settings
    }
}
