//! Commands of extensions: what each becomes.

use mailpods_imap_proto::url::MessageUrl;
use mailpods_imap_proto::{
    AppendContent, AppendMessage, CatenatePart, CommandBody, Decoder, Event, FetchItem, Flag,
    Limits, LineError, Notify, NotifyEvents, NotifyFilter, Partial, Resync, SearchKey, SectionText,
    SequenceSet,
};

/// The events of `input`, which goes in at once.
fn events(input: &str) -> Vec<Event> {
    let mut decoder = Decoder::new(Limits::after_login(1024 * 1024));
    decoder.feed(input.as_bytes());
    std::iter::from_fn(|| decoder.next_event()).collect()
}

/// The body of the one command in `line`.
fn body(line: &str) -> CommandBody {
    match events(&format!("a1 {line}\r\n")).pop() {
        Some(Event::Command(command)) => command.body,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> LineError {
    match events(&format!("{line}\r\n")).pop() {
        Some(Event::BadLine(bad)) => bad.error,
        other => panic!("{line}: {other:?}"),
    }
}

fn key(text: &str) -> SearchKey {
    match body(&format!("SEARCH {text}")) {
        CommandBody::Search(search) => search.key,
        other => panic!("{other:?}"),
    }
}

fn items(text: &str) -> Vec<FetchItem> {
    match body(&format!("FETCH 1 {text}")) {
        CommandBody::Fetch(fetch) => fetch.items,
        other => panic!("{other:?}"),
    }
}

/// The octets, and whether they came as a literal8 and as UTF8.
fn octets(message: &AppendMessage) -> (&[u8], bool, bool) {
    match &message.content {
        AppendContent::Octets {
            octets,
            binary,
            utf8,
        } => (octets, *binary, *utf8),
        other => panic!("{other:?}"),
    }
}

fn resync(parameter: &str) -> Resync {
    match body(&format!("SELECT a (QRESYNC ({parameter}) CONDSTORE)")) {
        CommandBody::Select {
            condstore: true,
            resync: Some(resync),
            ..
        } => *resync,
        other => panic!("{parameter}: {other:?}"),
    }
}

/// RFC 3502
#[test]
fn append_takes_several_messages() {
    let events = events(
        "a APPEND {1+}\r\nx {1+}\r\na (\\Seen) {2+}\r\nbc \" 7-Feb-1994 21:52:25 -0800\" ~{1+}\r\n\0\r\n",
    );
    let [Event::Command(command)] = events.as_slice() else {
        panic!("{events:?}")
    };
    let CommandBody::Append(append) = &command.body else {
        panic!()
    };
    let all: Vec<&[u8]> = append.messages.iter().map(|m| octets(m).0).collect();
    assert_eq!(all, [b"a".as_slice(), b"bc", b"\0"]);
    assert_eq!(append.messages[1].flags, [Flag::Seen]);
    assert!(append.messages[2].date.is_some() && octets(&append.messages[2]).1);
}

/// RFC 8508 §5
#[test]
fn replace_names_one_message() {
    let found = |input: &str| match events(input).pop() {
        Some(Event::Command(command)) => match command.body {
            CommandBody::Replace(replace) => *replace,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let replace = found("a UID REPLACE 7 {1+}\r\nx (\\Seen) {2+}\r\nab\r\n");
    assert!(replace.uid && replace.mailbox.as_str() == "x");
    assert_eq!(
        (
            replace.number.to_string().as_str(),
            octets(&replace.message).0
        ),
        ("7", &b"ab"[..])
    );
    assert_eq!(
        found("a REPLACE * \"b c\" {2+}\r\nab\r\n")
            .number
            .to_string(),
        "*"
    );
    for wrong in [
        "1,2 x {1+}\r\ny",
        "1:2 x {1+}\r\ny",
        "$ x {1+}\r\ny",
        "1 x",
        "1 x {1+}\r\ny {1+}\r\nz",
    ] {
        error(&format!("a REPLACE {wrong}"));
    }
}

/// RFC 6855 §4
#[test]
fn append_takes_utf8() {
    let events = events("a APPEND x (\\Seen) UTF8 (~{2+}\r\nab)\r\n");
    let [Event::Command(command)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert!(matches!(
        &command.body,
        CommandBody::Append(append) if octets(&append.messages[0]) == (&b"ab"[..], true, true)
    ));
    let wrong = self::events("a APPEND x UTF8 (~{2+}\r\nab\r\n");
    assert!(matches!(wrong.as_slice(), [Event::BadLine(_)]));
}

#[test]
fn previews_and_ids() {
    assert_eq!(items("PREVIEW"), [FetchItem::Preview]);
    assert_eq!(
        items("(PREVIEW (lazy) EMAILID THREADID)"),
        [FetchItem::Preview, FetchItem::EmailId, FetchItem::ThreadId]
    );
    let CommandBody::Fetch(fetch) = body("FETCH 1 PREVIEW (CHANGEDSINCE 5)") else {
        panic!()
    };
    assert_eq!(fetch.changed_since, Some(5));
    error("a FETCH 1 (PREVIEW (EAGER))");
    assert_eq!(
        key("EMAILID M6d99ac3275bb4e"),
        SearchKey::EmailId("M6d99ac3275bb4e".into())
    );
    error("a SEARCH THREADID");
    error(&format!("a SEARCH EMAILID {}", "x".repeat(256)));
}

/// RFC 9394 §4
#[test]
fn windows() {
    let window = |text: &str| match body(&format!("UID FETCH 1:* UID (PARTIAL {text})")) {
        CommandBody::Fetch(fetch) => fetch
            .partial
            .map(|window| (window.to_string(), window.of(10))),
        other => panic!("{other:?}"),
    };
    assert_eq!(window("1:3"), Some(("1:3".to_owned(), 0..3)));
    assert_eq!(window("-3:-1"), Some(("-1:-3".to_owned(), 7..10)));
    assert_eq!(
        window("9:4294967295"),
        Some(("9:4294967295".to_owned(), 8..10))
    );
    assert_eq!(window("11:12").map(|found| found.1), Some(10..10));
    assert_eq!(window("-11:-12").map(|found| found.1), Some(0..0));
    for wrong in ["", "1", "0:1", "1:-1", "-1:1", "1:*"] {
        error(&format!("a UID FETCH 1 UID (PARTIAL {wrong})"));
    }
}

#[test]
fn fetch_modifiers() {
    let fetch = |modifiers: &str| match body(&format!("UID FETCH 1 FLAGS ({modifiers})")) {
        CommandBody::Fetch(fetch) => (fetch.changed_since, fetch.vanished),
        other => panic!("{other:?}"),
    };
    assert_eq!(fetch("CHANGEDSINCE 5"), (Some(5), false));
    assert_eq!(fetch("VANISHED CHANGEDSINCE 5"), (Some(5), true));
    error("a UID FETCH 1 FLAGS ()");
    error("a UID FETCH 1 FLAGS (VANISHED)");
    error("a FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)");
}

/// RFC 5256 §5
#[test]
fn sort_and_thread() {
    let CommandBody::Sort(sort) =
        body("UID SORT RETURN (COUNT) (REVERSE DATE subject) utf-8 UNSEEN 1:3")
    else {
        panic!()
    };
    let criteria: Vec<_> = sort
        .criteria
        .iter()
        .map(|criterion| (criterion.key.as_str(), criterion.reverse))
        .collect();
    assert_eq!(criteria, [("DATE", true), ("SUBJECT", false)]);
    assert!(sort.search.uid && !sort.search.bad_charset);
    assert!(sort.search.returns.is_some_and(|returns| returns.count));
    assert!(matches!(sort.search.key, SearchKey::And(keys) if keys.len() == 2));
    assert!(matches!(
        body("THREAD orderedsubject KOI8-R ALL"),
        CommandBody::Thread(thread) if thread.search.bad_charset && !thread.search.uid
    ));
    for wrong in [
        "SORT",
        "SORT DATE UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (DATE)",
        "SORT (DATE) UTF-8",
        "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        "THREAD",
        "THREAD REFERENCES ALL",
    ] {
        error(&format!("a {wrong}"));
    }
    error(&format!(
        "a SORT ({}) UTF-8 ALL",
        "DATE ".repeat(17).trim_end()
    ));
}

/// RFC 7162 §7
#[test]
fn what_a_client_knows() {
    let text = |set: &Option<SequenceSet>| set.as_ref().map(ToString::to_string);
    let pair = |resync: &Resync| {
        let matched = resync.matched.as_ref();
        matched.map(|(numbers, uids)| format!("{numbers} {uids}"))
    };
    let known = resync("67890007 90060115194045000 41:211,214:541");
    assert_eq!(
        (known.validity, known.mod_seq),
        (67_890_007, 90_060_115_194_045_000)
    );
    assert_eq!(text(&known.known).as_deref(), Some("41:211,214:541"));
    assert_eq!(pair(&known), None);
    let both = resync("1 2 1:5 (1,3 4,9)");
    assert_eq!(text(&both.known).as_deref(), Some("1:5"));
    assert_eq!(pair(&both).as_deref(), Some("1,3 4,9"));
    let matched = resync("1 2 (1,3 4,9)");
    assert_eq!(text(&matched.known), None);
    assert_eq!(pair(&matched).as_deref(), Some("1,3 4,9"));
    for wrong in [
        "",
        "1",
        "1 0",
        "0 1",
        "1 2 ",
        "1 2 *",
        "1 2 1:*",
        "1 2 $",
        "1 2 (1)",
        "1 2 (1 *)",
        "1 2 (1 1) 1",
        "1 2 1 (1 1) 1",
        "1 9223372036854775808",
    ] {
        error(&format!("a SELECT b (QRESYNC ({wrong}))"));
    }
    error("a SELECT b (QRESYNC)");
}

/// RFC 4469 §5
#[test]
fn messages_are_put_together() {
    let CommandBody::Append(append) = body(
        "APPEND Drafts (\\Seen) CATENATE (URL \"/a/;UID=1\" TEXT {3+}\r\nxyz URL {9+}\r\n/b/;UID=2)",
    ) else {
        panic!()
    };
    let expected = vec![
        CatenatePart::Url("/a/;UID=1".into()),
        CatenatePart::Text("xyz".into()),
        CatenatePart::Url("/b/;UID=2".into()),
    ];
    assert_eq!(
        append.messages[0].content,
        AppendContent::Catenate(expected)
    );
    let CommandBody::Append(append) =
        body("APPEND Drafts CATENATE (TEXT {1+}\r\nx) {1+}\r\ny CATENATE (TEXT ~{1+}\r\nz)")
    else {
        panic!()
    };
    assert_eq!(append.messages.len(), 3);
    for wrong in [
        "CATENATE",
        "CATENATE ()",
        "CATENATE (TEXT \"x\")",
        "CATENATE (HEAD {1+}\r\nx)",
        "CATENATE (TEXT {1+}\r\nx",
    ] {
        error(&format!("a APPEND x {wrong}"));
    }
}

/// RFC 5092 §11
#[test]
fn urls_of_messages() {
    let url = MessageUrl::parse(
        "/Entw%C3%BCrfe/a%20b;UIDVALIDITY=385759045/;UID=20/;section=1.2.MIME/;PARTIAL=0.1024",
    )
    .unwrap();
    assert_eq!(
        (url.mailbox.as_str(), url.validity, url.uid),
        ("Entwürfe/a b", Some(385_759_045), 20)
    );
    assert_eq!(
        (url.section.part.as_slice(), &url.section.text),
        (&[1, 2][..], &Some(SectionText::Mime))
    );
    assert_eq!(
        url.partial,
        Some(Partial {
            origin: 0,
            length: 1024
        })
    );
    let url = MessageUrl::parse("/inbox/;uid=7").unwrap();
    assert_eq!(
        (url.mailbox.as_str(), url.validity, url.section.text),
        ("INBOX", None, None)
    );
    let url =
        MessageUrl::parse("/x/;UID=7/;SECTION=HEADER.FIELDS%20(DATE%20FROM)/;PARTIAL=5").unwrap();
    assert!(
        matches!(url.section.text, Some(SectionText::HeaderFields(names)) if names == ["DATE", "FROM"])
    );
    assert_eq!(url.partial.map(|partial| partial.origin), Some(5));
    for wrong in [
        "",
        "/",
        "INBOX/;UID=1",
        "//host/INBOX/;UID=1",
        "imap://host/INBOX/;UID=1",
        "/INBOX",
        "/INBOX/;UID=0",
        "/INBOX/;UID=x",
        "/INBOX/;UID=1/;SECTION=1.",
        "/INBOX/;UID=1/;SECTION=x",
        "/INBOX/;UID=1/;SECTION=1]",
        "/INBOX/;UID=1/;PARTIAL=",
        "/INBOX/;UID=1/;PARTIAL=1.0",
        "/INBOX/;UID=1/;URLAUTH=anonymous",
        "/INBOX;UIDVALIDITY=x/;UID=1",
        "/%/;UID=1",
        "/%zz/;UID=1",
        "/%ff/;UID=1",
        "/a%00/;UID=1",
        "/INBOX/;UID=+1",
    ] {
        assert_eq!(MessageUrl::parse(wrong), None, "{wrong}");
    }
    assert_eq!(
        MessageUrl::parse(&format!("/{}/;UID=1", "x".repeat(5000))),
        None
    );
}

/// RFC 4314 §7
#[test]
fn access_control_lists() {
    let CommandBody::SetAcl(set) = body("setacl INBOX {16+}\r\nbob@example.test \"\"") else {
        panic!()
    };
    assert_eq!(
        (set.mailbox.as_str(), set.identifier.as_str()),
        ("INBOX", "bob@example.test")
    );
    assert_eq!(set.rights, "");
    let CommandBody::ListRights { identifier, .. } = body("LISTRIGHTS a/b -anyone") else {
        panic!()
    };
    assert_eq!(identifier, "-anyone");
    assert!(matches!(
        body("DELETEACL a b"),
        CommandBody::DeleteAcl { .. }
    ));
    assert!(matches!(body("GETACL INBOX"), CommandBody::GetAcl(_)));
    assert!(matches!(body("MYRIGHTS INBOX"), CommandBody::MyRights(_)));
    for wrong in [
        "SETACL INBOX a",
        "SETACL INBOX \"\" lr",
        "DELETEACL INBOX",
        "LISTRIGHTS INBOX",
        "GETACL",
        "MYRIGHTS INBOX x",
    ] {
        error(&format!("a {wrong}"));
    }
    error(&format!("a SETACL INBOX {} lr", "x".repeat(256)));
    error(&format!("a SETACL INBOX a@b {}", "l".repeat(65)));
}

/// RFC 5464 §5
#[test]
fn annotations() {
    let CommandBody::GetMetadata(get) =
        body("GETMETADATA (MAXSIZE 10 DEPTH infinity) INBOX (/private/A /shared)")
    else {
        panic!()
    };
    assert_eq!(
        (get.max_size, get.entries),
        (
            Some(10),
            vec!["/private/a".to_owned(), "/shared".to_owned()]
        )
    );
    let CommandBody::SetMetadata(set) =
        body("SETMETADATA \"\" (/private/a {2+}\r\nxy \"/shared/b c\" NIL)")
    else {
        panic!()
    };
    assert_eq!(set.mailbox, None);
    assert_eq!(
        set.values,
        [
            ("/private/a".to_owned(), Some("xy".into())),
            ("/shared/b c".to_owned(), None)
        ]
    );
    for wrong in [
        "GETMETADATA INBOX",
        "GETMETADATA INBOX private",
        "GETMETADATA (SIZE 1) INBOX /private/a",
        "SETMETADATA INBOX (/private/a)",
        "SETMETADATA INBOX (/private/a x)",
        "GETMETADATA INBOX /private/",
        "GETMETADATA INBOX /privates",
    ] {
        error(&format!("a {wrong}"));
    }
    error(&format!("a GETMETADATA INBOX /private/{}", "x".repeat(250)));
}

#[test]
fn append_takes_a_literal8_and_a_literal_name() {
    let events = events("a APPEND {1+}\r\nx ~{3+}\r\na\0b\r\n");
    let [Event::Command(command)] = events.as_slice() else {
        panic!("{events:?}")
    };
    let CommandBody::Append(append) = &command.body else {
        panic!()
    };
    assert_eq!(append.mailbox.as_str(), "x");
    assert_eq!(octets(&append.messages[0]), (&b"a\0b"[..], true, false));
}

/// RFC 5465 §8
#[test]
fn what_is_to_be_told() {
    let CommandBody::Notify(Notify::Set { status, groups }) = body(
        "NOTIFY set status (Selected-Delayed (messagenew (FLAGS PREVIEW) MessageExpunge)) (subtree (a \"b c\") (MailboxName)) (mailboxes x NONE)",
    ) else {
        panic!()
    };
    assert!(status);
    assert_eq!(groups[0].filter, NotifyFilter::Selected { delayed: true });
    assert_eq!(
        groups[0].events.fetch,
        [FetchItem::Uid, FetchItem::Flags, FetchItem::Preview]
    );
    assert!(
        matches!(&groups[1].filter, NotifyFilter::Subtree(names) if names[1].as_str() == "b c")
    );
    assert!(groups[1].events.names && !groups[1].events.messages);
    assert_eq!(groups[2].events, NotifyEvents::default());
    assert_eq!(body("NOTIFY NONE"), CommandBody::Notify(Notify::None));
    for wrong in [
        "NOTIFY",
        "NOTIFY SET STATUS",
        "NOTIFY SET (selected)",
        "NOTIFY SET (personal (MessageNew (FLAGS) MessageExpunge))",
        "NOTIFY SET (selected (MessageNew () MessageExpunge))",
        "NOTIFY SET (subtree () NONE)",
        "NOTIFY SET (personal NONE) x",
    ] {
        error(&format!("a {wrong}"));
    }
}
