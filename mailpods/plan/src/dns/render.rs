//! Records as zone text, JSON, and DNSEndpoint YAML for ExternalDNS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Record, RecordType};

/// Longest string of TXT data, octets (RFC 1035 §3.3).
const MAX_STRING: usize = 255;

/// Records as lines of a zone file (RFC 1035 §5), by domain.
#[must_use]
pub fn zone(records: &[Record]) -> String {
    let width = records
        .iter()
        .map(|record| record.name.len() + 1)
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    let mut domain = None;
    for record in records {
        if domain != Some(&record.domain) {
            let gap = if domain.is_some() { "\n" } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}; {}", record.domain.unicode());
            domain = Some(&record.domain);
        }
        let name = format!("{}.", record.name);
        let kind = record.kind.as_str();
        let _ = match zone_data(record) {
            Some(data) => writeln!(text, "{name:width$} {} IN {kind:5} {data}", record.ttl),
            None => writeln!(text, "; {name} {kind}: the key is made at first start"),
        };
    }
    text
}

fn zone_data(record: &Record) -> Option<String> {
    let data = record.data.as_deref()?;
    Some(match record.kind {
        RecordType::Txt => quote_txt(data),
        RecordType::A | RecordType::Aaaa => data.to_owned(),
        RecordType::Mx | RecordType::Srv | RecordType::Cname | RecordType::Ptr => with_dot(data),
    })
}

/// The same with a dot after the name at its end.
fn with_dot(data: &str) -> String {
    if data.ends_with('.') {
        data.to_owned()
    } else {
        format!("{data}.")
    }
}

/// TXT data in quotes: strings of at most 255 octets, one blank between, `"` and `\` escaped, what is not printable ASCII as `\DDD`.
#[must_use]
pub fn quote_txt(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 4);
    let mut strings = text.as_bytes().chunks(MAX_STRING);
    let first = strings.next().unwrap_or_default();
    for (index, string) in std::iter::once(first).chain(strings).enumerate() {
        quoted.push_str(if index == 0 { "\"" } else { " \"" });
        for &octet in string {
            match octet {
                b'"' | b'\\' => quoted.extend(['\\', char::from(octet)]),
                b' '..=b'~' => quoted.push(char::from(octet)),
                _ => quoted.push_str(&format!("\\{octet:03}")),
            }
        }
        quoted.push('"');
    }
    quoted
}

/// Records as a JSON array of `{domain, name, type, data, ttl}`.
#[must_use]
pub fn json(records: &[Record]) -> Value {
    serde_json::to_value(records).unwrap_or_default()
}

/// Records as one DNSEndpoint (`externaldns.k8s.io/v1alpha1`) a domain, as YAML documents.
///
/// MX, CNAME and PTR targets have no final dot and SRV targets have one: other forms are never found equal, or refused, by ExternalDNS.
///
/// # Errors
/// The text of the YAML writer, which would be a mistake in this crate.
pub fn endpoints(records: &[Record], namespace: Option<&str>) -> Result<String, String> {
    let mut domains: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        domains
            .entry(record.domain.as_str())
            .or_default()
            .push(record);
    }
    let mut text = String::new();
    for (domain, records) in domains {
        text.push_str("---\n");
        let object = endpoint(domain, &records, namespace);
        text.push_str(&serde_yaml::to_string(&object).map_err(|error| error.to_string())?);
    }
    Ok(text)
}

fn endpoint(domain: &str, records: &[&Record], namespace: Option<&str>) -> Value {
    let mut sets: BTreeMap<(&str, &str), (u32, Vec<String>)> = BTreeMap::new();
    for record in records {
        if let Some(target) = endpoint_target(record) {
            let set = sets
                .entry((&record.name, record.kind.as_str()))
                .or_insert((record.ttl, Vec::new()));
            set.1.push(target);
        }
    }
    let endpoints: Vec<Value> = sets
        .into_iter()
        .map(|((name, kind), (ttl, targets))| json!({"dnsName": name, "recordType": kind, "recordTTL": ttl, "targets": targets}))
        .collect();
    let mut metadata = json!({"name": format!("mail-{domain}"), "labels": {"app.kubernetes.io/managed-by": "mailpods"}});
    if let (Some(namespace), Some(metadata)) = (namespace, metadata.as_object_mut()) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    json!({
        "apiVersion": "externaldns.k8s.io/v1alpha1",
        "kind": "DNSEndpoint",
        "metadata": metadata,
        "spec": {"endpoints": endpoints},
    })
}

fn endpoint_target(record: &Record) -> Option<String> {
    let data = record.data.as_deref()?;
    Some(match record.kind {
        RecordType::Txt => quote_txt(data),
        RecordType::Srv => with_dot(data),
        _ => data.to_owned(),
    })
}
