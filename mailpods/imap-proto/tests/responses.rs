//! `S:` lines from the writer.

use mailpods_imap_proto::{
    Code, ESearch, FetchWriter, ListAttribute, ListEntry, Section, SectionText, SpecialUse, Status,
    StatusItem, Writer,
};
use mailpods_message::{Envelope, Structure};

fn written(utf8: bool, write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out, utf8));
    String::from_utf8_lossy(&out).into_owned()
}

fn fetched(write: impl FnOnce(&mut FetchWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut fetch = Writer::new(&mut out, false).fetch(7);
    write(&mut fetch);
    fetch.finish();
    out
}

fn code(code: Code<'_>) -> String {
    let line = written(false, |writer| {
        writer.status(Some("a"), Status::Ok, Some(&code), "x")
    });
    line.trim_start_matches("a OK [")
        .trim_end_matches("] x\r\n")
        .to_owned()
}

#[test]
fn status_responses() {
    assert_eq!(
        written(false, |w| w.status(None, Status::Bye, None, "bye\r\nx OK")),
        "* BYE bye  x OK\r\n"
    );
    assert_eq!(
        written(false, |w| w.status(Some("a1"), Status::Bad, None, "")),
        "a1 BAD -\r\n"
    );
    assert_eq!(
        code(Code::AppendUid {
            validity: 38505,
            uids: &[(3955, 3957)]
        }),
        "APPENDUID 38505 3955:3957"
    );
    assert_eq!(
        code(Code::CopyUid {
            validity: 3,
            source: &[(1, 2), (9, 9)],
            target: &[(4, 6)]
        }),
        "COPYUID 3 1:2,9 4:6"
    );
    assert_eq!(
        code(Code::PermanentFlags {
            flags: &["\\Seen", "$a"],
            new_keywords: true
        }),
        "PERMANENTFLAGS (\\Seen $a \\*)"
    );
    assert_eq!(
        code(Code::PermanentFlags {
            flags: &[],
            new_keywords: false
        }),
        "PERMANENTFLAGS ()"
    );
    assert_eq!(code(Code::Modified(&[(7, 7), (9, 9)])), "MODIFIED 7,9");
    assert_eq!(
        code(Code::HighestModSeq(u64::from(u32::MAX))),
        "HIGHESTMODSEQ 4294967295"
    );
    assert_eq!(code(Code::BadCharset), "BADCHARSET (US-ASCII UTF-8)");
    assert_eq!(
        code(Code::Capability(&["IMAP4rev2".into(), "IDLE".into()])),
        "CAPABILITY IMAP4rev2 IDLE"
    );
    assert_eq!(code(Code::TryCreate), "TRYCREATE");
}

/// RFC 7162 §3.2.10
#[test]
fn vanished() {
    assert_eq!(
        written(false, |w| w.vanished(true, &[(1, 3), (9, 9)])),
        "* VANISHED (EARLIER) 1:3,9\r\n"
    );
    assert_eq!(
        written(false, |w| w.vanished(false, &[(5, 5)])),
        "* VANISHED 5\r\n"
    );
}

/// RFC 5256 §4
#[test]
fn sorted_and_threaded() {
    use mailpods_imap_proto::ThreadStep::{Close, Number, Open};
    assert_eq!(
        written(false, |w| w.sort([2, 84, 882], None)),
        "* SORT 2 84 882\r\n"
    );
    let inner = |numbers: &[u32]| {
        let mut steps = vec![Open];
        steps.extend(numbers.iter().copied().map(Number));
        steps.push(Close);
        steps
    };
    let mut steps = inner(&[2]);
    steps.extend([Open, Number(3), Number(6)]);
    steps.extend(inner(&[4, 23]));
    steps.extend(inner(&[44, 7, 96]));
    steps.push(Close);
    assert_eq!(
        written(false, |w| w.thread(steps)),
        "* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"
    );
    assert_eq!(written(false, |w| w.thread([])), "* THREAD\r\n");
}

#[test]
fn mailbox_data() {
    let attributes = [
        ListAttribute::HasNoChildren,
        ListAttribute::SpecialUse(SpecialUse::Sent),
    ];
    let entry = ListEntry {
        attributes: &attributes,
        name: "Gesendet/ü \"x\"",
        subscribed_below: true,
    };
    let rev1 = "* LIST (\\HasNoChildren \\Sent) \"/\" \"Gesendet/&APw- \\\"x\\\"\" (CHILDINFO (\"SUBSCRIBED\"))\r\n";
    assert_eq!(written(false, |w| w.list(&entry)), rev1);
    assert!(written(true, |w| w.list(&entry)).contains("\"Gesendet/ü \\\"x\\\"\""));
    let plain = ListEntry {
        attributes: &[],
        name: "NIL",
        subscribed_below: false,
    };
    assert_eq!(
        written(false, |w| w.lsub(&plain)),
        "* LSUB () \"/\" \"NIL\"\r\n"
    );
    assert_eq!(
        written(false, |w| w.list_root()),
        "* LIST (\\Noselect) \"/\" \"\"\r\n"
    );
    let items = [(StatusItem::Messages, 231), (StatusItem::UidNext, 44_292)];
    assert_eq!(
        written(false, |w| w.mailbox_status("a b", &items)),
        "* STATUS \"a b\" (MESSAGES 231 UIDNEXT 44292)\r\n"
    );
    assert_eq!(
        written(false, |w| w.namespace("Other Users/", "Public/")),
        "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Public/\" \"/\"))\r\n"
    );
    assert_eq!(
        written(false, |w| w.quota("", &[("STORAGE", 10, 512)])),
        "* QUOTA \"\" (STORAGE 10 512)\r\n"
    );
    assert_eq!(
        written(false, |w| w
            .quota("user", &[("STORAGE", 1, 2), ("MESSAGE", 3, 4)])),
        "* QUOTA \"user\" (STORAGE 1 2 MESSAGE 3 4)\r\n"
    );
    assert_eq!(
        written(false, |w| w.quota_root("INBOX", Some("user"))),
        "* QUOTAROOT INBOX \"user\"\r\n"
    );
    let entries = [("bob@example.test".to_owned(), "lr".to_owned())];
    assert_eq!(
        written(false, |w| w.acl("a b", &entries)),
        "* ACL \"a b\" bob@example.test lr\r\n"
    );
    let optional = ["l".to_owned(), "r".to_owned()];
    assert_eq!(
        written(false, |w| w.list_rights("INBOX", "anyone", "", &optional)),
        "* LISTRIGHTS INBOX anyone \"\" l r\r\n"
    );
    assert_eq!(
        written(false, |w| w.my_rights("INBOX", "lr")),
        "* MYRIGHTS INBOX lr\r\n"
    );
    assert_eq!(
        written(false, |w| w.id(&[("name", "Mailpods")])),
        "* ID (\"name\" \"Mailpods\")\r\n"
    );
    assert_eq!(written(false, |w| w.challenge(b"abc")), "+ YWJj\r\n");
}

#[test]
fn search_results() {
    assert_eq!(
        written(false, |w| w.search([2, 84], None)),
        "* SEARCH 2 84\r\n"
    );
    assert_eq!(
        written(false, |w| w.search([2], Some(917))),
        "* SEARCH 2 (MODSEQ 917)\r\n"
    );
    assert_eq!(written(false, |w| w.search([], None)), "* SEARCH\r\n");
    let found = ESearch {
        uid: true,
        min: Some(2),
        count: Some(3),
        all: Some(&[(2, 3), (9, 9)]),
        ..ESearch::default()
    };
    assert_eq!(
        written(false, |w| w.esearch("a1", &found)),
        "* ESEARCH (TAG \"a1\") UID MIN 2 COUNT 3 ALL 2:3,9\r\n"
    );
    let nothing = ESearch {
        all: Some(&[]),
        ..ESearch::default()
    };
    assert_eq!(
        written(false, |w| w.esearch("a1", &nothing)),
        "* ESEARCH (TAG \"a1\")\r\n"
    );
}

#[test]
fn fetch_items() {
    let section = Section {
        part: vec![1],
        text: Some(SectionText::HeaderFields(vec!["From".into(), "X Y".into()])),
    };
    let out = fetched(|fetch| {
        fetch.uid(9);
        fetch.flags(["\\Seen", "$a"]);
        fetch.internal_date(837_596_665);
        fetch.size(44);
        fetch.mod_seq(5);
        fetch.section(&section, Some(3), Some(b"a\0b"));
        fetch.section(&Section::default(), None, None);
        fetch.rfc822("RFC822.TEXT", Some(b""));
        fetch.binary(&[1, 2], Some(0), Some(b"\0"));
        fetch.binary_size(&[2], 12);
    });
    let expected: &[u8] = b"* 7 FETCH (UID 9 FLAGS (\\Seen $a) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 44 \
        MODSEQ (5) BODY[1.HEADER.FIELDS (From \"X Y\")]<3> {3}\r\na\x80b BODY[] NIL RFC822.TEXT \"\" \
        BINARY[1.2]<0> ~{1}\r\n\0 BINARY.SIZE[2] 12)\r\n";
    assert_eq!(
        String::from_utf8_lossy(&out),
        String::from_utf8_lossy(expected)
    );
}

#[test]
fn a_large_body_can_be_streamed() {
    let mut out = Vec::new();
    let mut fetch = Writer::new(&mut out, false).fetch(1);
    fetch.section_start(&Section::default(), None, 5);
    out.extend_from_slice(b"hello");
    let mut fetch = FetchWriter::resume(&mut out, false, false);
    fetch.uid(2);
    fetch.finish();
    assert_eq!(out, b"* 1 FETCH (BODY[] {5}\r\nhello UID 2)\r\n");
}

const MESSAGE: &[u8] = b"From: \"Fred \\\"F\\\" Foobar\" <foobar@Blurdybloop.example>\r\nTo: team: a@b.example;\r\nSubject: caf\xe9\r\n\
Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <B@x>\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nhi\r\n--b\r\n\
Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=a.eml\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n";

#[test]
fn envelope() {
    let out = fetched(|fetch| fetch.envelope(&Envelope::parse(MESSAGE)));
    let text = String::from_utf8_lossy(&out);
    let from = "((\"Fred \\\"F\\\" Foobar\" NIL \"foobar\" \"Blurdybloop.example\"))";
    let to = "((NIL NIL \"team\" NIL)(NIL NIL \"a\" \"b.example\")(NIL NIL NIL NIL))";
    let start = "* 7 FETCH (ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800\" {4}\r\ncaf\u{fffd} ";
    assert_eq!(
        text,
        format!("{start}{from} {from} {from} {to} NIL NIL NIL \"<B@x>\"))\r\n")
    );
}

#[test]
fn body_structure() {
    let structure = Structure::parse(MESSAGE);
    let short = String::from_utf8(fetched(|fetch| fetch.body(&structure, false))).unwrap();
    let inner = "(NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL)";
    let expected = format!(
        "* 7 FETCH (BODY ((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 1)\
         (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 22 {inner} (\"text\" \"plain\" NIL NIL NIL \"7bit\" 4 1) 3) \"mixed\"))\r\n"
    );
    assert_eq!(short, expected);
    let long = String::from_utf8(fetched(|fetch| fetch.body(&structure, true))).unwrap();
    assert!(
        long.contains("(\"attachment\" (\"filename\" \"a.eml\")) NIL NIL)"),
        "{long}"
    );
    assert!(
        long.ends_with("\"mixed\" (\"boundary\" \"b\") NIL NIL NIL))\r\n"),
        "{long}"
    );
}
