//! What is to be done about records that are not as wanted. Pure.

use mailpods_api::v1alpha1::DnsMode;
use mailpods_plan::dns::{Difference, Fault, Record, RecordType};

/// Record sets that are told of one by one; more are counted.
const MAX_TOLD: usize = 8;

/// What differs, and what helps, for people.
#[must_use]
pub fn told(domain: &str, records: &[Record], differences: &[Difference], mode: DnsMode) -> String {
    let mut lines: Vec<String> = differences.iter().take(MAX_TOLD).map(line).collect();
    if differences.len() > MAX_TOLD {
        lines.push(format!("and {} more", differences.len() - MAX_TOLD));
    }
    lines.extend(helps(domain, records, differences, mode));
    lines.join("; ")
}

fn line(difference: &Difference) -> String {
    let what = match difference.fault {
        Fault::Missing => "is missing",
        Fault::Different => "differs",
        Fault::SeveralSpf => "has several SPF records, which is an error to every receiver",
        Fault::Extra => "has more than is wanted",
        Fault::NoKey => "waits for its key",
        Fault::Unknown => "cannot be looked up",
    };
    format!("{} {} {what}", difference.kind.as_str(), difference.name)
}

fn helps(
    domain: &str,
    records: &[Record],
    differences: &[Difference],
    mode: DnsMode,
) -> Vec<String> {
    let fault = |kind: RecordType, name: &str| {
        let found = differences
            .iter()
            .find(|difference| difference.kind == kind && difference.name == name);
        found.map(|difference| difference.fault)
    };
    let missing = |kind, name: &str| fault(kind, name) == Some(Fault::Missing);
    let mut helps = Vec::new();
    if fault(RecordType::Txt, domain) == Some(Fault::SeveralSpf) {
        helps.push("remove the other SPF record, or name its parts in spec.dns.spfIncludes; another DNSEndpoint may publish it".to_owned());
    }
    if mode == DnsMode::Manual {
        helps.push("publish what .status.zone shows".to_owned());
        return helps;
    }
    let below = format!("_dmarc.{domain}");
    let wants = |kind, name: &str| {
        records
            .iter()
            .any(|record| record.kind == kind && record.name == name)
    };
    let others_there = wants(RecordType::Txt, &below) && fault(RecordType::Txt, &below).is_none();
    if missing(RecordType::Mx, domain) && others_there {
        helps.push(apex(domain));
    }
    let only_hosts = |kind| {
        let mut of_kind = records
            .iter()
            .filter(|record| record.kind == kind)
            .peekable();
        of_kind.peek().is_some() && of_kind.all(|record| missing(kind, &record.name))
    };
    for kind in [RecordType::Mx, RecordType::Txt, RecordType::Srv] {
        if only_hosts(kind) {
            let kind = kind.as_str();
            helps.push(format!(
                "no {kind} record is published: ExternalDNS needs --managed-record-types={kind}"
            ));
        }
    }
    helps
}

/// ExternalDNS adds nothing at a name where somebody else has a record.
fn apex(domain: &str) -> String {
    format!(
        "names below {domain} are published and the domain's own is not: ExternalDNS leaves a name alone where a record has another owner. Put the texts that are there into spec.dns.apexTXT, then write the record txt-edns.{domain} TXT \"heritage=external-dns,external-dns/owner=OWNER\", with your --txt-owner-id and --txt-prefix=%{{record_type}}-edns."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: RecordType, name: &str) -> Record {
        Record {
            domain: "example.test".parse().unwrap(),
            name: name.to_owned(),
            kind,
            data: Some("x".to_owned()),
            ttl: 300,
        }
    }

    fn difference(kind: RecordType, name: &str, fault: Fault) -> Difference {
        Difference {
            name: name.to_owned(),
            kind,
            fault,
            wanted: Vec::new(),
            published: Vec::new(),
            reason: None,
        }
    }

    #[test]
    fn an_apex_of_somebody_else_is_named_with_the_record_that_adopts_it() {
        let records = [
            record(RecordType::Mx, "example.test"),
            record(RecordType::Txt, "_dmarc.example.test"),
        ];
        let missing = [difference(RecordType::Mx, "example.test", Fault::Missing)];
        let told = told("example.test", &records, &missing, DnsMode::ExternalDNS);
        assert!(
            told.contains(
                "txt-edns.example.test TXT \"heritage=external-dns,external-dns/owner=OWNER\""
            ),
            "{told}"
        );
        assert!(told.contains("--managed-record-types=MX"), "{told}");
    }

    #[test]
    fn two_spf_records_are_named() {
        let several = [difference(
            RecordType::Txt,
            "example.test",
            Fault::SeveralSpf,
        )];
        let told = told("example.test", &[], &several, DnsMode::ExternalDNS);
        assert!(
            told.starts_with("TXT example.test has several SPF records"),
            "{told}"
        );
        assert!(told.contains("spec.dns.spfIncludes"), "{told}");
    }

    #[test]
    fn people_are_shown_the_zone() {
        let missing = [difference(RecordType::Mx, "example.test", Fault::Missing)];
        let told = told("example.test", &[], &missing, DnsMode::Manual);
        assert_eq!(
            told,
            "MX example.test is missing; publish what .status.zone shows"
        );
    }
}
