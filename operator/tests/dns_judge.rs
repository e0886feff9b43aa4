//! What is said of what DNS answers, as tables.

#![allow(clippy::unwrap_used)]

#[path = "support/shown.rs"]
mod shown;

use mailpods_api::v1alpha1::DnsMode;
use mailpods_operator::dns::truth::{Failure, Seen, budget, key_seen, ready, unknown_includes};
use mailpods_plan::dns::RecordType::{self, A, Cname, Mx, Ptr, Srv, Txt};
use mailpods_policy::dkim_life::Observation;
use shown::{DKIM, DMARC, DOMAIN, Dns, KEY, SPF, WILD, none, record, records};

#[test]
fn what_is_as_wanted_is_published() {
    for mode in [DnsMode::ExternalDNS, DnsMode::Manual] {
        let dns = Dns::good(mode);
        assert_eq!((dns.findings(), dns.faults()), (none(), none()));
        let ready = ready(&dns.judge());
        assert_eq!((ready.holds, ready.reason), (Some(true), "Published"));
        assert_eq!(ready.message, "");
    }
}

#[test]
fn one_record_that_is_not_as_wanted() {
    let long = "v=DMARC1;p=quarantine;  pct=100";
    let rows: [(&str, RecordType, &[&str], &str); 16] = [
        (DOMAIN, Mx, &["10 MAIL.example.test."], ""),
        (DOMAIN, Txt, &["v=spf1 a  mx ~all", "site=1"], ""),
        ("_dmarc.example.test", Txt, &[long], ""),
        (
            DOMAIN,
            Txt,
            &[SPF, "v=spf1 +all"],
            "SeveralSPF TXT example.test",
        ),
        (
            DOMAIN,
            Txt,
            &["v=spf1 -all", "v=spf1 +all"],
            "SeveralSPF TXT example.test",
        ),
        (DOMAIN, Txt, &["v=spf1 +all"], "Different TXT example.test"),
        (DOMAIN, Txt, &["site=1"], "NotPublished TXT example.test"),
        (
            DOMAIN,
            Mx,
            &["10 mail.example.test", "20 mx.old.test"],
            "ForeignMX MX example.test",
        ),
        (DOMAIN, Mx, &["10 mx.old.test"], "ForeignMX MX example.test"),
        (
            DOMAIN,
            Mx,
            &["20 mail.example.test"],
            "Different MX example.test",
        ),
        (
            KEY,
            Txt,
            &["v=DKIM1; k=rsa; p=XXXX"],
            "DKIMDiffers TXT s._domainkey.example.test",
        ),
        (
            KEY,
            Txt,
            &["p=XXXX"],
            "DKIMDiffers TXT s._domainkey.example.test",
        ),
        (
            KEY,
            Txt,
            &["v=DKIM1; k=rsa; p=abcd"],
            "CaseDiffers TXT s._domainkey.example.test",
        ),
        (
            KEY,
            Txt,
            &[DKIM, "x"],
            "SeveralTexts TXT s._domainkey.example.test",
        ),
        (
            "_dmarc.example.test",
            Txt,
            &[DMARC, "v=DMARC1; p=none"],
            "SeveralDMARC TXT _dmarc.example.test",
        ),
        (
            "autoconfig.example.test",
            Cname,
            &["other.test"],
            "Different CNAME autoconfig.example.test",
        ),
    ];
    for (name, kind, data, wanted) in rows {
        let dns = Dns::good(DnsMode::Manual).both(name, kind, data);
        let wanted: Vec<&str> = wanted.split_terminator('\n').collect();
        assert_eq!(dns.findings(), wanted, "{name} {data:?}");
        assert_eq!(ready(&dns.judge()).holds, Some(wanted.is_empty()));
    }
}

#[test]
fn a_service_that_is_not_offered_needs_no_record() {
    let name = "_imap._tcp.example.test";
    for (data, wanted) in [
        ("0 0 0 .", none()),
        ("0 1 143 old.test", vec![format!("Different SRV {name}")]),
    ] {
        assert_eq!(Dns::external().both(name, Srv, &[data]).findings(), wanted);
    }
}

