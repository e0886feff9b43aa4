use super::*;
use crate::dns::{
    Answer, Fault, Lookup, Record, compare, endpoints, fill, json, lookups, quote_txt, zone,
};

const KEY: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn example() -> Plan {
    let cluster = CLUSTER.replace(
        "  - {name: smtp",
        "  - {name: imaps, protocol: imaps, port: 993}\n  - {name: smtp",
    );
    let ip = resource(
        "OutboundIP",
        "one",
        "{address: 2001:db8::1, hostname: out.example.test}",
    );
    let documents = [
        domain(
            "example.test",
            "dns: {apexTXT: ['site=1'], dmarc: 'v=DMARC1; p=none'}",
        ),
        mailbox("a@example.test", ""),
        ip,
    ];
    check(&[
        source("c.yaml", &cluster),
        source("a.yaml", &documents.join("---\n")),
    ])
    .0
    .unwrap()
}

fn records(plan: &Plan) -> Vec<Record> {
    fill(plan, None, |_, selector| {
        (selector.as_str() == "mailpods-ed25519").then(|| KEY.to_owned())
    })
}

#[test]
fn zone_text_has_every_record() {
    let text = zone(&records(&example()));
    let squeezed: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let key = format!("mailpods-ed25519._domainkey.example.test. 3600 IN TXT \"{KEY}\"");
    let reverse = format!(
        "1.{}8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN PTR out.example.test.",
        "0.".repeat(23)
    );
    assert_eq!(
        squeezed,
        [
            "; example.test",
            "example.test. 3600 IN MX 10 mail.example.test.",
            "example.test. 3600 IN TXT \"v=spf1 a mx ~all\"",
            "example.test. 3600 IN TXT \"site=1\"",
            "; mailpods-rsa._domainkey.example.test. TXT: the key is made at first start",
            &key,
            "_dmarc.example.test. 3600 IN TXT \"v=DMARC1; p=none\"",
            "_smtp._tls.example.test. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:postmaster@example.test\"",
            "_submission._tcp.example.test. 3600 IN SRV 0 0 0 .",
            "_submissions._tcp.example.test. 3600 IN SRV 0 0 0 .",
            "_imap._tcp.example.test. 3600 IN SRV 0 0 0 .",
            "_imaps._tcp.example.test. 3600 IN SRV 0 1 993 mail.example.test.",
            "_pop3._tcp.example.test. 3600 IN SRV 0 0 0 .",
            "_pop3s._tcp.example.test. 3600 IN SRV 0 0 0 .",
            "autoconfig.example.test. 3600 IN CNAME mail.example.test.",
            "out.example.test. 3600 IN AAAA 2001:db8::1",
            &reverse,
        ]
    );
}

#[test]
fn services_that_are_on_are_found() {
    let listeners = "  - {name: pop3, protocol: pop3, port: 110}\n  - {name: pop3s, protocol: pop3s, port: 995}\n  \
                     - {name: managesieve, protocol: managesieve, port: 4190}\n  - {name: smtp";
    let sources = [
        source("c.yaml", &CLUSTER.replacen("  - {name: smtp", listeners, 1)),
        source("a.yaml", &domain("example.test", "")),
    ];
    let (plan, problems) = check(&sources);
    let text = zone(&records(&plan.unwrap_or_else(|| panic!("{problems:?}"))));
    for wanted in [
        ("_pop3._tcp", "0 1 110"),
        ("_pop3s._tcp", "0 1 995"),
        ("_sieve._tcp", "0 1 4190"),
    ] {
        let found = text.lines().any(|line| {
            line.starts_with(wanted.0)
                && line.ends_with(&format!("{} mail.example.test.", wanted.1))
        });
        assert!(found, "{wanted:?} is not in\n{text}");
    }
}

#[test]
fn a_policy_is_published_with_an_id_of_its_own() {
    let text = |mode: &str| {
        let extra = format!("dns: {{mtaSTS: {mode}}}");
        let sources = [
            source("c.yaml", CLUSTER),
            source("a.yaml", &domain("example.test", &extra)),
        ];
        let (plan, problems) = check(&sources);
        zone(&records(&plan.unwrap_or_else(|| panic!("{problems:?}"))))
    };
    let id = |text: &str| {
        let (_, rest) = text.split_once("v=STSv1; id=").unwrap();
        rest.split(';').next().unwrap().to_owned()
    };
    let (enforce, testing) = (text("enforce"), text("testing"));
    assert!(enforce.contains("mta-sts.example.test."), "{enforce}");
    assert_eq!(id(&enforce).len(), 32);
    assert_eq!(id(&enforce), id(&text("enforce")));
    assert_ne!(id(&enforce), id(&testing));
}

