//! ManageSieve sessions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailpods_net::Stage;
use mailpods_plan::SieveScript;
use mailpods_sasl::client::{Client as ScramClient, ClientCredentials};
use mailpods_sasl::{ChannelBindings, Mechanism, Secret};
use mailpods_store::scripts::MAX_SCRIPT_OCTETS;

use crate::world::{Client, World};

impl World {
    /// A connection with TLS, behind the capabilities.
    async fn managesieve(&self) -> Client {
        let mut client = self.managesieve_connection();
        client.until_ok().await;
        client.talk("C: STARTTLS\nS: OK ...").await;
        client.start_tls().await;
        client.until_ok().await;
        client
    }

    async fn managesieve_of(&self, name: &str) -> Client {
        let mut client = self.managesieve().await;
        let response = STANDARD.encode(format!("\0{name}@example.test\0quickstart"));
        client
            .talk(&format!(
                "C: AUTHENTICATE \"PLAIN\" \"{response}\"\nS: OK \"logged in\""
            ))
            .await;
        client
    }
}

impl Client {
    async fn until_ok(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line.starts_with("OK") {
                return lines;
            }
            assert!(!line.is_empty(), "the end of the stream after {lines:?}");
            lines.push(line);
        }
    }

    async fn put(&mut self, name: &str, script: &str) {
        let command = format!("PUTSCRIPT \"{name}\" {{{}+}}\r\n{script}\r\n", script.len());
        self.send(&command).await;
        self.talk("S: OK \"the script is kept\"").await;
    }
}

