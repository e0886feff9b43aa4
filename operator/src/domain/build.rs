//! A MailDomain as objects of Kubernetes. Pure.

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{ClusterDnsSpec, DnsMode, MailDomain};
use mailpods_plan::dns::Record;

use crate::dns::endpoint::{Refused, endpoint};
use crate::kube::children::Child;
use crate::names::{Owner, shortened};

/// Longest name of an object.
const MAX_NAME: usize = 253;

/// Who owns what a MailDomain brings about.
#[must_use]
pub fn owner(domain: &MailDomain) -> Owner {
    let metadata = &domain.metadata;
    Owner {
        kind: "MailDomain",
        namespace: metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone(),
    }
}

/// Name of the DNSEndpoint of a domain.
#[must_use]
pub fn endpoint_name(domain: &DomainName) -> String {
    shortened(&format!("mail-{domain}"), MAX_NAME)
}

/// What a MailDomain brings about, and the records that cannot be published.
#[must_use]
pub fn build(
    domain: &MailDomain,
    records: &[Record],
    dns: &ClusterDnsSpec,
) -> (Vec<Child>, Vec<Refused>) {
    if dns.mode == DnsMode::Manual {
        return (Vec::new(), Vec::new());
    }
    let name = endpoint_name(&domain.spec.domain);
    let (child, refused) = endpoint(&owner(domain), &name, records, dns);
    (child.into_iter().collect(), refused)
}
