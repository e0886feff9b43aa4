//! The client against scripted servers and against our own server.

use crate::common::Driver;
use mailpods_smtp_proto::client::{
    Client, ClientConfig, Event, Failure, Missing, Mode, Outcome, Phase, Protocol, Recipient,
    Timeouts, TlsMode, Transaction,
};
use mailpods_smtp_proto::server::{Config, Role};
use mailpods_smtp_proto::{BodyType, Notify, Orcpt, Ret};
use std::sync::Arc;
use std::time::Duration;

fn client(protocol: Protocol, tls: TlsMode) -> Client {
    let config = ClientConfig {
        protocol,
        helo: "client.example".into(),
        tls,
        pipelining: true,
        eight_bit: Mode::Strict,
        timeouts: Timeouts::default(),
    };
    Client::new(Arc::new(config))
}

fn message(recipients: &[&str]) -> Transaction {
    Transaction {
        sender: "a@b.example".into(),
        recipients: recipients.iter().map(|r| Recipient::new(*r)).collect(),
        size: 12,
        ..Transaction::default()
    }
}

/// Plays `(what the server says, what the client must write next)`; the body goes when asked. Gives the events.
fn play(
    client: &mut Client,
    transaction: Option<Transaction>,
    script: &[(&str, &str)],
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut transaction = transaction;
    for (server, wanted) in script {
        client.feed(server.as_bytes());
        let mut written = String::new();
        let mut body = vec![".hi\r\nthere"];
        loop {
            match client.next_event() {
                Event::NeedInput | Event::Closed => break,
                Event::Output(output) => written.push_str(&String::from_utf8(output).unwrap()),
                Event::SendBody => match body.pop() {
                    Some(piece) => client.body(piece.as_bytes()),
                    None => client.body_end(),
                },
                Event::StartTls => {
                    events.push(Event::StartTls);
                    client.tls_established();
                }
                Event::Ready(capabilities) => {
                    events.push(Event::Ready(capabilities));
                    if let Some(transaction) = transaction.take() {
                        client.send(transaction);
                    }
                }
                event => events.push(event),
            }
        }
        assert_eq!(&written, wanted, "after {server:?}");
    }
    events
}

fn outcomes(events: &[Event]) -> &[Outcome] {
    events
        .iter()
        .find_map(|event| match event {
            Event::Done(result) => Some(result.recipients.as_slice()),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no result in {events:?}"))
}

#[test]
fn sends_in_one_group_where_pipelining_is_offered() {
    let mut client = client(Protocol::Smtp, TlsMode::Opportunistic);
    let script = [
        ("220 mx ready\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250-PIPELINING\r\n250 SIZE 1000\r\n",
            "MAIL FROM:<a@b.example> SIZE=12\r\nRCPT TO:<x@c.example>\r\nRCPT TO:<y@c.example>\r\nDATA\r\n",
        ),
        (
            "250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n",
            "..hi\r\nthere\r\n.\r\n",
        ),
        ("250 2.0.0 queued\r\n", ""),
    ];
    let events = play(
        &mut client,
        Some(message(&["x@c.example", "y@c.example"])),
        &script,
    );
    let found = outcomes(&events);
    assert!(
        matches!(&found[0], Outcome::Permanent(reply) if reply.enhanced().unwrap().to_string() == "5.1.1")
    );
    assert!(matches!(&found[1], Outcome::Accepted(reply) if reply.text() == "queued"));
    assert!(client.is_reusable());
    client.quit();
    play(&mut client, None, &[("", "QUIT\r\n"), ("221 bye\r\n", "")]);
}

#[test]
fn goes_step_by_step_after_helo_and_resets_before_the_next() {
    let mut client = client(Protocol::Smtp, TlsMode::Opportunistic);
    let script = [
        ("220 old\r\n", "EHLO client.example\r\n"),
        ("502 what\r\n", "HELO client.example\r\n"),
        ("250 old\r\n", "MAIL FROM:<a@b.example>\r\n"),
        ("250 ok\r\n", "RCPT TO:<x@c.example>\r\n"),
        ("450 later\r\n", ""),
    ];
    let events = play(&mut client, Some(message(&["x@c.example"])), &script);
    assert!(matches!(outcomes(&events), [Outcome::Temporary(_)]));
    client.send(message(&["z@c.example"]));
    let script = [
        ("", "RSET\r\n"),
        ("250 ok\r\n", "MAIL FROM:<a@b.example>\r\n"),
        ("550 5.7.1 no\r\n", ""),
    ];
    let events = play(&mut client, None, &script);
    assert!(matches!(outcomes(&events), [Outcome::Permanent(_)]));
}

#[test]
fn an_empty_body_goes_when_no_recipient_is_left() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250 PIPELINING\r\n",
            "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@c.example>\r\nDATA\r\n",
        ),
        ("250 ok\r\n550 no\r\n354 go\r\n", ".\r\n"),
        ("554 no recipients\r\n", ""),
    ];
    let events = play(&mut client, Some(message(&["x@c.example"])), &script);
    assert!(matches!(outcomes(&events), [Outcome::Permanent(reply)] if reply.code() == 550));
    assert!(client.is_reusable());
}

