//! mailbox migrate: how it logs in, and what comes beside messages.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fake::{Fake, GREETING, Reply, usual};
use crate::migrate::{ALICE, arguments, migrate};
use crate::world::{Run, World};

/// Announces mechanisms, and takes whatever answers a `+`.
fn server(mechanisms: &'static str) -> Fake {
    Fake::start(GREETING, move |_, command| {
        Reply::Text(match command.split(' ').next() {
            Some("CAPABILITY") => format!("* CAPABILITY IMAP4rev1 {mechanisms}\r\nTAG OK\r\n"),
            Some("AUTHENTICATE") => "+ \r\n".to_owned(),
            Some("LOGIN" | "LIST" | "LSUB" | "EXAMINE" | "UID" | "LOGOUT") => usual(command, &[1]),
            _ => "m2 OK in\r\n".to_owned(),
        })
    })
}

/// What was sent in answer to `+`.
fn proof(server: &Fake) -> String {
    let commands = server.commands();
    let at = commands
        .iter()
        .position(|one| one.starts_with("AUTHENTICATE"))
        .unwrap();
    String::from_utf8(STANDARD.decode(&commands[at + 1]).unwrap()).unwrap()
}

fn with_token(world: &World, server: &Fake) -> Run {
    std::fs::write(world.path("token"), "ya29.x-y_z\n").unwrap();
    let url = server.url();
    let all = arguments(&url, &["--oauth-token-file", "token"]);
    let left: Vec<&str> = all
        .into_iter()
        .filter(|one| !matches!(*one, "--password-file" | "password"))
        .collect();
    world.run(&left)
}

#[test]
fn tokens_log_in() {
    for (mechanisms, wanted) in [
        (
            "AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER",
            "n,a=alice,\u{1}host=127.0.0.1\u{1}port=PORT\u{1}auth=Bearer ya29.x-y_z\u{1}\u{1}",
        ),
        (
            "AUTH=XOAUTH2",
            "user=alice\u{1}auth=Bearer ya29.x-y_z\u{1}\u{1}",
        ),
    ] {
        let world = World::new();
        let server = server(mechanisms);
        with_token(&world, &server).exits(0);
        let wanted = wanted.replace("PORT", &server.address.port().to_string());
        assert_eq!(proof(&server), wanted);
    }
    let world = World::new();
    let run = with_token(&world, &server("AUTH=PLAIN")).exits(1);
    assert!(
        run.errors().contains("OAUTHBEARER or XOAUTH2"),
        "{}",
        run.errors()
    );
    assert!(!run.errors().contains("ya29"), "{}", run.errors());
}

#[test]
fn a_token_that_is_refused_ends_the_exchange() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| {
        Reply::Text(match command {
            "CAPABILITY" => "* CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER\r\nTAG OK\r\n".to_owned(),
            "AUTHENTICATE OAUTHBEARER" => "+ \r\n".to_owned(),
            "AQ==" => "m2 NO [AUTHENTICATIONFAILED] expired\r\n".to_owned(),
            _ => "+ eyJzdGF0dXMiOiI0MDEifQ==\r\n".to_owned(),
        })
    });
    let run = with_token(&world, &server).exits(1);
    assert!(
        run.errors().contains("log-in failed: expired"),
        "{}",
        run.errors()
    );
}

#[test]
fn a_master_user_may_be_told_apart() {
    let world = World::new();
    let server = server("AUTH=PLAIN");
    migrate(&world, &server, &["--master", "root", "--master-sasl"]).exits(0);
    assert_eq!(proof(&server), "alice\0root\0open sesame");
}

#[test]
fn annotations_come_and_those_of_here_stay() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| {
        Reply::Text(match command {
            "CAPABILITY" => "* CAPABILITY IMAP4rev1 METADATA\r\nTAG OK\r\n".to_owned(),
            one if one.starts_with("LOGIN") => "TAG OK in\r\n".to_owned(),
            one if one.starts_with("GETMETADATA") && one.contains("INBOX") => {
                assert!(one.ends_with("\"INBOX\" (/private /shared)"), "{one}");
                "* METADATA INBOX (/private/comment \"mine\" /private/specialuse \"\\\\Junk\" /shared/comment \"all\")\r\nTAG OK\r\n"
                    .to_owned()
            }
            one if one.starts_with("GETMETADATA") => {
                "* METADATA \"\" (/private/vendor/x \"y\")\r\nTAG OK\r\n".to_owned()
            }
            other => usual(other, &[1]),
        })
    });
    let told = || {
        world.with_store(async |store| {
            let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
            let all = store.mail.all_annotations(account).await.unwrap();
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            all.into_iter()
                .map(|(mailbox, one)| (mailbox.is_some(), one.entry, text(&one.value)))
                .collect::<Vec<_>>()
        })
    };
    let row = |of_folder, entry: &str, value: &str| (of_folder, entry.to_owned(), value.to_owned());
    migrate(&world, &server, &[]).exits(0);
    let wanted = [
        row(false, "/private/vendor/x", "y"),
        row(true, "/private/comment", "mine"),
        row(true, "/shared/comment", "all"),
    ];
    assert_eq!(told(), wanted);
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let other = vec![("/private/comment".to_owned(), Some("changed".into()))];
        store
            .mail
            .annotate(account, Some(inbox.id), other)
            .await
            .unwrap();
    });
    migrate(&world, &server, &[]).exits(0);
    assert_eq!(told()[1], row(true, "/private/comment", "changed"));
}

#[test]
fn annotations_that_are_too_many_are_told_and_subscriptions_come() {
    let world = World::new();
    let server = Fake::start(GREETING, |connection, command| {
        let many = (0..1_001).map(|n| format!("* METADATA INBOX (/private/x{n} \"y\")\r\n"));
        Reply::Text(match command {
            "CAPABILITY" => "* CAPABILITY IMAP4rev1 METADATA\r\nTAG OK\r\n".to_owned(),
            one if one.starts_with("LOGIN") => "TAG OK in\r\n".to_owned(),
            one if one.starts_with("GETMETADATA") && one.contains("INBOX") => {
                many.collect::<String>() + "TAG OK\r\n"
            }
            // The first connection breaks after that.
            one if one.starts_with("GETMETADATA") && connection == 0 => {
                return Reply::Text("* BYE later\r\n".to_owned());
            }
            one if one.starts_with("GETMETADATA") => {
                "* METADATA \"\" (/private/vendor/x \"y\")\r\nTAG OK\r\n".to_owned()
            }
            one if one.starts_with("LSUB") => "* LSUB () \"/\" Later\r\nTAG OK\r\n".to_owned(),
            other => usual(other, &[1]),
        })
    });
    let run = migrate(&world, &server, &[]).exits(1);
    let lines = run.text();
    assert_eq!(lines.matches("than 1000 annotations").count(), 1, "{lines}");
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let subscribed = store.mail.subscriptions(account).await.unwrap();
        assert!(subscribed.contains(&"Later".to_owned()), "{subscribed:?}");
        let all = store.mail.all_annotations(account).await.unwrap();
        assert_eq!(all.len(), 1);
    });
}
