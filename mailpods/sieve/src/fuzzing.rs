//! The entry point of the fuzz target: a script, and, after a line of `==`, a message that it runs over.

use std::sync::Arc;

use crate::{Answers, Envelope, Input, Limits, NoLibrary, Progress, Stage, compile, run};

/// Checks a script and runs it, all questions answered with yes.
///
/// # Panics
/// When an invariant does not hold: that is what a fuzzer looks for.
pub fn fuzz_sieve(input: &[u8]) {
    let split = memchr::memmem::find(input, b"\n==\n");
    let (script, message) = match split {
        Some(at) => (
            input.get(..at).unwrap_or_default(),
            input.get(at + 4..).unwrap_or_default(),
        ),
        None => (
            input,
            &b"From: a@b.test\r\nTo: c@d.test\r\nSubject: x\r\n\r\nbody\r\n"[..],
        ),
    };
    let limits = Limits {
        steps: 20_000,
        edited_octets: 4 << 20,
        ..Limits::default()
    };
    let script = match compile(script, &limits) {
        Ok(script) => Arc::new(script),
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            return;
        }
    };
    over(script, message, limits);
}

fn over(script: Arc<crate::Script>, message: &[u8], limits: Limits) {
    let input = Input {
        message,
        envelope: Some(Envelope {
            from: "a@b.test".to_owned(),
            to: "c@d.test".to_owned(),
            auth: None,
        }),
        owner: "c@d.test".to_owned(),
        addresses: Vec::new(),
        separators: vec!['+'],
        now: 1_700_000_000,
        offset_minutes: 0,
        random: [7; 16],
        hostname: "mx.d.test".to_owned(),
        environment: vec![("name".to_owned(), "Mailpods".to_owned())],
        spam_percent: Some(50),
        virus: None,
        flags: Vec::new(),
        library: &NoLibrary,
        limits,
        trace: true,
    };
    let stages = [Stage {
        name: "fuzz".to_owned(),
        script,
    }];
    let mut answers = Answers::default();
    let outcome = loop {
        match run(&stages, &input, &answers) {
            Progress::Done(outcome) => break outcome,
            Progress::Ask(question) => {
                let before = answers.len();
                answers.say(question, true);
                assert!(answers.len() > before, "a question was asked twice");
            }
        }
    };
    assert!(
        !outcome.actions.is_empty(),
        "nothing becomes of the message"
    );
    for version in &outcome.versions {
        assert!(
            version.octets(message).len() <= input.limits.edited_octets + message.len(),
            "an edited message is too large"
        );
    }
}
