//! Fields that nothing acts on yet are refused by name, never ignored.

use mailpods_api::v1alpha1::{
    AttachmentType, DkimRotationSpec, DnsMode, FilterEngine, FromNamespaces, MailClusterSpec,
    MailDomain, MailDomainSpec, Provider, RoleSpec, RolesSpec, TxtFormat,
};

use super::Compiler;
use crate::load::{Environment, Located};
use crate::problem::{Origin, ProblemClass};

/// Nothing acts on it.
const NOWHERE: &str = "not supported yet";
/// The operator acts on it, and nobody else.
const IN_PODS_ONLY: &str = "works in a Kubernetes cluster only";

/// A field, whether it is used, and what is supported instead.
type Row = (&'static str, bool, &'static str);

impl Compiler<'_> {
    pub(super) fn refuse_unsupported(&mut self) {
        let resources = self.resources;
        let standalone = resources.environment == Environment::Standalone;
        for cluster in &resources.clusters {
            let spec = &cluster.object.spec;
            self.refuse(&cluster.origin, NOWHERE, &nowhere(spec));
            if standalone {
                self.refuse(&cluster.origin, IN_PODS_ONLY, &in_pods_only(spec));
            }
        }
        for domain in &resources.domains {
            let spec = &domain.object.spec;
            self.refuse_backup(domain);
            if standalone {
                self.refuse(&domain.origin, IN_PODS_ONLY, &domain_in_pods_only(spec));
            }
        }
        if standalone {
            self.refuse_ips();
        }
        for list in &resources.mailing_lists {
            self.refuse(
                &list.origin,
                NOWHERE,
                &[(
                    "kind",
                    true,
                    "MailCluster, MailDomain, Mailbox, OutboundIP, Secret",
                )],
            );
        }
    }

    /// A domain whose mail nothing here can take must not answer for it.
    fn refuse_backup(&mut self, domain: &Located<MailDomain>) {
        if domain.object.spec.transport.backup_mx.is_some() {
            let problem = domain
                .origin
                .problem("spec.transport.backupMX", NOWHERE)
                .class(ProblemClass::Unsupported);
            self.problems.push(problem.allowed("mailboxes, relay"));
        }
    }

    fn refuse_ips(&mut self) {
        let resources = self.resources;
        for ip in &resources.outbound_ips {
            let spec = &ip.object.spec;
            let attached = !matches!(
                spec.attachment.r#type,
                AttachmentType::HostNetwork | AttachmentType::EgressProxy
            );
            let allowed = "HostNetwork, EgressProxy";
            self.refuse(
                &ip.origin,
                IN_PODS_ONLY,
                &[("spec.attachment.type", attached, allowed)],
            );
        }
    }

    /// What such a resource does besides goes on, where a problem does not stop everything.
    fn refuse(&mut self, origin: &Origin, message: &str, fields: &[Row]) {
        for (field, _, supported) in fields.iter().filter(|(_, used, _)| *used) {
            let mut problem = origin
                .problem(field, message)
                .class(ProblemClass::Unsupported)
                .kept();
            if supported.is_empty() {
                problem = problem.hint("leave it out");
            } else {
                problem = problem.allowed(*supported);
            }
            self.problems.push(problem);
        }
    }
}

fn nowhere(spec: &MailClusterSpec) -> [Row; 6] {
    let roles = spec.roles.as_ref();
    let bucket = spec
        .store
        .postgresql
        .as_ref()
        .is_some_and(|store| store.bucket.is_some());
    let engine = spec.filter.engine != FilterEngine::Builtin;
    let on_node = |role: fn(&RolesSpec) -> &Option<RoleSpec>| {
        let role = roles.and_then(|roles| role(roles).as_ref());
        role.is_some_and(|role| role.host_network)
    };
    [
        ("spec.store.postgresql.bucket", bucket, ""),
        ("spec.directories", !spec.directories.is_empty(), ""),
        ("spec.filter.engine", engine, "Builtin"),
        (
            "spec.roles.smtp.hostNetwork",
            on_node(|roles| &roles.smtp),
            "",
        ),
        (
            "spec.roles.imap.hostNetwork",
            on_node(|roles| &roles.imap),
            "",
        ),
        (
            "spec.roles.filter.hostNetwork",
            on_node(|roles| &roles.filter),
            "",
        ),
    ]
}

fn in_pods_only(spec: &MailClusterSpec) -> [Row; 12] {
    let (dns, store) = (&spec.dns, &spec.store);
    let postgresql = store.postgresql.is_some();
    let volume = store
        .embedded
        .as_ref()
        .is_some_and(|store| store.size.is_some() || store.storage_class_name.is_some());
    let issuer = spec.tls.issuer_ref.is_some();
    let mode = dns.mode != DnsMode::Manual;
    let format = dns.txt_format != TxtFormat::Quoted;
    let rotation = spec.dkim.rotation != DkimRotationSpec::default();
    let from = spec.allowed_namespaces.from != FromNamespaces::Same;
    [
        ("spec.store.postgresql", postgresql, "embedded"),
        ("spec.store.embedded", volume, "{}"),
        ("spec.roles", spec.roles.is_some(), ""),
        ("spec.pods", spec.pods.is_some(), ""),
        ("spec.service", spec.service.is_some(), ""),
        ("spec.monitoring", spec.monitoring.is_some(), ""),
        ("spec.tls.issuerRef", issuer, "secretRef"),
        ("spec.dns.mode", mode, "Manual"),
        ("spec.dns.txtFormat", format, "Quoted"),
        ("spec.dkim.rotation", rotation, ""),
        ("spec.allowedNamespaces.from", from, "Same"),
        ("spec.paused", spec.paused, "false"),
    ]
}

fn domain_in_pods_only(spec: &MailDomainSpec) -> [Row; 3] {
    let provider = spec.provider != Provider::Builtin;
    [
        ("spec.provider", provider, "Builtin"),
        ("spec.providerAccount", spec.provider_account.is_some(), ""),
        ("spec.paused", spec.paused, "false"),
    ]
}
