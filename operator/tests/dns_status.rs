//! What a status tells of records, and since when.

#![allow(clippy::unwrap_used)]

#[path = "support/shown.rs"]
mod shown;

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::RecordStatus;
use mailpods_operator::dns::truth::{Failure, key_seen, record_statuses};
use mailpods_plan::dns::RecordType::{A, Txt};
use mailpods_policy::dkim_life::Observation;
use shown::{DKIM, DOMAIN, Dns, KEY, record};

#[test]
fn a_status_keeps_its_time_until_something_changes() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let since = |statuses: &[RecordStatus], name: &str| {
        let status = statuses.iter().find(|status| status.name == name).unwrap();
        (
            status.since.clone().unwrap(),
            status.servers.clone().unwrap(),
        )
    };
    let good = Dns::external().judge();
    let first = record_statuses(&good, &[], at(100));
    assert_eq!(record_statuses(&good, &first, at(200)), first);
    assert_eq!(
        since(&first, KEY),
        ("1970-01-01T00:01:40Z".to_owned(), "2/2".to_owned())
    );
    let partly = Dns::external().with(KEY, Txt, &[&[DKIM], &[]]).judge();
    let second = record_statuses(&partly, &first, at(300));
    assert_eq!(
        since(&second, KEY),
        ("1970-01-01T00:05:00Z".to_owned(), "1/2".to_owned())
    );
    assert_eq!(since(&second, DOMAIN).0, "1970-01-01T00:01:40Z");
    // A clock that was ahead does not hold the time back.
    assert_eq!(
        since(&record_statuses(&good, &first, at(50)), KEY).0,
        "1970-01-01T00:00:50Z"
    );
}

#[test]
fn an_answer_that_fails_for_a_moment_changes_no_time() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let of_key = |statuses: &[RecordStatus]| {
        let mut statuses = statuses.iter();
        let status = statuses.find(|status| status.name == KEY).unwrap().clone();
        (status.since.unwrap(), status.servers.unwrap_or_default())
    };
    let first = ("1970-01-01T00:01:40Z".to_owned(), "2/2".to_owned());
    let good = Dns::external().judge();
    let one = Dns::external().failing(KEY, Txt, 0, Failure::NoAnswer);
    let none = Dns::external()
        .failing(KEY, Txt, 0, Failure::NoAnswer)
        .failing(KEY, Txt, 1, Failure::NoAnswer);
    let mut no_zone = Dns::external();
    let question = (KEY.to_owned(), Txt);
    no_zone.observed.insert(question, Err(Failure::NoZone));
    for failing in [one.judge(), none.judge(), no_zone.judge()] {
        let seen = record_statuses(&good, &[], at(100));
        let hidden = record_statuses(&failing, &seen, at(200));
        assert_eq!(of_key(&hidden), first);
        assert_ne!(
            key_seen(&failing, &hidden, KEY),
            Observation::Everywhere { since: 100 }
        );
        let back = record_statuses(&good, &hidden, at(300));
        assert_eq!(back, seen);
        // What changed behind it is new.
        let gone = Dns::external().both(KEY, Txt, &[]).judge();
        let gone = record_statuses(&gone, &hidden, at(300));
        assert_eq!(of_key(&gone).0, "1970-01-01T00:05:00Z");
    }
    // A server that never answered may have been without the record until now.
    let half = record_statuses(&one.judge(), &[], at(100));
    assert_eq!(of_key(&half).1, "1/2");
    let whole = record_statuses(&good, &half, at(300));
    assert_eq!(of_key(&whole).0, "1970-01-01T00:05:00Z");
}

#[test]
fn a_status_is_bounded_and_has_every_key() {
    let mut dns = Dns::external();
    for number in 0..100 {
        dns.wanted
            .push(record(&format!("x{number}.example.test"), A, "192.0.2.1"));
    }
    dns.wanted
        .push(record("t._domainkey.example.test", Txt, DKIM));
    let statuses = record_statuses(&dns.judge(), &[], Timestamp::UNIX_EPOCH);
    assert_eq!(statuses.len(), 64);
    let names: BTreeSet<&str> = statuses.iter().map(|status| status.name.as_str()).collect();
    assert!(names.contains(KEY) && names.contains("t._domainkey.example.test"));
}

#[test]
fn what_is_seen_of_a_key() {
    let now = Timestamp::from_second(100).unwrap();
    let failing = |index| Dns::external().failing(KEY, Txt, index, Failure::NoAnswer);
    for (dns, wanted) in [
        (Dns::external(), Observation::Everywhere { since: 100 }),
        (
            Dns::external().with(KEY, Txt, &[&[DKIM], &[]]),
            Observation::Partly,
        ),
        (
            Dns::external().both(KEY, Txt, &[DKIM, "x"]),
            Observation::Partly,
        ),
        (failing(0), Observation::Partly),
        (
            failing(0).failing(KEY, Txt, 1, Failure::Lame),
            Observation::Unknown,
        ),
        (Dns::external().both(KEY, Txt, &[]), Observation::Absent),
        (
            Dns::external().both(KEY, Txt, &["v=DKIM1; p=other"]),
            Observation::Absent,
        ),
        (
            Dns::external()
                .with(KEY, Txt, &[&[], &[]])
                .failing(KEY, Txt, 0, Failure::NoAnswer),
            Observation::Absent,
        ),
    ] {
        let judged = dns.judge();
        let statuses = record_statuses(&judged, &[], now);
        assert_eq!(key_seen(&judged, &statuses, KEY), wanted);
    }
    assert_eq!(
        key_seen(&Dns::external().judge(), &[], "none"),
        Observation::Unknown
    );
}