#[test]
fn starttls_is_used_and_required() {
    let mut opportunistic = client(Protocol::Smtp, TlsMode::Opportunistic);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        ("250-mx\r\n250 STARTTLS\r\n", "STARTTLS\r\n"),
        ("220 go\r\n", "EHLO client.example\r\n"),
        ("250 mx\r\n", ""),
    ];
    let events = play(&mut opportunistic, None, &script);
    assert_eq!(events[0], Event::StartTls);
    assert!(opportunistic.is_tls());

    let mut required = client(Protocol::Smtp, TlsMode::Required);
    let events = play(
        &mut required,
        None,
        &[
            ("220 mx\r\n", "EHLO client.example\r\n"),
            ("250 mx\r\n", "QUIT\r\n"),
            ("221 bye\r\n", ""),
        ],
    );
    assert_eq!(events, [Event::Failed(Failure::TlsUnavailable)]);
    assert_eq!(required.next_event(), Event::Closed);
}

#[test]
fn a_server_that_refuses_is_left_with_quit() {
    let refused = |events: &[Event], code: u16| matches!(events, [Event::Failed(Failure::Refused(reply))] if reply.code() == code);
    let mut at_greeting = client(Protocol::Smtp, TlsMode::Off);
    let script = [("554 not here\r\n", "QUIT\r\n"), ("221 bye\r\n", "")];
    assert!(refused(&play(&mut at_greeting, None, &script), 554));
    assert_eq!(at_greeting.next_event(), Event::Closed);

    let mut at_hello = client(Protocol::Smtp, TlsMode::Off);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        ("450 not now\r\n", "QUIT\r\n"),
    ];
    assert!(refused(&play(&mut at_hello, None, &script), 450));
    at_hello.lost();
    assert_eq!(at_hello.next_event(), Event::Closed);

    let mut closing = client(Protocol::Smtp, TlsMode::Off);
    let script = [("421 going down\r\n", "")];
    assert!(refused(&play(&mut closing, None, &script), 421));
    assert_eq!(closing.next_event(), Event::Closed);
}

#[test]
fn octets_injected_after_the_starttls_reply_end_the_session() {
    let mut client = client(Protocol::Smtp, TlsMode::Opportunistic);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        ("250-mx\r\n250 STARTTLS\r\n", "STARTTLS\r\n"),
        ("220 go\r\n250 injected\r\n", ""),
    ];
    let events = play(&mut client, None, &script);
    assert!(matches!(
        &events[0],
        Event::Failed(Failure::Violation {
            phase: Phase::Tls,
            ..
        })
    ));
}

