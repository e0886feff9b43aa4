//! The hostname's own records: nobody but its administrator knows its addresses, yet receivers refuse mail without them.
use std::net::IpAddr;

use mailpods_net::dns::HickoryResolver;
use mailpods_plan::dns::{Answer, Difference, Fault, Lookup, RecordType};
use mailpods_plan::reverse_name;

use super::lookup::ask;

/// Addresses of a host that are asked for their names.
const MAX_ADDRESSES: usize = 16;

/// Checks that the hostname has an address, and that each address has the hostname: how many record sets, and what is wrong.
pub async fn check(resolver: &HickoryResolver, hostname: &str) -> (usize, Vec<Difference>) {
    let v4 = ask(resolver, hostname.to_owned(), RecordType::A).await;
    let v6 = ask(resolver, hostname.to_owned(), RecordType::Aaaa).await;
    let addresses: Vec<IpAddr> = [&v4, &v6]
        .into_iter()
        .flat_map(records)
        .filter_map(|text| text.parse().ok())
        .collect();
    if addresses.is_empty() {
        return (1, vec![no_address(hostname, [v4, v6])]);
    }
    let mut checked = 1;
    let mut differences = Vec::new();
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        checked += 1;
        let lookup = ask(resolver, reverse_name(address), RecordType::Ptr).await;
        differences.extend(wrong_name(hostname, lookup));
    }
    (checked, differences)
}

fn records(lookup: &Lookup) -> &[String] {
    match &lookup.answer {
        Answer::Records(records) => records,
        Answer::Failed(_) => &[],
    }
}

fn no_address(hostname: &str, lookups: [Lookup; 2]) -> Difference {
    let reason = lookups.into_iter().find_map(|lookup| match lookup.answer {
        Answer::Failed(reason) => Some(reason),
        Answer::Records(_) => None,
    });
    Difference {
        name: hostname.to_owned(),
        kind: RecordType::A,
        fault: fault(&reason, Fault::Missing),
        wanted: vec!["this machine's address, here or as AAAA".to_owned()],
        published: Vec::new(),
        reason,
    }
}

fn wrong_name(hostname: &str, lookup: Lookup) -> Option<Difference> {
    let (published, reason) = match lookup.answer {
        Answer::Records(names) => (names, None),
        Answer::Failed(reason) => (Vec::new(), Some(reason)),
    };
    let is_hostname = |name: &String| name.trim_end_matches('.').eq_ignore_ascii_case(hostname);
    if published.iter().any(is_hostname) {
        return None;
    }
    let otherwise = match published.is_empty() {
        true => Fault::Missing,
        false => Fault::Different,
    };
    Some(Difference {
        name: lookup.name,
        kind: RecordType::Ptr,
        fault: fault(&reason, otherwise),
        wanted: vec![hostname.to_owned()],
        published,
        reason,
    })
}

fn fault(reason: &Option<String>, otherwise: Fault) -> Fault {
    match reason {
        Some(_) => Fault::Unknown,
        None => otherwise,
    }
}
