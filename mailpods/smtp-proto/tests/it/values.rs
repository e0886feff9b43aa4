//! Values: addresses, xtext, replies.

use crate::common::Driver;
use mailpods_smtp_proto::server::{Config, Event, Role, Session};
use mailpods_smtp_proto::{Mailbox, ProtocolError, Reply, ReversePath, decode_xtext, encode_xtext};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn xtext_comes_back(text in "\\PC{0,30}") {
        prop_assert_eq!(decode_xtext(&encode_xtext(&text)), Some(text));
    }

    #[test]
    fn a_mailbox_comes_back(local in "[ -~]{1,20}", domain in "[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,2}") {
        let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
        let mailbox = Mailbox::parse(&format!("\"{quoted}\"@{domain}")).unwrap();
        prop_assert_eq!(mailbox.local(), local.as_str());
        prop_assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
    }

    #[test]
    fn addresses_never_panic(text in "\\PC{0,40}") {
        let _ = Mailbox::parse(&text);
        let _ = ReversePath::parse_prefix(&text);
    }
}

#[test]
fn a_reply_never_holds_a_line_end() {
    let mut wire = Vec::new();
    Reply::new(550, (1, 1), "no\r\n250 yes\x07 ä").encode(&mut wire);
    assert_eq!(
        String::from_utf8(wire).unwrap(),
        "550-5.1.1 no\r\n550 5.1.1 250 yes  ?\r\n"
    );
    assert_eq!(Reply::plain(42, "x").code(), 451);
    assert_eq!(
        Reply::new(452, (2, 2), "x").enhanced().unwrap().to_string(),
        "4.2.2"
    );
    assert_eq!(Reply::new(354, (2, 2), "x").enhanced(), None);
}

#[test]
fn lengths_of_addresses_are_bounded() {
    let long = "a".repeat(256);
    assert!(Mailbox::parse(&format!("{long}@example.test")).is_err());
    assert!(Mailbox::parse(&format!("{}@example.test", "a".repeat(255))).is_ok());
    assert!(Mailbox::parse(&format!("a@{}.test", "b".repeat(64))).is_err());
    assert!(Mailbox::parse(&format!("a@{}", ["b".repeat(60).as_str(); 5].join("."))).is_err());
}

fn output(session: &mut Session) -> String {
    match session.next_event() {
        Event::Output(output) => String::from_utf8(output).unwrap(),
        event => panic!("{event:?}"),
    }
}

#[test]
fn time_is_up_by_idleness_and_in_total() {
    let config = Arc::new(Config::new(Role::Mx, "mx"));
    let now = Instant::now();
    let mut session = Session::new(config.clone(), false, now);
    assert_eq!(session.deadline(), now + config.limits.idle);
    session.feed(b"NOOP\r\n", now + Duration::from_secs(3500));
    assert_eq!(session.deadline(), now + config.limits.total);
    assert!(session.early_talker());
    session.timed_out();
    assert_eq!(output(&mut session), "421 4.4.2 timeout\r\n");
    assert_eq!(session.next_event(), Event::Closed);
    assert_eq!(session.close_reason(), Some(&ProtocolError::TimedOut));
}

#[test]
fn shutdown_comes_at_the_next_command() {
    let now = Instant::now();
    let mut session = Session::new(Arc::new(Config::new(Role::Mx, "mx")), false, now);
    session.greet();
    session.feed(b"HELO x\r\n", now);
    assert!(matches!(session.next_event(), Event::Hello { .. }));
    session.shutdown();
    session.accept();
    assert_eq!(
        output(&mut session),
        "220 mx ESMTP ready\r\n250 mx\r\n421 4.3.2 server is shutting down\r\n"
    );
    assert_eq!(session.next_event(), Event::Closed);
}