#[test]
fn lmtp_has_an_outcome_per_recipient() {
    let mut client = client(Protocol::Lmtp, TlsMode::Off);
    let script = [
        ("220 mx\r\n", "LHLO client.example\r\n"),
        (
            "250-mx\r\n250 PIPELINING\r\n",
            "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@c.example>\r\nRCPT TO:<y@c.example>\r\nDATA\r\n",
        ),
        (
            "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
            "..hi\r\nthere\r\n.\r\n",
        ),
        ("250 ok\r\n", ""),
        ("452 4.2.2 full\r\n", ""),
    ];
    let events = play(
        &mut client,
        Some(message(&["x@c.example", "y@c.example"])),
        &script,
    );
    assert!(matches!(
        outcomes(&events),
        [Outcome::Accepted(_), Outcome::Temporary(_)]
    ));
}

#[test]
fn a_binary_message_goes_by_bdat() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let transaction = Transaction {
        body: BodyType::BinaryMime,
        ..message(&["x@c.example"])
    };
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n",
            "MAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<x@c.example>\r\n",
        ),
        (
            "250 ok\r\n250 ok\r\n",
            "BDAT 10\r\n.hi\r\nthereBDAT 0 LAST\r\n",
        ),
        ("250 10 octets\r\n250 queued\r\n", ""),
    ];
    let events = play(&mut client, Some(transaction), &script);
    assert!(matches!(outcomes(&events), [Outcome::Accepted(_)]));
}

#[test]
fn a_server_that_has_the_last_chunk_may_have_the_message() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let transaction = Transaction {
        body: BodyType::BinaryMime,
        ..message(&["x@c.example"])
    };
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250-PIPELINING\r\n250-BINARYMIME\r\n250 CHUNKING\r\n",
            "MAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<x@c.example>\r\n",
        ),
        (
            "250 ok\r\n250 ok\r\n",
            "BDAT 10\r\n.hi\r\nthereBDAT 0 LAST\r\n",
        ),
    ];
    play(&mut client, Some(transaction), &script);
    client.lost();
    let events = play(&mut client, None, &[("", "")]);
    assert_eq!(outcomes(&events), [Outcome::Lost(Phase::DataEnd)]);
}

#[test]
fn dsn_parameters_pass_where_offered() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let mut transaction = message(&["x@c.example"]);
    transaction.ret = Some(Ret::Headers);
    transaction.envid = Some("a b".into());
    transaction.recipients[0].notify = Some(Notify {
        failure: true,
        ..Notify::default()
    });
    transaction.recipients[0].orcpt = Some(Orcpt {
        address_type: "rfc822".into(),
        address: "q+1@c.example".into(),
    });
    let wanted = "MAIL FROM:<a@b.example> RET=HDRS ENVID=a+20b\r\n";
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        ("250-mx\r\n250 DSN\r\n", wanted),
        (
            "250 ok\r\n",
            "RCPT TO:<x@c.example> NOTIFY=FAILURE ORCPT=rfc822;q+2B1@c.example\r\n",
        ),
    ];
    play(&mut client, Some(transaction), &script);
}

#[test]
fn what_is_not_offered_is_told_without_a_try() {
    let cases = [
        (
            Transaction {
                smtputf8: true,
                ..message(&["x@c.example"])
            },
            Outcome::Unsupported(Missing::SmtpUtf8),
        ),
        (
            Transaction {
                body: BodyType::EightBitMime,
                ..message(&["x@c.example"])
            },
            Outcome::Unsupported(Missing::EightBitMime),
        ),
        (
            Transaction {
                body: BodyType::BinaryMime,
                ..message(&["x@c.example"])
            },
            Outcome::Unsupported(Missing::BinaryMime),
        ),
        (
            Transaction {
                size: 101,
                ..message(&["x@c.example"])
            },
            Outcome::TooLarge(100),
        ),
        (
            message(&["x> SIZE=1"]),
            Outcome::Violation("address cannot be sent".into()),
        ),
    ];
    for (transaction, wanted) in cases {
        let mut client = client(Protocol::Smtp, TlsMode::Off);
        let script = [
            ("220 mx\r\n", "EHLO client.example\r\n"),
            ("250-mx\r\n250 SIZE 100\r\n", ""),
        ];
        let events = play(&mut client, Some(transaction), &script);
        assert_eq!(outcomes(&events), [wanted]);
    }
}

