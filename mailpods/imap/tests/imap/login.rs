//! Before log-in, and logging in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailpods_net::Stage;
use mailpods_sasl::client::{Client as ScramClient, ClientCredentials};
use mailpods_sasl::{ChannelBindings, Mechanism, Secret};

use crate::world::{Client, World};

#[tokio::test]
async fn no_log_in_without_tls() {
    let world = World::new().await;
    world
        .plain()
        .talk(
            "S: * OK [CAPABILITY IMAP4rev2 IMAP4rev1 ID LITERAL+ ENABLE SASL-IR IDLE STARTTLS LOGINDISABLED] mx.example.test Mailpods is ready
             C: a LOGIN alice@example.test quickstart
             S: a NO [PRIVACYREQUIRED] ...
             C: b AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABxdWlja3N0YXJ0
             S: b NO [PRIVACYREQUIRED] ...
             C: c SELECT INBOX
             S: c BAD ...
             C: d LOGOUT
             S: * BYE ...
             S: d OK ...
             S:",
        )
        .await;
}

#[tokio::test]
async fn starttls_then_log_in() {
    let world = World::new().await;
    let mut client = world.plain();
    client.talk("S: * OK ...\nC: a STARTTLS\nS: a OK ...").await;
    client.start_tls().await;
    client
        .talk(
            "C: b CAPABILITY
             S: * CAPABILITY IMAP4rev2 IMAP4rev1 ID LITERAL+ ENABLE SASL-IR IDLE AUTH=PLAIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS
             S: b OK ...
             C: c STARTTLS
             S: c BAD ...
             C: d LOGIN alice@example.test {10}
             S: + ...
             C: quickstart
             S: d OK [CAPABILITY IMAP4rev2 ...",
        )
        .await;
}

#[tokio::test]
async fn plaintext_behind_starttls_ends_the_session() {
    let world = World::new().await;
    let mut client = world.plain();
    client.talk("S: * OK ...").await;
    client.send("a STARTTLS\r\nb NOOP\r\n").await;
    client.talk("S: * BYE ...\nS:").await;
}

#[tokio::test]
async fn authenticate_plain_both_ways() {
    let world = World::new().await;
    let right = STANDARD.encode("\0alice@example.test\0quickstart");
    let wrong = STANDARD.encode("\0alice@example.test\0nonsense");
    let mut client = world.secure().await;
    client
        .talk(&format!(
            "C: a AUTHENTICATE PLAIN {wrong}
             S: a NO [AUTHENTICATIONFAILED] ...
             C: b AUTHENTICATE PLAIN
             S: + ...
             C: *
             S: b BAD ...
             C: c AUTHENTICATE GSSAPI
             S: c NO [CANNOT] ...
             C: d AUTHENTICATE PLAIN
             S: + ...
             C: {right}
             S: d OK [CAPABILITY ..."
        ))
        .await;
}

async fn scram(mechanism: Mechanism, password: &str) -> (Client, String) {
    let world = World::new().await;
    let mut client = world.secure().await;
    let info = client.io.tls_info().unwrap();
    let bindings = ChannelBindings {
        tls_exporter: info.exporter.map(|octets| octets.to_vec()),
        tls_server_end_point: info.server_end_point,
    };
    let credentials = ClientCredentials {
        name: "alice@example.test".to_owned(),
        password: Secret::new(password.as_bytes()),
    };
    let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
    let mut exchange = ScramClient::new(mechanism, credentials, &bindings, true, nonce).unwrap();
    let first = STANDARD.encode(exchange.initial().unwrap());
    client
        .send(&format!("a AUTHENTICATE {mechanism} {first}\r\n"))
        .await;
    loop {
        let line = client.line().await;
        let Some(challenge) = line.strip_prefix("+ ") else {
            return (client, line);
        };
        let answer = exchange.step(&STANDARD.decode(challenge).unwrap()).unwrap();
        client
            .send(&format!("{}\r\n", STANDARD.encode(answer)))
            .await;
    }
}

#[tokio::test]
async fn authenticate_scram() {
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        let (_, line) = scram(mechanism, "quickstart").await;
        assert!(line.starts_with("a OK [CAPABILITY "), "{mechanism}: {line}");
        let (_, line) = scram(mechanism, "nonsense").await;
        assert!(
            line.starts_with("a NO [AUTHENTICATIONFAILED] "),
            "{mechanism}: {line}"
        );
    }
}

#[tokio::test]
async fn something_else_than_imap_is_sent_away() {
    let world = World::new().await;
    let mut client = world.plain();
    client.talk("S: * OK ...").await;
    client
        .send("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\n")
        .await;
    for _ in 0..5 {
        assert!(client.line().await.contains(" BAD "));
    }
    client.talk("S: * BYE ...\nS:").await;
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_no_more() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(world.alice().await);
    }
    let mut fifth = world.secure().await;
    fifth
        .talk("C: a LOGIN alice@example.test quickstart\nS: a NO [LIMIT] ...")
        .await;
    open.remove(0)
        .talk("C: a LOGOUT\nS: * BYE ...\nS: a OK ...\nS:")
        .await;
    fifth
        .talk("C: b LOGIN alice@example.test quickstart\nS: b OK ...")
        .await;
}

