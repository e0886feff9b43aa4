//! DMARC and the decision.

use mailpods_plan::ReverseDnsPolicy;
use mailpods_policy::Reason;
use mailpods_rpc::Action;
use mailpods_rpc::Mechanism::{Dmarc, Iprev, Spf};

use super::dns::Zone;
use super::*;

type MakeZone = fn() -> Zone;

fn zone(record: &str) -> Zone {
    Zone::new()
        .txt("sender.test", "v=spf1 ip4:192.0.2.1 -all")
        .txt("mail.sender.test", "v=spf1 ip4:192.0.2.1 -all")
        .txt("other.test", "v=spf1 ip4:192.0.2.1 -all")
        .txt("rsa._domainkey.sender.test", &rsa_record())
        .txt("rsa._domainkey.mail.sender.test", &rsa_record())
        .txt("rsa._domainkey.other.test", &rsa_record())
        .txt("_dmarc.sender.test", record)
}

/// From `sender.test` with this envelope domain and this signing domain.
fn from_sender(envelope: &str, signer: Option<&str>) -> ScanRequest {
    let message = signer.map_or_else(|| MESSAGE.to_owned(), |domain| sign(MESSAGE, domain));
    ScanRequest {
        mail_from: format!("bounce@{envelope}"),
        ..request(&message)
    }
}

#[tokio::test]
async fn alignment_by_envelope_and_signature() {
    let relaxed = "v=DMARC1; p=reject";
    let strict = "v=DMARC1; p=reject; aspf=s; adkim=s";
    let table = [
        (relaxed, "sender.test", None, "pass"),
        (relaxed, "mail.sender.test", None, "pass"),
        (relaxed, "other.test", None, "fail"),
        (relaxed, "other.test", Some("sender.test"), "pass"),
        (relaxed, "other.test", Some("mail.sender.test"), "pass"),
        (relaxed, "other.test", Some("other.test"), "fail"),
        (strict, "sender.test", None, "pass"),
        (strict, "mail.sender.test", None, "fail"),
        (strict, "other.test", Some("sender.test"), "pass"),
        (strict, "other.test", Some("mail.sender.test"), "fail"),
        ("v=DMARC1; p=none", "other.test", None, "fail"),
        ("v=DMARC2; p=reject", "other.test", None, "none"),
    ];
    for (record, envelope, signer, expected) in table {
        let verdict = scan(zone(record), &from_sender(envelope, signer)).await;
        assert_eq!(
            results(&verdict, Dmarc),
            [expected],
            "{record} {envelope} {signer:?}"
        );
    }
}

#[tokio::test]
async fn the_policy_is_honoured() {
    let rows = [
        ("v=DMARC1; p=reject", Action::Reject, Reason::DmarcReject),
        (
            "v=DMARC1; p=quarantine",
            Action::Junk,
            Reason::DmarcQuarantine,
        ),
        ("v=DMARC1; p=none", Action::Accept, Reason::Accepted),
        (
            "v=DMARC1; p=reject; pct=0",
            Action::Junk,
            Reason::DmarcQuarantine,
        ),
        (
            "v=DMARC1; p=quarantine; t=y",
            Action::Accept,
            Reason::Accepted,
        ),
    ];
    for (record, action, why) in rows {
        let verdict = scan(zone(record), &from_sender("other.test", None)).await;
        assert_eq!((verdict.action, verdict.reason), (action, why), "{record}");
        assert_eq!(verdict.reply.is_some(), action == Action::Reject);
    }
    let verdict = scan(zone("v=DMARC1; p=reject"), &from_sender("other.test", None)).await;
    let (code, enhanced, text) = verdict.reply.unwrap();
    assert_eq!((code, enhanced.as_str()), (550, "5.7.1"));
    assert!(text.contains("sender.test"));
    let ignored = FilterSettings {
        dmarc_honour: false,
        ..settings()
    };
    let verdict = scan_with(
        zone("v=DMARC1; p=reject"),
        &from_sender("other.test", None),
        &ignored,
    )
    .await;
    assert_eq!(
        (verdict.action, results(&verdict, Dmarc)),
        (Action::Accept, vec!["fail"])
    );
}

