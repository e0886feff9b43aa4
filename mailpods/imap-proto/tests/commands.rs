//! `C:` lines against the decoder: what each command becomes.

use mailpods_imap_proto::{
    AppendContent, CommandBody, Date, DateTime, Decoder, Event, FetchItem, Flag, Limits, LineError,
    ParseError, Partial, SearchKey, SearchReturn, Section, SectionText, SpecialUse, Status,
    StatusItem, StoreAction,
};

fn decoder() -> Decoder {
    Decoder::new(Limits::after_login(1024 * 1024))
}

/// The events of `input`, which goes in at once.
fn events(input: &str) -> Vec<Event> {
    let mut decoder = decoder();
    decoder.feed(input.as_bytes());
    std::iter::from_fn(|| decoder.next_event()).collect()
}

/// The body of the one command in `line`.
fn body(line: &str) -> CommandBody {
    match events(&format!("a1 {line}\r\n")).pop() {
        Some(Event::Command(command)) => {
            assert_eq!(command.tag.as_str(), "a1");
            command.body
        }
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

#[test]
fn commands_without_arguments() {
    let table = [
        ("CAPABILITY", CommandBody::Capability),
        ("noop", CommandBody::Noop),
        ("Logout", CommandBody::Logout),
        ("STARTTLS", CommandBody::StartTls),
        ("NAMESPACE", CommandBody::Namespace),
        ("CHECK", CommandBody::Check),
        ("CLOSE", CommandBody::Close),
        ("UNSELECT", CommandBody::Unselect),
        ("EXPUNGE", CommandBody::Expunge { uids: None }),
        ("IDLE", CommandBody::Idle),
    ];
    for (line, expected) in table {
        assert_eq!(body(line), expected);
        assert_eq!(
            body(&format!("{line} ")),
            expected,
            "a space at the end is forgiven"
        );
        assert!(matches!(
            error(&format!("a {line} x")),
            LineError::Parse(ParseError::Expected(_))
        ));
    }
}

#[test]
fn login_takes_every_kind_of_string() {
    for line in [
        "a LOGIN bob pa]ss\r\n",
        "a LOGIN \"bob\" \"pa]ss\"\r\n",
        "a LOGIN {3+}\r\nbob {5+}\r\npa]ss\r\n",
    ] {
        let Some(Event::Command(command)) = events(line).pop() else {
            panic!("{line}")
        };
        let CommandBody::Login { user, password } = command.body else {
            panic!("{line}")
        };
        assert_eq!(
            (user.as_str(), password.as_bytes()),
            ("bob", b"pa]ss".as_slice())
        );
        assert!(
            !format!("{password:?}").contains("pa"),
            "a password is never printed"
        );
    }
    let CommandBody::Login { password, .. } = body(r#"LOGIN bob "a\"b\\c""#) else {
        panic!()
    };
    assert_eq!(password.as_bytes(), br#"a"b\c"#);
}

#[test]
fn authenticate_has_an_initial_response() {
    let CommandBody::Authenticate { mechanism, initial } = body("AUTHENTICATE plain AGJvYgBwdw==")
    else {
        panic!()
    };
    assert_eq!(mechanism, "PLAIN");
    assert_eq!(initial.unwrap().as_bytes(), b"\0bob\0pw");
    let CommandBody::Authenticate { initial, .. } = body("AUTHENTICATE EXTERNAL =") else {
        panic!()
    };
    assert_eq!(initial.unwrap().as_bytes(), b"");
    let CommandBody::Authenticate { initial, .. } = body("AUTHENTICATE PLAIN") else {
        panic!()
    };
    assert_eq!(initial, None);
    assert_eq!(
        error("a AUTHENTICATE PLAIN !!"),
        LineError::Parse(ParseError::Expected("base64"))
    );
}

#[test]
fn sasl_dialogue() {
    let mut decoder = decoder();
    decoder.feed(b"a AUTHENTICATE PLAIN\r\nAGJvYgBwdw==\r\nb NOOP\r\n");
    assert!(matches!(decoder.next_event(), Some(Event::Command(_))));
    decoder.expect_auth_response();
    let Some(Event::AuthResponse(response)) = decoder.next_event() else {
        panic!()
    };
    assert_eq!(response.as_bytes(), b"\0bob\0pw");
    assert!(
        matches!(decoder.next_event(), Some(Event::Command(command)) if command.body == CommandBody::Noop)
    );
    decoder.expect_auth_response();
    decoder.feed(b"*\r\n");
    assert_eq!(decoder.next_event(), Some(Event::AuthCancelled));
}

#[test]
fn a_response_that_is_not_base64_is_bad() {
    for line in ["!!", "=AAA", "AAA=BBB", "AAA", "AA A=", "\"AAAA\""] {
        let mut decoder = decoder();
        decoder.expect_auth_response();
        decoder.feed(format!("{line}\r\n").as_bytes());
        let Some(Event::BadLine(bad)) = decoder.next_event() else {
            panic!("{line}")
        };
        assert_eq!(
            (bad.error, bad.error.status()),
            (LineError::Base64, Status::Bad)
        );
        assert!(matches!(
            error(&format!("a AUTHENTICATE PLAIN {line}")),
            LineError::Parse(_)
        ));
    }
}

#[test]
fn idle_ends_with_done_and_with_nothing_else() {
    let mut decoder = decoder();
    decoder.expect_done();
    decoder.feed(b"done\r\n");
    assert_eq!(decoder.next_event(), Some(Event::IdleDone));
    decoder.expect_done();
    decoder.feed(b"a NOOP\r\nb NOOP\r\n");
    assert!(
        matches!(decoder.next_event(), Some(Event::BadLine(bad)) if bad.error == LineError::NotDone)
    );
    assert!(
        matches!(decoder.next_event(), Some(Event::Command(command)) if command.tag.as_str() == "b")
    );
}

#[test]
fn mailbox_names_are_canonical() {
    let name = |line: &str| match body(line) {
        CommandBody::Select { mailbox, .. } => mailbox.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(name("SELECT inbox"), "INBOX");
    assert_eq!(name("SELECT \"Inbox/Sub\""), "INBOX/Sub");
    assert_eq!(
        name("SELECT \"~peter/mail/&U,BTFw-/&ZeVnLIqe-\""),
        "~peter/mail/台北/日本語"
    );
    assert_eq!(name("SELECT a&-b"), "a&b");
    assert_eq!(name("SELECT \"Entwürfe\""), "Entwürfe");
    assert!(matches!(
        error("a SELECT &U-"),
        LineError::Parse(ParseError::Utf7(_))
    ));
    assert_eq!(
        error("a SELECT \"\""),
        LineError::Parse(ParseError::MailboxName)
    );
    assert_eq!(
        error("a SELECT \"a\tb\""),
        LineError::Parse(ParseError::MailboxName)
    );
}

#[test]
fn names_are_utf8_once_that_is_enabled() {
    let mut decoder = decoder();
    decoder.set_utf8(true);
    decoder.feed("a SELECT \"a&b ü\"\r\n".as_bytes());
    let Some(Event::Command(command)) = decoder.next_event() else {
        panic!()
    };
    assert!(
        matches!(command.body, CommandBody::Select { mailbox, .. } if mailbox.as_str() == "a&b ü")
    );
}

#[test]
fn select_parameters() {
    assert!(matches!(
        body("SELECT a (CONDSTORE)"),
        CommandBody::Select {
            condstore: true,
            read_only: false,
            ..
        }
    ));
    assert!(matches!(
        body("EXAMINE a"),
        CommandBody::Select {
            condstore: false,
            read_only: true,
            ..
        }
    ));
}

#[test]
fn create_rename_status() {
    let CommandBody::Create { special_use, .. } = body("CREATE Old (USE (\\archive \\All))") else {
        panic!()
    };
    assert_eq!(
        special_use,
        [Some(SpecialUse::Archive), Some(SpecialUse::All)]
    );
    assert!(matches!(
        body("CREATE Old (USE (\\Important))"),
        CommandBody::Create { special_use, .. } if special_use == [None]
    ));
    assert!(
        matches!(body("RENAME a b"), CommandBody::Rename { from, to } if from.as_str() == "a" && to.as_str() == "b")
    );
    let CommandBody::Status { items, .. } =
        body("STATUS a (MESSAGES UNSEEN size deleted-storage HIGHESTMODSEQ)")
    else {
        panic!()
    };
    assert_eq!(
        items,
        [
            StatusItem::Messages,
            StatusItem::Unseen,
            StatusItem::Size,
            StatusItem::DeletedStorage,
            StatusItem::HighestModSeq
        ]
    );
    assert!(matches!(error("a STATUS b ()"), LineError::Parse(_)));
}

#[test]
fn list_extended() {
    let CommandBody::List(list) = body("LIST \"\" *") else {
        panic!()
    };
    assert_eq!(
        (list.extended, list.patterns.as_slice()),
        (false, ["*".to_owned()].as_slice())
    );
    let line = "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX \"a/%\") RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES))";
    let CommandBody::List(list) = body(line) else {
        panic!()
    };
    assert!(
        list.subscribed && list.recursive_match && list.returns.subscribed && list.returns.children
    );
    assert_eq!(list.patterns, ["INBOX", "a/%"]);
    assert_eq!(list.returns.status, [StatusItem::Messages]);
    assert!(matches!(
        error("a LIST (RECURSIVEMATCH) \"\" *"),
        LineError::Parse(ParseError::Expected(_))
    ));
    assert!(matches!(body("LSUB \"\" \"*\""), CommandBody::Lsub { pattern, .. } if pattern == "*"));
}

#[test]
fn options_that_are_not_known_are_bad_and_repeated_ones_count_once() {
    for line in [
        "a LIST (SUBSCRIBED X-NEW) \"\" *",
        "a LIST \"\" * RETURN (CHILDREN X-NEW)",
        "a SEARCH RETURN (MIN X-NEW) ALL",
        "a STATUS x (MESSAGES X-NEW)",
    ] {
        assert_eq!(error(line).status(), Status::Bad, "{line}");
    }
    assert_eq!(
        body("LIST (SUBSCRIBED SUBSCRIBED) \"\" * RETURN (CHILDREN CHILDREN)"),
        body("LIST (SUBSCRIBED) \"\" * RETURN (CHILDREN)")
    );
}

#[test]
fn id_and_enable() {
    let CommandBody::Id(fields) = body("ID (\"name\" \"mutt\" \"version\" NIL)") else {
        panic!()
    };
    assert_eq!(
        fields,
        [
            ("name".into(), Some("mutt".into())),
            ("version".into(), None)
        ]
    );
    assert_eq!(body("ID NIL"), CommandBody::Id(Vec::new()));
    assert_eq!(
        body("ENABLE condstore X-Y"),
        CommandBody::Enable(vec!["CONDSTORE".into(), "X-Y".into()])
    );
    assert!(matches!(error("a ENABLE"), LineError::Parse(_)));
}

#[test]
fn append_keeps_its_message() {
    let input = "a APPEND \"Sent\" (\\Seen $Forwarded) \" 7-Feb-1994 21:52:25 -0800\" {7}\r\nA: b\r\n\n\r\nb NOOP\r\n";
    let events = events(input);
    assert_eq!(events[0], Event::NeedContinuation);
    let Event::Command(command) = &events[1] else {
        panic!("{events:?}")
    };
    let CommandBody::Append(append) = &command.body else {
        panic!()
    };
    assert_eq!(append.mailbox.as_str(), "Sent");
    let [append] = append.messages.as_slice() else {
        panic!("{append:?}")
    };
    assert_eq!(
        append.flags,
        [Flag::Seen, Flag::Keyword("$Forwarded".into())]
    );
    assert_eq!(
        append.date,
        Some(DateTime {
            unix: 760_686_745,
            offset: -480
        })
    );
    assert!(matches!(
        &append.content,
        AppendContent::Octets { octets, binary: false, utf8: false } if octets == "A: b\r\n\n"
    ));
    assert!(matches!(&events[2], Event::Command(command) if command.body == CommandBody::Noop));
}

#[test]
fn fetch_items() {
    assert_eq!(
        items("FAST"),
        [FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size]
    );
    assert_eq!(items("all").last(), Some(&FetchItem::Envelope));
    assert_eq!(items("FULL").last(), Some(&FetchItem::Body));
    assert_eq!(
        items("(UID RFC822.SIZE BODYSTRUCTURE MODSEQ RFC822.HEADER)").len(),
        5
    );
    let fields = SectionText::HeaderFields(vec!["From".into(), "to".into()]);
    assert_eq!(
        items("BODY.PEEK[HEADER.FIELDS (From to)]<0.100>"),
        [section(&[], Some(fields), Some((0, 100)), true)]
    );
    assert_eq!(items("BODY[]"), [section(&[], None, None, false)]);
    assert_eq!(
        items("BODY[1.2.MIME]"),
        [section(&[1, 2], Some(SectionText::Mime), None, false)]
    );
    assert_eq!(items("BODY[1.2]"), [section(&[1, 2], None, None, false)]);
    assert_eq!(
        items("(BINARY.SIZE[2] BINARY[])")[0],
        FetchItem::BinarySize(vec![2])
    );
    for bad in [
        "BODY[MIME]",
        "BODY[1.]",
        "BODY[1 2]",
        "BODY[0]",
        "BODY[]<0.0>",
        "()",
        "(ALL)",
        "BODY[HEADER.FIELDS ()]",
    ] {
        assert!(
            matches!(error(&format!("a FETCH 1 {bad}")), LineError::Parse(_)),
            "{bad}"
        );
    }
}

fn section(
    part: &[u32],
    text: Option<SectionText>,
    partial: Option<(u32, u32)>,
    peek: bool,
) -> FetchItem {
    let partial = partial.map(|(origin, length)| Partial { origin, length });
    FetchItem::Section {
        section: Section {
            part: part.to_vec(),
            text,
        },
        partial,
        peek,
    }
}

#[test]
fn uid_fetch_tells_the_uid_and_changedsince_the_modseq() {
    let CommandBody::Fetch(fetch) = body("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)") else {
        panic!()
    };
    assert!(fetch.uid);
    assert_eq!(fetch.changed_since, Some(12345));
    assert_eq!(
        fetch.items,
        [FetchItem::Flags, FetchItem::ModSeq, FetchItem::Uid]
    );
}

#[test]
fn store_forms() {
    let CommandBody::Store(store) =
        body("STORE 1,3:* (UNCHANGEDSINCE 9) +FLAGS.SILENT (\\Deleted a a)")
    else {
        panic!()
    };
    assert_eq!(
        (store.action, store.silent, store.unchanged_since),
        (StoreAction::Add, true, Some(9))
    );
    assert_eq!(store.flags, [Flag::Deleted, Flag::Keyword("a".into())]);
    assert_eq!(store.set.to_string(), "1,3:*");
    let CommandBody::Store(store) = body("UID STORE $ -FLAGS \\Seen b") else {
        panic!()
    };
    assert_eq!((store.action, store.flags.len()), (StoreAction::Remove, 2));
    let CommandBody::Store(store) = body("STORE 1 FLAGS ()") else {
        panic!()
    };
    assert_eq!((store.action, store.flags.len()), (StoreAction::Replace, 0));
    assert_eq!(
        error("a STORE 1 FLAGS (\\Recent)"),
        LineError::Parse(ParseError::Flag)
    );
    assert_eq!(
        error("a STORE 1 FLAGS (\\Nonsense)"),
        LineError::Parse(ParseError::Flag)
    );
}

#[test]
fn copy_move_expunge() {
    assert!(
        matches!(body("UID MOVE 1 \"a b\""), CommandBody::Move(copy) if copy.uid && copy.mailbox.as_str() == "a b")
    );
    assert!(matches!(body("COPY 2 x"), CommandBody::Copy(copy) if !copy.uid));
    assert!(matches!(
        body("UID EXPUNGE 1:2"),
        CommandBody::Expunge { uids: Some(_) }
    ));
}

#[test]
fn search_keys() {
    let seen = || SearchKey::Flag(Flag::Seen);
    assert_eq!(key("UNSEEN"), SearchKey::Not(Box::new(seen())));
    assert_eq!(
        key("OR SEEN ALL"),
        SearchKey::Or(Box::new(seen()), Box::new(SearchKey::All))
    );
    assert_eq!(
        key("(SEEN (ALL))"),
        SearchKey::And(vec![seen(), SearchKey::All])
    );
    assert_eq!(
        key("SINCE 1-Feb-1994"),
        SearchKey::Since(Date::new(1994, 2, 1).unwrap())
    );
    assert_eq!(
        key("SENTON \"01-Feb-1994\""),
        SearchKey::SentOn(Date::new(1994, 2, 1).unwrap())
    );
    assert_eq!(key("LARGER 10"), SearchKey::Larger(10));
    assert_eq!(
        key("FROM \"Smith\""),
        SearchKey::Header {
            name: "from".into(),
            value: "Smith".into()
        }
    );
    assert_eq!(
        key("HEADER Message-ID \"\""),
        SearchKey::Header {
            name: "message-id".into(),
            value: String::new()
        }
    );
    assert_eq!(
        key("CHARSET UTF-8 TEXT {2+}\r\n\u{fc}"),
        SearchKey::Text("ü".into())
    );
    assert_eq!(
        key("MODSEQ \"/flags/\\\\draft\" all 620162338"),
        SearchKey::ModSeq(620_162_338)
    );
    assert_eq!(
        key("KEYWORD $Junk"),
        SearchKey::Flag(Flag::Keyword("$Junk".into()))
    );
    assert!(matches!(key("UID 1:*,5"), SearchKey::Uid(_)));
    assert!(matches!(key("$"), SearchKey::Sequence(_)));
    assert!(matches!(error("a SEARCH"), LineError::Parse(_)));
    assert!(matches!(error("a SEARCH (ALL"), LineError::Parse(_)));
    assert!(matches!(
        error("a SEARCH ON 30-Feb-1994"),
        LineError::Parse(_)
    ));
}

#[test]
fn search_returns_and_charsets() {
    let CommandBody::Search(search) = body("UID SEARCH RETURN (MIN COUNT) CHARSET KOI8-R ALL")
    else {
        panic!()
    };
    assert!(search.uid && search.bad_charset);
    assert_eq!(
        search.returns,
        Some(SearchReturn {
            min: true,
            count: true,
            ..SearchReturn::default()
        })
    );
    let CommandBody::Search(search) = body("SEARCH RETURN () ALL") else {
        panic!()
    };
    assert_eq!(
        search.returns,
        Some(SearchReturn {
            all: true,
            ..SearchReturn::default()
        })
    );
    let CommandBody::Search(search) = body("SEARCH RETURN (SAVE) ALL") else {
        panic!()
    };
    assert_eq!(
        search.returns,
        Some(SearchReturn {
            save: true,
            ..SearchReturn::default()
        })
    );
}

#[test]
fn a_search_over_literals_is_one_command() {
    let events = events("a SEARCH OR FROM {3}\r\nbob SUBJECT {2}\r\nhi\r\n");
    assert_eq!(
        events[..2],
        [Event::NeedContinuation, Event::NeedContinuation]
    );
    assert!(
        matches!(&events[2], Event::Command(command) if matches!(&command.body, CommandBody::Search(_)))
    );
}
