//! What two servers of a zone show, made up.

#![allow(clippy::unwrap_used, dead_code)]

use mailpods_api::v1alpha1::DnsMode;
use mailpods_operator::dns::truth::{
    Answer, Failure, Finding, Judged, Observed, Seen, Wanted, judge,
};
use mailpods_plan::dns::{
    Record,
    RecordType::{self, Cname, Mx, Srv, Txt},
};

pub const SPF: &str = "v=spf1 a mx ~all";
pub const DMARC: &str = "v=DMARC1; p=quarantine; pct=100;";
pub const DKIM: &str = "v=DKIM1; k=rsa; p=AbCd";
pub const DOMAIN: &str = "example.test";
pub const KEY: &str = "s._domainkey.example.test";
pub const WILD: &str = "mailpods-no-such-name.example.test";

pub fn record(name: &str, kind: RecordType, data: &str) -> Record {
    Record {
        domain: DOMAIN.parse().unwrap(),
        name: name.to_owned(),
        kind,
        data: Some(data.to_owned()),
        ttl: 300,
    }
}

pub fn records() -> Vec<Record> {
    vec![
        record(DOMAIN, Mx, "10 mail.example.test"),
        record(DOMAIN, Txt, SPF),
        record(KEY, Txt, DKIM),
        record("_dmarc.example.test", Txt, DMARC),
        record("_imaps._tcp.example.test", Srv, "0 1 993 mail.example.test"),
        record("_imap._tcp.example.test", Srv, "0 0 0 ."),
        record("autoconfig.example.test", Cname, "mail.example.test"),
    ]
}

/// What two servers show.
pub struct Dns {
    pub wanted: Vec<Record>,
    pub withdrawn: Vec<Record>,
    pub mode: DnsMode,
    pub observed: Observed,
}

impl Dns {
    /// All is as wanted.
    pub fn good(mode: DnsMode) -> Self {
        let mut dns = Self {
            wanted: records(),
            withdrawn: Vec::new(),
            mode,
            observed: Observed::new(),
        };
        for question in dns.wanted().questions() {
            dns.observed.insert(question, Ok(seen(&[&[], &[]])));
        }
        for record in dns.wanted.clone() {
            let data = record.data.unwrap();
            if data != "0 0 0 ." {
                dns = dns.with(&record.name, record.kind, &[&[&data], &[&data]]);
            }
        }
        dns
    }

    pub fn external() -> Self {
        Self::good(DnsMode::ExternalDNS)
    }

    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            records: &self.wanted,
            withdrawn: &self.withdrawn,
            mode: self.mode,
        }
    }

    pub fn with(mut self, name: &str, kind: RecordType, servers: &[&[&str]]) -> Self {
        let question = (name.to_owned(), kind);
        self.observed.insert(question, Ok(seen(servers)));
        self
    }

    pub fn both(self, name: &str, kind: RecordType, data: &[&str]) -> Self {
        self.with(name, kind, &[data, data])
    }

    pub fn failing(mut self, name: &str, kind: RecordType, index: usize, failure: Failure) -> Self {
        let seen = self.observed.get_mut(&(name.to_owned(), kind)).unwrap();
        seen.as_mut().unwrap().answers[index].1 = Err(failure);
        self
    }

    pub fn alias(mut self, name: &str, kind: RecordType, target: &str) -> Self {
        let mut seen = seen(&[&[], &[]]);
        for (_, answer) in &mut seen.answers {
            answer.as_mut().unwrap().alias = Some(target.to_owned());
        }
        self.observed.insert((name.to_owned(), kind), Ok(seen));
        self
    }

    pub fn judge(&self) -> Judged {
        judge(self.wanted(), &self.observed)
    }

    /// `Reason TYPE name`.
    pub fn findings(&self) -> Vec<String> {
        let findings = self.judge().findings;
        let line = |finding: &Finding| {
            let kind = finding.kind.map_or("-", RecordType::as_str);
            let line = format!("{} {kind} {}", finding.reason, finding.name);
            line.trim_end().to_owned()
        };
        findings.iter().map(line).collect()
    }

    pub fn faults(&self) -> Vec<String> {
        let judged = self.judge().records;
        let faulty = judged.into_iter().filter_map(|seen| {
            let fault = seen.fault?.as_str();
            Some(format!(
                "{} {} {fault}",
                seen.record.kind.as_str(),
                seen.record.name
            ))
        });
        faulty.collect()
    }

    pub fn remedy(&self) -> String {
        self.judge().findings[0].remedy.clone()
    }
}

pub fn seen(servers: &[&[&str]]) -> Seen {
    let answer = |(index, records): (usize, &&[&str])| {
        let answer = Answer {
            records: records.iter().map(|text| (*text).to_owned()).collect(),
            alias: None,
        };
        (format!("ns{}.example.test", index + 1), Ok(answer))
    };
    Seen {
        zone: DOMAIN.to_owned(),
        answers: servers.iter().enumerate().map(answer).collect(),
    }
}

pub fn none() -> Vec<String> {
    Vec::new()
}
