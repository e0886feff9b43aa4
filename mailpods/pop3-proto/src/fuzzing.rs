//! Entry points for fuzzers; they run on stable, in tests and under cargo-fuzz alike.

use crate::managesieve;
use crate::pop3::{self, Command, Event};

/// Feeds `data` to a decoder as a client would send it: the first octet chooses the split. The same octets are told as a message in
/// pieces. A fuzzer looks for panics and for time.
///
/// # Panics
/// When a line is kept beyond its bound, or a message could end its response early, which are defects.
pub fn fuzz_pop3(data: &[u8]) {
    let Some((mode, input)) = data.split_first() else {
        return;
    };
    let split = usize::from(mode >> 1) + 1;
    let mut decoder = pop3::Decoder::default();
    for chunk in input.chunks(split) {
        decoder.buffer().extend_from_slice(chunk);
        while let Some(event) = decoder.next_event() {
            if let Event::Command(Command::Auth { .. }) = event {
                decoder.expect_auth_response();
            }
        }
        assert!(
            decoder.buffer().len() <= pop3::MAX_LINE + 1,
            "a line is kept beyond its bound"
        );
    }
    decoder.release();
    let stuffer = match mode & 1 {
        0 => pop3::Stuffer::whole(),
        _ => pop3::Stuffer::top(u32::from(*mode)),
    };
    told(stuffer, input, split);
}

fn told(mut stuffer: pop3::Stuffer, input: &[u8], split: usize) {
    let mut out = Vec::new();
    for chunk in input.chunks(split) {
        if !stuffer.push(chunk, &mut out) {
            break;
        }
    }
    stuffer.finish(&mut out);
    let end = memchr::memmem::find(&out, b"\r\n.\r\n").map_or(0, |at| at + 2);
    assert!(
        out.get(end..) == Some(b".\r\n"),
        "a message ends its response early"
    );
}

/// Feeds `data` to a decoder as a client would send it: the first octet chooses the split and the mode.
///
/// # Panics
/// When more is kept than the limits allow, which is a defect.
pub fn fuzz_managesieve(data: &[u8]) {
    let Some((mode, input)) = data.split_first() else {
        return;
    };
    let limits = match mode & 1 {
        0 => managesieve::Limits::default(),
        _ => managesieve::Limits { literals: 100 },
    };
    let split = usize::from(mode >> 1) + 1;
    let mut decoder = managesieve::Decoder::new(limits);
    for chunk in input.chunks(split) {
        decoder.buffer().extend_from_slice(chunk);
        while let Some(event) = decoder.next_event() {
            answered(&mut decoder, event);
        }
        // The longest line, or the longest literal.
        let most = limits.literals.max(8193);
        assert!(
            decoder.buffer().len() as u64 <= most,
            "more is kept than the limits allow"
        );
    }
    decoder.release();
}

fn answered(decoder: &mut managesieve::Decoder, event: managesieve::Event) {
    let managesieve::Event::Command(command) = event else {
        return;
    };
    match command {
        managesieve::Command::Authenticate { .. } => decoder.expect_auth_response(),
        managesieve::Command::Noop(Some(tag)) => {
            let mut out = Vec::new();
            let code = managesieve::Code::Tag(&tag);
            managesieve::Writer::new(&mut out).ok(Some(code), &tag);
        }
        _ => {}
    }
}
