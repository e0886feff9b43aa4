//! A MailDomain as objects of Kubernetes. Pure.

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{ClusterDnsSpec, DnsMode, MailDomain};
use mailpods_plan::dns::Record;

use crate::dns::endpoint::{Refused, endpoint};
use crate::kube::children::Child;
use crate::names::{Owner, object_name};

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
    object_name(&format!("mail-{domain}"))
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

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_endpoints_are_names() {
        let name = |domain: &str| super::endpoint_name(&domain.parse().unwrap());
        assert_eq!(name("example.test"), "mail-example.test");
        let odd = name("a_b.test");
        assert!(odd.starts_with("mail-a-b.test-"), "{odd}");
        assert_ne!(odd, name("a-b.test"));
    }
}
