//! POP3 sessions, alone, against each other and against IMAP.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailpods_net::Stage;
use mailpods_sasl::client::{Client as ScramClient, ClientCredentials};
use mailpods_sasl::{ChannelBindings, Mechanism, Secret};
use mailpods_store::AccountId;

use crate::world::{Client, PATIENCE, World};

const ONE: &str = "From: a@example.test\r\nSubject: one\r\n\r\nfirst\r\n.second\r\n";
const TWO: &str = "Subject: two\r\n\r\nbody\r\n";

impl World {
    async fn pop3(&self) -> Client {
        let mut client = self.pop3_connection(true);
        client.start_tls().await;
        client
            .talk("S: +OK mx.example.test Mailpods is ready")
            .await;
        client
    }

    async fn pop3_of(&self, name: &str) -> Client {
        let mut client = self.pop3().await;
        client
            .talk(&format!(
                "C: USER {name}@example.test\nS: +OK ...\nC: PASS quickstart\nS: +OK ..."
            ))
            .await;
        client
    }

    /// Alice's INBOX with two messages.
    async fn with_two() -> Self {
        let world = Self::new().await;
        let mut client = world.alice().await;
        client.append("INBOX", "", ONE).await;
        client.append("INBOX", "(\\Seen)", TWO).await;
        world
    }

    async fn account(&self, name: &str) -> AccountId {
        let address = crate::world::address(&format!("{name}@example.test"));
        self.store.mail.account(&address).await.unwrap()
    }

    async fn flags(&self) -> Vec<String> {
        let mut client = self.selected("INBOX").await;
        let mut lines = client.command("FETCH 1:* FLAGS").await;
        lines.pop();
        lines
    }
}

#[tokio::test]
async fn no_log_in_without_tls() {
    let world = World::new().await;
    world
        .pop3_connection(false)
        .talk(
            "S: +OK mx.example.test Mailpods is ready
             C: CAPA
             S: +OK ...
             S: TOP
             S: UIDL
             S: RESP-CODES
             S: AUTH-RESP-CODE
             S: PIPELINING
             S: EXPIRE NEVER
             S: STLS
             S: .
             C: USER alice@example.test
             S: -ERR log-in needs TLS, which has to be started first
             C: PASS quickstart
             S: -ERR USER comes first
             C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABxdWlja3N0YXJ0
             S: -ERR log-in needs TLS, which has to be started first
             C: STAT
             S: -ERR this command is not permitted now
             C: QUIT
             S: +OK ...
             S:",
        )
        .await;
}

#[tokio::test]
async fn stls_then_log_in() {
    let world = World::with_two().await;
    let mut client = world.pop3_connection(false);
    client.talk("S: +OK ...\nC: STLS\nS: +OK ...").await;
    client.start_tls().await;
    client
        .talk(
            "C: CAPA
             S: +OK ...
             S: TOP
             S: UIDL
             S: RESP-CODES
             S: AUTH-RESP-CODE
             S: PIPELINING
             S: EXPIRE NEVER
             S: USER
             S: SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN
             S: .
             C: STLS
             S: -ERR TLS is active
             C: user alice@example.test
             S: +OK ...
             C: pass wrong
             S: -ERR [AUTH] wrong name or password
             C: PASS quickstart
             S: -ERR USER comes first
             C: USER alice@example.test
             S: +OK ...
             C: PASS quickstart
             S: +OK 2 messages (76 octets)
             C: USER bob@example.test
             S: -ERR this command is not permitted now
             C: CAPA
             S: +OK ...
             S: TOP
             S: UIDL
             S: RESP-CODES
             S: AUTH-RESP-CODE
             S: PIPELINING
             S: EXPIRE NEVER
             S: .",
        )
        .await;
}

