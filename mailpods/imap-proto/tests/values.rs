//! Values: names, patterns, dates, sets, capabilities, states.

use mailpods_imap_proto::sequence::compress;
use mailpods_imap_proto::{
    CapabilityContext, CommandBody, Date, DateTime, Decoder, Event, Flag, Limits, ListPattern,
    SequenceSet, State, capabilities, permitted, utf7,
};
use proptest::prelude::*;

fn set(text: &str) -> SequenceSet {
    let mut decoder = Decoder::new(Limits::after_login(1));
    decoder.feed(format!("a COPY {text} x\r\n").as_bytes());
    match decoder.next_event() {
        Some(Event::Command(command)) => match command.body {
            CommandBody::Copy(copy) => copy.set,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn modified_utf7() {
    for (plain, encoded) in [
        ("&", "&-"),
        ("台北", "&U,BTFw-"),
        ("a/Entwürfe", "a/Entw&APw-rfe"),
        ("😀", "&2D3eAA-"),
        ("", ""),
    ] {
        assert_eq!(utf7::encode(plain), encoded);
        assert_eq!(utf7::decode(encoded).as_deref(), Ok(plain));
    }
    for bad in ["&", "&A-", "&AAA", "&2D0-", "&!!-", "a&b"] {
        assert!(utf7::decode(bad).is_err(), "{bad}");
    }
}

#[test]
fn patterns() {
    let table = [
        ("", "*", "a/b/c", true),
        ("", "%", "a", true),
        ("", "%", "a/b", false),
        ("", "a/%", "a/b", true),
        ("", "a/%", "a/b/c", false),
        ("", "%/c", "a/b/c", false),
        ("", "*/c", "a/b/c", true),
        ("", "inbox", "INBOX", true),
        ("", "iNbOx/%", "INBOX/x", true),
        ("a/", "%", "a/b", true),
        ("a/", "/b", "b", true),
        ("", "*a%b*", "xxa/ab", true),
        ("", "%%a", "xa", true),
        ("", "a*b*c", "aXbYbc", true),
        ("", "a", "ab", false),
        ("", "ab", "a", false),
    ];
    for (reference, pattern, name, matches) in table {
        assert_eq!(
            ListPattern::new(reference, pattern).matches(name),
            matches,
            "{reference:?} {pattern:?} {name:?}"
        );
    }
}

/// The definition of RFC 9051 §6.3.9, without any cleverness.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            naive(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(_, after)| naive(pattern, after))
        }
        (Some((b'%', rest)), _) => {
            naive(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(first, after)| *first != b'/' && naive(pattern, after))
        }
        (Some((want, rest)), Some((have, after))) => want == have && naive(rest, after),
        _ => false,
    }
}

#[test]
fn dates() {
    for (text, unix, printed) in [
        (
            "17-Jul-1996 02:44:25 -0700",
            837_596_665,
            "17-Jul-1996 09:44:25 +0000",
        ),
        (
            " 1-Jan-1970 00:00:00 +0000",
            0,
            "01-Jan-1970 00:00:00 +0000",
        ),
        (
            "29-Feb-2024 23:59:60 +0130",
            1_709_245_800,
            "29-Feb-2024 22:30:00 +0000",
        ),
    ] {
        let parsed = DateTime::parse(text).unwrap();
        assert_eq!(parsed.unix, unix, "{text}");
        assert_eq!(DateTime::utc(parsed.unix).to_string(), printed);
    }
    assert_eq!(
        DateTime {
            unix: 837_596_665,
            offset: -420
        }
        .to_string(),
        "17-Jul-1996 02:44:25 -0700"
    );
    for bad in [
        "",
        "30-Feb-2024",
        "1-Foo-2024",
        "0-Jan-2024",
        "1-Jan-24",
        "1-Jan-2024-",
        "29-Feb-2023",
    ] {
        assert_eq!(Date::parse(bad), None, "{bad}");
    }
    for bad in [
        "1-Jan-2024 24:00:00 +0000",
        "1-Jan-2024 00:00:00 0000",
        "1-Jan-2024 00:00:00 +2400",
        "1-Jan-2024 00:00 +0000",
    ] {
        assert_eq!(DateTime::parse(bad), None, "{bad}");
    }
}

fn by_uid(text: &str, uids: &[u32]) -> Vec<(u32, u32)> {
    set(text)
        .by_uid(uids)
        .into_iter()
        .map(|range| (range.start, range.end))
        .collect()
}

