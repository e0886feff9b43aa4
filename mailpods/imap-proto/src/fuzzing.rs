//! Entry points for fuzzers; they run on stable, in tests and under cargo-fuzz alike.

use crate::client::data::{Fetched, ListedFolder, annotations, namespaces};
use crate::client::{ReplyLimits, Response, ResponseReader};
use crate::decoder::{Decoder, Event};
use crate::limits::Limits;
use crate::pattern::ListPattern;
use crate::url::MessageUrl;
use crate::{Append, AppendContent, CatenatePart, CommandBody, utf7};

/// Feeds `data` to a decoder as a client would send it: the first octet chooses the split and the mode. A fuzzer
/// looks for panics and for time.
///
/// # Panics
/// When a mailbox name does not survive its encoding, which is a defect.
pub fn fuzz_decoder(data: &[u8]) {
    let Some((mode, input)) = data.split_first() else {
        return;
    };
    let limits = if mode & 1 == 0 {
        Limits::default()
    } else {
        Limits::after_login(64 * 1024)
    };
    let mut decoder = Decoder::new(limits);
    decoder.set_utf8(mode & 2 != 0);
    let split = usize::from(mode >> 2) + 1;
    for chunk in input.chunks(split) {
        decoder.feed(chunk);
        while let Some(event) = decoder.next_event() {
            follow(&mut decoder, &event);
        }
    }
    decoder.release();
}

fn follow(decoder: &mut Decoder, event: &Event) {
    let Event::Command(command) = event else {
        return;
    };
    match &command.body {
        CommandBody::Idle => decoder.expect_done(),
        CommandBody::Authenticate { .. } => decoder.expect_auth_response(),
        CommandBody::List(list) => {
            for pattern in &list.patterns {
                let _ = ListPattern::new(&list.reference, pattern).matches("INBOX/a/b");
            }
        }
        CommandBody::Append(append) => follow_urls(append),
        CommandBody::Select { mailbox, .. } => {
            let name = mailbox.as_str();
            assert_eq!(
                utf7::decode(&utf7::encode(name)).as_deref(),
                Ok(name),
                "a name survives its encoding"
            );
        }
        _ => {}
    }
}

fn follow_urls(append: &Append) {
    for message in &append.messages {
        if let AppendContent::Catenate(parts) = &message.content {
            for part in parts {
                if let CatenatePart::Url(url) = part {
                    let _ = MessageUrl::parse(url);
                }
            }
        }
    }
}

/// Feeds `data` to a reader of responses as a server would send them: the first octet chooses the split. A fuzzer looks for panics, and
/// for memory beyond the limits.
///
/// # Panics
/// When the split changes what is read, which is a defect.
pub fn fuzz_client(data: &[u8]) {
    let Some((split, input)) = data.split_first() else {
        return;
    };
    let whole = read_all(input, input.len().max(1));
    assert_eq!(
        whole,
        read_all(input, usize::from(*split) + 1),
        "any split gives the same"
    );
    for response in &whole {
        if let Response::Data { values, .. } = response {
            let _ = Fetched::read(values);
            let _ = ListedFolder::read(values);
            let _ = namespaces(values);
            annotations(values).for_each(drop);
        }
    }
}

/// The responses up to what cannot be read.
fn read_all(input: &[u8], split: usize) -> Vec<Response> {
    let mut reader = ResponseReader::new(ReplyLimits {
        text: 4096,
        literals: 1024,
    });
    let mut responses = Vec::new();
    for chunk in input.chunks(split) {
        reader.buffer().extend_from_slice(chunk);
        loop {
            match reader.next_response() {
                Ok(Some(response)) => responses.push(response),
                Ok(None) => break,
                Err(_) => return responses,
            }
        }
    }
    responses
}
