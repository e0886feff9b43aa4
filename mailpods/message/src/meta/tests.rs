use proptest::prelude::*;

use super::*;

const MESSAGE: &[u8] = b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nFrom: John <j@x.test>\r\nTo: a@y.test\r\n\
    Subject: Re: [list] =?utf-8?q?caf=C3=A9?= (fwd)\r\nMessage-ID: <3@x>\r\nIn-Reply-To: <2@x>\r\nReferences: <1@x>\r\n <2@x>\r\n\
    \r\nhello\r\n";

#[test]
fn facts_are_computed() {
    let meta = Meta::compute(MESSAGE);
    assert_eq!(meta.size, MESSAGE.len() as u64);
    assert_eq!(meta.header_len as usize, MESSAGE.len() - 7);
    assert_eq!(meta.sent_date, Some(880_127_706));
    assert_eq!(
        meta.subject,
        BaseSubject {
            text: "café".to_owned(),
            is_reply: true
        }
    );
    assert_eq!(meta.message_id.as_deref(), Some(&b"3@x"[..]));
    assert_eq!(meta.references, [b"1@x".to_vec(), b"2@x".to_vec()]);
    assert_eq!(meta.envelope.sender, meta.envelope.from);
    assert_eq!(meta.envelope.reply_to, meta.envelope.from);
    assert_eq!(meta.envelope, Envelope::parse(MESSAGE));
    assert_eq!(meta.structure.parts[0].lines, 1);
}

#[test]
fn parts_of_the_facts_are_those_of_all() {
    let meta = Meta::compute(MESSAGE);
    let stored = meta.encode();
    let fields = Meta {
        structure: Structure::default(),
        ..meta
    };
    assert_eq!(Meta::decode_fields(&stored).unwrap(), fields);
    assert!(Meta::decode_fields(&stored[..20]).is_err());
}

#[test]
fn in_reply_to_stands_in_for_references() {
    let meta = Meta::compute(b"In-Reply-To: your mail <a@x> of <b@x>\r\n\r\n");
    assert_eq!(meta.references, [b"a@x".to_vec()]);
}

#[test]
fn base_subjects_follow_rfc_5256() {
    let table = [
        ("hello", "hello", false),
        ("Re: hello", "hello", true),
        ("RE : Fwd: fw: hello", "hello", true),
        ("Re[2]: hello", "hello", true),
        ("[list] Re: [list] hello", "hello", true),
        ("[only]", "[only]", false),
        ("[a] [b] c", "c", false),
        ("hello (fwd) (FWD) ", "hello", true),
        ("[Fwd: [x] Re: hello]", "hello", true),
        ("  a \t b  ", "a b", false),
        ("", "", false),
        ("Re:", "", true),
        ("recall", "recall", false),
    ];
    for (value, text, is_reply) in table {
        let wanted = BaseSubject {
            text: text.to_owned(),
            is_reply,
        };
        assert_eq!(base_subject(value.as_bytes()), wanted, "{value}");
    }
    let blobs = "[a]".repeat(100_000);
    assert!(base_subject(blobs.as_bytes()).text.len() <= 1_000);
}

#[test]
fn sections_are_read_alone() {
    let meta = Meta::compute(MESSAGE);
    let stored = meta.encode();
    assert!(stored.len() < 400, "{} octets", stored.len());
    assert_eq!(Meta::decode(&stored), Ok(meta.clone()));
    assert_eq!(Meta::decode_envelope(&stored), Ok(meta.envelope.clone()));
    assert_eq!(Meta::decode_structure(&stored), Ok(meta.structure.clone()));
    let summary = Meta::decode_summary(&stored).unwrap();
    assert_eq!(
        (summary.sent_date, summary.references),
        (meta.sent_date, meta.references)
    );
}

#[test]
fn other_versions_and_cut_forms_are_refused() {
    let stored = Meta::compute(MESSAGE).encode();
    for len in 0..stored.len() {
        assert!(
            Meta::decode(&stored[..len]).is_err(),
            "{len} octets were enough"
        );
    }
    assert_eq!(Meta::decode(&[9]), Err(DecodeError::Version(9)));
}

#[test]
fn a_prefix_shifts_everything() {
    let prefix = b"Return-Path: <a@b>\r\nDelivered-To: c@d\r\n";
    let meta = Meta::compute(MESSAGE);
    let whole = [prefix, MESSAGE].concat();
    let computed = Meta::compute(&whole);
    let shifted = meta.with_prefix(prefix.len() as u32);
    assert_eq!(shifted.size(), computed.size);
    assert_eq!(shifted.header_len(), computed.header_len);
    assert_eq!(shifted.header(0), Some(computed.structure.parts[0].header));
    assert_eq!(shifted.body(0), Some(computed.structure.parts[0].body));
}

/// Pieces of which messages are made, so that random ones reach deep into the parsers.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: message/rfc822\r\n",
        "Content-Type: multipart/digest; boundary=c\r\n",
        "\r\n",
        "--b\r\n",
        "--b--\r\n",
        "--c\r\n",
        "--c--\r\n",
        "text\r\n",
        "From: a@b.test\r\n",
        "Subject: Re: =?utf-8?q?x?=\r\n",
        " folded\r\n",
        "To: g: a@b, <c@d>;\r\n",
        "--",
        "\n",
        "\r",
        "=",
        "\u{e4}",
        "Date: 1 Jan 1970 00:00 +0000\r\n",
        "Bcc: x@y\r\n",
        "Content-Disposition: attachment; filename*0*=utf-8''%c3; filename*1=x\r\n",
        "Message-ID: <a@b>\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Authentication-Results: mx.example.test; spf=pass\r\n",
        "(",
        "\"",
        "<",
        "Sender: s@t.test\r\n",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_message_is_read(pieces in prop::collection::vec(piece(), 0..40)) {
        crate::fuzz_message(pieces.concat().as_bytes());
    }

    #[test]
    fn any_octets_are_read(input in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz_message(&input);
    }

    #[test]
    fn any_octets_in_a_header_are_read(input in "\\PC{0,120}") {
        crate::fuzz_message(format!("From: {input}\r\nContent-Type: {input}\r\nSubject: {input}\r\n\r\n").as_bytes());
    }

    #[test]
    fn damaged_stored_forms_never_panic(at in 0usize..300, octet in any::<u8>()) {
        let mut stored = Meta::compute(MESSAGE).encode();
        if let Some(slot) = stored.get_mut(at) {
            *slot = octet;
        }
        let _ = Meta::decode(&stored);
    }
}
