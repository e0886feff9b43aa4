//! The DNS records that a plan wants published.

use std::net::IpAddr;

use mailpods_api::v1alpha1::{
    ClusterDnsSpec, DnsMode, DomainDnsSpec, MailCluster, MailClusterSpec, MailDomain,
    MailDomainSpec,
};
use mailpods_api::{DomainName, Selector};
use mailpods_policy::spf as budget;

use crate::load::{Environment, Located, ManagedDkim, Resources};
use crate::model::{Domain, Plan, Protocol, RecordData, WantedRecord};
use crate::providers::{self, Service};

/// Preference of the one mail exchanger.
const PREFERENCE: u16 = 10;

/// Services that clients look for: label, and what speaks it (RFC 6186 §3, RFC 8314 §5.1).
const SERVICES: [(&str, Protocol); 7] = [
    ("_submission._tcp", Protocol::Submission),
    ("_submissions._tcp", Protocol::Submissions),
    ("_imap._tcp", Protocol::Imap),
    ("_imaps._tcp", Protocol::Imaps),
    ("_pop3._tcp", Protocol::Pop3),
    ("_pop3s._tcp", Protocol::Pop3s),
    // RFC 5804 §1.8
    ("_sieve._tcp", Protocol::ManageSieve),
];

/// All records, by domain and in a stable order.
pub(crate) fn wanted(
    cluster: &Located<MailCluster>,
    resources: &Resources,
    plan: &Plan,
) -> Vec<WantedRecord> {
    let mut records = Vec::new();
    let cluster = &*cluster.object;
    for resource in resources
        .domains
        .iter()
        .filter(|_| !resources.records_apart)
    {
        let domain = &resource.object.spec.domain;
        let kept = resources
            .dkim
            .as_ref()
            .map(|dkim| dkim.get(domain).cloned().unwrap_or_default());
        records.extend(domain_records(
            cluster,
            &resource.object,
            plan,
            kept.as_ref(),
        ));
    }
    let reverse = resources.environment == Environment::Standalone
        || cluster.spec.dns.mode == DnsMode::Manual
        || cluster.spec.dns.reverse;
    own_addresses(&cluster.spec, plan, &mut records);
    for ip in plan.outbound_ips.values().filter(|_| reverse) {
        host_records(
            cluster.spec.dns.ttl,
            plan,
            ip.address,
            &ip.hostname,
            &mut records,
        );
    }
    // Whoever waits to be mended is still asked for by its name.
    for (address, hostname) in resources.left_out.hosts.iter().filter(|_| reverse) {
        host_records(cluster.spec.dns.ttl, plan, *address, hostname, &mut records);
    }
    records
}

/// The records of one domain, in a stable order: they follow from its specification, that of the MailCluster, and the keys that
/// are kept for it. Where `kept` is `None`, the keys of the plan are published.
#[must_use]
pub fn domain_records(
    cluster: &MailCluster,
    domain: &MailDomain,
    plan: &Plan,
    kept: Option<&ManagedDkim>,
) -> Vec<WantedRecord> {
    let mut records = Vec::new();
    let spec = &domain.spec;
    let mut writer = Writer {
        cluster: &cluster.spec,
        plan,
        owner: &spec.domain,
        name: &spec.domain,
        records: &mut records,
    };
    let account = spec.provider_account.clone().unwrap_or_default();
    if let Some(service) = providers::service(spec.provider, &spec.domain, &account) {
        writer.hosted(spec, service);
    } else if let Some(domain) = plan.domains.get(&spec.domain) {
        // A domain that lost its name to another resource is not in the plan.
        for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
            writer.name = name;
            writer.served(spec, domain, kept);
        }
    }
    records
}

/// The SPF record of a domain that is served here: its own or the cluster's, with what else sends for the domain.
pub(crate) fn spf(defaults: &ClusterDnsSpec, own: &DomainDnsSpec) -> String {
    merged_spf(own.spf.as_ref().unwrap_or(&defaults.spf), own)
}

/// Two SPF records are an error to every receiver (RFC 7208 §4.5), so that there is one of all parts.
fn merged_spf(record: &str, own: &DomainDnsSpec) -> String {
    let includes = own.spf_includes.iter();
    let includes = includes.map(|name| format!("include:{name}"));
    let foreign = own.apex_txt.iter().filter(|text| budget::is_record(text));
    let foreign = foreign.flat_map(|text| budget::mechanisms(text));
    let parts: Vec<String> = includes.chain(foreign).collect();
    budget::merge(record, parts.iter().map(String::as_str))
}

/// Writes the records of one name of a domain.
struct Writer<'a> {
    cluster: &'a MailClusterSpec,
    plan: &'a Plan,
    /// The domain that the name belongs to.
    owner: &'a DomainName,
    name: &'a DomainName,
    records: &'a mut Vec<WantedRecord>,
}

