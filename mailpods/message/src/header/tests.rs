use proptest::prelude::*;

use super::*;
use crate::Address;

fn names(message: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields(message)
        .map(|field| (text(field.name(message)), text(field.value(message))))
        .collect()
}

#[test]
fn fields_have_ranges_and_end_at_the_empty_line() {
    let message = b"A: one\r\nSubject :  two\r\n\tmore  \r\nnot a field\r\n\r\nB: body\r\n";
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let wanted = [
        pair("A", "one"),
        pair("Subject", "two\r\n\tmore"),
        pair("", "not a field"),
    ];
    assert_eq!(names(message), wanted);
    assert_eq!(
        fields(message).map(|field| field.full.len()).sum::<usize>() + 2,
        header_len(message)
    );
    assert_eq!(find(message, b"SUBJECT"), Some(&b"two\r\n\tmore"[..]));
    assert_eq!(&*unfold(b"two\r\n\tmore"), b"two\tmore");
}

#[test]
fn a_header_without_body_or_with_bare_line_feeds_is_read() {
    assert_eq!(names(b"A: 1"), [("A".to_owned(), "1".to_owned())]);
    assert_eq!(header_len(b"A: 1\nB: 2\n\nbody"), 11);
    assert_eq!(names(b"\r\nA: body").len(), 0);
    assert_eq!(header_len(b"\r\nA: body"), 2);
    // A line of white space alone continues a field (obsolete folding).
    assert_eq!(names(b"A: 1\r\n \r\n 2\r\nB:\r\n\r\n").len(), 2);
}

#[test]
fn bounds_end_the_fields_and_say_so() {
    let many = b"A: 1\r\n".repeat(MAX_FIELDS + 1);
    let mut iter = fields(&many);
    assert_eq!(iter.by_ref().count(), MAX_FIELDS);
    assert!(iter.truncated());
    let mut long = b"A: 1\r\nB: ".to_vec();
    long.resize(MAX_HEADER + 10, b'x');
    let mut iter = fields(&long);
    assert_eq!(iter.by_ref().count(), 1);
    assert!(iter.truncated());
}

fn address(name: &str, mailbox: &str, host: &str) -> Address {
    let name = (!name.is_empty()).then(|| name.as_bytes().to_vec());
    Address {
        name,
        route: None,
        mailbox: Some(mailbox.into()),
        host: Some(host.into()),
    }
}

#[test]
fn addresses_of_rfc_5322_and_of_the_wild_are_read() {
    let table: [(&str, Vec<Address>); 12] = [
        ("a@example.test", vec![address("", "a", "example.test")]),
        (
            "Ann <a@example.test>, b@example.test",
            vec![
                address("Ann", "a", "example.test"),
                address("", "b", "example.test"),
            ],
        ),
        (
            "\"Joe, Q. \\\"P\\\"\" <joe@x.test>",
            vec![address("Joe, Q. \"P\"", "joe", "x.test")],
        ),
        (
            "John Q. Public <j@x.test>",
            vec![address("John Q. Public", "j", "x.test")],
        ),
        (
            "j@x.test (John (the) Public)",
            vec![address("John (the) Public", "j", "x.test")],
        ),
        ("\"a b\"@x.test", vec![address("", "a b", "x.test")]),
        ("a . b @ x . test", vec![address("", "a.b", "x.test")]),
        ("a@[192.0.2.1]", vec![address("", "a", "[192.0.2.1]")]),
        (
            "=?utf-8?q?J=C3=BC?=\r\n =?utf-8?q?rg?= <j@x.test>",
            vec![address("=?utf-8?q?J=C3=BC?= =?utf-8?q?rg?=", "j", "x.test")],
        ),
        (",, a@x.test ,", vec![address("", "a", "x.test")]),
        ("ü@exämple.test", vec![address("", "ü", "exämple.test")]),
        ("", vec![]),
    ];
    for (value, wanted) in table {
        let list = parse_addresses(value.as_bytes());
        assert_eq!(list.entries, wanted, "{value}");
        assert!(!list.malformed, "{value}");
    }
}

