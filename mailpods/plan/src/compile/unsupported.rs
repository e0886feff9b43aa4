//! Fields that nothing acts on yet are refused by name, never ignored.

use mailpods_api::v1alpha1::{
    AttachmentType, DnsMode, FilterEngine, FromNamespaces, MailClusterSpec, Provider, TxtFormat,
};

use super::Compiler;
use crate::problem::Origin;

impl Compiler<'_> {
    pub(super) fn refuse_unsupported(&mut self) {
        let resources = self.resources;
        for cluster in &resources.clusters {
            self.refuse(&cluster.origin, &cluster_fields(&cluster.object.spec));
        }
        for domain in &resources.domains {
            let spec = &domain.object.spec;
            self.refuse(
                &domain.origin,
                &[
                    (
                        "spec.provider",
                        spec.provider != Provider::Builtin,
                        "Builtin",
                    ),
                    (
                        "spec.transport.backupMX",
                        spec.transport.backup_mx.is_some(),
                        "mailboxes, relay",
                    ),
                    ("spec.dns.mtaSTS", spec.dns.mta_sts.is_some(), ""),
                    ("spec.paused", spec.paused, "false"),
                ],
            );
        }
        for mailbox in &resources.mailboxes {
            self.refuse(
                &mailbox.origin,
                &[("spec.sieve", mailbox.object.spec.sieve.is_some(), "")],
            );
        }
        for ip in &resources.outbound_ips {
            let spec = &ip.object.spec;
            self.refuse(
                &ip.origin,
                &[(
                    "spec.attachment.type",
                    spec.attachment.r#type != AttachmentType::HostNetwork,
                    "HostNetwork",
                )],
            );
        }
        for list in &resources.mailing_lists {
            self.refuse(
                &list.origin,
                &[(
                    "kind",
                    true,
                    "MailCluster, MailDomain, Mailbox, OutboundIP, Secret",
                )],
            );
        }
    }

    /// Each row: a field, whether it is used, and what is supported instead.
    fn refuse(&mut self, origin: &Origin, fields: &[(&str, bool, &str)]) {
        for (field, _, supported) in fields.iter().filter(|(_, used, _)| *used) {
            let mut problem = origin.problem(field, "not supported yet");
            if supported.is_empty() {
                problem = problem.hint("leave it out");
            } else {
                problem = problem.allowed(*supported);
            }
            self.problems.push(problem);
        }
    }
}

fn cluster_fields(spec: &MailClusterSpec) -> [(&'static str, bool, &'static str); 11] {
    [
        (
            "spec.store.postgresql",
            spec.store.postgresql.is_some(),
            "embedded",
        ),
        ("spec.roles", spec.roles.is_some(), ""),
        ("spec.service", spec.service.is_some(), ""),
        ("spec.directories", !spec.directories.is_empty(), ""),
        (
            "spec.tls.issuerRef",
            spec.tls.issuer_ref.is_some(),
            "secretRef",
        ),
        ("spec.dns.mode", spec.dns.mode != DnsMode::Manual, "Manual"),
        (
            "spec.dns.txtFormat",
            spec.dns.txt_format != TxtFormat::Quoted,
            "Quoted",
        ),
        ("spec.dkim.rotation", spec.dkim.rotation.is_some(), ""),
        (
            "spec.filter.engine",
            spec.filter.engine != FilterEngine::Builtin,
            "Builtin",
        ),
        (
            "spec.allowedNamespaces.from",
            spec.allowed_namespaces.from != FromNamespaces::Same,
            "Same",
        ),
        ("spec.paused", spec.paused, "false"),
    ]
}
