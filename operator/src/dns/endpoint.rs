//! Records as a DNSEndpoint of ExternalDNS. One record that a provider refuses stops all others, so that each is checked before.

use std::collections::BTreeMap;

use mailpods_api::v1alpha1::{ClusterDnsSpec, TxtFormat};
use mailpods_plan::dns::{Record, RecordType, quote_txt};
use serde_json::{Value, json};

use crate::kube::children::{Child, ChildKind, Mode};
use crate::names::Owner;

/// Longest name of a record, octets without the final dot (RFC 1035 §3.1).
const MAX_NAME: usize = 253;
/// Longest label of a name, octets (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;
/// Longest TXT data that is published, octets: what fits into one answer over TCP with room to spare.
const MAX_TXT: usize = 4_096;

/// How ExternalDNS's notes of ownership begin.
const HERITAGE: &str = "heritage=";

/// A record that is not published, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Owner name.
    pub name: String,
    /// Type.
    pub kind: RecordType,
    /// Why.
    pub reason: String,
}

/// The DNSEndpoint of some records; `None` when there are none.
#[must_use]
pub fn endpoint(
    owner: &Owner,
    name: &str,
    records: &[Record],
    dns: &ClusterDnsSpec,
) -> (Option<Child>, Vec<Refused>) {
    let mut sets: BTreeMap<(&str, &str), (u32, Vec<String>)> = BTreeMap::new();
    let mut refused = Vec::new();
    for record in records {
        match target(record, dns.txt_format) {
            Ok(Some(target)) => {
                let key = (record.name.as_str(), record.kind.as_str());
                let set = sets.entry(key).or_insert((record.ttl, Vec::new()));
                // Equal names need equal times, or ExternalDNS keeps one set and drops the other.
                set.0 = set.0.min(record.ttl);
                if !set.1.contains(&target) {
                    set.1.push(target);
                }
            }
            Ok(None) => {}
            Err(reason) => refused.push(Refused {
                name: record.name.clone(),
                kind: record.kind,
                reason,
            }),
        }
    }
    if sets.is_empty() {
        return (None, refused);
    }
    (Some(child(owner, name, sets, dns)), refused)
}

fn child(
    owner: &Owner,
    name: &str,
    sets: BTreeMap<(&str, &str), (u32, Vec<String>)>,
    dns: &ClusterDnsSpec,
) -> Child {
    let endpoints: Vec<Value> = sets
        .into_iter()
        .map(|((name, kind), (ttl, mut targets))| {
            targets.sort();
            json!({"dnsName": name, "recordType": kind, "recordTTL": ttl, "targets": targets})
        })
        .collect();
    let mut metadata = owner.metadata(name, &dns.labels);
    if let (false, Some(metadata)) = (dns.annotations.is_empty(), metadata.as_object_mut()) {
        metadata.insert("annotations".to_owned(), json!(dns.annotations));
    }
    let kind = ChildKind::DnsEndpoint;
    Child {
        kind,
        mode: Mode::Apply,
        object: json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind(),
            "metadata": metadata,
            "spec": {"endpoints": endpoints},
        }),
    }
}

/// The record as ExternalDNS and its providers want it: MX, CNAME and PTR without a final dot, SRV with one, TXT in quotes.
fn target(record: &Record, format: TxtFormat) -> Result<Option<String>, String> {
    let Some(data) = record.data.as_deref() else {
        return Ok(None);
    };
    check_name(&record.name)?;
    match record.kind {
        RecordType::Txt => txt(data, format).map(Some),
        RecordType::Mx => {
            let (preference, host) = data.split_once(' ').unwrap_or_default();
            preference
                .parse::<u16>()
                .map_err(|_| format!("{preference:?} is no preference"))?;
            check_name(host).map(|()| Some(format!("{preference} {host}")))
        }
        RecordType::Srv => {
            let host = data.rsplit(' ').next().unwrap_or_default();
            if host == "." {
                return Ok(Some(data.to_owned()));
            }
            check_name(host).map(|()| Some(format!("{data}.")))
        }
        RecordType::Cname | RecordType::Ptr => check_name(data).map(|()| Some(data.to_owned())),
        RecordType::A | RecordType::Aaaa => Ok(Some(data.to_owned())),
    }
}

