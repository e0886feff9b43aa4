use super::*;
use crate::Structure;

const ORIGINAL: &[u8] = b"Message-ID: <o@x>\r\nSubject: hi\r\n\r\nthe body\r\n";

fn dsn<'a>(action: Action, recipients: &'a [Recipient<'a>]) -> Dsn<'a> {
    Dsn {
        action,
        reporting_mta: "mx.example.test",
        from: "mailer-daemon@mx.example.test",
        to: "alice@example.test",
        envelope_id: Some("QQ314159"),
        queue_id: "01ABC",
        arrived: 0,
        now: 3600,
        random: [1; 16],
        recipients,
        original: ORIGINAL,
        returned: Returned::Headers,
    }
}

fn failed() -> Recipient<'static> {
    Recipient {
        address: "bob@other.test",
        original: Some("rfc822;bob+x@example.test"),
        status: "5.1.1",
        diagnostic: Some("550-5.1.1 no such\r\n550 5.1.1 user"),
        remote_mta: Some("mx.other.test"),
        last_attempt: Some(3500),
        retry_until: None,
    }
}

fn part(built: &[u8], index: usize) -> String {
    let structure = Structure::parse(built);
    String::from_utf8_lossy(structure.parts[index].body.of(built)).into_owned()
}

#[test]
fn a_failure_has_the_three_parts_of_rfc_3464() {
    let recipients = [failed()];
    let built = build(&dsn(Action::Failed, &recipients));
    let structure = Structure::parse(&built);
    let types: Vec<String> = structure
        .parts
        .iter()
        .map(|part| format!("{}/{}", part.main_type, part.subtype))
        .collect();
    assert_eq!(
        types,
        [
            "multipart/report",
            "text/plain",
            "message/delivery-status",
            "text/rfc822-headers"
        ]
    );
    assert_eq!(
        structure.parts[0].param("report-type"),
        Some("delivery-status")
    );
    let wanted = "Original-Envelope-Id: QQ314159\r\nReporting-MTA: dns; mx.example.test\r\nX-Mailpods-Queue-ID: 01ABC\r\n\
        Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\nOriginal-Recipient: rfc822;bob+x@example.test\r\n\
        Final-Recipient: rfc822;bob@other.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns;mx.other.test\r\n\
        Diagnostic-Code: smtp; 550-5.1.1 no such 550 5.1.1 user\r\nLast-Attempt-Date: Thu, 01 Jan 1970 00:58:20 +0000\r\n";
    assert_eq!(part(&built, 2), wanted);
    assert!(!part(&built, 3).contains("the body"));
    assert!(built.is_ascii());
    let text = String::from_utf8(built).unwrap();
    assert!(
        text.contains("In-Reply-To: <o@x>\r\n")
            && text.contains("Auto-Submitted: auto-replied\r\n")
    );
}

#[test]
fn a_delay_names_its_end_and_full_returns_all() {
    let recipients = [Recipient {
        retry_until: Some(86_400),
        status: "4.4.1",
        ..failed()
    }];
    let built = build(&Dsn {
        returned: Returned::Full,
        ..dsn(Action::Delayed, &recipients)
    });
    assert!(part(&built, 2).contains("Will-Retry-Until: Fri, 02 Jan 1970 00:00:00 +0000\r\n"));
    let structure = Structure::parse(&built);
    assert!(structure.parts[3].is_type("message", "rfc822"));
    assert_eq!(structure.parts[3].body.of(&built), ORIGINAL);
}

#[test]
fn utf8_addresses_use_the_global_forms() {
    let recipients = [Recipient {
        address: "bøb@other.test",
        original: None,
        ..failed()
    }];
    let original = "Subject: grüße\r\n\r\n".as_bytes();
    let built = build(&Dsn {
        original,
        ..dsn(Action::Failed, &recipients)
    });
    let structure = Structure::parse(&built);
    assert!(structure.parts[2].is_type("message", "global-delivery-status"));
    assert!(structure.parts[3].is_type("message", "global-headers"));
    assert!(part(&built, 2).contains("Final-Recipient: utf-8;bøb@other.test\r\n"));
    assert!(!built.is_ascii() && built[..header_len(&built)].is_ascii());
}

#[test]
fn foreign_text_adds_no_fields() {
    let recipients = [Recipient {
        status: "5.0.0",
        diagnostic: Some("550 x\r\nAction: delivered"),
        remote_mta: Some("a\r\nB: c"),
        ..failed()
    }];
    let built = build(&dsn(Action::Failed, &recipients));
    assert_eq!(
        part(&built, 2)
            .lines()
            .filter(|line| line.starts_with("Action:"))
            .count(),
        1
    );
    assert!(!part(&built, 2).lines().any(|line| line.starts_with("B:")));
    let long = "x ".repeat(5_000);
    let recipients = [Recipient {
        diagnostic: Some(&long),
        ..failed()
    }];
    let built = build(&dsn(Action::Failed, &recipients));
    assert!(
        built
            .split(|&byte| byte == b'\n')
            .all(|line| line.len() <= 999)
    );
}

#[test]
fn only_a_reply_is_of_type_smtp() {
    for (text, remote_mta, wanted) in [
        ("550 5.1.1 no", Some("mx.other.test"), "smtp; 550 5.1.1 no"),
        ("450", Some("mx.other.test"), "smtp; 450"),
        ("550 5.1.1 no", None, "x-mailpods; 550 5.1.1 no"),
        ("gone", Some("mx.other.test"), "x-mailpods; gone"),
        ("42", Some("mx.other.test"), "x-mailpods; 42"),
        ("", Some("mx.other.test"), "x-mailpods; "),
    ] {
        let recipients = [Recipient {
            diagnostic: Some(text),
            remote_mta,
            ..failed()
        }];
        let fields = part(&build(&dsn(Action::Failed, &recipients)), 2);
        assert!(
            fields.contains(&format!("Diagnostic-Code: {wanted}\r\n")),
            "{fields}"
        );
    }
}

#[test]
fn nothing_is_made_up_where_nothing_was_given() {
    let recipients = [Recipient {
        original: None,
        ..failed()
    }];
    let fields = part(
        &build(&Dsn {
            envelope_id: None,
            ..dsn(Action::Failed, &recipients)
        }),
        2,
    );
    assert!(
        !fields.contains("Original-Envelope-Id") && !fields.contains("Original-Recipient"),
        "{fields}"
    );
    assert!(fields.contains("Final-Recipient: rfc822;bob@other.test\r\n"));
}