#[test]
fn sets_resolve() {
    let uids = [2, 3, 5, 8, 13];
    assert_eq!(by_uid("1:*", &uids), [(0, 5)]);
    assert_eq!(by_uid("3,4,5", &uids), [(1, 3)]);
    assert_eq!(
        by_uid("20:*", &uids),
        [(4, 5)],
        "* is the largest even below the other end"
    );
    assert_eq!(by_uid("14", &uids), []);
    assert_eq!(by_uid("*", &[]), []);
    assert_eq!(by_uid("8:5,2", &uids), [(0, 1), (2, 4)]);
    assert_eq!(set("1:*").by_number(0), Ok(vec![]));
    assert_eq!(set("*:4,1,2").by_number(5), Ok(vec![0..2, 3..5]));
    assert!(set("6").by_number(5).is_err());
    assert!(set("1").by_number(0).is_err());
    assert!(set("1:4294967295").by_number(5).is_err());
    assert_eq!(compress([1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
}

#[test]
fn flags() {
    assert_eq!(Flag::parse("\\sEEN"), Some(Flag::Seen));
    assert_eq!(
        Flag::parse("$MDNSent"),
        Some(Flag::Keyword("$MDNSent".into()))
    );
    assert!(Flag::parse("$a").unwrap().same(&Flag::parse("$A").unwrap()));
    for bad in ["\\Recent", "\\*", "", "a b", "ü", "(x", &"x".repeat(129)] {
        assert_eq!(Flag::parse(bad), None, "{bad}");
    }
}

#[test]
fn runs_keep_their_order() {
    use mailpods_imap_proto::sequence::runs;
    assert_eq!(
        runs([3, 4, 2, 1, 5, 6, 7]),
        [(3, 4), (2, 2), (1, 1), (5, 7)]
    );
    assert_eq!(runs([u32::MAX, 1]), [(u32::MAX, u32::MAX), (1, 1)]);
    assert!(runs([]).is_empty());
}

#[test]
fn capabilities_follow_the_state() {
    let names = |context| capabilities(context).join(" ");
    let plain = names(CapabilityContext {
        starttls: true,
        ..CapabilityContext::default()
    });
    assert!(
        plain.contains("STARTTLS LOGINDISABLED") && !plain.contains("AUTH="),
        "{plain}"
    );
    let tls = names(CapabilityContext {
        tls: true,
        channel_binding: true,
        ..CapabilityContext::default()
    });
    assert!(
        tls.contains("AUTH=PLAIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS")
            && !tls.contains("LOGINDISABLED"),
        "{tls}"
    );
    let inside = names(CapabilityContext {
        tls: true,
        authenticated: true,
        ..CapabilityContext::default()
    });
    assert!(
        inside.contains("IDLE")
            && inside.contains("QUOTA=RES-STORAGE")
            && inside.contains(" ACL RIGHTS=texk ")
            && !inside.contains("AUTH="),
        "{inside}"
    );
}

#[test]
fn commands_wait_for_their_state() {
    use State::{Authenticated, Logout, NotAuthenticated, Selected};
    let table = [
        (CommandBody::Noop, [true, true, true, false]),
        (CommandBody::StartTls, [true, false, false, false]),
        (CommandBody::Namespace, [false, true, true, false]),
        (CommandBody::Idle, [false, true, true, false]),
        (
            CommandBody::Expunge { uids: None },
            [false, false, true, false],
        ),
    ];
    for (command, expected) in table {
        let found = [NotAuthenticated, Authenticated, Selected, Logout]
            .map(|state| permitted(state, &command));
        assert_eq!(found, expected, "{command:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn names_survive_utf7(name in "\\PC{0,30}") {
        let decoded = utf7::decode(&utf7::encode(&name));
        prop_assert_eq!(decoded.as_deref(), Ok(name.as_str()));
    }

    #[test]
    fn matching_is_what_its_definition_says(pattern in "[ab/*%]{0,9}", name in "[ab/]{0,9}") {
        prop_assume!(!pattern.starts_with('/'));
        let expected = naive(pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(ListPattern::new("", &pattern).matches(&name), expected);
    }

    #[test]
    fn days_survive_the_calendar(days in -700_000i64..2_900_000) {
        let date = Date::from_days(days);
        prop_assert_eq!(date.days(), days);
        prop_assert_eq!(Date::parse(&date.to_string()), Some(date));
    }

    #[test]
    fn moments_survive_printing(unix in 0i64..4_000_000_000, offset in -700i16..700) {
        let moment = DateTime { unix, offset };
        prop_assert_eq!(DateTime::parse(&moment.to_string()), Some(moment));
    }

    #[test]
    fn sets_survive_printing(pairs in prop::collection::vec((1u32..50, 1u32..50), 1..6), count in 0u32..60) {
        let text: Vec<String> = pairs.iter().map(|(from, to)| format!("{from}:{to}")).collect();
        let parsed = set(&text.join(","));
        prop_assert_eq!(set(&parsed.to_string()), parsed.clone());
        let uids: Vec<u32> = (1..=count).collect();
        let expected: Vec<u32> = uids.iter().copied().filter(|uid| pairs.iter().any(|(a, b)| (a.min(b)..=a.max(b)).contains(&uid))).collect();
        let found: Vec<u32> = parsed.by_uid(&uids).into_iter().flatten().map(|position| position + 1).collect();
        prop_assert_eq!(found, expected);
    }
}
