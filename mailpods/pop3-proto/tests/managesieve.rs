//! ManageSieve: commands as values, literals and lines in any split, responses.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use mailpods_pop3_proto::fuzzing;
use mailpods_pop3_proto::managesieve::{
    CapabilityContext, Code, Command, Decoder, Event, Limits, LineError, ParseError, ScriptName,
    State, Writer, capabilities, permitted,
};
use proptest::prelude::*;

fn events_of(input: &[u8], limits: Limits, cuts: &[usize]) -> Vec<Event> {
    let mut decoder = Decoder::new(limits);
    let (mut events, mut rest) = (Vec::new(), input);
    let mut take = |chunk: &[u8]| {
        decoder.buffer().extend_from_slice(chunk);
        while let Some(event) = decoder.next_event() {
            if let Event::Command(Command::Authenticate { .. }) = event {
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

fn events(input: &str) -> Vec<Event> {
    events_of(input.as_bytes(), Limits::after_login(1000), &[])
}

fn name(text: &str) -> ScriptName {
    ScriptName::parse(text.as_bytes()).unwrap()
}

#[test]
fn commands_have_strings_of_both_forms() {
    for (input, wanted) in [
        ("CAPABILITY\r\n", Command::Capability),
        ("logout\r\n", Command::Logout),
        ("NOOP\r\n", Command::Noop(None)),
        (
            "Noop \"a \\\"b\\\\\"\r\n",
            Command::Noop(Some("a \"b\\".to_owned())),
        ),
        ("STARTTLS\r\n", Command::StartTls),
        ("LISTSCRIPTS\r\n", Command::ListScripts),
        ("UNAUTHENTICATE\r\n", Command::Unauthenticate),
        ("SETACTIVE \"\"\r\n", Command::SetActive(None)),
        ("SETACTIVE {0+}\r\n\r\n", Command::SetActive(None)),
        ("SETACTIVE \"a\"\r\n", Command::SetActive(Some(name("a")))),
        ("GETSCRIPT {3+}\r\na b\r\n", Command::GetScript(name("a b"))),
        (
            "DELETESCRIPT \"\u{e4}\"\r\n",
            Command::DeleteScript(name("\u{e4}")),
        ),
        (
            "RENAMESCRIPT {1+}\r\na {1+}\r\nb\r\n",
            Command::RenameScript {
                from: name("a"),
                to: name("b"),
            },
        ),
        (
            "HAVESPACE \"a\" 99999\r\n",
            Command::HaveSpace {
                name: name("a"),
                octets: 99_999,
            },
        ),
        (
            "PUTSCRIPT \"a\" {9+}\r\nkeep;\r\n{}\r\n",
            Command::PutScript {
                name: name("a"),
                source: "keep;\r\n{}".into(),
            },
        ),
        (
            "CHECKSCRIPT \"keep;\"\r\n",
            Command::CheckScript("keep;".into()),
        ),
    ] {
        assert_eq!(events(input), [Event::Command(wanted)], "{input}");
    }
}

#[test]
fn what_is_no_command_is_told_as_such() {
    for (input, wanted) in [
        ("GET / HTTP/1.1\r\n", ParseError::Unknown),
        ("\"NOOP\"\r\n", ParseError::Unknown),
        ("CAPABILITY \"x\"\r\n", ParseError::Arguments),
        ("SETACTIVE\r\n", ParseError::Arguments),
        ("SETACTIVE a\r\n", ParseError::Arguments),
        ("GETSCRIPT \"\"\r\n", ParseError::Name),
        ("GETSCRIPT {3+}\r\na\tb\r\n", ParseError::Name),
        ("GETSCRIPT {4+}\r\na\u{2028}\r\n", ParseError::Name),
        ("HAVESPACE \"a\" \"1\"\r\n", ParseError::Number),
        ("HAVESPACE \"a\" -1\r\n", ParseError::Number),
        ("HAVESPACE \"a\" +1\r\n", ParseError::Number),
        ("GETSCRIPT a-b\r\n", ParseError::Arguments),
        (
            "HAVESPACE \"a\" 99999999999999999999\r\n",
            ParseError::Number,
        ),
        ("GETSCRIPT \"a\r\n", ParseError::Quoted),
        ("GETSCRIPT \"a\\n\"\r\n", ParseError::Quoted),
        ("GETSCRIPT {1}\r\n", ParseError::Literal),
        ("PUTSCRIPT \"a\"\"b\"\r\n", ParseError::Space),
        ("AUTHENTICATE \"PLAIN\" \"!\"\r\n", ParseError::Base64),
    ] {
        assert_eq!(events(input), [Event::BadLine(wanted.into())], "{input}");
    }
    let long = format!("GETSCRIPT \"{}\"\r\n", "x".repeat(1025));
    assert_eq!(events(&long), [Event::BadLine(ParseError::Quoted.into())]);
    assert_eq!(
        events("NO\rOP\r\n"),
        [Event::BadLine(LineError::Characters)]
    );
}

#[test]
fn a_refused_literal_is_thrown_away() {
    let script = "x".repeat(6000);
    let input = format!("PUTSCRIPT \"a\" {{6000+}}\r\n{script}\r\nNOOP\r\n");
    let wanted = [
        Event::BadLine(LineError::TooLarge),
        Event::Command(Command::Noop(None)),
    ];
    assert_eq!(events(&input), wanted);
    let input = format!("BAD {{6+}}\r\nNOOP\r\n {{6000+}}\r\n{script}\r\nNOOP\r\n");
    assert_eq!(events(&input), wanted);
    let input = "NONSENSE! {6+}\r\nNOOP\r\n\r\nNOOP\r\n";
    let unknown = Event::BadLine(ParseError::Unknown.into());
    assert_eq!(
        events(input),
        [unknown, Event::Command(Command::Noop(None))]
    );
}

#[test]
fn sasl_answers_are_strings() {
    let start = "AUTHENTICATE \"PLAIN\"\r\n";
    let last = |answer: &str| events(&format!("{start}{answer}")).pop().unwrap();
    for answer in ["\"AGEAYg==\"\r\n", "{8+}\r\nAGEAYg==\r\n"] {
        let Event::AuthResponse(response) = last(answer) else {
            panic!("{answer}");
        };
        assert_eq!(response.as_bytes(), b"\0a\0b");
    }
    assert_eq!(last("\"*\"\r\n"), Event::AuthCancelled);
    for answer in ["*\r\n", "\"!\"\r\n", "AGEAYg==\r\n", "\r\n"] {
        assert!(matches!(last(answer), Event::BadLine(_)), "{answer}");
    }
}

#[test]
fn states_permit_what_rfc_5804_permits() {
    let table = [
        ("CAPABILITY", true, true),
        ("NOOP", true, true),
        ("LOGOUT", true, true),
        ("STARTTLS", true, false),
        ("AUTHENTICATE \"PLAIN\"", true, false),
        ("UNAUTHENTICATE", false, true),
        ("HAVESPACE \"a\" 1", false, true),
        ("PUTSCRIPT \"a\" \"\"", false, true),
        ("LISTSCRIPTS", false, true),
        ("SETACTIVE \"a\"", false, true),
        ("GETSCRIPT \"a\"", false, true),
        ("DELETESCRIPT \"a\"", false, true),
        ("RENAMESCRIPT \"a\" \"b\"", false, true),
        ("CHECKSCRIPT \"\"", false, true),
    ];
    for (line, before, after) in table {
        let mut found = events(&format!("{line}\r\n"));
        let Some(Event::Command(command)) = found.pop() else {
            panic!("{line}");
        };
        assert_eq!(
            permitted(State::NotAuthenticated, &command),
            before,
            "{line}"
        );
        assert_eq!(permitted(State::Authenticated, &command), after, "{line}");
    }
}

#[test]
fn responses_are_written() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.ok(None, "");
    writer.ok(Some(Code::Tag("a\"b")), "done");
    writer.no(Some(Code::QuotaMaxSize), "line 1\r\nline 2");
    writer.bye(None, "see you");
    writer.challenge(b"");
    writer.script("a \\ b", true);
    writer.script("c", false);
    writer.source(b"keep;");
    let context = CapabilityContext {
        starttls: true,
        extensions: vec!["fileinto", "vacation"],
        redirects: 4,
        ..CapabilityContext::default()
    };
    for (name, value) in capabilities(&context) {
        writer.capability(name, value.as_deref());
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "OK\r\nOK (TAG \"a\\\"b\") \"done\"\r\nNO (QUOTA/MAXSIZE) {14}\r\nline 1\r\nline 2\r\nBYE \"see you\"\r\n\"\"\r\n\
         \"a \\\\ b\" ACTIVE\r\n\"c\"\r\n{5}\r\nkeep;\r\n\
         \"IMPLEMENTATION\" \"Mailpods\"\r\n\"VERSION\" \"1.0\"\r\n\"SIEVE\" \"fileinto vacation\"\r\n\"SASL\" \"\"\r\n\
         \"NOTIFY\" \"mailto\"\r\n\"MAXREDIRECTS\" \"4\"\r\n\"UNAUTHENTICATE\"\r\n\"STARTTLS\"\r\n"
    );
}

const LINES: &[&str] = &[
    "NOOP\r\n",
    "\r\n",
    "PUTSCRIPT \"a\" {6+}\r\nkeep;\n\r\n",
    "PUTSCRIPT {1+}\r\na {2+}\r\n\"x\r\n",
    "PUTSCRIPT \"a\" {90+}\r\nshort\r\n",
    "AUTHENTICATE \"PLAIN\"\r\n",
    "\"AGEAYg==\"\r\n",
    "\"*\"\r\n",
    "SETACTIVE \"a{5+}\"\r\n",
    "nonsense {3+}\r\nabc {2+}\r\nxy\r\n",
    "GETSCRIPT \"a\n",
    "NO\0OP {4+}\r\nabcd\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_events(
        lines in prop::collection::vec(0..LINES.len(), 1..10),
        cuts in prop::collection::vec(0usize..20, 0..60),
    ) {
        let input: Vec<u8> = lines.iter().flat_map(|line| LINES[*line].bytes()).collect();
        let limits = Limits { literals: 40 };
        let whole = events_of(&input, limits, &[]);
        prop_assert_eq!(&whole, &events_of(&input, limits, &cuts));
        prop_assert_eq!(&whole, &events_of(&input, limits, &vec![1; input.len()]));
    }

    #[test]
    fn any_octets_are_refused_politely(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::fuzz_managesieve(&octets);
        let limits = Limits { literals: 40 };
        prop_assert_eq!(events_of(&octets, limits, &[]), events_of(&octets, limits, &[1; 300]));
    }

    #[test]
    fn random_words_are_refused_politely(
        words in prop::collection::vec(prop::sample::select(vec![
            "PUTSCRIPT ", "\"a\" ", "{3+}\r\n", "abc", "\r\n", "\"", "\\", " ", "5", "{", "}", "+", "NOOP", "AUTHENTICATE ",
        ]), 0..40),
        mode in any::<u8>(),
    ) {
        let mut input = vec![mode];
        input.extend(words.concat().bytes());
        fuzzing::fuzz_managesieve(&input);
    }
}
