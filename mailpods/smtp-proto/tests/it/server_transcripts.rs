//! Runs `tests/transcripts/*.txt`. `C:` is a line from the client (CRLF added), `R:` raw octets with escapes, `S:` a line
//! from the server, `B:` a whole body that was accepted, `E:` an event that must have been seen, `X` a closed session;
//! `@name value` sets a listener up, `#` comments,
//! `{version}` the version of the package.

use crate::common::{Driver, unescape};
use mailpods_smtp_proto::server::{Config, OctetPolicy, Role};
use std::path::Path;

#[test]
fn every_transcript_plays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        play(path.file_name().unwrap().to_str().unwrap(), &text);
        played += 1;
    }
    assert!(played >= 10, "only {played} transcripts found");
}

fn setup(text: &str) -> (Config, bool) {
    let mut config = Config::new(Role::Mx, "mx.example.test");
    let mut tls = false;
    for line in text.lines().filter_map(|line| line.strip_prefix('@')) {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "role" => {
                let role = match value {
                    "mx" => Role::Mx,
                    "submission" => Role::Submission,
                    _ => Role::Lmtp,
                };
                config = Config::new(role, "mx.example.test");
            }
            "tls" => tls = true,
            "starttls" => config.starttls = true,
            "require_tls" => config.require_tls = true,
            "mechanisms" => config.mechanisms = value.split(' ').map(str::to_owned).collect(),
            "size" => config.limits.message_size = value.parse().unwrap(),
            "line" => config.limits.line = value.parse().unwrap(),
            "recipients" => config.limits.recipients = value.parse().unwrap(),
            "messages" => config.limits.messages = value.parse().unwrap(),
            "errors" => config.limits.errors = value.parse().unwrap(),
            "junk" => config.limits.junk = value.parse().unwrap(),
            "commands" => config.limits.commands = value.parse().unwrap(),
            "mend" => {
                config.newlines = OctetPolicy::Mend;
                config.nul = OctetPolicy::Mend;
            }
            other => panic!("unknown setting {other}"),
        }
    }
    (config, tls)
}

fn play(name: &str, text: &str) {
    let (config, tls) = setup(text);
    let mut driver = Driver::new(config, tls);
    let mut output = driver.take_output();
    let mut input = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        let (kind, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match kind {
            "C:" => input.extend([rest.as_bytes(), b"\r\n"].concat()),
            "R:" => input.extend(unescape(rest)),
            _ if !input.is_empty() => {
                driver.feed(&std::mem::take(&mut input));
                output.push_str(&driver.take_output());
            }
            _ => {}
        }
        match kind {
            "S:" => {
                let (first, others) = output
                    .split_once("\r\n")
                    .unwrap_or_else(|| panic!("{at}: no output, wanted {rest}"));
                let wanted = rest.replace("{version}", env!("CARGO_PKG_VERSION"));
                assert_eq!(first, wanted, "{at}");
                output = others.to_owned();
            }
            "B:" => {
                assert!(!driver.seen.bodies.is_empty(), "{at}: no body");
                let body = driver.seen.bodies.remove(0);
                assert_eq!(
                    String::from_utf8_lossy(&body),
                    String::from_utf8_lossy(&unescape(rest)),
                    "{at}"
                );
            }
            "E:" => {
                let found = driver
                    .seen
                    .events
                    .iter()
                    .position(|event| event.contains(rest));
                let found = found.unwrap_or_else(|| {
                    panic!("{at}: no event {rest} in {:#?}", driver.seen.events)
                });
                driver.seen.events.drain(..=found);
            }
            "X" => assert!(driver.seen.closed, "{at}: not closed"),
            _ => {}
        }
    }
    assert_eq!(output, "", "{name}: output left");
    assert!(driver.seen.bodies.is_empty(), "{name}: bodies left");
}
