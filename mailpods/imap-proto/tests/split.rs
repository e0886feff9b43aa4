//! Any split of the input gives the same events; any octets give events and no panic.

use mailpods_imap_proto::{CommandBody, Decoder, Event, Limits, fuzzing};
use proptest::prelude::*;

const LINES: &[&str] = &[
    "a NOOP\r\n",
    "b LOGIN {3}\r\nbob {5+}\r\npa\r\ns\r\n",
    "c LOGIN \"x\" \"y\"\r\n",
    "d APPEND INBOX (\\Seen) {6+}\r\nA: b\r\n\r\n",
    "e APPEND INBOX {99999999+}\r\n",
    "m APPEND INBOX {2+}\r\nab (\\Seen) ~{1+}\r\nc\r\n",
    "n SELECT a (QRESYNC (1 2 1:3 (1 2)))\r\n",
    "o UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)\r\n",
    "f SEARCH OR FROM {1+}\r\nx (NOT SEEN)\r\n",
    "g IDLE\r\n",
    "DONE\r\n",
    "h AUTHENTICATE PLAIN\r\n",
    "AGJvYgBwdw==\r\n",
    "i FETCH 1:* (FLAGS BODY[1.HEADER.FIELDS (a b)]<0.1>)\n",
    "nonsense\r\n",
    "\r\n",
    "j LOGIN {5000+}\r\nshort\r\n",
    "k NOOP xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
    "l NO\rOP\r\n",
];

fn follow(decoder: &mut Decoder, chunk: &[u8], events: &mut Vec<Event>) {
    decoder.feed(chunk);
    while let Some(event) = decoder.next_event() {
        if let Event::Command(command) = &event {
            match command.body {
                CommandBody::Idle => decoder.expect_done(),
                CommandBody::Authenticate { .. } => decoder.expect_auth_response(),
                _ => {}
            }
        }
        events.push(event);
    }
}

fn events(input: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut decoder = Decoder::new(Limits {
        line: 80,
        message: 1000,
        ..Limits::default()
    });
    let (mut events, mut rest) = (Vec::new(), input);
    for cut in cuts {
        let (chunk, after) = rest.split_at((cut % 40).min(rest.len()));
        follow(&mut decoder, chunk, &mut events);
        rest = after;
    }
    follow(&mut decoder, rest, &mut events);
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_events(
        lines in prop::collection::vec(0..LINES.len(), 1..8),
        cuts in prop::collection::vec(0usize..40, 0..60),
    ) {
        let input: Vec<u8> = lines.iter().flat_map(|line| LINES[*line].bytes()).collect();
        let octets = vec![1; input.len()];
        prop_assert_eq!(events(&input, &[]), events(&input, &cuts));
        prop_assert_eq!(events(&input, &[]), events(&input, &octets));
    }

    #[test]
    fn random_octets_are_refused_politely(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::fuzz_decoder(&octets);
        prop_assert_eq!(events(&octets, &[]), events(&octets, &[1; 300]));
    }

    #[test]
    fn random_words_are_refused_politely(
        words in prop::collection::vec(prop::sample::select(vec![
            "a ", "FETCH ", "UID ", "SEARCH ", "(", ")", "1:*", "{3+}\r\n", "\r\n", "\"", "\\", "BODY[", "]", "<0.1>", "NOT ", "OR ",
            "STORE ", "APPEND ", "x ", "~", "+FLAGS ", "LIST ", "RETURN ", "*", "%", "&AOQ-", "$", ",", "5", " ", "SELECT ", "QRESYNC ", "CHANGEDSINCE ", "VANISHED ",
        ]), 0..40),
        mode in any::<u8>(),
    ) {
        let mut input = vec![mode];
        input.extend(words.concat().bytes());
        fuzzing::fuzz_decoder(&input);
    }
}
