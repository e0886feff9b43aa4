use super::*;
use crate::header::{decode_text, find};

fn context() -> Context<'static> {
    Context {
        now: 0,
        offset_minutes: 120,
        random: [0xab; 16],
        host: "mx.example.test",
        smtputf8: false,
        max_line: MAX_LINE,
    }
}

fn mended(message: &str) -> (Mended, String) {
    let message = message.replace('\n', "\r\n");
    let mended = mend(message.as_bytes(), &context()).unwrap();
    let text = String::from_utf8(mended.edits.apply(message.as_bytes())).unwrap();
    (mended, text)
}

fn reason(message: &str) -> Option<Reason> {
    mend(message.replace('\n', "\r\n").as_bytes(), &context())
        .err()
        .map(|refused| refused.reason)
}

#[test]
fn a_sound_message_stays_as_it_is() {
    let (mended, _) = mended(
        "From: A <a@x.test>\nDate: 1 Jan 1970 00:00 +0000\nMessage-ID: <1@x>\nSubject: s\n\nbody\n",
    );
    assert!(mended.edits.is_empty());
    assert_eq!(mended.from, [b"a@x.test".to_vec()]);
    assert_eq!(mended.message_id, b"1@x");
}

#[test]
fn what_lacks_is_added() {
    let (mended, text) = mended("From: a@x.test\nContent-Type: text/plain\n\nbody\n");
    let id = format!("{}@mx.example.test", "ab".repeat(16));
    assert_eq!(mended.message_id, id.as_bytes());
    let added = format!(
        "MIME-Version: 1.0\r\nDate: Thu, 01 Jan 1970 02:00:00 +0200\r\nMessage-ID: <{id}>\r\nFrom:"
    );
    assert!(text.starts_with(&added), "{text}");
}

#[test]
fn what_cannot_be_read_is_replaced() {
    let (_, text) =
        mended("From: a@x.test\nDate: yesterday\nMessage-ID: none\nMIME-Version: 2.0\n\n");
    assert!(
        text.contains("Date: Thu, 01 Jan 1970") && !text.contains("yesterday"),
        "{text}"
    );
    assert!(
        text.contains("@mx.example.test>") && !text.contains("none"),
        "{text}"
    );
    assert!(
        text.contains("MIME-Version: 1.0\r\n") && !text.contains("2.0"),
        "{text}"
    );
}

#[test]
fn private_fields_go() {
    let (_, text) = mended(
        "From: a@x.test\nBcc: secret@x.test,\n two@x.test\nReturn-Path: <z@x.test>\nBCC: three@x.test\nTo: b@x.test\n\nBcc: in the body\n",
    );
    assert!(
        !text.contains("secret") && !text.contains("three") && !text.contains("z@x"),
        "{text}"
    );
    assert!(text.contains("Bcc: in the body"));
}

#[test]
fn several_authors_need_a_sender() {
    assert_eq!(
        reason("From: a@x.test, b@x.test\n\n"),
        Some(Reason::SenderMissing)
    );
    let (mended, _) = mended("From: a@x.test, b@x.test\nSender: b@x.test\n\n");
    assert_eq!(mended.from.len(), 2);
    assert_eq!(mended.sender.as_deref(), Some(&b"b@x.test"[..]));
}

#[test]
fn what_must_not_be_guessed_is_refused() {
    let long_word = format!("From: a@x.test\nSubject: {}\n\n", "x".repeat(1200));
    let long_body = format!("From: a@x.test\n\n{}\n", "x".repeat(999));
    let table = [
        ("Subject: x\n\n", Reason::FromMissing),
        ("From: nobody\n\n", Reason::FromInvalid),
        ("From: g:;\n\n", Reason::FromInvalid),
        (
            "From: a@x.test\nSender: a@x.test, b@x.test\n\n",
            Reason::SenderInvalid,
        ),
        ("From: a@x.test\nFROM: b@x.test\n\n", Reason::DuplicateField),
        (
            "From: a@x.test\nSubject: a\nSubject: b\n\n",
            Reason::DuplicateField,
        ),
        ("From: a@x.test\nhello there\n\n", Reason::HeaderInvalid),
        (
            "From: a@x.test\nTo: \u{e4} <b@x.test>\n\n",
            Reason::EightBitHeader,
        ),
        ("From: a@x.test\n\n\0\n", Reason::NulOctet),
        (long_word.as_str(), Reason::LineTooLong),
        (long_body.as_str(), Reason::LineTooLong),
    ];
    for (message, wanted) in table {
        assert_eq!(reason(message), Some(wanted), "{message:.60}");
    }
    assert_eq!(
        reason(&format!("From: a@x.test\n\n{}\n", "x".repeat(998))),
        None
    );
}

/// RFC 6409 §4.2, §5.1
#[test]
fn addressees_are_addresses_with_whole_domains() {
    let with = |field: &str| reason(&format!("From: a@x.test\n{field}\n\nbody\n"));
    for wrong in [
        "To: root",
        "To: root@localhost",
        "Cc: b@x.test, Doe, John <c@x.test>",
        "Reply-To: <>",
        "To: @",
        "Cc: b@",
        "To: <b@x.test>, <@x.test>",
        "To: (b@x.test",
    ] {
        assert_eq!(with(wrong), Some(Reason::AddressInvalid), "{wrong}");
    }
    for harmless in [
        "To:",
        "To: undisclosed-recipients:;",
        "Cc: Friends: b@x.test, c@y.test;",
        "To: b@x.test,",
        "To: b@x.test; c@x.test;",
        "To: b@x.test <b@x.test>",
        "To: John Q. Doe (him) <b@[192.0.2.1]>",
        "Reply-To: \"Doe, John\" <c@x.test.>",
    ] {
        assert_eq!(with(harmless), None, "{harmless}");
    }
}

#[test]
fn utf8_subjects_become_encoded_words() {
    let subject = "Grüße aus dem ".repeat(10);
    let (_, text) = mended(&format!("From: a@x.test\nSubject: {subject}\n\nbody\n"));
    assert!(text.is_ascii());
    assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    assert_eq!(
        decode_text(find(text.as_bytes(), b"subject").unwrap()),
        subject.trim_end()
    );
}

#[test]
fn long_lines_are_folded_at_white_space() {
    let to: Vec<String> = (0..100).map(|n| format!("user{n}@example.test")).collect();
    let (_, text) = mended(&format!("From: a@x.test\nTo: {}\n\nbody\n", to.join(", ")));
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let list = parse_addresses(find(text.as_bytes(), b"to").unwrap());
    assert_eq!(list.addresses().count(), 100);
    assert!(text.ends_with("\r\n\r\nbody\r\n"));
}

#[test]
fn smtputf8_lets_utf8_through() {
    let context = Context {
        smtputf8: true,
        ..context()
    };
    let mended = mend("From: ä@x.test\r\nSubject: ö\r\n\r\n".as_bytes(), &context).unwrap();
    assert_eq!(mended.from, ["ä@x.test".as_bytes().to_vec()]);
}
