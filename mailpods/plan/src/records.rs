//! The DNS records that a plan wants published.

use std::net::IpAddr;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailClusterSpec, MailDomain, MailDomainSpec};

use crate::load::Located;
use crate::model::{Domain, Plan, Protocol, RecordData, WantedRecord};

/// Preference of the one mail exchanger.
const PREFERENCE: u16 = 10;

/// Services that clients look for: label, and what speaks it (RFC 6186 §3, RFC 8314 §5.1).
const SERVICES: [(&str, Option<Protocol>); 6] = [
    ("_submission._tcp", Some(Protocol::Submission)),
    ("_submissions._tcp", Some(Protocol::Submissions)),
    ("_imap._tcp", Some(Protocol::Imap)),
    ("_imaps._tcp", Some(Protocol::Imaps)),
    ("_pop3._tcp", None),
    ("_pop3s._tcp", None),
];

/// All records, by domain and in a stable order.
pub(crate) fn wanted(
    cluster: &MailClusterSpec,
    domains: &[Located<MailDomain>],
    plan: &Plan,
) -> Vec<WantedRecord> {
    let mut records = Vec::new();
    for resource in domains {
        let spec = &resource.object.spec;
        // A domain that lost its name to another resource is not in the plan.
        let Some(domain) = plan.domains.get(&spec.domain) else {
            continue;
        };
        for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
            Writer {
                cluster,
                plan,
                domain,
                name,
                records: &mut records,
            }
            .write(spec);
        }
    }
    for ip in plan.outbound_ips.values() {
        host_records(cluster, plan, ip.address, &ip.hostname, &mut records);
    }
    records
}

/// Writes the records of one name of a domain.
struct Writer<'a> {
    cluster: &'a MailClusterSpec,
    plan: &'a Plan,
    domain: &'a Domain,
    name: &'a DomainName,
    records: &'a mut Vec<WantedRecord>,
}

impl Writer<'_> {
    fn write(&mut self, spec: &MailDomainSpec) {
        let (dns, own) = (&self.cluster.dns, &spec.dns);
        self.push(
            "",
            RecordData::Mx {
                preference: PREFERENCE,
                exchange: self.plan.hostname.to_string(),
            },
        );
        self.push(
            "",
            RecordData::Txt(own.spf.as_ref().unwrap_or(&dns.spf).clone()),
        );
        if *self.name == self.domain.name {
            own.apex_txt
                .iter()
                .for_each(|text| self.push("", RecordData::Txt(text.clone())));
        }
        for key in &self.domain.dkim {
            let data = RecordData::DkimTxt {
                domain: self.domain.name.clone(),
                selector: key.selector.clone(),
            };
            self.push(&format!("{}._domainkey", key.selector), data);
        }
        self.push(
            "_dmarc",
            RecordData::Txt(own.dmarc.as_ref().unwrap_or(&dns.dmarc).clone()),
        );
        self.push("_smtp._tls", RecordData::Txt(self.tls_rpt(spec)));
        self.services();
        self.push(
            "autoconfig",
            RecordData::Cname(self.plan.hostname.to_string()),
        );
    }

    /// RFC 8460 §3.
    fn tls_rpt(&self, spec: &MailDomainSpec) -> String {
        let named = spec
            .dns
            .tls_rpt
            .as_ref()
            .or(self.cluster.dns.tls_rpt.as_ref());
        named
            .cloned()
            .unwrap_or_else(|| format!("v=TLSRPTv1; rua=mailto:postmaster@{}", self.name))
    }

    fn services(&mut self) {
        for (label, protocol) in SERVICES {
            let listener = protocol.and_then(|protocol| {
                self.plan
                    .listeners
                    .iter()
                    .find(|listener| listener.protocol == protocol)
            });
            let data = match listener {
                Some(listener) => {
                    let (port, target) = (listener.address.port(), self.plan.hostname.to_string());
                    RecordData::Srv {
                        priority: 0,
                        weight: 1,
                        port,
                        target,
                    }
                }
                // RFC 6186 §3.4: a target of "." says that the service is not offered.
                None => RecordData::Srv {
                    priority: 0,
                    weight: 0,
                    port: 0,
                    target: ".".to_owned(),
                },
            };
            self.push(label, data);
        }
    }

    fn push(&mut self, label: &str, data: RecordData) {
        let name = if label.is_empty() {
            self.name.to_string()
        } else {
            format!("{label}.{}", self.name)
        };
        let record = WantedRecord {
            domain: self.domain.name.clone(),
            name,
            data,
            ttl: self.cluster.dns.ttl,
        };
        if !self.records.contains(&record) {
            self.records.push(record);
        }
    }
}

/// Forward and reverse record of a sending address: receivers ask whether each leads to the other.
fn host_records(
    cluster: &MailClusterSpec,
    plan: &Plan,
    address: IpAddr,
    hostname: &DomainName,
    records: &mut Vec<WantedRecord>,
) {
    let parent = plan
        .names
        .iter()
        .filter(|(name, _)| hostname.is_within(name))
        .max_by_key(|(name, _)| name.as_str().len());
    let domain = parent.map_or_else(|| hostname.clone(), |(_, domain)| domain.name.clone());
    let forward = match address {
        IpAddr::V4(address) => RecordData::A(address),
        IpAddr::V6(address) => RecordData::Aaaa(address),
    };
    for (name, data) in [
        (hostname.to_string(), forward),
        (reverse_name(address), RecordData::Ptr(hostname.to_string())),
    ] {
        records.push(WantedRecord {
            domain: domain.clone(),
            name,
            data,
            ttl: cluster.dns.ttl,
        });
    }
}

/// Name of an address below `in-addr.arpa` or `ip6.arpa`.
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address
                .octets()
                .into_iter()
                .rev()
                .flat_map(|octet| [octet & 15, octet >> 4]);
            let mut name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            name.push_str("ip6.arpa");
            name
        }
    }
}
