//! Domains: each name owned once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mailpods_api::v1alpha1::{DkimKeyAlgorithm, DkimKeySpec, MailCluster, MailDomain, Provider};
use mailpods_api::{DomainName, MailboxAddress};
use mailpods_policy::spf;

use super::cluster::rate_limits;
use super::keeping::domain_quota;
use super::{Compiler, Names};
use crate::load::Located;
use crate::model::{DkimAlgorithm, DkimKey, Domain, OutboundIp, Transport};
use crate::outbound_tls::policy;
use crate::problem::ProblemClass;
use crate::records;

impl Compiler<'_> {
    pub(super) fn domains(
        &mut self,
        cluster: &Located<MailCluster>,
        ips: &BTreeMap<String, OutboundIp>,
    ) -> (BTreeMap<DomainName, Arc<Domain>>, Names) {
        let (mut domains, mut names) = (BTreeMap::new(), HashMap::new());
        let resources = self.resources;
        self.check_spf(
            &cluster.origin,
            "spec.dns.spf",
            Some(&cluster.object.spec.dns.spf),
        );
        for resource in &resources.domains {
            self.check_mta_sts(resource);
            // A domain that is hosted elsewhere has records here, nothing else.
            if !self.claim(resource) || resource.object.spec.provider != Provider::Builtin {
                continue;
            }
            self.check_cluster_ref(
                resource.object.spec.cluster_ref.as_ref(),
                &resource.origin,
                cluster,
            );
            let addresses = self.tolerating(|compiler| compiler.domain_ips(resource, ips));
            let domain = Arc::new(self.domain(resource, cluster, addresses));
            for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
                names.insert(name.clone(), domain.clone());
            }
            domains.insert(domain.name.clone(), domain);
        }
        if resources.domains.is_empty() && resources.complete && !self.in_pods() {
            let hint = "a folder needs at least one resource of kind MailDomain";
            self.problems.push(
                cluster
                    .origin
                    .problem("", "the cluster has no MailDomain")
                    .hint(hint),
            );
        }
        (domains, names)
    }

    /// Takes the names of a domain, unless another has one of them.
    pub(super) fn claim(&mut self, resource: &Located<MailDomain>) -> bool {
        let spec = &resource.object.spec;
        let before = self.problems.len();
        let fields = spec
            .domain_aliases
            .iter()
            .enumerate()
            .map(|(index, name)| (name, format!("spec.domainAliases[{index}]")));
        for (name, field) in std::iter::once((&spec.domain, "spec.domain".to_owned())).chain(fields)
        {
            if let Some(owner) = self.owners.get(name) {
                let message = format!("is already a domain of {}", owner.named());
                let problem = resource.origin.problem(&field, message).found(name);
                self.problems.push(problem.class(ProblemClass::Conflict));
            } else {
                self.owners.insert(name.clone(), resource.origin.clone());
            }
        }
        self.problems.len() == before
    }

    pub(super) fn domain(
        &mut self,
        resource: &Located<MailDomain>,
        cluster: &Located<MailCluster>,
        outbound_ips: Vec<String>,
    ) -> Domain {
        let (spec, origin) = (&resource.object.spec, &resource.origin);
        let record = records::spf(&cluster.object.spec.dns, &spec.dns);
        self.check_spf(origin, "spec.dns.spf", Some(&record));
        let transport = match &spec.transport.relay {
            Some(hop) => Transport::Relay(self.next_hop(origin, "spec.transport.relay", hop)),
            None => Transport::Mailboxes,
        };
        let dkim = self.dkim(resource, cluster);
        let hostname = &cluster.object.spec.hostname;
        Domain {
            name: spec.domain.clone(),
            alias_names: spec.domain_aliases.clone(),
            transport,
            detail_separators: spec
                .plus_addressing
                .separators
                .iter()
                .filter_map(|text| text.chars().next())
                .collect(),
            detail_folders: spec.plus_addressing.folders,
            catch_all: spec.catch_all.as_ref().map(MailboxAddress::canonical),
            dkim,
            outbound_ips,
            limits: spec.limits.as_ref().map(rate_limits),
            quota: domain_quota(&spec.quota),
            defaults: self.mailbox_defaults(origin, &spec.mailbox_defaults),
            sieve: self.domain_sieve(origin, spec.sieve.as_ref()),
            mta_sts: spec.dns.mta_sts.map(|mode| policy(mode, hostname)),
        }
    }

    /// Keys of the domain: what is kept for it, else what is written down.
    fn dkim(
        &mut self,
        resource: &Located<MailDomain>,
        cluster: &Located<MailCluster>,
    ) -> Vec<DkimKey> {
        let (origin, specs) = match &resource.object.spec.dkim {
            Some(own) => (&resource.origin, &own.keys),
            None => (&cluster.origin, &cluster.object.spec.dkim.keys),
        };
        let written =
            self.tolerating(|compiler| compiler.dkim_keys(origin, "spec.dkim.keys", specs));
        match &self.resources.dkim {
            Some(kept) => kept
                .get(&resource.object.spec.domain)
                .map(|keys| keys.signing.clone())
                .unwrap_or_default(),
            None => written,
        }
    }

    fn dkim_keys(
        &mut self,
        origin: &crate::problem::Origin,
        field: &str,
        specs: &[DkimKeySpec],
    ) -> Vec<DkimKey> {
        let mut keys = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let field = format!("{field}[{index}].privateKeySecretRef");
            let private_key = spec
                .private_key_secret_ref
                .as_ref()
                .and_then(|reference| self.secret_key(origin, &field, reference, "private.pem"));
            if private_key
                .as_ref()
                .is_some_and(|key| !key.reveal().contains("-----BEGIN PRIVATE KEY-----"))
            {
                let problem = origin.problem(&field, "the Secret holds no PKCS#8 key in PEM");
                self.problems
                    .push(problem.hint("openssl pkcs8 -topk8 -nocrypt converts other forms"));
            }
            let algorithm = match spec.algorithm {
                DkimKeyAlgorithm::RsaSha256 => DkimAlgorithm::RsaSha256,
                DkimKeyAlgorithm::Ed25519Sha256 => DkimAlgorithm::Ed25519Sha256,
            };
            keys.push(DkimKey {
                selector: spec.selector.clone(),
                algorithm,
                private_key,
            });
        }
        keys
    }

    /// OutboundIPs by name and by pool. Those that are not there are named all the same, or a domain that has lost its own would send
    /// from those of all others; they are no reason to take no mail.
    fn domain_ips(
        &mut self,
        resource: &Located<MailDomain>,
        ips: &BTreeMap<String, OutboundIp>,
    ) -> Vec<String> {
        let spec = &resource.object.spec;
        let known = || {
            ips.keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut names = Vec::new();
        for (index, name) in spec.outbound_ips.iter().enumerate() {
            names.push(name.clone());
            if !ips.contains_key(name) {
                let problem = resource
                    .origin
                    .problem(&format!("spec.outboundIPs[{index}]"), "names no OutboundIP")
                    .found(name);
                self.missing(problem.allowed(known()));
            }
        }
        let Some(pool) = &spec.ip_pool else {
            return names;
        };
        let members: Vec<&String> = ips
            .values()
            .filter(|ip| ip.pool == *pool)
            .map(|ip| &ip.name)
            .collect();
        if members.is_empty() {
            // No object has such a name.
            names.push(format!("pool {pool}"));
            self.missing(
                resource
                    .origin
                    .problem("spec.ipPool", "no OutboundIP is in the pool")
                    .found(pool),
            );
        }
        names.extend(
            members
                .into_iter()
                .filter(|name| !spec.outbound_ips.contains(name))
                .cloned(),
        );
        names
    }

    /// RFC 7208 §4.6.4 and §3.4: what a record costs by itself, before what its includes cost.
    fn check_spf(&mut self, origin: &crate::problem::Origin, field: &str, record: Option<&str>) {
        let Some(record) = record else { return };
        self.tolerating(|compiler| compiler.check_spf_cost(origin, field, record));
    }

    fn check_spf_cost(&mut self, origin: &crate::problem::Origin, field: &str, record: &str) {
        let budget = spf::cost(record);
        if budget.lookups > spf::MAX_LOOKUPS {
            let problem = origin
                .problem(field, "takes too many DNS look-ups")
                .found(budget.lookups);
            self.problems
                .push(problem.allowed(format!("at most {}", spf::MAX_LOOKUPS)));
        }
        if budget.octets > spf::MAX_OCTETS {
            let problem = origin
                .problem(field, "is too long for one DNS answer")
                .found(format_args!("{} octets", budget.octets));
            self.problems
                .push(problem.allowed(format!("at most {} octets", spf::MAX_OCTETS)));
        }
    }
}