#[test]
fn rcptmax_and_mailmax_are_kept() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1 MAILMAX=1\r\n",
            "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@c.example>\r\nDATA\r\n",
        ),
        ("250 ok\r\n250 ok\r\n354 go\r\n", "..hi\r\nthere\r\n.\r\n"),
        ("250 ok\r\n", ""),
    ];
    let events = play(
        &mut client,
        Some(message(&["x@c.example", "y@c.example"])),
        &script,
    );
    assert!(matches!(
        outcomes(&events),
        [Outcome::Accepted(_), Outcome::NotTried]
    ));
    assert!(!client.is_reusable());
}

#[test]
fn a_connection_lost_after_the_end_mark_is_told_apart() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250 PIPELINING\r\n",
            "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@c.example>\r\nDATA\r\n",
        ),
        ("250 ok\r\n250 ok\r\n354 go\r\n", "..hi\r\nthere\r\n.\r\n"),
    ];
    play(&mut client, Some(message(&["x@c.example"])), &script);
    assert_eq!(client.timeout().as_secs(), 600);
    client.lost();
    let events = play(&mut client, None, &[("", "")]);
    assert_eq!(outcomes(&events), [Outcome::Lost(Phase::DataEnd)]);
    assert_eq!(events[1], Event::Failed(Failure::Lost(Phase::DataEnd)));
}

#[test]
fn replies_that_are_none_end_the_session() {
    for reply in [
        "SSH-2.0\r\n",
        "25 x\r\n",
        "999 x\r\n",
        "250-a\r\n251 b\r\n",
        "250_x\r\n",
    ] {
        let mut client = client(Protocol::Smtp, TlsMode::Off);
        let events = play(&mut client, None, &[(reply, "")]);
        assert!(
            matches!(&events[0], Event::Failed(Failure::Violation { .. })),
            "{reply:?}"
        );
    }
    let mut endless = client(Protocol::Smtp, TlsMode::Off);
    let events = play(
        &mut endless,
        None,
        &[("220-x\r\n".repeat(200).as_str(), "")],
    );
    assert!(matches!(
        &events[0],
        Event::Failed(Failure::Violation { .. })
    ));
}

#[test]
fn codes_alone_and_unknown_codes_are_understood_by_their_first_digit() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let script = [
        ("229\r\n", "EHLO client.example\r\n"),
        ("259 mx\r\n", "MAIL FROM:<a@b.example>\r\n"),
        ("250\r\n", "RCPT TO:<x@c.example>\r\n"),
        ("259-one\r\n259\r\n", "RCPT TO:<y@c.example>\r\n"),
        ("499 odd\r\n", "RCPT TO:<z@c.example>\r\n"),
        ("599\r\n", "DATA\r\n"),
        ("354\r\n", "..hi\r\nthere\r\n.\r\n"),
        ("299\r\n", ""),
    ];
    let recipients = ["x@c.example", "y@c.example", "z@c.example"];
    let events = play(&mut client, Some(message(&recipients)), &script);
    assert!(matches!(
        outcomes(&events),
        [
            Outcome::Accepted(_),
            Outcome::Temporary(_),
            Outcome::Permanent(_)
        ]
    ));
}

#[test]
fn keywords_have_no_case() {
    let mut client = client(Protocol::Smtp, TlsMode::Off);
    let script = [
        ("220 mx\r\n", "EHLO client.example\r\n"),
        (
            "250-mx\r\n250-pipelining\r\n250-Dsn\r\n250 sIZE 1000\r\n",
            "MAIL FROM:<a@b.example> SIZE=12\r\nRCPT TO:<x@c.example>\r\nDATA\r\n",
        ),
    ];
    play(&mut client, Some(message(&["x@c.example"])), &script);
    assert!(client.capabilities().dsn);
}

