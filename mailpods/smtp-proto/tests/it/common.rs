//! A driver for server sessions: answers by the local part, collects bodies and events.

use mailpods_smtp_proto::Reply;
use mailpods_smtp_proto::server::{Config, Event, Session};
use std::sync::Arc;
use std::time::Instant;

/// What a session did.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Seen {
    /// All output.
    pub output: String,
    /// Events in words; pieces of a body are put together.
    pub events: Vec<String>,
    /// Bodies that were whole.
    pub bodies: Vec<Vec<u8>>,
    /// The session closed.
    pub closed: bool,
}

pub struct Driver {
    pub session: Session,
    pub seen: Seen,
    body: Vec<u8>,
    now: Instant,
}

impl Driver {
    pub fn new(config: Config, tls: bool) -> Driver {
        let now = Instant::now();
        let mut session = Session::new(Arc::new(config), tls, now);
        session.greet();
        let mut driver = Driver {
            session,
            seen: Seen::default(),
            body: Vec::new(),
            now,
        };
        driver.run();
        driver
    }

    pub fn feed(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() && !self.seen.closed {
            let taken = self.session.feed(octets, self.now);
            octets = &octets[taken..];
            self.run();
        }
    }

    pub fn take_output(&mut self) -> String {
        std::mem::take(&mut self.seen.output)
    }

    pub fn run(&mut self) {
        loop {
            let event = self.session.next_event();
            let word = match &event {
                Event::BodyChunk(_) | Event::Output(_) | Event::NeedInput | Event::NeedAnswer => {
                    None
                }
                event => Some(format!("{event:?}")),
            };
            match event {
                Event::NeedInput => return,
                Event::Closed => {
                    self.seen.closed = true;
                    return;
                }
                Event::Output(output) => self
                    .seen
                    .output
                    .push_str(&String::from_utf8(output).unwrap()),
                Event::BodyChunk(chunk) => self.body.extend_from_slice(chunk),
                Event::StartTls => self.session.tls_established(self.now),
                Event::Rcpt { path, .. } => {
                    let reply = verdict(&path.to_string());
                    match reply {
                        Some(reply) => self.session.answer(reply),
                        None => self.session.accept(),
                    }
                }
                Event::AuthStart { initial: None, .. } => self.session.auth_challenge(b""),
                Event::AuthStart {
                    initial: Some(secret),
                    ..
                }
                | Event::AuthResponse(secret) => self.login(&secret),
                Event::BodyStart(_) => {
                    self.body.clear();
                    self.session.accept();
                }
                Event::BodyEnd => {
                    self.seen.bodies.push(std::mem::take(&mut self.body));
                    self.session.accept();
                }
                Event::NeedAnswer => self
                    .session
                    .answer(Reply::new(451, (3, 0), "second answer")),
                Event::Hello { .. } | Event::Mail { .. } | Event::Vrfy(_) | Event::Expn(_) => {
                    self.session.accept()
                }
                Event::AuthAborted
                | Event::BodyRefused(_)
                | Event::Reset
                | Event::Fault(_)
                | Event::Quit => {}
            }
            self.seen.events.extend(word);
        }
    }

    fn login(&mut self, secret: &[u8]) {
        if secret == b"\0alice\0secret" {
            self.session.accept();
        } else {
            self.session.answer(Reply::new(
                535,
                (7, 8),
                "authentication credentials invalid",
            ));
        }
    }
}

fn verdict(recipient: &str) -> Option<Reply> {
    match recipient.split('@').next() {
        Some("unknown") => Some(Reply::new(550, (1, 1), "no such mailbox")),
        Some("full") => Some(Reply::new(452, (2, 2), "mailbox is full")),
        _ => None,
    }
}

/// `\r`, `\n`, `\0`, `\\`, `\xHH`.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                'r' => out.push(b'\r'),
                'n' => out.push(b'\n'),
                '0' => out.push(0),
                'x' => {
                    let hex: String = chars.by_ref().take(2).collect();
                    out.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                other => out.extend(other.to_string().as_bytes()),
            },
            c => out.extend(c.to_string().as_bytes()),
        }
    }
    out
}