#[tokio::test]
async fn subdomains_follow_sp_of_the_organizational_domain() {
    let message = MESSAGE.replace("ann@sender.test", "ann@sub.sender.test");
    let mut sub = request(&message);
    sub.mail_from = "x@other.test".to_owned();
    for (record, action) in [
        ("v=DMARC1; p=reject; sp=none", Action::Accept),
        ("v=DMARC1; p=none; sp=quarantine", Action::Junk),
        ("v=DMARC1; p=reject", Action::Reject),
    ] {
        assert_eq!(scan(zone(record), &sub).await.action, action, "{record}");
    }
    // A record of its own counts before the one above.
    let own = zone("v=DMARC1; p=reject").txt("_dmarc.sub.sender.test", "v=DMARC1; p=none");
    assert_eq!(scan(own, &sub).await.action, Action::Accept);
}

#[tokio::test]
async fn several_authors_and_no_author_have_a_defined_outcome() {
    let fields = |from: &str| request(&MESSAGE.replace("From: Ann <ann@sender.test>", from));
    let mut two = fields("From: x@other.test, ann@sender.test");
    two.mail_from = "x@other.test".to_owned();
    let verdict = scan(zone("v=DMARC1; p=reject"), &two).await;
    assert_eq!(results(&verdict, Dmarc), ["none", "fail"]);
    assert_eq!(verdict.action, Action::Reject);

    let mut fields_twice = fields("From: x@other.test\r\nFrom: ann@sender.test");
    fields_twice.mail_from = "x@other.test".to_owned();
    assert_eq!(
        scan(zone("v=DMARC1; p=reject"), &fields_twice).await.action,
        Action::Reject
    );

    for from in [
        "X-None: 1",
        "From: undisclosed",
        "From: <ann@[192.0.2.1]>",
        "From:",
    ] {
        let verdict = scan(zone("v=DMARC1; p=reject"), &fields(from)).await;
        assert_eq!(
            (results(&verdict, Dmarc), verdict.action),
            (vec!["permerror"], Action::Accept),
            "{from}"
        );
    }
    let many = (0..9)
        .map(|n| format!("a@d{n}.test"))
        .collect::<Vec<_>>()
        .join(", ");
    let verdict = scan(
        zone("v=DMARC1; p=reject"),
        &fields(&format!("From: {many}")),
    )
    .await;
    assert_eq!(results(&verdict, Dmarc).last(), Some(&"permerror"));
}

#[tokio::test]
async fn a_dns_failure_defers_only_when_it_decides() {
    let down = || zone("v=spf1").servfail("_dmarc.sender.test");
    let verdict = scan(down(), &from_sender("other.test", None)).await;
    assert_eq!(
        (verdict.action, verdict.reason),
        (Action::Defer, Reason::DnsTemporary)
    );
    assert_eq!(verdict.reply.as_ref().unwrap().0, 451);
    assert_eq!(results(&verdict, Dmarc), ["temperror"]);
    // An exact pass makes the record irrelevant.
    let verdict = scan(down(), &from_sender("sender.test", None)).await;
    assert_eq!(
        (verdict.action, results(&verdict, Dmarc)),
        (Action::Accept, vec!["pass"])
    );

    let key_down = |policy: &str| {
        Zone::new()
            .txt("_dmarc.sender.test", &format!("v=DMARC1; p={policy}"))
            .servfail("rsa._domainkey.sender.test")
    };
    let signed = from_sender("nowhere.test", Some("sender.test"));
    assert_eq!(
        scan(key_down("reject"), &signed).await.action,
        Action::Defer
    );
    assert_eq!(scan(key_down("none"), &signed).await.action, Action::Accept);

    let spf_down = || {
        Zone::new()
            .txt("_dmarc.sender.test", "v=DMARC1; p=reject")
            .servfail("sender.test")
    };
    let verdict = scan(spf_down(), &from_sender("sender.test", None)).await;
    assert_eq!(verdict.action, Action::Defer);
    assert_eq!(verdict.reply.unwrap().1, "4.7.24");
    // A temporary failure of something that is not aligned changes nothing.
    let unrelated = || zone("v=DMARC1; p=reject").servfail("down.test");
    assert_eq!(
        scan(unrelated(), &from_sender("down.test", None))
            .await
            .action,
        Action::Reject
    );
}

