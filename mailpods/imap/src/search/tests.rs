use std::num::NonZeroU32;

use super::compile::EnvelopeField;
use super::text::{any_has, envelope_has, header_has};
use super::*;
use mailpods_imap_proto::Window;
use mailpods_message::text::{body_texts, fold, header_texts};
use mailpods_message::{Envelope, Structure};

const MESSAGE: &[u8] = b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.test>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nX-Long: one\r\n two\r\n\
Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nStra=\r\n=DFe\r\n";

#[test]
fn envelopes_are_decoded_and_case_is_nothing() {
    let envelope = Envelope::parse(MESSAGE);
    assert!(envelope_has(&envelope, EnvelopeField::From, "jürgen <j@"));
    assert!(envelope_has(&envelope, EnvelopeField::Subject, "grüße"));
    assert!(
        !envelope_has(&envelope, EnvelopeField::To, ""),
        "an empty needle asks for the field"
    );
}

#[test]
fn accents_may_be_characters_of_their_own() {
    let envelope = Envelope::parse("Subject: cafe\u{301}\r\n\r\n".as_bytes());
    assert!(envelope_has(
        &envelope,
        EnvelopeField::Subject,
        &fold("CAFÉ")
    ));
}

#[test]
fn headers_are_unfolded() {
    assert!(header_has(MESSAGE, "x-long", "one two"));
    assert!(any_has(
        &header_texts(MESSAGE).collect::<Vec<_>>(),
        "x-long: one"
    ));
    assert!(!header_has(MESSAGE, "x-none", ""));
}

#[test]
fn bodies_are_decoded() {
    let structure = Structure::parse(MESSAGE);
    let texts: Vec<_> = body_texts(MESSAGE, &structure, 0).collect();
    assert!(any_has(&texts, "straße"));
    assert!(!any_has(&texts, "=df"));
}

#[test]
fn what_is_cheap_decides_first() {
    let key = Key::And(vec![Key::Nothing, Key::Text("x".to_owned())]);
    assert_eq!(judge(&key, 0, &Facts::default()), Some(false));
    assert_eq!(
        judge(
            &Key::Not(Box::new(Key::Body("x".to_owned()))),
            0,
            &Facts::default()
        ),
        None
    );
    assert_eq!(key.cost(), Cost::Body);
    assert_eq!(
        Key::Or(Box::new(Key::All), Box::new(Key::ModSeq(1))).cost(),
        Cost::Row
    );
}

#[test]
fn save_keeps_the_ends_only_when_only_they_are_asked_for() {
    let returns = |min, max, count| SearchReturn {
        min,
        max,
        count,
        save: true,
        all: false,
        partial: None,
    };
    let saved = |returns| saved_part(&[3, 5, 9], returns).collect::<Vec<_>>();
    assert_eq!(saved(returns(true, true, false)), [3, 9]);
    assert_eq!(saved(returns(true, false, false)), [3]);
    assert_eq!(saved(returns(true, false, true)), [3, 5, 9]);
    assert_eq!(saved(returns(false, false, false)), [3, 5, 9]);
    // RFC 9394 §3.2, table 1
    let middle = |min, max, count| SearchReturn {
        partial: Some(Window {
            from: NonZeroU32::new(2).unwrap(),
            to: NonZeroU32::new(2).unwrap(),
            from_end: false,
        }),
        ..returns(min, max, count)
    };
    assert_eq!(saved(middle(false, false, false)), [5]);
    assert_eq!(saved(middle(true, false, false)), [3, 5]);
    assert_eq!(saved(middle(false, true, false)), [5, 9]);
    assert_eq!(saved(middle(true, true, false)), [3, 5, 9]);
    assert_eq!(saved(middle(false, false, true)), [3, 5, 9]);
}
