//! Responses of other servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use mailpods_imap_proto::client::data::{
    Body, Fetched, ListedFolder, annotations, argument, namespaces,
};
use mailpods_imap_proto::client::{
    Condition, ReplyError, ReplyLimits, Response, ResponseReader, Value,
};

const LIMITS: ReplyLimits = ReplyLimits {
    text: 500,
    literals: 100,
};

/// Reads in pieces of `split` octets.
fn read_in(input: &[u8], split: usize) -> Result<Vec<Response>, ReplyError> {
    let mut reader = ResponseReader::new(LIMITS);
    let mut responses = Vec::new();
    for chunk in input.chunks(split) {
        reader.buffer().extend_from_slice(chunk);
        while let Some(response) = reader.next_response()? {
            responses.push(response);
        }
    }
    Ok(responses)
}

/// Whatever the split, the same.
fn read(input: &str) -> Result<Vec<Response>, ReplyError> {
    let whole = read_in(input.as_bytes(), input.len());
    for split in [1, 2, 7] {
        assert_eq!(
            read_in(input.as_bytes(), split),
            whole,
            "{input:?} by {split}"
        );
    }
    whole
}

fn values(input: &str) -> Vec<Value> {
    match read(input).unwrap().remove(0) {
        Response::Data { values, .. } => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn statuses_have_codes_and_tags() {
    let all = read(
        "* OK [UIDVALIDITY 12] valid\r\nm1 NO [LIMIT] wait {3}\r\n* BYE\r\nm2 bad x\n+ go\r\n",
    )
    .unwrap();
    let Response::Status(first) = &all[0] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (first.number("UIDVALIDITY"), first.number("UIDNEXT")),
        (Some(12), None)
    );
    let Response::Status(second) = &all[1] else {
        panic!("{all:?}");
    };
    assert_eq!(second.tag.as_deref(), Some("m1"));
    assert_eq!(
        (second.condition, second.text.as_str()),
        (Condition::No, "wait {3}")
    );
    assert_eq!(second.argument("LIMIT"), Some(""));
    assert_eq!(all[4], Response::Continue);
    assert_eq!(all.len(), 5);
}

#[test]
fn folders_are_read_in_all_their_forms() {
    let folder = |input: &str| ListedFolder::read(&values(input)).unwrap();
    let sent = folder("* LIST (\\HasNoChildren \\Sent) \".\" \"INBOX.B&APw-ro \\\"x\\\"\"\r\n");
    assert_eq!(sent.name, "INBOX.Büro \"x\"");
    assert!(sent.has("\\sent") && sent.delimiter == Some('.'));
    let literal = folder("* LIST () NIL {4}\r\na\r\nb\r\n");
    assert_eq!(
        (literal.raw.as_ref(), literal.delimiter),
        (&b"a\r\nb"[..], None)
    );
    assert_eq!(folder("* LSUB () \"/\" nil\r\n").name, "nil");
    assert_eq!(
        folder("* LIST () \"\\\\\" a&b\r\n").name,
        "a&b",
        "no modified UTF-7"
    );
    assert_eq!(ListedFolder::read(&values("* LIST () \"/\"\r\n")), None);
    let latin = |name: &[u8]| {
        let mut reader = ResponseReader::new(LIMITS);
        reader.buffer().extend_from_slice(b"* LIST () \"/\" ");
        reader.buffer().extend_from_slice(name);
        reader.buffer().extend_from_slice(b"\r\n");
        let Some(Response::Data { values, .. }) = reader.next_response().unwrap() else {
            panic!("{name:?}");
        };
        ListedFolder::read(&values).unwrap().name
    };
    assert_eq!(latin(b"\"B\xfcro\""), "B\u{fc}ro");
    assert_eq!(latin(b"\"B\xf6ro\""), "B\u{f6}ro");
    let read = |input: &str| namespaces(&values(input));
    let prefix = |text: &str| vec![(text.to_owned(), Some('.'))];
    assert_eq!(
        read("* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))\r\n"),
        [prefix("INBOX."), prefix("user."), prefix("")]
    );
    assert_eq!(
        read("* NAMESPACE NIL NIL NIL\r\n"),
        [vec![], vec![], vec![]]
    );
}

#[test]
fn annotations_are_read_with_their_values() {
    let read = |input: &str| annotations(&values(input)).collect::<Vec<_>>();
    let found = read(
        "* METADATA INBOX (/Private/Comment \"a b\" /shared/x NIL /shared/y {2}\r\nok /shared \"z\" /a//b \"z\")\r\n",
    );
    let wanted = [("/private/comment", "a b"), ("/shared/y", "ok")];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.into()));
    assert_eq!(found, wanted);
    assert_eq!(read("* METADATA INBOX /shared/comment\r\n"), []);
}