#[tokio::test]
async fn no_log_in_without_tls() {
    let world = World::new().await;
    let mut client = world.managesieve_connection();
    client
        .talk(
            "S: \"IMPLEMENTATION\" \"Mailpods\"
             S: \"VERSION\" \"1.0\"
             S: \"SIEVE\" \"body comparator-i;ascii-casemap ...
             S: \"SASL\" \"\"
             S: \"NOTIFY\" \"mailto\"
             S: \"MAXREDIRECTS\" \"4\"
             S: \"UNAUTHENTICATE\"
             S: \"STARTTLS\"
             S: OK \"mx.example.test Mailpods is ready\"
             C: AUTHENTICATE \"PLAIN\" \"AGFsaWNlQGV4YW1wbGUudGVzdABxdWlja3N0YXJ0\"
             S: NO (ENCRYPT-NEEDED) ...
             C: LISTSCRIPTS
             S: NO \"this command is not permitted now\"
             C: NOOP \"x\"
             S: OK (TAG \"x\") \"done\"
             C: STARTTLS
             S: OK ...",
        )
        .await;
    client.start_tls().await;
    let lines = client.until_ok().await;
    assert!(
        lines.contains(&"\"SASL\" \"SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\"".to_owned()),
        "{lines:?}"
    );
    assert!(!lines.contains(&"\"STARTTLS\"".to_owned()), "{lines:?}");
    client
        .talk("C: STARTTLS\nS: NO \"TLS is active\"\nC: LOGOUT\nS: OK ...\nS:")
        .await;
}

#[tokio::test]
async fn plaintext_behind_starttls_ends_the_session() {
    let world = World::new().await;
    let mut client = world.managesieve_connection();
    client.until_ok().await;
    client.send("STARTTLS\r\nNOOP\r\n").await;
    client.talk("S: BYE ...\nS:").await;
}

#[tokio::test]
async fn scripts_are_kept_listed_and_told() {
    let world = World::new().await;
    let mut client = world.managesieve_of("alice").await;
    client.put("one", "keep;").await;
    client
        .put("two \u{fc}", "# \"quotes\"\r\ndiscard;\r\n")
        .await;
    client
        .talk(
            "C: LISTSCRIPTS
             S: \"one\"
             S: \"two \u{fc}\"
             S: OK ...
             C: GETSCRIPT \"two \u{fc}\"
             S: {22}
             S: # \"quotes\"
             S: discard;
             S:\x20
             S: OK
             C: GETSCRIPT \"three\"
             S: NO (NONEXISTENT) ...
             C: SETACTIVE \"three\"
             S: NO (NONEXISTENT) ...
             C: SETACTIVE \"one\"
             S: OK ...
             C: DELETESCRIPT \"one\"
             S: NO (ACTIVE) ...
             C: RENAMESCRIPT \"one\" \"two \u{fc}\"
             S: NO (ALREADYEXISTS) ...
             C: RENAMESCRIPT \"one\" \"three\"
             S: OK ...
             C: LISTSCRIPTS
             S: \"three\" ACTIVE
             S: \"two \u{fc}\"
             S: OK ...
             C: SETACTIVE \"\"
             S: OK \"no script is active\"
             C: DELETESCRIPT \"three\"
             S: OK ...
             C: DELETESCRIPT \"three\"
             S: NO (NONEXISTENT) ...
             C: LOGOUT
             S: OK ...
             S:",
        )
        .await;
    let mut bob = world.managesieve_of("bob").await;
    bob.talk("C: LISTSCRIPTS\nS: OK ...").await;
}

#[tokio::test]
async fn every_error_has_its_line_and_column() {
    let world = World::new().await;
    let mut client = world.managesieve_of("alice").await;
    client.put("one", "keep;").await;
    let script = "require \"fileinto\";\r\nfileinto 5;\r\nif true {\r\n  nonsense;\r\n}\r\n";
    for command in ["CHECKSCRIPT", "PUTSCRIPT \"one\""] {
        client
            .send(&format!("{command} {{{}+}}\r\n{script}\r\n", script.len()))
            .await;
        let head = client.line().await;
        assert!(head.starts_with("NO {"), "{head}");
        client
            .talk("S: line 2, column 10: ...\nS: line 4, column 3: ...")
            .await;
    }
    client
        .talk(
            "C: GETSCRIPT \"one\"
             S: {5}
             S: keep;
             S: OK
             C: CHECKSCRIPT \"keep;\"
             S: OK \"the script is right\"",
        )
        .await;
}

#[tokio::test]
async fn scripts_to_include_that_are_missing_are_warned_of() {
    let world = World::new().await;
    let mut client = world.managesieve_of("alice").await;
    let script =
        "require \"include\"; include \"own\"; include :global \"site\"; include :optional \"x\";";
    client
        .send(&format!(
            "PUTSCRIPT \"a\" {{{}+}}\r\n{script}\r\n",
            script.len()
        ))
        .await;
    client
        .talk(
            "S: OK (WARNINGS) {...
             S: line 1, column 20: there is no script \"own\" to include yet
             S: line 1, column 35: there is no script \"site\" to include yet",
        )
        .await;
    client.put("own", "stop;").await;
    client
        .send(&format!(
            "CHECKSCRIPT {{{}+}}\r\n{script}\r\n",
            script.len()
        ))
        .await;
    client
        .talk("S: OK (WARNINGS) \"line 1, column 35: ...")
        .await;
}

#[tokio::test]
async fn scripts_have_a_quota() {
    let world = World::new().await;
    let mut client = world.managesieve_of("alice").await;
    let (fit, large) = (MAX_SCRIPT_OCTETS, MAX_SCRIPT_OCTETS + 1);
    client
        .talk(&format!(
            "C: HAVESPACE \"a\" {fit}
             S: OK ...
             C: HAVESPACE \"a\" {large}
             S: NO (QUOTA/MAXSIZE) ..."
        ))
        .await;
    for octets in [large as usize, 600_000] {
        let script = "#".repeat(octets);
        client
            .send(&format!("PUTSCRIPT \"a\" {{{octets}+}}\r\n{script}\r\n"))
            .await;
        client.talk("S: NO (QUOTA/MAXSIZE) ...").await;
    }
    for number in 0..4 {
        let script = format!("#{}\r\n", "x".repeat(fit as usize - 3));
        client.put(&number.to_string(), &script).await;
    }
    client
        .talk(
            "C: PUTSCRIPT \"a\" \"keep;\"
             S: NO (QUOTA) ...
             C: PUTSCRIPT \"1\" \"keep;\"
             S: OK ...
             C: PUTSCRIPT \"a\" \"keep;\"
             S: OK ...",
        )
        .await;
}

#[tokio::test]
async fn the_script_of_the_resource_is_shown_and_not_changed() {
    let world = World::new().await;
    let mut plan = (*world.plan.current()).clone();
    let mut alice = crate::world::mailbox("alice@example.test", None);
    alice.sieve = Some(SieveScript::compile("discard;").unwrap());
    plan.mailboxes.insert(alice.address.clone(), alice.into());
    world.plan.swap(plan);
    let mut client = world.managesieve_of("alice").await;
    client.put("own", "keep;").await;
    client
        .talk(
            "C: LISTSCRIPTS
             S: \"Mailbox resource\" ACTIVE
             S: \"own\"
             S: OK ...
             C: GETSCRIPT \"Mailbox resource\"
             S: {8}
             S: discard;
             S: OK
             C: PUTSCRIPT \"Mailbox resource\" \"keep;\"
             S: NO ...
             C: DELETESCRIPT \"Mailbox resource\"
             S: NO ...
             C: RENAMESCRIPT \"own\" \"Mailbox resource\"
             S: NO ...
             C: SETACTIVE \"own\"
             S: OK ...
             C: LISTSCRIPTS
             S: \"Mailbox resource\"
             S: \"own\" ACTIVE
             S: OK ...
             C: SETACTIVE \"\"
             S: OK (WARNINGS) ...
             C: SETACTIVE \"own\"
             S: OK ...
             C: SETACTIVE \"Mailbox resource\"
             S: OK ...
             C: LISTSCRIPTS
             S: \"Mailbox resource\" ACTIVE
             S: \"own\"
             S: OK ...",
        )
        .await;
}

#[tokio::test]
async fn unauthenticate_begins_anew() {
    let world = World::new().await;
    let mut client = world.managesieve_of("alice").await;
    client.put("one", "keep;").await;
    let bob = STANDARD.encode("\0bob@example.test\0quickstart");
    client
        .talk(&format!(
            "C: AUTHENTICATE \"PLAIN\"
             S: NO \"this command is not permitted now\"
             C: UNAUTHENTICATE
             S: OK ...
             C: LISTSCRIPTS
             S: NO ...
             C: AUTHENTICATE \"PLAIN\"
             S: \"\"
             C: \"{bob}\"
             S: OK ...
             C: LISTSCRIPTS
             S: OK ..."
        ))
        .await;
    let lines = {
        client.send("CAPABILITY\r\n").await;
        client.until_ok().await
    };
    assert!(
        lines.contains(&"\"OWNER\" \"bob@example.test\"".to_owned()),
        "{lines:?}"
    );
}

async fn scram(mechanism: Mechanism, password: &str) -> String {
    let world = World::new().await;
    let mut client = world.managesieve().await;
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
        .send(&format!(
            "AUTHENTICATE \"{mechanism}\" {{{}+}}\r\n{first}\r\n",
            first.len()
        ))
        .await;
    loop {
        let line = client.line().await;
        let challenge = line
            .strip_prefix('"')
            .and_then(|line| line.strip_suffix('"'));
        let Some(challenge) = challenge else {
            return line;
        };
        let answer = exchange.step(&STANDARD.decode(challenge).unwrap()).unwrap();
        client
            .send(&format!("\"{}\"\r\n", STANDARD.encode(answer)))
            .await;
    }
}

#[tokio::test]
async fn authenticate_by_scram() {
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        assert_eq!(scram(mechanism, "quickstart").await, "OK \"logged in\"");
        let wrong = scram(mechanism, "nonsense").await;
        assert_eq!(wrong, "NO \"wrong name or password\"");
    }
}

#[tokio::test]
async fn guesses_end_the_session() {
    let world = World::new().await;
    let mut client = world.managesieve().await;
    let wrong = STANDARD.encode("\0bob@example.test\0wrong");
    for _ in 0..5 {
        client
            .talk(&format!(
                "C: AUTHENTICATE \"PLAIN\" \"{wrong}\"\nS: NO \"wrong name or password\""
            ))
            .await;
    }
    client
        .talk("S: BYE \"too many invalid commands\"\nS:")
        .await;
}

#[tokio::test]
async fn shutdown_says_bye_and_who_is_switched_off_is_sent_away() {
    let world = World::new().await;
    let mut off = world.managesieve_of("alice").await;
    let mut waiting = world.managesieve_of("bob").await;
    let mut plan = (*world.plan.current()).clone();
    let mut alice = crate::world::mailbox("alice@example.test", None);
    alice.enabled = false;
    plan.mailboxes.insert(alice.address.clone(), alice.into());
    world.plan.swap(plan);
    off.talk("C: NOOP\nS: BYE \"the mailbox has been disabled\"\nS:")
        .await;
    world.trigger.advance(Stage::Drain);
    waiting
        .talk("S: BYE \"the server is shutting down, come back soon\"\nS:")
        .await;
}