#[tokio::test]
async fn plaintext_behind_stls_ends_the_session() {
    let world = World::new().await;
    let mut client = world.pop3_connection(false);
    client.talk("S: +OK ...").await;
    client.send("STLS\r\nCAPA\r\n").await;
    client
        .talk("S: -ERR [SYS/TEMP] commands must not follow STLS ...\nS:")
        .await;
}

#[tokio::test]
async fn a_session_from_stat_to_quit() {
    let world = World::with_two().await;
    let mut client = world.pop3_of("alice").await;
    client
        .talk(
            "C: STAT
             S: +OK 2 76
             C: LIST
             S: +OK 2 messages (76 octets)
             S: 1 54
             S: 2 22
             S: .
             C: LIST 2
             S: +OK 2 22
             C: LIST 3
             S: -ERR no such message
             C: RETR 1
             S: +OK 54 octets
             S: From: a@example.test
             S: Subject: one
             S:\x20
             S: first
             S: ..second
             S: .
             C: TOP 1 1
             S: +OK ...
             S: From: a@example.test
             S: Subject: one
             S:\x20
             S: first
             S: .
             C: DELE 2
             S: +OK ...
             C: DELE 2
             S: -ERR no such message
             C: RETR 2
             S: -ERR no such message
             C: UIDL 2
             S: -ERR no such message
             C: STAT
             S: +OK 1 54
             C: RSET
             S: +OK ...
             C: STAT
             S: +OK 2 76
             C: NOOP
             S: +OK ...
             C: LAST
             S: -ERR unknown command
             C: DELE 2
             S: +OK ...
             C: QUIT
             S: +OK ...
             S:",
        )
        .await;
    assert_eq!(world.flags().await, ["* 1 FETCH (FLAGS (\\Seen))"]);
}

#[tokio::test]
async fn without_quit_nothing_changes() {
    let world = World::with_two().await;
    let mut client = world.pop3_of("alice").await;
    client
        .talk("C: DELE 1\nS: +OK ...\nC: TOP 2 0\nS: +OK ...")
        .await;
    drop(client);
    assert_eq!(
        world.flags().await,
        ["* 1 FETCH (FLAGS ())", "* 2 FETCH (FLAGS (\\Seen))"]
    );
}

#[tokio::test]
async fn names_are_those_that_came_with_messages_or_never_change() {
    let world = World::with_two().await;
    let store = world.store.mail.clone();
    let account = world.account("alice").await;
    let inbox = store.mailbox(account, "INBOX").await.unwrap();
    let inbox = inbox.unwrap();
    let names = vec![(2, "000061ba4c09bbf0".to_owned())];
    store.set_uidls(inbox.id, names).await.unwrap();
    let validity = inbox.uid_validity;
    let transcript = format!(
        "C: UIDL
         S: +OK ...
         S: 1 {validity}.1
         S: 2 000061ba4c09bbf0
         S: .
         C: UIDL 2
         S: +OK 2 000061ba4c09bbf0
         C: QUIT
         S: +OK ..."
    );
    for _ in 0..2 {
        world.pop3_of("alice").await.talk(&transcript).await;
    }
}

#[tokio::test]
async fn commands_may_come_all_at_once() {
    let world = World::with_two().await;
    let mut client = world.pop3().await;
    client
        .send("USER alice@example.test\r\nPASS quickstart\r\nSTAT\r\nRETR 2\r\nDELE 2\r\nNOOP\r\nQUIT\r\n")
        .await;
    client
        .talk(
            "S: +OK ...
             S: +OK 2 messages (76 octets)
             S: +OK 2 76
             S: +OK 22 octets
             S: Subject: two
             S:\x20
             S: body
             S: .
             S: +OK ...
             S: +OK ...
             S: +OK ...
             S:",
        )
        .await;
    assert_eq!(world.flags().await.len(), 1);
}

