//! Records of the hosts of a MailCluster that are in no MailDomain: its own name, and those of its OutboundIPs. Pure.

use std::collections::BTreeMap;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::DnsMode;
use mailpods_plan::Plan;
use mailpods_plan::dns::{Record, RecordType, fill};

use super::validate::ValidCluster;
use crate::dns::endpoint::endpoint;
use crate::kube::children::Child;
use crate::kube::error::Error;
use crate::world::snapshot::Served;

/// The records of hosts that are within none of the domains that are served: those of a MailDomain are published with it, or,
/// where it is served elsewhere, by nobody but its owner.
#[must_use]
pub fn records(plan: &Plan, served: &BTreeMap<DomainName, Served>) -> Vec<Record> {
    let of_a_host = |record: &Record| {
        let kinds = [RecordType::A, RecordType::Aaaa, RecordType::Ptr];
        kinds.contains(&record.kind) && !served.keys().any(|name| record.domain.is_within(name))
    };
    let records = fill(plan, None, |_, _| None).into_iter();
    records.filter(of_a_host).collect()
}

/// Name of the DNSEndpoint.
#[must_use]
pub fn endpoint_name(cluster: &str) -> String {
    format!("{cluster}-hosts")
}

/// The DNSEndpoint of the records; `None` when there is nothing to publish.
///
/// # Errors
/// A record that no provider would take.
pub fn build(cluster: &ValidCluster, records: &[Record]) -> Result<Option<Child>, Error> {
    let dns = &cluster.spec.dns;
    if dns.mode == DnsMode::Manual {
        return Ok(None);
    }
    let name = endpoint_name(cluster.name());
    let (child, refused) = endpoint(&cluster.owner, &name, records, dns);
    match refused.first() {
        Some(refused) => Err(Error::Make("the records of hosts", refused.reason.clone())),
        None => Ok(child),
    }
}
