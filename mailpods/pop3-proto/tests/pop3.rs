//! Commands as values, lines in any split, messages as responses.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use mailpods_pop3_proto::fuzzing;
use mailpods_pop3_proto::pop3::{
    CapabilityContext, Code, Command, Decoder, Event, LineError, MAX_LINE, ParseError, State,
    Stuffer, Writer, capabilities, permitted,
};
use proptest::prelude::*;

fn parsed(line: &str) -> Result<Command, ParseError> {
    Command::parse(line.as_bytes())
}

#[test]
fn commands_have_any_case_and_their_arguments() {
    for (line, wanted) in [
        ("QUIT", Command::Quit),
        ("stat ", Command::Stat),
        ("List", Command::List(None)),
        ("LIST 7", Command::List(Some(7))),
        ("UIDL 4294967295", Command::Uidl(Some(u32::MAX))),
        ("retr 1", Command::Retr(1)),
        (
            "TOP 3 0",
            Command::Top {
                message: 3,
                lines: 0,
            },
        ),
        (
            "USER a b@example.test",
            Command::User("a b@example.test".to_owned()),
        ),
    ] {
        assert_eq!(parsed(line), Ok(wanted), "{line}");
    }
}

#[test]
fn a_password_is_all_that_follows() {
    let Ok(Command::Pass(password)) = parsed("PASS  two words ") else {
        panic!("no password");
    };
    assert_eq!(password.as_bytes(), b" two words ");
    assert_eq!(format!("{password:?}"), "Password(hidden)");
    assert_eq!(parsed("PASS"), Err(ParseError::Arguments));
}

#[test]
fn initial_responses_are_base64() {
    let initial = |line: &str| match parsed(line) {
        Ok(Command::Auth { initial, .. }) => initial.map(|initial| initial.as_bytes().to_vec()),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(initial("AUTH PLAIN"), None);
    assert_eq!(initial("auth plain ="), Some(Vec::new()));
    assert_eq!(initial("AUTH PLAIN AGEAYg=="), Some(b"\0a\0b".to_vec()));
    assert_eq!(parsed("AUTH PLAIN !"), Err(ParseError::Base64));
    assert_eq!(parsed("AUTH"), Err(ParseError::Arguments));
    assert_eq!(parsed("AUTH PLAIN = x"), Err(ParseError::Arguments));
}

#[test]
fn what_is_no_command_is_told_as_such() {
    for (line, wanted) in [
        ("", ParseError::Unknown),
        ("LAST", ParseError::Unknown),
        (
            "APOP alice c4c9334bac560ecc979e58001b3e22fb",
            ParseError::Unknown,
        ),
        ("RETR", ParseError::Arguments),
        ("RETR 0", ParseError::Number),
        ("RETR -1", ParseError::Number),
        ("RETR +1", ParseError::Number),
        ("RETR 4294967296", ParseError::Number),
        ("LIST  1", ParseError::Number),
        ("TOP 1", ParseError::Arguments),
        ("TOP 1 2 3", ParseError::Arguments),
        ("QUIT now", ParseError::Arguments),
        ("USER", ParseError::Arguments),
    ] {
        assert_eq!(parsed(line), Err(wanted), "{line}");
    }
}

#[test]
fn states_permit_what_rfc_1939_permits() {
    let table = [
        ("CAPA", true, true),
        ("QUIT", true, true),
        ("STLS", true, false),
        ("AUTH PLAIN", true, false),
        ("USER a", true, false),
        ("PASS a", true, false),
        ("STAT", false, true),
        ("LIST", false, true),
        ("RETR 1", false, true),
        ("DELE 1", false, true),
        ("NOOP", false, true),
        ("RSET", false, true),
        ("TOP 1 1", false, true),
        ("UIDL", false, true),
    ];
    for (line, before, after) in table {
        let command = parsed(line).unwrap();
        assert_eq!(permitted(State::Authorization, &command), before, "{line}");
        assert_eq!(permitted(State::Transaction, &command), after, "{line}");
    }
}

#[test]
fn capabilities_depend_on_tls() {
    let stls = CapabilityContext {
        stls: true,
        user: false,
    };
    let lines = capabilities(stls, &[]);
    assert_eq!(lines.last().unwrap(), "STLS");
    assert!(!lines.contains(&"USER".to_owned()));
    let user = CapabilityContext {
        stls: false,
        user: true,
    };
    assert_eq!(
        capabilities(user, &["SCRAM-SHA-256", "PLAIN"]),
        [
            "TOP",
            "UIDL",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "PIPELINING",
            "EXPIRE NEVER",
            "USER",
            "SASL SCRAM-SHA-256 PLAIN",
        ]
    );
}

#[test]
fn responses_are_written() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.ok("2 320");
    writer.err(Some(Code::InUse), "locked");
    writer.err(None, "no");
    writer.challenge(b"");
    writer.line("1 120");
    writer.end();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "+OK 2 320\r\n-ERR [IN-USE] locked\r\n-ERR no\r\n+ \r\n1 120\r\n.\r\n"
    );
}