#[test]
fn an_over_long_line_is_skipped_whole() {
    let now = Instant::now();
    let mut session = Session::new(Arc::new(Config::new(Role::Mx, "mx")), false, now);
    session.greet();
    let line = [
        b"NOOP ".to_vec(),
        vec![b'x'; 9000],
        b"\r\nNOOP\r\n".to_vec(),
    ]
    .concat();
    for piece in line.chunks(100) {
        assert_eq!(session.feed(piece, now), piece.len());
        while !matches!(session.next_event(), Event::NeedInput | Event::Output(_)) {}
    }
    assert!(session.is_idle());
}

/// What a session answers to `lines` after EHLO.
fn answers(lines: &[String]) -> String {
    let mut driver = Driver::new(Config::new(Role::Mx, "mx.example.test"), false);
    driver.feed(b"EHLO x\r\n");
    driver.take_output();
    for line in lines {
        driver.feed(format!("{line}\r\n").as_bytes());
    }
    driver.take_output()
}

#[test]
fn objects_of_the_sizes_of_rfc_5321_are_taken() {
    let noop = |octets: usize| format!("NOOP {}", "x".repeat(octets - "NOOP \r\n".len()));
    assert_eq!(
        answers(&[noop(512), noop(513)]),
        "250 2.0.0 OK\r\n500 5.5.2 line too long\r\n"
    );
    // RFC 5321 §4.5.3.1.3: a path has 256 octets with its brackets.
    let local = "l".repeat(64);
    let domain = format!("{}.example", vec!["d".repeat(60); 3].join("."));
    let path = format!("<{local}@{}>", &domain[..189]);
    assert_eq!(path.len(), 256);
    let reply = answers(&[format!("MAIL FROM:{path}"), format!("RCPT TO:{path}")]);
    assert_eq!(reply, "250 2.1.0 sender OK\r\n250 2.1.5 recipient OK\r\n");
    // RFC 5321 §4.5.3.1.8.
    let hundred = (0..100).map(|number| format!("RCPT TO:<r{number}@example.test>"));
    let lines: Vec<String> = std::iter::once("MAIL FROM:<>".to_owned())
        .chain(hundred)
        .collect();
    assert_eq!(answers(&lines).matches("250 2.1.5").count(), 100);
}

#[test]
fn parameters_of_the_sizes_of_rfc_3461_are_taken() {
    let mail = |octets: usize| {
        format!(
            "MAIL FROM:<a@b.example> RET=FULL ENVID={}",
            "e".repeat(octets)
        )
    };
    let rcpt = |octets: usize| {
        let orcpt = format!("rfc822;{}", "o".repeat(octets - "rfc822;".len()));
        format!("RCPT TO:<bob@example.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT={orcpt}")
    };
    let reply = answers(&[mail(101), mail(100), rcpt(501), rcpt(500)]);
    let wanted = "501 5.5.4 bad parameter: ENVID\r\n250 2.1.0 sender OK\r\n501 5.5.4 bad parameter: ORCPT\r\n\
                  250 2.1.5 recipient OK\r\n";
    assert_eq!(reply, wanted);
}

#[test]
fn all_parameters_fit_on_one_line() {
    let path = format!(
        "<{}@{}.example>",
        "l".repeat(64),
        vec!["d".repeat(60); 3].join(".")
    );
    let mail = format!(
        "MAIL FROM:{path} SIZE={} BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID={} AUTH={}",
        "0".repeat(20),
        "e".repeat(100),
        "a".repeat(490)
    );
    let rcpt = format!(
        "RCPT TO:{path} NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;{}",
        "o".repeat(493)
    );
    assert!(mail.len() > 900 && rcpt.len() > 780);
    assert_eq!(
        answers(&[mail, rcpt]),
        "250 2.1.0 sender OK\r\n250 2.1.5 recipient OK\r\n"
    );
}

#[test]
fn a_reply_line_has_at_most_512_octets() {
    let mut wire = Vec::new();
    Reply::new(550, (999, 999), "x".repeat(2000)).encode(&mut wire);
    assert!(
        wire.ends_with(b"\r\n") && wire.len() <= 512,
        "{}",
        wire.len()
    );
}