#[test]
fn groups_and_routes_are_marked_as_imap_does() {
    let list = parse_addresses(b"Team: a@x.test, B <b@x.test>; c@x.test");
    let start = Address {
        mailbox: Some(b"Team".to_vec()),
        ..Address::default()
    };
    let wanted = [
        start,
        address("", "a", "x.test"),
        address("B", "b", "x.test"),
        Address::default(),
        address("", "c", "x.test"),
    ];
    assert_eq!(list.entries, wanted);
    assert_eq!(list.addresses().count(), 3);
    let empty = parse_addresses(b"undisclosed-recipients:;");
    assert_eq!((empty.entries.len(), empty.malformed), (2, false));
    let routed = parse_addresses(b"<@a.test,@b.test:u@c.test>");
    assert_eq!(
        routed.entries[0].route.as_deref(),
        Some(&b"@a.test,@b.test"[..])
    );
    assert!(!routed.malformed);
}

#[test]
fn malformed_addresses_are_told() {
    for value in [
        "a",
        "a@",
        "@x.test",
        "<a@x.test",
        "<>",
        "a@x.test b@x.test",
        "G: a@x.test",
        "\"a",
        "(a",
        "a@b@c",
        "]",
    ] {
        assert!(parse_addresses(value.as_bytes()).malformed, "{value}");
    }
}

#[test]
fn message_ids_are_normalized() {
    let ids = message_ids(b"<a@x> junk <\"b\\c\"@y>\r\n <d @ z> <> <open");
    assert_eq!(ids, [b"a@x".to_vec(), b"bc@y".to_vec(), b"d@z".to_vec()]);
    assert_eq!(message_id(b"none"), None);
    assert_eq!(
        message_ids(&b"<a@b>".repeat(ids::MAX_IDS + 5)).len(),
        ids::MAX_IDS
    );
}

#[test]
fn dates_of_rfc_5322_and_obsolete_ones_are_read() {
    let table = [
        ("Thu, 01 Jan 1970 00:00:00 +0000", 0),
        ("1 Jan 1970 01:00 +0100", 0),
        ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706),
        (
            "Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)",
            -27_723_480,
        ),
        ("21 Nov 97 09:55:06 GMT", 880_106_106),
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 EST", 880_124_106),
        ("Mon, 29 Feb 2016 12:00:00 Z", 1_456_747_200),
        ("31 Dec 1998 23:59:60 UTC", 915_148_799),
    ];
    for (value, unix) in table {
        assert_eq!(
            parse_date(value.as_bytes()).map(|date| date.unix),
            Some(unix),
            "{value}"
        );
    }
    for value in [
        "",
        "Thu",
        "32 Jan 1970 00:00:00 +0000",
        "1 Foo 1970 00:00:00",
        "1 Jan 1970 24:00:00",
        "1 Jan 1970",
        "99999 Jan 1",
    ] {
        assert_eq!(parse_date(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn dates_are_formatted() {
    assert_eq!(format_date(0, 0), "Thu, 01 Jan 1970 00:00:00 +0000");
    assert_eq!(
        format_date(880_127_706, -360),
        "Fri, 21 Nov 1997 09:55:06 -0600"
    );
    assert_eq!(format_date(i64::MAX, 0), "Fri, 31 Dec 9999 23:59:59 +0000");
}

#[test]
fn encoded_words_become_text() {
    let table: [(&[u8], &str); 9] = [
        (b"plain", "plain"),
        (
            b"=?iso-8859-1?Q?Patrik_F=E4ltstr=F6m?= x",
            "Patrik Fältström x",
        ),
        (b"=?utf-8?B?w6Q=?=\r\n =?utf-8?B?w7Y=?=", "äö"),
        (b"=?utf-8?B?ww==?= =?utf-8?B?pA==?=", "ä"),
        (b"a =?utf-8*en?q?b?= c", "a b c"),
        (b"=?utf-8?X?b?=", "=?utf-8?X?b?="),
        (b"=?utf-8?q?open", "=?utf-8?q?open"),
        (b"=?utf-8?q?a?=b", "ab"),
        (b"raw \xc3\xa4", "raw ä"),
    ];
    for (value, wanted) in table {
        assert_eq!(decode_text(value), wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_formatted_date_comes_back(unix in -2_000_000_000i64..200_000_000_000, offset in -720i32..840) {
        let date = parse_date(format_date(unix, offset).as_bytes());
        prop_assert_eq!(date, Some(Date { unix, offset_minutes: offset }));
    }

    #[test]
    fn fields_cover_the_header(input in "[a:\r\n \t]{0,80}") {
        let message = input.as_bytes();
        let total: usize = fields(message).map(|field| field.full.len()).sum();
        let rest = header_len(message) - total;
        prop_assert!(rest <= 2, "{} of the header belong to no field", rest);
    }
}