fn told(mut stuffer: Stuffer, message: &[u8], chunk: usize) -> String {
    let mut out = Vec::new();
    for octets in message.chunks(chunk) {
        if !stuffer.push(octets, &mut out) {
            break;
        }
    }
    stuffer.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn dots_are_doubled_and_lines_end_with_crlf() {
    for (message, wanted) in [
        ("", ".\r\n"),
        ("A: b\r\n\r\n.\r\n", "A: b\r\n\r\n..\r\n.\r\n"),
        ("A: b\r\n\r\nx.y", "A: b\r\n\r\nx.y\r\n.\r\n"),
        ("a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"),
        ("a\r", "a\r\n.\r\n"),
        ("...", "....\r\n.\r\n"),
    ] {
        for chunk in 1..=message.len().max(1) {
            assert_eq!(
                told(Stuffer::whole(), message.as_bytes(), chunk),
                wanted,
                "{message:?} {chunk}"
            );
        }
    }
}

#[test]
fn top_ends_behind_its_lines() {
    let message = "A: b\r\nC: d\r\n\r\none\r\n\r\n.three\r\n";
    for (lines, wanted) in [
        (0, "A: b\r\nC: d\r\n\r\n.\r\n"),
        (1, "A: b\r\nC: d\r\n\r\none\r\n.\r\n"),
        (2, "A: b\r\nC: d\r\n\r\none\r\n\r\n.\r\n"),
        (3, "A: b\r\nC: d\r\n\r\none\r\n\r\n..three\r\n.\r\n"),
        (9, "A: b\r\nC: d\r\n\r\none\r\n\r\n..three\r\n.\r\n"),
    ] {
        for chunk in 1..=message.len() {
            assert_eq!(
                told(Stuffer::top(lines), message.as_bytes(), chunk),
                wanted,
                "{lines} {chunk}"
            );
        }
    }
    assert_eq!(told(Stuffer::top(0), b"A: b\r\n", 2), "A: b\r\n.\r\n");
}

fn events(input: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut decoder = Decoder::default();
    let (mut events, mut rest) = (Vec::new(), input);
    let mut take = |chunk: &[u8]| {
        decoder.buffer().extend_from_slice(chunk);
        while let Some(event) = decoder.next_event() {
            if let Event::Command(Command::Auth { .. }) = event {
                decoder.expect_auth_response();
            }
            events.push(event);
        }
    };
    for cut in cuts {
        let (chunk, after) = rest.split_at((*cut).min(rest.len()));
        take(chunk);
        rest = after;
    }
    take(rest);
    events
}

#[test]
fn a_line_without_end_is_refused_once_and_thrown_away() {
    let long = "x".repeat(5 * MAX_LINE);
    let input = format!("{long}\r\nNOOP\r\n");
    let wanted = [
        Event::BadLine(LineError::TooLong),
        Event::Command(Command::Noop),
    ];
    for chunk in [1000, 16 * 1024, input.len()] {
        let cuts = vec![chunk; input.len() / chunk + 1];
        assert_eq!(events(input.as_bytes(), &cuts), wanted, "{chunk}");
    }
}

const LINES: &[&str] = &[
    "NOOP\r\n",
    "USER alice\r\n",
    "PASS two words\n",
    "AUTH PLAIN\r\n",
    "AGFsaWNlAHg=\r\n",
    "*\r\n",
    "RETR 1\r\n",
    "RETR\0\r\n",
    "LI\rST\r\n",
    "\r\n",
    "QUIT\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_events(
        lines in prop::collection::vec(0..LINES.len(), 1..12),
        cuts in prop::collection::vec(0usize..20, 0..60),
    ) {
        let input: Vec<u8> = lines.iter().flat_map(|line| LINES[*line].bytes()).collect();
        prop_assert_eq!(events(&input, &[]), events(&input, &cuts));
        prop_assert_eq!(events(&input, &[]), events(&input, &vec![1; input.len()]));
    }

    #[test]
    fn any_octets_are_refused_politely(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::fuzz_pop3(&octets);
        prop_assert_eq!(events(&octets, &[]), events(&octets, &[1; 300]));
    }

    #[test]
    fn a_client_reads_back_what_was_told(
        pieces in prop::collection::vec(prop::sample::select(vec!["a", ".", "\r\n", "\r\n.\r\n", "..", "\r", " x"]), 0..30),
        chunk in 1usize..8,
    ) {
        let message = pieces.concat() + "\r\n";
        let told = told(Stuffer::whole(), message.as_bytes(), chunk);
        let body = told.strip_suffix(".\r\n").unwrap();
        let read: String = body
            .split_inclusive("\r\n")
            .map(|line| line.strip_prefix('.').unwrap_or(line))
            .collect();
        prop_assert_eq!(read, message);
    }
}
