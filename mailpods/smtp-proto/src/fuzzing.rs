//! Entry points for a fuzzer: any octets into either side. They panic only when an invariant is broken.

use crate::client::{
    Client, ClientConfig, Event as ClientEvent, Mode, Protocol, Recipient, Timeouts, TlsMode,
    Transaction,
};
use crate::reply::Reply;
use crate::server::{Config, Event, OctetPolicy, Role, Session};
use std::sync::Arc;
use std::time::Instant;

/// Feeds a server session. The first octet picks role and settings; the rest is the stream, fed in pieces whose size the
/// second octet picks.
pub fn fuzz_server(octets: &[u8]) {
    let [settings, piece, stream @ ..] = octets else {
        return;
    };
    let now = Instant::now();
    let mut session = Session::new(Arc::new(server_config(*settings)), settings & 1 == 0, now);
    session.greet();
    for part in stream.chunks(usize::from(*piece).max(1)) {
        let mut rest = part;
        while !rest.is_empty() {
            let taken = session.feed(rest, now);
            rest = rest.get(taken..).unwrap_or(&[]);
            if drain_server(&mut session, now) {
                return;
            }
        }
    }
}

fn server_config(settings: u8) -> Config {
    let role = [Role::Mx, Role::Submission, Role::Lmtp];
    let role = role
        .get(usize::from(settings >> 1) % 3)
        .copied()
        .unwrap_or(Role::Mx);
    let mut config = Config::new(role, "mx.example.test");
    config.starttls = true;
    config.require_auth = settings & 16 != 0;
    config.mechanisms = vec!["PLAIN".to_owned(), "SCRAM-SHA-256".to_owned()];
    if settings & 32 != 0 {
        config.newlines = OctetPolicy::Mend;
        config.nul = OctetPolicy::Mend;
    }
    config.limits.message_size = 4096;
    config
}

/// Takes events until input is needed; true when the session is over.
fn drain_server(session: &mut Session, now: Instant) -> bool {
    loop {
        match session.next_event() {
            Event::NeedInput => return false,
            Event::Closed => return true,
            Event::StartTls => session.tls_established(now),
            Event::NeedAnswer | Event::AuthResponse(_) => session.accept(),
            Event::AuthStart { .. } => session.auth_challenge(b"challenge"),
            Event::Rcpt { path, .. } if path.to_string().starts_with('x') => {
                session.answer(Reply::new(550, (1, 1), "no such mailbox"));
            }
            Event::BodyChunk(chunk) => assert!(!chunk.is_empty(), "an empty piece of a body"),
            Event::Hello { .. }
            | Event::Mail { .. }
            | Event::Rcpt { .. }
            | Event::BodyStart(_)
            | Event::BodyEnd
            | Event::Vrfy(_)
            | Event::Expn(_) => session.accept(),
            Event::Output(_)
            | Event::AuthAborted
            | Event::BodyRefused(_)
            | Event::Reset
            | Event::Fault(_)
            | Event::Quit => {}
        }
    }
}

/// Feeds a client that sends two messages. The first octet picks its settings.
pub fn fuzz_client(octets: &[u8]) {
    let [settings, stream @ ..] = octets else {
        return;
    };
    let tls = [
        TlsMode::Off,
        TlsMode::Opportunistic,
        TlsMode::Required,
        TlsMode::Implicit,
    ];
    let config = ClientConfig {
        protocol: if settings & 1 == 0 {
            Protocol::Smtp
        } else {
            Protocol::Lmtp
        },
        helo: "client.example.test".to_owned(),
        tls: tls
            .get(usize::from(settings >> 1) % 4)
            .copied()
            .unwrap_or(TlsMode::Off),
        pipelining: settings & 8 == 0,
        eight_bit: Mode::JustSend,
        timeouts: Timeouts::default(),
    };
    let mut client = Client::new(Arc::new(config));
    let mut messages = 2;
    for part in stream.chunks(7) {
        client.feed(part);
        if drain_client(&mut client, &mut messages) {
            return;
        }
    }
    client.lost();
    drain_client(&mut client, &mut messages);
}

fn drain_client(client: &mut Client, messages: &mut u32) -> bool {
    let mut sent = false;
    loop {
        match client.next_event() {
            ClientEvent::NeedInput => return false,
            ClientEvent::Closed | ClientEvent::Failed(_) => return true,
            ClientEvent::StartTls => client.tls_established(),
            ClientEvent::AuthChallenge(_) => client.auth_response(b"response"),
            ClientEvent::SendBody if std::mem::replace(&mut sent, true) => client.body_end(),
            ClientEvent::SendBody => client.body(b"Subject: x\r\n\r\n.dot\r\n"),
            ClientEvent::Ready(_) => client.auth("PLAIN", Some(b"")),
            ClientEvent::AuthDone(_) | ClientEvent::Done(_) => {
                if *messages == 0 || !client.is_reusable() {
                    client.quit();
                } else {
                    *messages -= 1;
                    client.send(two_recipients());
                }
            }
            ClientEvent::Output(_) => {}
        }
    }
}

fn two_recipients() -> Transaction {
    Transaction {
        sender: "alice@example.test".to_owned(),
        recipients: vec![
            Recipient::new("bob@example.test"),
            Recipient::new("carol@example.test"),
        ],
        size: 20,
        ..Transaction::default()
    }
}