#[tokio::test]
async fn one_session_has_the_maildrop_and_whoever_comes_waits() {
    let world = World::with_two().await;
    let other = world.other("two").await;
    let first = world.pop3_of("alice").await;
    let refused = "C: USER alice@example.test
        S: +OK ...
        C: PASS quickstart
        S: -ERR [IN-USE] another POP3 session has the maildrop";
    for world in [&world, &other] {
        world.pop3().await.talk(refused).await;
        // Another maildrop, and IMAP, have nothing to do with it.
        world.pop3_of("bob").await.talk("C: QUIT\nS: +OK ...").await;
        world.selected("INBOX").await;
    }
    // A connection that is cut frees the maildrop.
    drop(first);
    let mut second = other.waits_for("alice").await;
    second.talk("C: QUIT\nS: +OK ...\nS:").await;
    world.waits_for("alice").await;
}

impl World {
    /// A session once the maildrop is free.
    async fn waits_for(&self, name: &str) -> Client {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut client = self.pop3().await;
            client
                .send(&format!("USER {name}@example.test\r\nPASS quickstart\r\n"))
                .await;
            client.talk("S: +OK ...").await;
            if client.line().await.starts_with("+OK ") {
                return client;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "the maildrop stays locked"
            );
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_lock_of_a_process_that_is_gone_ends_by_itself() {
    let world = World::with_two().await;
    let account = world.account("alice").await;
    let name = format!("pop3/{}", account);
    let locks = &world.store.locks;
    assert!(locks.lock(&name, "gone", Duration::ZERO).await.unwrap());
    world.pop3_of("alice").await;
}

#[tokio::test]
async fn a_lock_that_was_lost_removes_nothing() {
    let world = World::with_two().await;
    let mut client = world.pop3_of("alice").await;
    client.talk("C: DELE 1\nS: +OK ...").await;
    let account = world.account("alice").await;
    let name = format!("pop3/{}", account);
    let locks = &world.store.locks;
    locks.unlock(&name, "one").await.unwrap();
    assert!(locks.lock(&name, "other", PATIENCE).await.unwrap());
    client
        .talk("C: QUIT\nS: -ERR [SYS/TEMP] another session has taken the maildrop; nothing was removed\nS:")
        .await;
    assert_eq!(world.flags().await.len(), 2);
    assert!(
        !locks.lock(&name, "one", PATIENCE).await.unwrap(),
        "the other keeps it"
    );
}

#[tokio::test]
async fn what_others_remove_meanwhile_is_no_error() {
    let world = World::with_two().await;
    let mut client = world.pop3_of("alice").await;
    let mut imap = world.selected("INBOX").await;
    imap.command("STORE 1 +FLAGS (\\Deleted)").await;
    imap.command("EXPUNGE").await;
    client
        .talk(
            "C: RETR 1
             S: -ERR the message is gone
             C: STAT
             S: +OK 2 76
             C: DELE 1
             S: +OK ...
             C: DELE 2
             S: +OK ...
             C: QUIT
             S: +OK ...
             S:",
        )
        .await;
    assert_eq!(world.flags().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_large_message_comes_whole() {
    let world = World::new().await;
    let line = ".a line of a message that is longer than what is read at once\r\n";
    let body = line.repeat(900 * 1024 / line.len());
    let message = format!("Subject: large\r\n\r\n{body}");
    world.alice().await.append("INBOX", "", &message).await;
    let mut client = world.pop3_of("alice").await;
    client
        .talk(&format!("C: RETR 1\nS: +OK {} octets", message.len()))
        .await;
    let mut read = String::new();
    loop {
        let line = client.line().await;
        if line == "." {
            break;
        }
        read.push_str(line.strip_prefix('.').unwrap_or(&line));
        read.push_str("\r\n");
    }
    assert!(
        read == message,
        "{} octets of {}",
        read.len(),
        message.len()
    );
    client
        .talk("C: TOP 1 0\nS: +OK ...\nS: Subject: large\nS: \nS: .\nC: QUIT\nS: +OK ...")
        .await;
}

async fn scram(mechanism: Mechanism, password: &str) -> String {
    let world = World::new().await;
    let mut client = world.pop3().await;
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
    client.send(&format!("AUTH {mechanism} {first}\r\n")).await;
    loop {
        let line = client.line().await;
        let Some(challenge) = line.strip_prefix("+ ") else {
            return line;
        };
        let answer = exchange.step(&STANDARD.decode(challenge).unwrap()).unwrap();
        client
            .send(&format!("{}\r\n", STANDARD.encode(answer)))
            .await;
    }
}

#[tokio::test]
async fn auth_by_scram() {
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        assert_eq!(
            scram(mechanism, "quickstart").await,
            "+OK 0 messages (0 octets)"
        );
        let wrong = scram(mechanism, "nonsense").await;
        assert_eq!(wrong, "-ERR [AUTH] wrong name or password");
    }
}

#[tokio::test]
async fn auth_plain_both_ways() {
    let world = World::new().await;
    let right = STANDARD.encode("\0alice@example.test\0quickstart");
    let mut client = world.pop3().await;
    client
        .talk(&format!(
            "C: AUTH PLAIN
             S: +\x20
             C: *
             S: -ERR authentication was cancelled
             C: AUTH PLAIN
             S: +\x20
             C: !
             S: -ERR expected a response in base64
             C: AUTH GSSAPI
             S: -ERR this mechanism is not offered
             C: AUTH PLAIN
             S: +\x20
             C: {right}
             S: +OK 0 messages (0 octets)"
        ))
        .await;
    drop(client);
    let mut client = world.pop3_of("bob").await;
    client.talk("C: QUIT\nS: +OK ...").await;
}

#[tokio::test]
async fn guesses_end_the_session() {
    let world = World::new().await;
    let mut client = world.pop3().await;
    for _ in 0..5 {
        client
            .talk("C: USER bob@example.test\nS: +OK ...\nC: PASS wrong\nS: -ERR [AUTH] ...")
            .await;
    }
    client
        .talk("S: -ERR [SYS/TEMP] too many invalid commands\nS:")
        .await;
}

#[tokio::test]
async fn something_else_than_pop3_is_sent_away() {
    let world = World::new().await;
    let mut client = world.pop3_connection(false);
    client.talk("S: +OK ...").await;
    client
        .send("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\n")
        .await;
    for _ in 0..5 {
        client.talk("S: -ERR unknown command").await;
    }
    client.talk("S: -ERR [SYS/TEMP] ...\nS:").await;
}

#[tokio::test]
async fn shutdown_ends_sessions_and_frees_maildrops() {
    let world = World::with_two().await;
    let other = world.other("two").await;
    let mut client = world.pop3_of("alice").await;
    client.talk("C: DELE 1\nS: +OK ...").await;
    world.trigger.advance(Stage::Drain);
    client
        .talk("S: -ERR [SYS/TEMP] the server is shutting down, come back soon\nS:")
        .await;
    let mut next = other.waits_for("alice").await;
    next.talk("C: STAT\nS: +OK 2 76").await;
}

#[tokio::test]
async fn who_is_switched_off_is_sent_away() {
    let world = World::new().await;
    let mut client = world.pop3_of("alice").await;
    let mut plan = (*world.plan.current()).clone();
    let mut alice = crate::world::mailbox("alice@example.test", None);
    alice.enabled = false;
    plan.mailboxes.insert(alice.address.clone(), alice.into());
    world.plan.swap(plan);
    client
        .talk("C: NOOP\nS: -ERR [SYS/TEMP] the mailbox has been disabled\nS:")
        .await;
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_no_more() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(world.alice().await);
    }
    world
        .pop3()
        .await
        .talk("C: USER alice@example.test\nS: +OK ...\nC: PASS quickstart\nS: -ERR [SYS/TEMP] this account has too many sessions open")
        .await;
}
