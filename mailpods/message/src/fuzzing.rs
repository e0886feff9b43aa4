//! The entry point of fuzz targets: runs every parser over one input and checks what must hold for any input.

use crate::decode::{base64_lenient, quoted_printable, to_quoted_printable, transfer_decode};
use crate::edit::{Edits, received_count, remove_authentication_results};
use crate::header::{
    self, Fields, decode_text, fields, header_len, message_ids, parse_addresses, parse_date,
};
use crate::meta::base_subject;
use crate::submission::{self, Context, MAX_LINE};
use crate::{Meta, Structure};

/// Runs everything over `input`.
///
/// # Panics
/// When an invariant does not hold: that is what a fuzzer looks for.
pub fn fuzz_message(input: &[u8]) {
    values(input);
    facts(input);
    edits(input);
}

fn values(input: &[u8]) {
    let _ = (
        parse_addresses(input),
        parse_date(input),
        message_ids(input),
        base_subject(input),
        decode_text(input),
    );
    let _ = (
        crate::mime::parse_content_type(input),
        crate::mime::parse_disposition(input),
        base64_lenient(input),
    );
    let _ = (Meta::decode(input), crate::feedback::parse(input));
    let text: Vec<u8> = input
        .iter()
        .copied()
        .filter(|&byte| byte != b'\r' && byte != b'\n')
        .collect();
    let encoded = to_quoted_printable(&text);
    assert!(
        encoded
            .split(|&byte| byte == b'\n')
            .all(|line| line.len() <= 77),
        "a quoted-printable line is too long"
    );
    assert_eq!(
        quoted_printable(&encoded, usize::MAX),
        text,
        "quoted-printable does not come back"
    );
}

fn facts(input: &[u8]) {
    let meta = Meta::compute(input);
    let signature = crate::signature::signature(input, &meta.structure);
    for text in crate::text::body_texts(input, &meta.structure, 0) {
        let probes = crate::signature::Probes::of(&text);
        assert!(
            probes.is_none_or(|probes| probes.may_be_in(&signature)),
            "a text that is there is ruled out"
        );
    }
    let stored = meta.encode();
    assert_eq!(
        Meta::decode(&stored).as_ref(),
        Ok(&meta),
        "the stored form differs"
    );
    assert_eq!(
        Meta::decode_structure(&stored).as_ref(),
        Ok(&meta.structure),
        "the stored structure differs"
    );
    assert_eq!(
        Meta::decode_envelope(&stored).as_ref(),
        Ok(&meta.envelope),
        "the stored envelope differs"
    );
    assert_eq!(
        header_len(input),
        meta.header_len as usize,
        "two ideas of where the header ends"
    );
    check_structure(input, &meta.structure);
}

fn check_structure(input: &[u8], structure: &Structure) {
    assert!(!structure.parts.is_empty(), "a message without parts");
    for part in &structure.parts {
        assert!(
            part.header.range().end <= input.len() && part.body.range().end <= input.len(),
            "a part beyond the message"
        );
        assert!(
            part.header.end <= part.body.start,
            "a body before its header"
        );
        let _ = transfer_decode(&part.encoding, part.body.of(input), 1 << 16);
        for field in Fields::new(input, part.header.range().start, part.header.range().end) {
            let _ = header::unfold(field.value(input));
        }
    }
}

fn edits(input: &[u8]) {
    let mut removed = Edits::new();
    remove_authentication_results(input, &["mx.example.test"], &mut removed);
    let _ = received_count(input);
    fields(input).for_each(|field| removed.remove(field.full));
    assert!(
        removed.apply(input).len() <= input.len(),
        "removing made the message longer"
    );
    let host = "example.test";
    let context = Context {
        now: 0,
        offset_minutes: 0,
        random: [7; 16],
        host,
        smtputf8: false,
        max_line: MAX_LINE,
    };
    if let Ok(mended) = submission::mend(input, &context) {
        let message = mended.edits.apply(input);
        let again = submission::mend(&message, &context);
        assert!(
            again.is_ok_and(|again| again.edits.is_empty()),
            "a mended message needs mending"
        );
    }
}
