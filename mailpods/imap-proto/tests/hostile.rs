//! What a hostile client sends: every line has its refusal, and the connection goes on.

use mailpods_imap_proto::{
    Code, CommandBody, Decoder, Event, Limits, LineError, ParseError, Status, fuzzing,
};

/// The errors of `input`, and whether a NOOP behind it is understood.
fn errors(limits: Limits, input: &[u8]) -> Vec<LineError> {
    let mut decoder = Decoder::new(limits);
    decoder.feed(input);
    decoder.feed(b"ok NOOP\r\n");
    let events: Vec<Event> = std::iter::from_fn(|| decoder.next_event()).collect();
    let in_sync =
        matches!(events.last(), Some(Event::Command(command)) if command.body == CommandBody::Noop);
    assert!(
        in_sync,
        "out of step after {:?}: {events:?}",
        String::from_utf8_lossy(&input[..input.len().min(60)])
    );
    let bad = events.into_iter().filter_map(|event| match event {
        Event::BadLine(bad) => Some(bad.error),
        _ => None,
    });
    bad.collect()
}

fn expected(text: &'static str) -> LineError {
    LineError::Parse(ParseError::Expected(text))
}

#[test]
fn lines_that_are_no_commands() {
    let table: &[(&[u8], LineError)] = &[
        (
            b"EHLO example.com\r\n",
            LineError::Parse(ParseError::UnknownCommand),
        ),
        (b"+ NOOP\r\n", LineError::Parse(ParseError::Tag)),
        (b" NOOP\r\n", LineError::Parse(ParseError::Tag)),
        (b"GET / HTTP/1.1\r\n", expected("a command")),
        (b"a\r\n", expected("a space")),
        (b"a \r\n", expected("a command")),
        (b"a NO\0OP\r\n", LineError::Characters),
        (b"a NOOP\rx\r\n", LineError::Characters),
        (b"a LOGIN \"x\r\n", expected("a closing quote")),
        (b"a LOGIN \"x\\\r\n", expected("a closing quote")),
        (b"a LOGIN \xff \xff\r\n", expected("a string")),
        (
            b"a LOGIN \"\xff\" x\r\n",
            LineError::Parse(ParseError::Utf8),
        ),
        (
            b"a FETCH 0 FLAGS\r\n",
            expected("a message number or a set"),
        ),
        (
            b"a FETCH 4294967296 FLAGS\r\n",
            expected("a message number or a set"),
        ),
        (
            b"a FETCH 1,,2 FLAGS\r\n",
            expected("a message number or a set"),
        ),
        (
            b"a FETCH 1 BODY[99999999999999999999]\r\n",
            expected("a number"),
        ),
        (
            b"a UID UID FETCH\r\n",
            LineError::Parse(ParseError::UnknownCommand),
        ),
        (b"\x16\x03\x01\x02\n", LineError::Parse(ParseError::Tag)),
    ];
    for (line, error) in table {
        assert_eq!(
            errors(Limits::after_login(10), line),
            [*error],
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
}

#[test]
fn a_literal_over_the_limit_is_refused_and_the_stream_stays_in_step() {
    let small = Limits::default();
    // A client that waits for `+` sends nothing more of a refused command.
    assert_eq!(
        errors(small.clone(), b"a LOGIN {5000}\r\n"),
        [LineError::CommandTooLarge]
    );
    let mut unasked = b"a LOGIN {5000+}\r\n".to_vec();
    unasked.extend(std::iter::repeat_n(b'\n', 5000));
    unasked.extend_from_slice(b" {3+}\r\nx\r\n pw\r\n");
    assert_eq!(errors(small, &unasked), [LineError::CommandTooLarge]);
}

#[test]
fn a_message_over_the_limit_is_too_big() {
    let error = errors(Limits::after_login(10), b"a APPEND x {11}\r\n").remove(0);
    assert_eq!(
        (error, error.status(), error.code()),
        (LineError::MessageTooLarge, Status::No, Some(Code::TooBig))
    );
    assert_eq!(
        errors(
            Limits::after_login(10),
            b"a APPEND x {11+}\r\n12345678901\r\n"
        ),
        [LineError::MessageTooLarge]
    );
    let error = errors(
        Limits::after_login(10),
        b"a APPEND x {6+}\r\n123456 {6+}\r\n123456\r\n",
    )
    .remove(0);
    assert_eq!(
        (error, error.status(), error.code()),
        (LineError::MessagesTooLarge, Status::No, Some(Code::Limit))
    );
    assert_eq!(
        errors(
            Limits::after_login(10),
            b"a UID REPLACE 1 x {11+}\r\n12345678901\r\n"
        ),
        [LineError::MessageTooLarge]
    );
    let mut many = b"a APPEND x".to_vec();
    many.extend(b" {1+}\r\nx".repeat(300));
    many.extend_from_slice(b"\r\n");
    assert_eq!(
        errors(Limits::after_login(1000), &many),
        [LineError::CommandTooLarge]
    );
    let limits = Limits {
        literal: 5,
        ..Limits::after_login(100)
    };
    assert_eq!(
        errors(limits, b"a APPEND {6}\r\n"),
        [LineError::CommandTooLarge],
        "the name is no message"
    );
}

#[test]
fn literal_minus_refuses_large_unasked_literals() {
    let limits = Limits {
        literal_minus: true,
        ..Limits::after_login(1 << 20)
    };
    let mut input = b"a APPEND x {4097+}\r\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', 4097));
    input.extend_from_slice(b"\r\n");
    assert_eq!(errors(limits, &input), [LineError::LiteralMinus]);
}

#[test]
fn an_endless_line_is_refused_once_and_not_kept() {
    let mut decoder = Decoder::new(Limits::default());
    let mut refused = 0;
    decoder.feed(b"a1 ");
    for _ in 0..1000 {
        decoder.feed(&[b'x'; 1024]);
        while let Some(event) = decoder.next_event() {
            let Event::BadLine(bad) = event else {
                panic!("{event:?}")
            };
            assert_eq!(
                (bad.error, bad.tag.unwrap().as_str()),
                (LineError::LineTooLong, "a1")
            );
            refused += 1;
        }
        assert!(decoder.buffer().len() <= 16 * 1024);
    }
    assert_eq!(refused, 1);
    decoder.feed(b"\r\nok NOOP\r\n");
    assert!(matches!(decoder.next_event(), Some(Event::Command(_))));
}

#[test]
fn a_huge_announcement_takes_no_memory() {
    let mut decoder = Decoder::new(Limits::after_login(1 << 20));
    decoder.feed(b"a APPEND x {18446744073709551615999+}\r\n");
    assert!(matches!(decoder.next_event(), Some(Event::BadLine(_))));
    for _ in 0..100 {
        decoder.feed(&[b'x'; 64 * 1024]);
        assert_eq!(decoder.next_event(), None);
        assert!(!decoder.has_input());
    }
}

#[test]
fn nesting_ranges_and_literals_are_bounded() {
    let limits = Limits::after_login(10);
    let deep = |text: &str| {
        errors(
            limits.clone(),
            format!("a SEARCH {}ALL\r\n", text.repeat(5000)).as_bytes(),
        )
        .remove(0)
    };
    assert_eq!(deep("("), LineError::Parse(ParseError::Nesting));
    assert_eq!(deep("NOT "), LineError::Parse(ParseError::Nesting));
    assert_eq!(deep("OR "), LineError::Parse(ParseError::Nesting));
    assert_eq!(deep("NOT ").code(), Some(Code::Limit));
    let set = format!("a FETCH {}1 FLAGS\r\n", "1,".repeat(20_000));
    assert_eq!(
        errors(limits.clone(), set.as_bytes()),
        [LineError::Parse(ParseError::TooMany("ranges in the set"))]
    );
    let part = format!("a FETCH 1 BODY[{}1]\r\n", "1.".repeat(1000));
    assert_eq!(
        errors(limits.clone(), part.as_bytes()),
        [LineError::Parse(ParseError::Nesting)]
    );
    let literals = format!("a SEARCH {}ALL\r\n", "TEXT {0+}\r\n ".repeat(1000));
    assert_eq!(
        errors(limits, literals.as_bytes())[0],
        LineError::CommandTooLarge
    );
}

#[test]
fn the_fuzz_entry_takes_anything() {
    for mode in 0..=255u8 {
        fuzzing::fuzz_decoder(&[mode]);
        let mut input = vec![mode];
        input.extend_from_slice(
            b"a SEARCH (\r\n{5}\r\n~{3+}\r\nabc\r\na APPEND {1}\r\n~{9}\r\n\xff\0\r\r\n",
        );
        fuzzing::fuzz_decoder(&input);
    }
}