/// A name of host-like labels, without a final dot.
fn check_name(name: &str) -> Result<(), String> {
    let label = |label: &str| {
        let letters = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
        !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(letters)
    };
    if name.len() <= MAX_NAME && name.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("{name:?} is no name of at most {MAX_NAME} octets"))
    }
}

fn txt(data: &str, format: TxtFormat) -> Result<String, String> {
    if !data.bytes().all(|octet| matches!(octet, b' '..=b'~')) || data.is_empty() {
        return Err("text that is not printable ASCII".to_owned());
    }
    // A text of this form tells ExternalDNS whose the records of another name are, which is not for a MailDomain to say.
    let heritage = data.get(..HERITAGE.len());
    if heritage.is_some_and(|start| start.eq_ignore_ascii_case(HERITAGE)) {
        return Err(format!(
            "text that begins with {HERITAGE:?} is ExternalDNS's own"
        ));
    }
    if data.len() > MAX_TXT {
        return Err(format!("text of {} octets; at most {MAX_TXT}", data.len()));
    }
    Ok(match format {
        TxtFormat::Quoted => quote_txt(data),
        TxtFormat::Raw => data.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: RecordType, name: &str, data: &str) -> Record {
        Record {
            domain: "example.test".parse().unwrap(),
            name: name.to_owned(),
            kind,
            data: Some(data.to_owned()),
            ttl: 300,
        }
    }

    fn shown(kind: RecordType, data: &str) -> Result<Option<String>, String> {
        target(&record(kind, "example.test", data), TxtFormat::Quoted)
    }

    #[test]
    fn targets_have_the_form_that_converges() {
        let rows = [
            (
                RecordType::Mx,
                "10 mail.example.test",
                "10 mail.example.test",
            ),
            (
                RecordType::Srv,
                "0 1 993 mail.example.test",
                "0 1 993 mail.example.test.",
            ),
            (RecordType::Srv, "0 0 0 .", "0 0 0 ."),
            (RecordType::Cname, "mail.example.test", "mail.example.test"),
            (RecordType::Txt, "v=spf1 -all", "\"v=spf1 -all\""),
            (RecordType::Txt, "a\"b\\c", "\"a\\\"b\\\\c\""),
        ];
        for (kind, data, wanted) in rows {
            assert_eq!(shown(kind, data), Ok(Some(wanted.to_owned())), "{data}");
        }
        let long = "k".repeat(300);
        let split = format!("\"{}\" \"{}\"", "k".repeat(255), "k".repeat(45));
        assert_eq!(shown(RecordType::Txt, &long), Ok(Some(split)));
        let raw = target(
            &record(RecordType::Txt, "example.test", &long),
            TxtFormat::Raw,
        );
        assert_eq!(raw, Ok(Some(long)));
    }

    #[test]
    fn what_a_provider_would_refuse_is_not_written() {
        for (kind, data) in [
            (RecordType::Mx, "0 ."),
            (RecordType::Mx, "x mail.example.test"),
            (RecordType::Mx, "10 mail..test"),
            (RecordType::Cname, "mail.example.test."),
            (RecordType::Ptr, ""),
            (RecordType::Txt, "käse"),
            (RecordType::Txt, ""),
            (
                RecordType::Txt,
                "Heritage=external-dns,external-dns/owner=default",
            ),
        ] {
            assert!(shown(kind, data).is_err(), "{data}");
        }
        assert!(
            target(
                &record(RecordType::A, "*.example.test", "192.0.2.1"),
                TxtFormat::Quoted
            )
            .is_err()
        );
    }

    #[test]
    fn a_name_has_one_time_to_live() {
        let mut other = record(RecordType::Txt, "example.test", "x=1");
        other.ttl = 60;
        let records = [
            record(RecordType::Txt, "example.test", "v=spf1 -all"),
            other,
        ];
        let owner = Owner {
            kind: "MailDomain",
            namespace: "mail".to_owned(),
            name: "example".to_owned(),
            uid: None,
        };
        let (child, refused) = endpoint(&owner, "mail", &records, &ClusterDnsSpec::default());
        assert_eq!(refused, []);
        let endpoints = child.unwrap().object["spec"]["endpoints"].clone();
        assert_eq!(
            endpoints,
            json!([{"dnsName": "example.test", "recordType": "TXT", "recordTTL": 60, "targets": ["\"v=spf1 -all\"", "\"x=1\""]}])
        );
    }
}