#[test]
fn endpoints_have_the_forms_that_external_dns_needs() {
    let text = endpoints(&records(&example()), Some("mail")).unwrap();
    let parsed: serde_json::Value = serde_yaml::from_str(text.trim_start_matches("---\n")).unwrap();
    assert_eq!(parsed["metadata"]["namespace"], "mail");
    let targets = |name: &str, kind: &str| {
        let endpoints = parsed["spec"]["endpoints"].as_array().unwrap();
        let found = endpoints
            .iter()
            .find(|endpoint| endpoint["dnsName"] == name && endpoint["recordType"] == kind);
        found
            .map(|endpoint| endpoint["targets"].clone())
            .unwrap_or_default()
    };
    assert_eq!(
        targets("example.test", "MX"),
        serde_json::json!(["10 mail.example.test"])
    );
    assert_eq!(
        targets("example.test", "TXT"),
        serde_json::json!(["\"v=spf1 a mx ~all\"", "\"site=1\""])
    );
    assert_eq!(
        targets("_imaps._tcp.example.test", "SRV"),
        serde_json::json!(["0 1 993 mail.example.test."])
    );
    assert_eq!(
        targets("_pop3._tcp.example.test", "SRV"),
        serde_json::json!(["0 0 0 ."])
    );
    assert_eq!(
        targets("autoconfig.example.test", "CNAME"),
        serde_json::json!(["mail.example.test"])
    );
    assert!(targets("mailpods-rsa._domainkey.example.test", "TXT").is_null());
}

#[test]
fn json_has_one_object_a_record() {
    let value = json(&records(&example()));
    let first = serde_json::json!({"domain": "example.test", "name": "example.test", "type": "MX", "data": "10 mail.example.test", "ttl": 3600});
    assert_eq!(value[0], first);
}

#[test]
fn text_is_quoted_and_split() {
    assert_eq!(quote_txt(""), "\"\"");
    assert_eq!(quote_txt("a\"b\\c;d"), "\"a\\\"b\\\\c;d\"");
    assert_eq!(quote_txt("é"), "\"\\195\\169\"");
    let long = quote_txt(&"x".repeat(600));
    assert_eq!(
        long.split(' ')
            .map(|string| string.len() - 2)
            .collect::<Vec<_>>(),
        [255, 255, 90]
    );
}

/// Answers that are just as wanted.
fn published(wanted: &[Record]) -> Vec<Lookup> {
    let answer = |name: &str, kind| {
        let set = wanted
            .iter()
            .filter(|record| record.name == name && record.kind == kind);
        Answer::Records(set.filter_map(|record| record.data.clone()).collect())
    };
    lookups(wanted)
        .into_iter()
        .map(|(name, kind)| Lookup {
            answer: answer(&name, kind),
            name,
            kind,
        })
        .collect()
}

#[test]
fn differences_are_told_apart() {
    let plan = example();
    let wanted = fill(&plan, None, |_, _| Some(KEY.to_owned()));
    assert_eq!(compare(&wanted, &published(&wanted)), []);
    let records =
        |texts: &[&str]| Answer::Records(texts.iter().map(|text| (*text).to_owned()).collect());
    for (name, kind, answer, fault) in [
        ("example.test", "MX", records(&[]), Some(Fault::Missing)),
        (
            "example.test",
            "MX",
            records(&["10 MAIL.example.test."]),
            None,
        ),
        (
            "example.test",
            "MX",
            records(&["10 mail.example.test", "20 old.test"]),
            Some(Fault::Extra),
        ),
        (
            "example.test",
            "MX",
            records(&["10 old.test"]),
            Some(Fault::Different),
        ),
        (
            "example.test",
            "MX",
            Answer::Failed("SERVFAIL".to_owned()),
            Some(Fault::Unknown),
        ),
        (
            "example.test",
            "TXT",
            records(&["v=spf1 a mx ~all", "site=1", "other"]),
            None,
        ),
        (
            "example.test",
            "TXT",
            records(&["v=spf1 a mx ~all", "site=1", "v=spf1 -all"]),
            Some(Fault::SeveralSpf),
        ),
        (
            "example.test",
            "TXT",
            records(&["v=spf1 -all", "site=1"]),
            Some(Fault::Different),
        ),
        (
            "example.test",
            "TXT",
            records(&["site=1"]),
            Some(Fault::Missing),
        ),
        (
            "_dmarc.example.test",
            "TXT",
            records(&["v=DMARC1;p=none;"]),
            None,
        ),
        ("_pop3._tcp.example.test", "SRV", records(&[]), None),
        (
            "_imaps._tcp.example.test",
            "SRV",
            records(&[]),
            Some(Fault::Missing),
        ),
        (
            "mailpods-rsa._domainkey.example.test",
            "TXT",
            records(&["v=DKIM1; p="]),
            Some(Fault::Different),
        ),
    ] {
        let mut seen = published(&wanted);
        let lookup = seen
            .iter_mut()
            .find(|lookup| lookup.name == name && lookup.kind.as_str() == kind)
            .unwrap();
        lookup.answer = answer;
        let found: Vec<Fault> = compare(&wanted, &seen)
            .iter()
            .map(|difference| difference.fault)
            .collect();
        assert_eq!(
            found,
            fault.into_iter().collect::<Vec<_>>(),
            "{name} {kind} {:?}",
            seen
        );
    }
}

#[test]
fn a_key_that_is_not_made_yet_is_said_so() {
    let wanted = records(&example());
    let found = compare(&wanted, &published(&wanted));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].fault, found[0].name.as_str()),
        (Fault::NoKey, "mailpods-rsa._domainkey.example.test")
    );
}
