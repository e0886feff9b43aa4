//! Scripts at IMAP commands (RFC 6785).

use mailpods_plan::{Listener, Plan, Protocol, SieveScript, SieveStages};
use mailpods_store::queue::QueueFilter;

use crate::world::{Client, World, address, plan};

const REQUIRE: &str = "require [\"imapsieve\", \"environment\", \"fileinto\", \"copy\", \"imap4flags\", \"variables\", \"editheader\", \"enotify\", \"mailbox\"];\n";

/// Alice keeps a script of this name.
async fn keep(world: &World, name: &str, script: &str) {
    let store = &world.store;
    let account = store.mail.account(&address("alice@example.test")).await;
    let source = format!("{REQUIRE}{script}").into();
    let put = store.scripts.put_script(account.unwrap(), name, source);
    put.await.unwrap();
}

/// A session of alice, with the script `s` for a mailbox (`""`: for all).
async fn alice_with(world: &World, mailbox: &str, script: &str) -> Client {
    keep(world, "s", script).await;
    let mut alice = world.alice().await;
    let set = format!("SETMETADATA \"{mailbox}\" (/shared/imapsieve/script \"s\")");
    let lines = alice.command(&set).await;
    assert!(lines[0].starts_with("t OK "), "{lines:?}");
    alice
}

async fn messages(client: &mut Client, mailbox: &str) -> String {
    let lines = client
        .command(&format!("STATUS {mailbox} (MESSAGES)"))
        .await;
    let line = lines[0].trim_end_matches(')').to_owned();
    line.rsplit_once(' ').unwrap().1.to_owned()
}