#[tokio::test]
async fn shutdown_says_bye() {
    let world = World::new().await;
    let (mut idle, mut waiting) = (world.selected("INBOX").await, world.secure().await);
    idle.talk("C: a IDLE\nS: + ...").await;
    world.trigger.advance(Stage::Drain);
    idle.talk("S: * BYE ...\nS:").await;
    waiting.talk("S: * BYE ...\nS:").await;
}

#[tokio::test]
async fn who_is_switched_off_is_sent_away() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let mut plan = (*world.plan.current()).clone();
    let mut alice = crate::world::mailbox("alice@example.test", None);
    alice.enabled = false;
    plan.mailboxes.insert(alice.address.clone(), alice.into());
    world.plan.swap(plan);
    client.talk("C: a NOOP\nS: * BYE ...\nS:").await;
}

/// The connection has its own buffers; the session must not add much to them.
#[tokio::test]
async fn a_session_is_small() {
    let octets = World::new().await.session_octets();
    assert!(
        octets <= 4096,
        "the future of a session has {octets} octets"
    );
}

#[tokio::test]
async fn guesses_end_the_session() {
    let world = World::new().await;
    let mut client = world.secure().await;
    for _ in 0..4 {
        client
            .talk("C: a LOGIN bob@example.test wrong\nS: a NO [AUTHENTICATIONFAILED] ...")
            .await;
    }
    client
        .talk("C: a LOGIN bob@example.test wrong\nS: a NO [AUTHENTICATIONFAILED] ...\nS: * BYE ...\nS:")
        .await;
}

#[tokio::test]
async fn a_client_may_have_few_sessions_without_log_in() {
    let world = World::new().await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut client = world.plain();
        client.talk("S: * OK ...").await;
        strangers.push(client);
    }
    // Who has logged in counts no more.
    let _alice = world.alice().await;
    let _fourth = world.secure().await;
    world.plain().talk("S: * BYE [LIMIT] ...\nS:").await;
}

/// RFC 7628 §3.2.3, and what XOAUTH2 makes of it.
#[tokio::test]
async fn tokens_are_refused_in_their_own_way() {
    let world = World::new().await;
    let mut client = world.secure().await;
    let token = STANDARD.encode("n,a=alice@example.test,\x01auth=Bearer abc\x01\x01");
    let refusal = STANDARD.encode(r#"{"status":"invalid_token","schemes":"bearer"}"#);
    let request = STANDARD.encode(r#"{"status":"400","schemes":"bearer"}"#);
    client
        .talk(&format!(
            "C: a AUTHENTICATE OAUTHBEARER {token}
             S: + {refusal}
             C: AQ==
             S: a NO [AUTHENTICATIONFAILED] ...
             C: b AUTHENTICATE XOAUTH2
             S: +\x20
             C: eHh4
             S: + {request}
             C:\x20
             S: b NO [AUTHENTICATIONFAILED] ...
             C: c AUTHENTICATE OAUTHBEARER {token}
             S: + {refusal}
             C: *
             S: c BAD ...
             C: d LOGIN alice@example.test quickstart
             S: d OK ..."
        ))
        .await;
    let mut plain = world.plain();
    plain
        .talk(&format!(
            "S: * OK ...
             C: a AUTHENTICATE OAUTHBEARER {token}
             S: a NO [PRIVACYREQUIRED] ..."
        ))
        .await;
}