#[test]
fn servers_that_disagree_are_named() {
    let dns = Dns::external().with(KEY, Txt, &[&[DKIM], &[]]);
    assert_eq!(dns.findings(), [format!("ServersDisagree TXT {KEY}")]);
    let message = ready(&dns.judge()).message;
    assert!(
        message.starts_with(&format!("TXT {KEY} is not at ns2.example.test; wait")),
        "{message}"
    );
    let old = Dns::external().with(DOMAIN, Txt, &[&[SPF], &["v=spf1 -all"]]);
    assert_eq!(old.findings(), ["ServersDisagree TXT example.test"]);
}

#[test]
fn what_nobody_answers_is_unknown_and_one_server_that_fails_is_a_warning() {
    let one = Dns::external().failing(KEY, Txt, 1, Failure::NoAnswer);
    assert_eq!(
        (one.findings(), one.faults()),
        (vec!["ServerFails - example.test".to_owned()], none())
    );
    let said = ready(&one.judge());
    assert_eq!((said.holds, said.reason), (Some(true), "Published"));
    assert!(
        said.message
            .starts_with("ns2.example.test does not answer; mend"),
        "{}",
        said.message
    );
    let both = one.failing(KEY, Txt, 0, Failure::Lame);
    assert_eq!(both.findings(), [format!("NotAnswered TXT {KEY}")]);
    let said = ready(&both.judge());
    assert_eq!((said.holds, said.reason), (None, "NotAnswered"));
    assert!(said.message.contains("ns1.example.test is named for the zone and does not serve it, ns2.example.test does not answer"), "{}", said.message);
    let wrong = both.both(DOMAIN, Mx, &["1 other.test"]);
    assert_eq!(ready(&wrong.judge()).holds, Some(false));
}

#[test]
fn without_any_answer_nothing_is_wrong() {
    let mut dns = Dns::external();
    dns.observed
        .values_mut()
        .for_each(|seen| *seen = Err(Failure::NoZone));
    let said = ready(&dns.judge());
    assert_eq!((said.holds, said.reason), (None, "NotAnswered"));
    dns.observed.clear();
    assert_eq!(ready(&dns.judge()).holds, None);
    assert!(dns.judge().records.iter().all(|seen| seen.seen.is_none()));
}

