//! Only CRLF.CRLF ends a message: every other sequence is content or a fault, and what follows it is never a command.

use crate::common::Driver;
use mailpods_smtp_proto::server::{Config, OctetPolicy, Role};

const LOOKALIKES: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\n.\r",
    b"\r\n..\r\n",
    b"\r\n. \r\n",
];

fn talk(newlines: OctetPolicy, end: &[u8]) -> crate::common::Seen {
    let mut config = Config::new(Role::Mx, "mx.example.test");
    config.newlines = newlines;
    config.nul = newlines;
    let mut driver = Driver::new(config, false);
    let head = b"HELO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: x\r\n\r\nbody";
    let tail = b"MAIL FROM:<smuggled@b.example>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nsecond\r\n.\r\nQUIT\r\n";
    driver.feed(&[head, end, tail].concat());
    driver.seen
}

#[test]
fn a_lookalike_never_ends_a_message() {
    for newlines in [OctetPolicy::Reject, OctetPolicy::Mend] {
        for end in LOOKALIKES {
            let seen = talk(newlines, end);
            assert!(
                !seen.events.iter().any(|event| event.contains("smuggled")),
                "{:?}",
                end.escape_ascii().to_string()
            );
            assert_eq!(
                seen.output.matches("354").count(),
                1,
                "{:?}",
                end.escape_ascii().to_string()
            );
            assert!(
                seen.output.ends_with("221 2.0.0 closing connection\r\n"),
                "{}",
                seen.output
            );
        }
    }
}

#[test]
fn the_true_end_does() {
    let seen = talk(OctetPolicy::Reject, b"\r\n.\r\n");
    assert_eq!(
        seen.bodies,
        [
            b"Subject: x\r\n\r\nbody\r\n".to_vec(),
            b"second\r\n".to_vec()
        ]
    );
}

#[test]
fn a_bare_newline_or_nul_is_refused_by_default() {
    for (octets, reply) in [
        (&b"\n"[..], "550 5.6.11"),
        (b"\r", "550 5.6.11"),
        (b"\0", "554 5.6.0"),
    ] {
        let seen = talk(OctetPolicy::Reject, &[octets, b"\r\n.\r\n"].concat());
        assert!(seen.output.contains(reply), "{}", seen.output);
        assert_eq!(seen.bodies.len(), 1, "only the second message");
    }
}

#[test]
fn what_is_mended_and_sent_on_cannot_end_early_either() {
    use mailpods_smtp_proto::client::DotStuffer;
    for end in LOOKALIKES {
        let seen = talk(OctetPolicy::Mend, end);
        for body in seen.bodies {
            let mut wire = Vec::new();
            let mut stuffer = DotStuffer::default();
            stuffer.write(&body, &mut wire);
            stuffer.finish(&mut wire);
            let ends = memchr::memmem::find_iter(&wire, b"\r\n.\r\n").count();
            assert_eq!(ends, 1, "{}", wire.escape_ascii());
            assert!(wire.ends_with(b"\r\n.\r\n"));
        }
    }
}