#[tokio::test]
async fn what_is_copied_or_moved_into_a_mailbox_goes_through_its_script() {
    let world = World::new().await;
    let script = "if environment :is \"imap.cause\" \"COPY\" { if environment :is \"imap.mailbox\" \"Junk\" {
        if allof (environment :is \"location\" \"MS\", environment :is \"phase\" \"post\", environment :is \"imap.user\" \"alice@example.test\",
            environment :is \"imap.email\" \"alice@example.test\", environment :is \"imap.changedflags\" \"\") { fileinto :copy :create \"Learn\"; } } }";
    let mut alice = alice_with(&world, "Junk", script).await;
    for _ in 0..2 {
        alice.append("INBOX", "", "Subject: x\r\n\r\nx\r\n").await;
    }
    alice
        .append("Junk", "", "Subject: no copy\r\n\r\nx\r\n")
        .await;
    alice.command("SELECT INBOX").await;
    let lines = alice.command("COPY 1 Junk").await;
    assert!(lines[0].starts_with("t OK [COPYUID "), "{lines:?}");
    assert_eq!(messages(&mut alice, "Learn").await, "1");
    alice.command("MOVE 2 Junk").await;
    assert_eq!(messages(&mut alice, "Learn").await, "2");
    assert_eq!(messages(&mut alice, "Junk").await, "3");
    alice.command("COPY 1 Archive").await;
    assert_eq!(messages(&mut alice, "Learn").await, "2", "another mailbox");
}

#[tokio::test]
async fn changed_flags_run_the_script_and_what_it_does_is_told() {
    let world = World::new().await;
    let script = "if allof (hasflag \"\\\\Flagged\", environment :contains \"imap.changedflags\" \"\\\\Flagged\") { fileinto \"Important\"; }
        elsif environment :is \"imap.changedflags\" \"$Later\" { addflag \"\\\\Answered\"; }";
    let mut alice = alice_with(&world, "", script).await;
    for number in 1..=3 {
        let text = format!("Subject: {number}\r\n\r\nx\r\n");
        alice.append("INBOX", "", &text).await;
    }
    alice.command("SELECT INBOX").await;
    alice
        .talk(
            "C: a UID STORE 1 +FLAGS (\\Flagged)
             S: * 1 FETCH (UID 1 FLAGS (\\Flagged))
             S: * 1 FETCH (FLAGS (\\Flagged \\Deleted))
             S: a OK ...
             C: b UID STORE 2 +FLAGS ($Later)
             S: * 2 FETCH (UID 2 FLAGS ($Later))
             S: * 2 FETCH (FLAGS (\\Answered $Later))
             S: b OK ...
             C: c UID STORE 2 +FLAGS ($Later)
             S: * 2 FETCH (UID 2 FLAGS (\\Answered $Later))
             S: c OK ...",
        )
        .await;
    alice.command("EXAMINE Important").await;
    let lines = alice.command("FETCH 1 (FLAGS)").await;
    assert_eq!(lines[0], "* 1 FETCH (FLAGS (\\Flagged))");
}

/// Puts a message with a subject into INBOX; returns how many there are then, and the flags of the last one.
async fn put(client: &mut Client, subject: &str) -> (usize, String) {
    let text = format!(
        "From: <bob@remote.test>\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\r\nx\r\n"
    );
    client.append("INBOX", "", &text).await;
    client.command("SELECT INBOX").await;
    let lines = client.command("FETCH 1:* FLAGS").await;
    let flags = lines[lines.len() - 2].split_once("FLAGS ").unwrap().1;
    (
        lines.len() - 1,
        flags.trim_end_matches(')').to_owned() + ")",
    )
}

#[tokio::test]
async fn what_is_not_kept_is_marked_and_what_is_kept_stays_as_it_is() {
    let world = World::new().await;
    let script = "if header :is \"subject\" \"drop\" { discard; }
        elsif header :is \"subject\" \"both\" { discard; keep; }
        elsif header :is \"subject\" \"edit\" { addheader \"X-Seen\" \"yes\"; addflag \"\\\\Seen\"; fileinto :copy \"Archive\"; }
        elsif header :is \"subject\" \"here\" { fileinto \"INBOX\"; }";
    let mut alice = alice_with(&world, "INBOX", script).await;
    // RFC 6785 §3.5
    assert_eq!(put(&mut alice, "drop").await, (1, "(\\Deleted)".to_owned()));
    assert_eq!(put(&mut alice, "both").await, (2, "()".to_owned()));
    // RFC 6785 §3.7: what is kept has the flags, but not the field.
    assert_eq!(put(&mut alice, "edit").await, (3, "(\\Seen)".to_owned()));
    let field = "FETCH * BODY.PEEK[HEADER.FIELDS (X-Seen)]";
    let lines = alice.command(field).await.join("\n");
    assert!(!lines.contains("X-Seen: yes"), "{lines}");
    alice.command("EXAMINE Archive").await;
    let lines = alice.command(field).await.join("\n");
    assert!(lines.contains("X-Seen: yes"), "{lines}");
    // RFC 6785 §3.3: always another message.
    assert_eq!(put(&mut alice, "here").await.0, 5);
    let lines = alice.command("FETCH 4:5 FLAGS").await;
    assert_eq!(lines[0], "* 4 FETCH (FLAGS (\\Deleted))");
    assert_eq!(lines[1], "* 5 FETCH (FLAGS ())");
}

#[tokio::test]
async fn nothing_is_sent_and_what_fails_changes_nothing() {
    let world = World::new().await;
    let script = "if header :is \"subject\" \"on\" { redirect :copy \"carol@remote.test\"; }
        elsif header :is \"subject\" \"tell\" { notify \"mailto:carol@remote.test\"; discard; }
        elsif header :is \"subject\" \"fail\" { fileinto \"a/${x}/b\"; discard; }";
    let mut alice = alice_with(&world, "INBOX", script).await;
    for (number, subject) in ["on", "tell", "fail"].into_iter().enumerate() {
        assert_eq!(
            put(&mut alice, subject).await,
            (number + 1, "()".to_owned())
        );
    }
    // RFC 6785 §3.11, §4.6: what belongs to delivery ends a script, if only it is required.
    for (number, script) in [
        "require \"reject\"; addflag \"\\\\Seen\";",
        "require \"ereject\"; addflag \"\\\\Seen\";",
        "require \"vacation\"; addflag \"\\\\Seen\";",
        "require \"vacation-seconds\"; addflag \"\\\\Seen\";",
        "require \"envelope\"; if envelope :is \"from\" \"\" { addflag \"\\\\Seen\"; } discard;",
        "require \"ihave\"; if ihave \"vacation\" { vacation \"away\"; } discard;",
    ]
    .into_iter()
    .enumerate()
    {
        keep(&world, "s", script).await;
        let found = put(&mut alice, "x").await;
        assert_eq!(found, (number + 4, "()".to_owned()), "{script}");
    }
    let filter = QueueFilter::default();
    let queued = world.store.queue.list(&filter, None, 10).await.unwrap();
    assert!(queued.is_empty());
}

#[tokio::test]
async fn reading_a_message_runs_the_script() {
    let world = World::new().await;
    let script = "if allof (environment :is \"imap.cause\" \"FLAG\", environment :is \"imap.changedflags\" \"\\\\Seen\",
        hasflag \"\\\\Seen\") { addflag \"$Read\"; }";
    let mut alice = alice_with(&world, "INBOX", script).await;
    for _ in 0..3 {
        alice.append("INBOX", "", "Subject: x\r\n\r\nx\r\n").await;
    }
    alice.command("SELECT INBOX").await;
    alice
        .talk(
            "C: a FETCH 1 BODY.PEEK[TEXT]
             S: * 1 FETCH (BODY[TEXT] {3}
             S: x
             S: )
             S: a OK ...
             C: b FETCH 1:2 BODY[TEXT]
             S: * 1 FETCH (FLAGS (\\Seen) BODY[TEXT] {3}
             S: x
             S: )
             S: * 2 FETCH (FLAGS (\\Seen) BODY[TEXT] {3}
             S: x
             S: )
             S: * 1 FETCH (FLAGS (\\Seen $Read))
             S: * 2 FETCH (FLAGS (\\Seen $Read))
             S: b OK ...
             C: c FETCH 1 BODY[TEXT]
             S: * 1 FETCH (BODY[TEXT] {3}
             S: x
             S: )
             S: c OK ...",
        )
        .await;
}

#[tokio::test]
async fn scripts_of_operators_stand_around_that_of_the_mailbox() {
    let mut plan = plan();
    let around = |before: &str, after: &str| {
        let script = |text: &str| Some(SieveScript::compile(&format!("{REQUIRE}{text}")).unwrap());
        SieveStages {
            before: script(before),
            after: script(after),
        }
    };
    let if_subject = |subject: &str, command: &str| {
        format!("if header :is \"subject\" \"{subject}\" {{ {command} }}")
    };
    let hidden = "if environment :is \"imap.mailbox\" \"Archive\" { discard; stop; } addflag \"$ClusterBefore\";";
    plan.sieve.stages = around(hidden, "addflag \"$ClusterAfter\";");
    let mut domain =
        mailpods_plan::Domain::clone(plan.domain(address("alice@example.test").domain()).unwrap());
    domain.sieve = around(
        &if_subject("x", "addflag \"$DomainBefore\";"),
        "addflag \"$DomainAfter\";",
    );
    // It says nothing of IMAP.
    domain.sieve.after = Some(SieveScript::compile("discard;").unwrap());
    let domain = std::sync::Arc::new(domain);
    plan.domains = [(domain.name.clone(), domain)]
        .into_iter()
        .collect::<std::collections::BTreeMap<_, _>>()
        .into();
    let world = World::with(plan).await;
    let mut alice = alice_with(&world, "INBOX", "addflag \"$Own\";").await;
    let (_, flags) = put(&mut alice, "x").await;
    for keyword in ["$ClusterBefore", "$DomainBefore", "$Own", "$ClusterAfter"] {
        assert!(flags.contains(keyword), "{flags}");
    }
    // What a script of the owner must not do keeps none of theirs from running.
    for command in [
        "redirect \"carol@remote.test\";",
        "notify \"mailto:carol@remote.test\";",
    ] {
        keep(&world, "s", &format!("addflag \"$Own\"; {command}")).await;
        let (_, flags) = put(&mut alice, "x").await;
        for keyword in ["$ClusterBefore", "$DomainBefore", "$ClusterAfter"] {
            assert!(flags.contains(keyword), "{command}: {flags}");
        }
        assert!(!flags.contains("$Own"), "{command}: {flags}");
    }
    alice.append("Junk", "", "Subject: y\r\n\r\nx\r\n").await;
    alice.append("Archive", "", "Subject: x\r\n\r\nx\r\n").await;
    for (mailbox, flags) in [
        ("Junk", "$ClusterBefore $ClusterAfter"),
        ("Archive", "\\Deleted"),
    ] {
        alice.command(&format!("EXAMINE {mailbox}")).await;
        let lines = alice.command("FETCH 1 FLAGS").await;
        let flags_of = lines[0].trim_end_matches(')').split(['(', ' ']);
        let found: Vec<&str> = flags_of.collect();
        for flag in flags.split(' ') {
            assert!(found.contains(&flag), "{mailbox}: {lines:?}");
        }
        assert!(!found.contains(&"$Own"), "{mailbox}: {lines:?}");
    }
}

#[tokio::test]
async fn each_of_many_messages_runs_the_script() {
    let world = World::new().await;
    let mut alice = alice_with(&world, "Junk", "addflag \"$Copied\";").await;
    for _ in 0..50 {
        alice.append("INBOX", "", "Subject: x\r\n\r\nx\r\n").await;
    }
    alice.command("SELECT INBOX").await;
    alice.command("COPY 1:* Junk").await;
    // A session ends no sooner than its scripts, though LOGOUT is answered.
    alice.command("LOGOUT").await;
    while !alice.line().await.is_empty() {}
    let mut again = world.selected("Junk").await;
    let lines = again.command("SEARCH KEYWORD $Copied").await;
    assert_eq!(lines[0].split(' ').count(), 2 + 50, "{lines:?}");
}

#[tokio::test]
async fn a_mailbox_goes_before_the_account_and_a_name_may_lead_nowhere() {
    let world = World::new().await;
    keep(&world, "drop", "discard;").await;
    let mut alice = alice_with(&world, "", "addflag \"$All\";").await;
    for (mailbox, script) in [("Junk", "drop"), ("Archive", "nowhere")] {
        let set = format!("SETMETADATA {mailbox} (/shared/imapsieve/script \"{script}\")");
        alice.command(&set).await;
    }
    for (mailbox, count, flags) in [
        ("INBOX", "1", "($All)"),
        ("Junk", "1", "(\\Deleted)"),
        ("Archive", "1", "()"),
    ] {
        alice.append(mailbox, "", "Subject: x\r\n\r\nx\r\n").await;
        assert_eq!(messages(&mut alice, mailbox).await, count, "{mailbox}");
        if count == "1" {
            alice.command(&format!("SELECT {mailbox}")).await;
            let lines = alice.command("FETCH 1 FLAGS").await;
            let wanted = format!("* 1 FETCH (FLAGS {flags})");
            assert_eq!(lines[0], wanted, "{mailbox}");
        }
    }
}

fn with_managesieve(port: u16) -> Plan {
    let mut plan = plan();
    plan.listeners.push(Listener {
        name: "managesieve".to_owned(),
        protocol: Protocol::ManageSieve,
        address: ([127, 0, 0, 1], port).into(),
        proxy_sources: Vec::new(),
    });
    plan
}

#[tokio::test]
async fn it_is_announced_where_scripts_can_be_kept() {
    let capabilities = async |plan| {
        let world = World::with(plan).await;
        let mut alice = world.alice().await;
        alice.command("CAPABILITY").await[0].clone()
    };
    assert!(!capabilities(plan()).await.contains("IMAPSIEVE"));
    let usual = capabilities(with_managesieve(4190)).await;
    assert!(
        usual.ends_with(" IMAPSIEVE=sieve://mx.example.test"),
        "{usual}"
    );
    let other = capabilities(with_managesieve(2000)).await;
    assert!(other.ends_with(":2000"), "{other}");
}