#[test]
fn messages_are_read_whatever_the_order_of_their_items() {
    let fetched = |input: &str| Fetched::read(&values(input));
    let one = fetched(
        "* 3 FETCH (BODY[] {5}\r\na(\"\r\n UID 9 FLAGS (\\Seen $x) X-GM (1 (2)) INTERNALDATE \" 1-Feb-2020 10:00:00 +0100\" RFC822.SIZE 5)\r\n",
    );
    assert_eq!(
        (one.uid, one.size, one.received),
        (Some(9), Some(5), Some(1_580_547_600))
    );
    assert_eq!(one.flags.unwrap(), ["\\Seen", "$x"]);
    assert_eq!(one.body, Some(Body::Octets("a(\"\r\n".into())));
    let large = format!(
        "* 1 FETCH (UID 1 BODY[] {{101}}\r\n{})\r\n",
        "x".repeat(101)
    );
    assert_eq!(fetched(&large).body, Some(Body::TooLarge(101)));
    assert_eq!(
        fetched("* 1 FETCH (UID 0 BODY[] NIL)\r\n").body,
        Some(Body::Missing)
    );
    assert_eq!(fetched("* 1 FETCH (UID 0)\r\n").uid, None);
    assert_eq!(
        fetched("* 1 FETCH (BODY[HEADER.FIELDS (DATE)] \"x\" UID 4)\r\n").uid,
        Some(4)
    );
}

#[test]
fn a_server_is_bounded() {
    for (input, wanted) in [
        ("* ".to_owned() + &"x".repeat(600), ReplyError::TooLong(500)),
        ("* SEARCH {0}\r\n".repeat(50), ReplyError::TooLong(500)),
        (
            "* 1 FETCH (BODY[] {4294967296}\r\n".to_owned(),
            ReplyError::Literal(4_294_967_296),
        ),
        (
            "* X ".to_owned() + &"(".repeat(40) + "\r\n",
            ReplyError::TooComplex,
        ),
        (
            "junk\r\n".to_owned(),
            ReplyError::Malformed("junk".to_owned()),
        ),
        ("\r\n".to_owned(), ReplyError::Malformed(String::new())),
        (
            "m1 FETCH\r\n".to_owned(),
            ReplyError::Malformed("m1 FETCH".to_owned()),
        ),
    ] {
        assert_eq!(read(&input), Err(wanted), "{input:?}");
    }
    // All literals of a response count together, and the next one begins anew.
    let two = "* X {60}\r\n".to_owned() + &"a".repeat(60) + " {60}\r\n" + &"b".repeat(60) + "\r\n";
    let all = read(&(two.clone() + &two)).unwrap();
    assert_eq!(all.len(), 2);
    for response in all {
        let Response::Data { values, .. } = response else {
            panic!("{response:?}");
        };
        assert_eq!(values[1], Value::TooLarge(60));
    }
}

#[test]
fn strings_are_quoted_or_literals() {
    let text = |octets: &[u8], plus| {
        argument(octets, plus).map(|octets| String::from_utf8(octets).unwrap())
    };
    assert_eq!(text(b"a \"b\\", false).as_deref(), Some("\"a \\\"b\\\\\""));
    assert_eq!(text("ü".as_bytes(), true).as_deref(), Some("{2+}\r\nü"));
    assert_eq!(text("ü".as_bytes(), false), None);
    assert_eq!(text(b"a\0", true), None);
    assert_eq!(text(b"a\r\nb", false), None, "no second command");
}
