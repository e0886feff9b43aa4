use proptest::prelude::*;

use super::{LARGEST, Probes, SMALLEST, signature};
use crate::Structure;

fn of(message: &[u8]) -> Vec<u8> {
    signature(message, &Structure::parse(message))
}

fn may_have(message: &[u8], text: &str) -> bool {
    Probes::of(text).is_none_or(|probes| probes.may_be_in(&of(message)))
}

const MESSAGE: &[u8] = b"From: Ann <ann@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\nDie Rechnung f=FCr M=E4rz ist h=\r\nier.\r\n--b\r\n\
    Content-Type: application/pdf; name=\"=?utf-8?b?UmVjaG51bmctMDMucGRm?=\"\r\nContent-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n--b--\r\n";

#[test]
fn what_is_there_is_never_ruled_out() {
    for text in [
        "grüße",
        "ann@example.org",
        "from: ann",
        "rechnung für märz",
        "hier",
        "rechnung-03.pdf",
        "übersicht.pdf",
        "ab",
        "",
    ] {
        assert!(may_have(MESSAGE, text), "{text}");
    }
}

#[test]
fn most_of_what_is_not_there_is_ruled_out() {
    let words = [
        "invoice", "monday", "meeting", "holiday", "password", "regards", "attached", "tomorrow",
    ];
    let ruled_out = words.iter().filter(|word| !may_have(MESSAGE, word)).count();
    assert!(ruled_out >= 7, "{ruled_out} of {}", words.len());
}

#[test]
fn sizes_follow_the_text() {
    assert_eq!(of(b"\r\nhi\r\n").len(), SMALLEST);
    assert!(
        (128..1024).contains(&of(MESSAGE).len()),
        "{}",
        of(MESSAGE).len()
    );
    let mut random = 1u64;
    let mut large = b"\r\n".to_vec();
    for _ in 0..1_000_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        large.push(b' ' + (random >> 57) as u8 % 90);
    }
    assert_eq!(of(&large).len(), LARGEST);
}

#[test]
fn nothing_is_ruled_out_by_no_signature() {
    assert!(Probes::of("anything").unwrap().may_be_in(&[]));
}

proptest! {
    #[test]
    fn any_part_of_any_text_may_be_there(text in "[ -~ä-üА-я]{0,300}", from in 0usize..300, len in 0usize..40) {
        let message = format!("Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n");
        let lower = text.to_lowercase();
        let part: String = lower.chars().skip(from).take(len).collect();
        prop_assert!(may_have(message.as_bytes(), &part), "{part:?}");
    }
}
