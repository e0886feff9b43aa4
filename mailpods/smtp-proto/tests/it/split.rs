//! Any split of the input gives the same events, and any octets are survived.

use crate::common::{Driver, Seen};
use mailpods_smtp_proto::client::DotStuffer;
use mailpods_smtp_proto::fuzzing::{fuzz_client, fuzz_server};
use mailpods_smtp_proto::server::{Config, OctetPolicy, Role};
use proptest::prelude::*;

fn run(stream: &[u8], cuts: &[usize], newlines: OctetPolicy) -> Seen {
    let mut config = Config::new(Role::Mx, "mx.example.test");
    config.newlines = newlines;
    config.nul = newlines;
    config.limits.message_size = 60;
    config.limits.line = 40;
    let mut driver = Driver::new(config, false);
    let mut rest = stream;
    for cut in cuts {
        let (piece, others) = rest.split_at((*cut).min(rest.len()));
        driver.feed(piece);
        rest = others;
    }
    driver.feed(rest);
    driver.seen
}

/// Pieces that sessions are made of, sound and broken.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"EHLO x\r\n".to_vec()),
        Just(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.test>\r\n".to_vec()),
        Just(b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<bob@example.test>\r\n".to_vec()),
        Just(b"DATA\r\n".to_vec()),
        Just(b"\r\n.\r\n".to_vec()),
        Just(b"..\r\n.x\r\n".to_vec()),
        Just(b"BDAT 5\r\nab\r\ncBDAT 3 LAST\r\nx\r\n".to_vec()),
        Just(b"BDAT 70 LAST\r\n".to_vec()),
        Just(b"RSET\r\n".to_vec()),
        Just(b"\n.\n".to_vec()),
        Just(b"\r.\r".to_vec()),
        Just(b"\0".to_vec()),
        "[a-z .]{0,50}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_split_gives_the_same_events(
        pieces in prop::collection::vec(piece(), 0..14),
        cuts in prop::collection::vec(0usize..9, 0..80),
        mend in any::<bool>(),
    ) {
        let newlines = if mend { OctetPolicy::Mend } else { OctetPolicy::Reject };
        let stream = [b"EHLO x\r\n".to_vec(), pieces.concat()].concat();
        prop_assert_eq!(run(&stream, &[], newlines), run(&stream, &cuts, newlines));
    }

    #[test]
    fn a_body_survives_stuffing_and_unstuffing(
        lines in prop::collection::vec("[a.]{0,5}", 0..8),
        cut in 0usize..30,
    ) {
        let body: String = lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
        let mut wire = b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n".to_vec();
        let mut stuffer = DotStuffer::default();
        let (first, second) = body.as_bytes().split_at(cut.min(body.len()));
        stuffer.write(first, &mut wire);
        stuffer.write(second, &mut wire);
        stuffer.finish(&mut wire);
        prop_assert_eq!(run(&wire, &[], OctetPolicy::Reject).bodies, vec![body.into_bytes()]);
    }

    #[test]
    fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_server(&octets);
        fuzz_client(&octets);
    }

    #[test]
    fn any_replies_are_survived(
        settings in any::<u8>(),
        replies in prop::collection::vec(prop_oneof![
            "[2-5][0-5][0-9][ -](2.0.0 )?[A-Za-z0-9= ]{0,12}\r\n",
            Just("250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n".to_owned()),
            Just("250 2.1.0 OK\r\n250 2.1.5 OK\r\n550 5.1.1 no\r\n354 go\r\n".to_owned()),
        ], 0..20),
    ) {
        let stream = [vec![settings], b"220 x\r\n".to_vec(), replies.concat().into_bytes()].concat();
        fuzz_client(&stream);
    }
}