impl Writer<'_> {
    /// A name whose mail comes here.
    fn served(&mut self, spec: &MailDomainSpec, domain: &Domain, kept: Option<&ManagedDkim>) {
        let (dns, own) = (&self.cluster.dns, &spec.dns);
        let exchange = self.plan.hostname.to_string();
        self.push(
            "",
            RecordData::Mx {
                preference: PREFERENCE,
                exchange,
            },
        );
        self.spf(spf(dns, own));
        self.apex(own);
        self.dkim(domain, kept);
        self.push(
            "_dmarc",
            RecordData::Txt(own.dmarc.as_ref().unwrap_or(&dns.dmarc).clone()),
        );
        self.push("_smtp._tls", RecordData::Txt(self.tls_rpt(spec)));
        self.mta_sts(domain);
        self.services();
        self.push(
            "autoconfig",
            RecordData::Cname(self.plan.hostname.to_string()),
        );
    }

    /// A name whose mail goes to a service: the cluster's defaults are about mail that comes here.
    fn hosted(&mut self, spec: &MailDomainSpec, service: Service) {
        let own = &spec.dns;
        let template = format!("v=spf1 include:{} ~all", service.spf_include);
        self.spf(merged_spf(own.spf.as_ref().unwrap_or(&template), own));
        self.apex(own);
        for (label, data) in service.records() {
            self.push(&label, data);
        }
        let account = spec.provider_account.iter();
        for key in account.flat_map(|account| &account.dkim_keys) {
            let label = format!("{}._domainkey", key.selector);
            self.push(&label, RecordData::Txt(key.record.clone()));
        }
        for (label, text) in [("_dmarc", &own.dmarc), ("_smtp._tls", &own.tls_rpt)] {
            if let Some(text) = text {
                self.push(label, RecordData::Txt(text.clone()));
            }
        }
    }

    /// RFC 7208 §4.6.4: a record over the budget is an error to receivers, worse than none.
    fn spf(&mut self, record: String) {
        if budget::cost(&record).fits() {
            self.push("", RecordData::Txt(record));
        }
    }

    /// The other TXT records of the domain's own name.
    fn apex(&mut self, own: &DomainDnsSpec) {
        if self.name != self.owner {
            return;
        }
        for text in own.apex_txt.iter().filter(|text| !budget::is_record(text)) {
            self.push("", RecordData::Txt(text.clone()));
        }
    }

    fn dkim(&mut self, domain: &Domain, kept: Option<&ManagedDkim>) {
        let label = |selector: &Selector| format!("{selector}._domainkey");
        if let Some(kept) = kept {
            for (selector, text) in &kept.published {
                self.push(&label(selector), RecordData::Txt(text.clone()));
            }
            return;
        }
        for key in &domain.dkim {
            let data = RecordData::DkimTxt {
                domain: domain.name.clone(),
                selector: key.selector.clone(),
            };
            self.push(&label(&key.selector), data);
        }
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

    /// RFC 8461 §3.1, §3.2: where the policy is, and which one it is.
    fn mta_sts(&mut self, domain: &Domain) {
        if let Some(policy) = &domain.mta_sts {
            let record = format!("v=STSv1; id={};", policy.id());
            self.push("_mta-sts", RecordData::Txt(record));
            let host = self.plan.hostname.to_string();
            self.push("mta-sts", RecordData::Cname(host));
        }
    }

    fn services(&mut self) {
        for (label, protocol) in SERVICES {
            let mut listeners = self.plan.listeners.iter();
            let listener = listeners.find(|listener| listener.protocol == protocol);
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
                // RFC 5804 §1.8 knows no record that says so.
                None if protocol == Protocol::ManageSieve => continue,
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
            domain: self.owner.clone(),
            name,
            data,
            ttl: self.cluster.dns.ttl,
        };
        if !self.records.contains(&record) {
            self.records.push(record);
        }
    }
}

/// Addresses of the name that the servers greet with.
fn own_addresses(cluster: &MailClusterSpec, plan: &Plan, records: &mut Vec<WantedRecord>) {
    for address in &cluster.dns.addresses {
        let before = records.len();
        host_records(cluster.dns.ttl, plan, *address, &plan.hostname, records);
        // The reverse name is wanted only where somebody asks for it.
        records.truncate(before + if cluster.dns.reverse { 2 } else { 1 });
    }
}

/// Forward and reverse record of a sending address: receivers ask whether each leads to the other.
fn host_records(
    ttl: u32,
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
            ttl,
        });
    }
}

/// The records of an address that mail left from and that is not in the plan any more: receivers still ask for them.
#[must_use]
pub fn leaving_records(plan: &Plan, address: IpAddr, hostname: &DomainName) -> Vec<WantedRecord> {
    let mut records = Vec::new();
    let ttl = u32::try_from(plan.dns.ttl.as_secs()).unwrap_or(u32::MAX);
    host_records(ttl, plan, address, hostname, &mut records);
    records
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
