//! Entry points for fuzzers; they run on stable, in tests and under cargo-fuzz alike.

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
