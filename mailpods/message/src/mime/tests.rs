use super::*;

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn shape(structure: &Structure) -> Vec<String> {
    let line = |part: &Part| format!("{:?} {}/{}", part.parent, part.main_type, part.subtype);
    structure.parts.iter().map(line).collect()
}

const NESTED: &str = "Content-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b\n\nfirst\nline\n--a b\n\
    Content-Type: multipart/alternative; boundary=in\n\n--in\n\nplain\n\n--in\nContent-Type: TEXT/HTML; charset=UTF-8\n\
    Content-Transfer-Encoding: Quoted-Printable\n\nhtml\n--in--\nepilogue\n--a b\nContent-Type: message/rfc822\n\n\
    Subject: inner\nFrom: x@y.test\n\nhello\n--a b--\nrest\n";

#[test]
fn nested_parts_are_found_in_one_pass() {
    let message = crlf(NESTED);
    let structure = Structure::parse(&message);
    let wanted = [
        "None multipart/mixed",
        "Some(0) text/plain",
        "Some(0) multipart/alternative",
        "Some(2) text/plain",
        "Some(2) text/html",
        "Some(0) message/rfc822",
        "Some(5) text/plain",
    ];
    assert_eq!(shape(&structure), wanted);
    let body = |index: usize| {
        String::from_utf8_lossy(structure.parts[index].body.of(&message)).into_owned()
    };
    assert_eq!(body(1), "first\r\nline");
    assert_eq!(body(3), "plain\r\n");
    assert_eq!(body(4), "html");
    assert_eq!(body(6), "hello");
    assert_eq!(structure.parts[1].lines, 2);
    assert_eq!(structure.parts[3].lines, 1);
    assert_eq!(structure.parts[4].param("charset"), Some("UTF-8"));
    assert_eq!(structure.parts[4].encoding, "quoted-printable");
    let envelope = structure.parts[5].envelope().unwrap();
    assert_eq!(envelope.subject.as_deref(), Some(&b"inner"[..]));
}

#[test]
fn section_numbers_resolve() {
    let structure = Structure::parse(&crlf(NESTED));
    let table: [(&[u32], Option<u32>); 9] = [
        (&[], Some(0)),
        (&[1], Some(1)),
        (&[2], Some(2)),
        (&[2, 2], Some(4)),
        (&[3], Some(5)),
        (&[3, 1], Some(6)),
        (&[1, 1], None),
        (&[4], None),
        (&[0], None),
    ];
    for (section, wanted) in table {
        assert_eq!(structure.resolve(section), wanted, "{section:?}");
    }
    let plain = Structure::parse(b"Subject: x\r\n\r\nbody");
    assert_eq!(
        (
            plain.resolve(&[1]),
            plain.resolve(&[1, 1]),
            plain.resolve(&[2])
        ),
        (Some(0), None, None)
    );
}

#[test]
fn an_unclosed_inner_part_ends_at_the_outer_boundary() {
    let text = "Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/mixed; boundary=out-in\n\n\
        --out-in\n\na\n--out\n\nb\n--out--\n";
    let message = crlf(text);
    let structure = Structure::parse(&message);
    assert_eq!(structure.parts.len(), 4);
    assert_eq!(structure.parts[2].body.of(&message), b"a");
    assert_eq!(structure.parts[3].parent, Some(0));
    assert_eq!(structure.parts[3].body.of(&message), b"b");
}

#[test]
fn a_boundary_ends_a_header_too() {
    let message = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-ID: <x>\n--b\n\ntwo\n--b--\n",
    );
    let structure = Structure::parse(&message);
    assert_eq!(structure.parts.len(), 3);
    assert!(structure.parts[1].body.is_empty());
    assert_eq!(structure.parts[1].id.as_deref(), Some(&b"<x>"[..]));
    assert_eq!(structure.parts[2].body.of(&message), b"two");
}