#[test]
fn an_apex_of_another_owner_is_told_with_the_record_that_adopts_it() {
    let blocked = || {
        Dns::external()
            .both(DOMAIN, Mx, &[])
            .both(DOMAIN, Txt, &["site=\"1\""])
    };
    assert_eq!(
        blocked().findings(),
        ["ApexOfAnotherOwner TXT example.test"]
    );
    let remedy = blocked().remedy();
    for part in [
        r#"spec.dns.apexTXT, or they are deleted: "site=\"1\"""#,
        r#"txt-edns.example.test. TXT "heritage=external-dns,external-dns/owner=OWNER" (OWNER: your --txt-owner-id)"#,
        "--txt-prefix=%{record_type}-edns.",
    ] {
        assert!(remedy.contains(part), "{remedy}");
    }
    let heritage =
        "heritage=external-dns,external-dns/owner=mailpods-a,external-dns/resource=crd/a/b";
    let known = blocked().both("txt-edns._dmarc.example.test", Txt, &[heritage]);
    assert!(
        known
            .remedy()
            .contains(r#"external-dns/owner=mailpods-a","#.trim_end_matches(',')),
        "{}",
        known.remedy()
    );
}

#[test]
fn a_foreign_host_at_the_apex_needs_an_instance_for_mail() {
    let dns = Dns::external().both(DOMAIN, Mx, &[]).both(DOMAIN, Txt, &[]);
    let dns = dns.both(DOMAIN, A, &["192.0.2.1"]);
    assert_eq!(dns.findings(), ["ApexOfAnotherOwner TXT example.test"]);
    let remedy = dns.remedy();
    assert!(
        remedy.contains("--managed-record-types=MX,TXT,SRV,CNAME,PTR"),
        "{remedy}"
    );
    assert!(!remedy.contains("heritage"), "{remedy}");
}

#[test]
fn who_owns_the_apex_decides_whether_another_spf_record_is_foreign() {
    let owner = |name: &str| format!("heritage=external-dns,external-dns/owner={name}");
    for (apex, mx, foreign) in [
        (Some("a"), true, false),
        (Some("b"), true, true),
        (None, true, true),
        (Some("a"), false, false),
        (None, false, true),
    ] {
        let mut dns = Dns::external().both(DOMAIN, Txt, &["v=spf1 -all"]);
        dns = dns.both("txt-edns._dmarc.example.test", Txt, &[&owner("a")]);
        if let Some(apex) = apex {
            dns = dns.both("txt-edns.example.test", Txt, &[&owner(apex)]);
        }
        if !mx {
            dns = dns.both(DOMAIN, Mx, &[]);
        }
        let found = dns
            .findings()
            .contains(&"ApexOfAnotherOwner TXT example.test".to_owned());
        assert_eq!(found, foreign, "{apex:?} {mx}");
    }
    // Without owners to compare, an MX record shows that the name is ours.
    let dns = Dns::external().both(DOMAIN, Txt, &["v=spf1 -all"]);
    assert_eq!(dns.findings(), ["Different TXT example.test"]);
}

#[test]
fn types_that_externaldns_does_not_manage_are_named_once() {
    let mut dns = Dns::external();
    for record in records() {
        if record.kind != Cname {
            dns = dns.both(&record.name, record.kind, &[]);
        }
    }
    assert_eq!(
        dns.findings(),
        [
            "TypeNotManaged MX",
            "TypeNotManaged SRV",
            "TypeNotManaged TXT"
        ]
    );
    assert!(
        dns.remedy().contains("--managed-record-types=MX"),
        "{}",
        dns.remedy()
    );
    let mx = Dns::external().both(DOMAIN, Mx, &[]);
    assert_eq!(mx.findings(), ["TypeNotManaged MX"]);
    let mut manual = Dns::good(DnsMode::Manual).both(DOMAIN, Mx, &[]);
    assert_eq!(manual.findings(), ["NotPublished MX example.test"]);
    assert_eq!(manual.remedy(), "publish what .status.zone shows");
    manual.mode = DnsMode::ExternalDNS;
    manual
        .wanted
        .push(record("1.2.0.192.in-addr.arpa", Ptr, "mail.example.test"));
    manual = manual.both("1.2.0.192.in-addr.arpa", Ptr, &[]);
    assert_eq!(
        manual.findings(),
        ["TypeNotManaged MX", "TypeNotManaged PTR"]
    );
}

#[test]
fn nothing_at_all_is_not_published_and_says_so_in_a_bounded_text() {
    let mut dns = Dns::external();
    for number in 0..50 {
        let wanted = record(&format!("{number}._domainkey.example.test"), Txt, DKIM);
        dns.wanted.push(wanted);
    }
    for record in dns.wanted.clone() {
        dns = dns.both(&record.name, record.kind, &[]);
    }
    let said = ready(&dns.judge());
    assert_eq!((said.holds, said.reason), (Some(false), "NotPublished"));
    assert_eq!(said.message.matches("is not published").count(), 8);
    assert!(
        said.message
            .contains("and 48 more; see whether ExternalDNS has the zone"),
        "{}",
        said.message
    );
}

#[test]
fn a_domain_that_nobody_delegated_is_told_once() {
    let mut dns = Dns::external();
    for seen in dns.observed.values_mut() {
        *seen = Ok(Seen {
            zone: "test".to_owned(),
            ..self::shown::seen(&[&[]])
        });
    }
    assert_eq!(dns.findings(), ["NotDelegated - example.test"]);
}

#[test]
fn a_wildcard_and_an_alias_are_told_from_records() {
    let wild = ["hello"];
    let dns = Dns::external().both(WILD, Txt, &wild).both(KEY, Txt, &wild);
    assert_eq!(dns.findings(), [format!("Wildcard TXT {KEY}")]);
    let dns = Dns::external().both(WILD, Txt, &wild);
    assert_eq!(dns.findings(), none());
    let dns = Dns::external().alias(KEY, Txt, "www.example.test");
    assert_eq!(dns.findings(), [format!("Alias TXT {KEY}")]);
    let dns = dns.alias(WILD, Txt, "www.example.test");
    assert_eq!(dns.findings(), [format!("Wildcard TXT {KEY}")]);
}

#[test]
fn a_case_that_externaldns_does_not_see_has_its_remedy() {
    let dns = Dns::external().both(KEY, Txt, &["v=DKIM1; k=rsa; p=abcd"]);
    assert!(dns.remedy().contains("spec.dns.ttl"), "{}", dns.remedy());
}

#[test]
fn a_withdrawn_key_that_is_still_there_is_a_warning() {
    let mut dns = Dns::external();
    dns.withdrawn = vec![record("old._domainkey.example.test", Txt, "v=DKIM1; p=OLD")];
    assert!(
        dns.wanted()
            .questions()
            .contains(&("old._domainkey.example.test".to_owned(), Txt))
    );
    assert_eq!(dns.findings(), none());
    let old = |dns: &Dns| key_seen(&dns.judge(), &[], "old._domainkey.example.test");
    assert_eq!(old(&dns), Observation::Unknown);
    let dns = dns.both("old._domainkey.example.test", Txt, &[]);
    assert_eq!(old(&dns), Observation::Absent);
    let dns = dns.both("old._domainkey.example.test", Txt, &["v=DKIM1; p=OLD"]);
    assert_eq!(old(&dns), Observation::Partly);
    assert_eq!(
        dns.findings(),
        ["StaleSelector TXT old._domainkey.example.test"]
    );
    assert_eq!(ready(&dns.judge()).holds, Some(true));
}

#[test]
fn a_key_that_is_not_made_yet_waits() {
    let mut dns = Dns::external();
    dns.wanted[2].data = None;
    assert_eq!(dns.findings(), [format!("KeyNotMade TXT {KEY}")]);
    assert_eq!(key_seen(&dns.judge(), &[], KEY), Observation::Unknown);
}

#[test]
fn the_order_of_wanted_records_makes_no_difference_to_findings() {
    let dns = |turn: usize| {
        let mut dns = Dns::external()
            .both(KEY, Txt, &["x"])
            .both(DOMAIN, Mx, &["1 x.test"]);
        dns.wanted.rotate_left(turn);
        dns.judge().findings
    };
    assert_eq!(dns(3), dns(0));
}

#[test]
fn an_spf_record_that_takes_too_many_look_ups_is_told_with_the_sum() {
    let record = "v=spf1 mx include:a.test include:_spf.b.test ~all";
    let mut dns = Dns::external().both(DOMAIN, Txt, &[record]);
    dns.wanted[1].data = Some(record.to_owned());
    let asked = |dns: &Dns| -> Vec<String> {
        let unknown = unknown_includes(dns.wanted(), &dns.observed);
        unknown.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(asked(&dns), ["_spf.b.test", "a.test"]);
    assert_eq!(dns.findings(), none());
    let five = "v=spf1 a:1.test a:2.test a:3.test a:4.test a:5.test -all";
    let dns = dns
        .both("_spf.b.test", Txt, &["v=spf1 include:C.test -all"])
        .both("a.test", Txt, &["other", five]);
    assert_eq!(asked(&dns), ["c.test"]);
    assert_eq!(budget(record, &dns.observed).lookups, 3 + 5 + 1);
    assert_eq!(dns.findings(), none());
    let dns = dns.both("c.test", Txt, &["v=spf1 mx a redirect=a.test"]);
    assert_eq!(asked(&dns), none());
    assert_eq!(dns.findings(), [format!("SPFOverBudget TXT {DOMAIN}")]);
    let ready = ready(&dns.judge());
    assert_eq!(ready.holds, Some(false));
    let told = "SPF of example.test takes 17 DNS look-ups, of which receivers make 10: 3 of its own, a.test 5, _spf.b.test 9; leave includes out";
    assert!(ready.message.starts_with(told), "{}", ready.message);
}