#[tokio::test]
async fn everything_down_is_recorded_and_never_refused() {
    let down = Zone::new()
        .silent("1.2.0.192.in-addr.arpa")
        .silent("mx.sender.test")
        .silent("sender.test")
        .silent("_dmarc.sender.test");
    let verdict = scan(down, &request(MESSAGE)).await;
    assert_eq!(verdict.action, Action::Defer);
    for mechanism in [Iprev, Mechanism::SpfHelo, Spf, Dmarc] {
        assert_eq!(results(&verdict, mechanism), ["temperror"], "{mechanism:?}");
    }
}

#[tokio::test]
async fn spf_fail_alone_is_recorded_and_accepted() {
    let zone = Zone::new().txt("sender.test", "v=spf1 -all");
    let verdict = scan(zone, &request(MESSAGE)).await;
    assert_eq!(
        (verdict.action, verdict.reason),
        (Action::Accept, Reason::SpfFail)
    );
    assert_eq!(results(&verdict, Spf), ["fail"]);
}

#[tokio::test]
async fn reverse_dns_has_its_policy() {
    let named = || Zone::new().ptr(CLIENT, "mx.test").a("mx.test", CLIENT);
    let liar = || {
        Zone::new()
            .ptr(CLIENT, "mx.test")
            .a("mx.test", "192.0.2.99")
    };
    let down = || Zone::new().servfail("1.2.0.192.in-addr.arpa");
    let half = || Zone::new().ptr(CLIENT, "mx.test").servfail("mx.test");
    let table: [(MakeZone, &str, Action, Action); 5] = [
        (named, "pass", Action::Accept, Action::Accept),
        (liar, "fail", Action::Junk, Action::Reject),
        (Zone::new, "permerror", Action::Junk, Action::Reject),
        (down, "temperror", Action::Accept, Action::Defer),
        (half, "temperror", Action::Accept, Action::Defer),
    ];
    for (n, (zone, result, junk, reject)) in table.into_iter().enumerate() {
        for (policy, action) in [
            (ReverseDnsPolicy::Record, Action::Accept),
            (ReverseDnsPolicy::Junk, junk),
            (ReverseDnsPolicy::Reject, reject),
        ] {
            let settings = FilterSettings {
                reverse_dns: policy,
                ..settings()
            };
            let verdict = scan_with(zone(), &request(MESSAGE), &settings).await;
            assert_eq!(
                (results(&verdict, Iprev), verdict.action),
                (vec![result], action),
                "case {n} {policy:?}"
            );
            if action == Action::Reject {
                assert_eq!(verdict.reply.unwrap().1, "5.7.25");
            }
        }
    }
}

#[tokio::test]
async fn ipv6_and_mapped_clients() {
    let zone = || {
        Zone::new()
            .ptr("2001:db8::25", "six.test")
            .aaaa("six.test", "2001:db8::25")
            .ptr(CLIENT, "four.test")
            .a("four.test", CLIENT)
            .txt("sender.test", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::25 -all")
    };
    for client in ["2001:db8::25", "::ffff:192.0.2.1"] {
        let mut from = request(MESSAGE);
        from.client_ip = client.parse().unwrap();
        let verdict = scan(zone(), &from).await;
        assert_eq!(
            (results(&verdict, Iprev), results(&verdict, Spf)),
            (vec!["pass"], vec!["pass"]),
            "{client}"
        );
    }
}