#[test]
fn a_multipart_without_parts_is_opaque() {
    for text in [
        "Content-Type: multipart/mixed\n\nbody\n",
        "Content-Type: multipart/mixed; boundary=b\n\nbody\n",
    ] {
        let structure = Structure::parse(&crlf(text));
        assert_eq!(structure.parts.len(), 1);
        assert_eq!(structure.parts[0].kind, PartKind::Leaf);
        assert_eq!(structure.parts[0].octets(), 6);
    }
}

#[test]
fn digest_parts_are_messages_and_encoded_messages_are_opaque() {
    let text = "Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\nbody\n--d\n\
        Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA\n--d--\n";
    let structure = Structure::parse(&crlf(text));
    assert_eq!(structure.parts.len(), 4);
    assert_eq!(
        structure.parts[1]
            .envelope()
            .and_then(|e| e.subject.clone()),
        Some(b"one".to_vec())
    );
    assert_eq!(structure.parts[3].kind, PartKind::Leaf);
}

#[test]
fn all_mime_fields_are_kept() {
    let text = "Content-Type: image/png (a picture); name=\"x y.png\"\nContent-ID: <i@x>\nContent-Description: a\n b\n\
        Content-Disposition: Attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=.png\n\
        Content-Language: de, en-GB\nContent-Location: http://x.test/\nContent-MD5: abc\n\nbody";
    let structure = Structure::parse(&crlf(text));
    let part = &structure.parts[0];
    assert_eq!(part.param("name"), Some("x y.png"));
    assert_eq!(part.description.as_deref(), Some(&b"a b"[..]));
    let (kind, params) = part.disposition.clone().unwrap();
    assert_eq!(
        (kind.as_str(), params),
        (
            "attachment",
            vec![("filename".to_owned(), "€.png".to_owned())]
        )
    );
    assert_eq!(part.language, [b"de".to_vec(), b"en-GB".to_vec()]);
    assert_eq!(part.location.as_deref(), Some(&b"http://x.test/"[..]));
    assert_eq!(part.md5.as_deref(), Some(&b"abc"[..]));
}

#[test]
fn parameters_of_rfc_2231_and_of_the_wild_are_read() {
    let table = [
        (
            "text/plain; charset=us-ascii (Plain text)",
            "charset",
            "us-ascii",
        ),
        (
            "message/external-body; url*0=\"ftp://\"; url*1=\"x.test\"",
            "url",
            "ftp://x.test",
        ),
        (
            "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun",
            "title",
            "This is ***fun",
        ),
        (
            "application/x-stuff; title=plain; title*=utf-8''%C3%A4",
            "title",
            "ä",
        ),
        ("application/x; name=no quotes.txt", "name", "no"),
        ("text/plain;;; x ; charset = \"a\\\"b\"", "charset", "a\"b"),
    ];
    for (value, name, wanted) in table {
        let (_, _, params) = parse_content_type(value.as_bytes()).unwrap();
        let found = params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str());
        assert_eq!(found, Some(wanted), "{value}");
    }
    assert_eq!(parse_content_type(b"text"), None);
    assert_eq!(parse_content_type(b""), None);
}

#[test]
fn nesting_and_parts_are_bounded() {
    let mut deep = Vec::new();
    for level in 0..300 {
        deep.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
                .as_bytes(),
        );
    }
    let structure = Structure::parse(&deep);
    assert_eq!(structure.parts.len(), MAX_NESTING + 1);
    assert!(structure.truncated);

    let mut wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    wide.extend(b"--b\r\n\r\n".repeat(MAX_PARTS + 10));
    let structure = Structure::parse(&wide);
    assert_eq!(structure.parts.len(), MAX_PARTS);
    assert!(structure.truncated);
    assert_eq!(structure.parts[MAX_PARTS - 1].body.range().end, wide.len());

    let messages = b"Content-Type: message/rfc822\r\n\r\n".repeat(500);
    let structure = Structure::parse(&messages);
    assert_eq!(structure.parts.len(), MAX_NESTING + 1);
}
