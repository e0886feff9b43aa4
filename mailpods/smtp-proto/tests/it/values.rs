//! Values: addresses, xtext, replies.

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