#[test]
fn no_body_goes_without_354() {
    for reply in ["250 ok\r\n", "350 go\r\n", "451 no\r\n", "554 no\r\n"] {
        let mut client = client(Protocol::Smtp, TlsMode::Off);
        let script = [
            ("220 mx\r\n", "EHLO client.example\r\n"),
            ("250 mx\r\n", "MAIL FROM:<a@b.example>\r\n"),
            ("250 ok\r\n", "RCPT TO:<x@c.example>\r\n"),
            ("250 ok\r\n", "DATA\r\n"),
            (reply, ""),
        ];
        let events = play(&mut client, Some(message(&["x@c.example"])), &script);
        assert_eq!(outcomes(&events).len(), 1, "{reply}");
    }
}

#[test]
fn each_step_has_the_time_out_of_rfc_5321() {
    let minutes = [
        (Phase::Greeting, 5),
        (Phase::Mail, 5),
        (Phase::Rcpt, 5),
        (Phase::DataInit, 2),
        (Phase::DataBlock, 3),
        (Phase::DataEnd, 10),
    ];
    for (phase, minutes) in minutes {
        let timeout = phase.timeout(&Timeouts::default());
        assert_eq!(timeout.as_secs(), minutes * 60, "{phase:?}");
    }
}

#[test]
fn time_outs_are_settable() {
    let timeouts = Timeouts {
        command: Duration::from_secs(1),
        data_init: Duration::from_secs(2),
        data_block: Duration::from_secs(3),
        data_end: Duration::from_secs(4),
    };
    let phases = [
        Phase::Rcpt,
        Phase::DataInit,
        Phase::DataBlock,
        Phase::DataEnd,
    ];
    let seconds = phases.map(|phase| phase.timeout(&timeouts).as_secs());
    assert_eq!(seconds, [1, 2, 3, 4]);
}

#[test]
fn auth_challenges_go_through() {
    let mut client = client(Protocol::Smtp, TlsMode::Implicit);
    play(
        &mut client,
        None,
        &[
            ("220 mx\r\n", "EHLO client.example\r\n"),
            ("250-mx\r\n250 AUTH LOGIN\r\n", ""),
        ],
    );
    client.auth("LOGIN", None);
    let events = play(
        &mut client,
        None,
        &[("", "AUTH LOGIN\r\n"), ("334 VXNlcg==\r\n", "")],
    );
    assert_eq!(events, [Event::AuthChallenge(b"User".to_vec())]);
    client.auth_response(b"alice");
    let events = play(
        &mut client,
        None,
        &[("", "YWxpY2U=\r\n"), ("535 5.7.8 no\r\n", "")],
    );
    assert!(matches!(&events[0], Event::AuthDone(reply) if reply.code() == 535));
}

#[test]
fn our_client_and_our_server_understand_each_other() {
    for role in [Role::Mx, Role::Lmtp] {
        let protocol = if role == Role::Lmtp {
            Protocol::Lmtp
        } else {
            Protocol::Smtp
        };
        let mut server = Driver::new(Config::new(role, "mx.example.test"), false);
        let mut client = client(protocol, TlsMode::Off);
        let mut result = None;
        let mut sent_body = false;
        while result.is_none() {
            match client.next_event() {
                Event::NeedInput => client.feed(server.take_output().as_bytes()),
                Event::Output(output) => server.feed(&output),
                Event::Ready(_) => {
                    client.send(message(&["bob@example.test", "unknown@example.test"]))
                }
                Event::SendBody if std::mem::replace(&mut sent_body, true) => client.body_end(),
                Event::SendBody => client.body(b".\r\n.."),
                Event::Done(done) => result = Some(done.recipients),
                event => panic!("{event:?}"),
            }
        }
        assert!(
            matches!(
                result.as_deref(),
                Some([Outcome::Accepted(_), Outcome::Permanent(_)])
            ),
            "{result:?}"
        );
        assert_eq!(server.seen.bodies, [b".\r\n..\r\n".to_vec()]);
    }
}
