//! Scripts at IMAP commands (RFC 6785).

use mailpods_plan::{Listener, Plan, Protocol};
use mailpods_store::queue::QueueFilter;

use crate::world::{Client, World, address, plan};

const REQUIRE: &str = "require [\"imapsieve\", \"environment\", \"fileinto\", \"copy\", \"imap4flags\", \"variables\", \"editheader\", \"vacation\", \"reject\", \"enotify\", \"mailbox\"];\n";

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
             S: * 1 EXPUNGE
             S: a OK ...
             C: b UID STORE 2 +FLAGS ($Later)
             S: * 1 FETCH (UID 2 FLAGS ($Later))
             S: * 1 FETCH (FLAGS (\\Answered $Later))
             S: b OK ...
             C: c UID STORE 2 +FLAGS ($Later)
             S: * 1 FETCH (UID 2 FLAGS (\\Answered $Later))
             S: c OK ...",
        )
        .await;
    alice.command("EXAMINE Important").await;
    let lines = alice.command("FETCH 1 (FLAGS)").await;
    assert_eq!(lines[0], "* 1 FETCH (FLAGS (\\Flagged))");
}

#[tokio::test]
async fn appended_messages_are_changed_and_dropped_and_nothing_is_sent() {
    let world = World::new().await;
    let script = "if header :is \"subject\" \"drop\" { discard; }
        elsif header :is \"subject\" \"edit\" { addheader \"X-Seen\" \"yes\"; addflag \"\\\\Seen\"; }
        elsif header :is \"subject\" \"on\" { redirect :copy \"carol@remote.test\"; }
        elsif header :is \"subject\" \"tell\" { notify \"mailto:carol@remote.test\"; }
        elsif header :is \"subject\" \"refuse\" { reject \"no\"; }
        elsif header :is \"subject\" \"answer\" { vacation \"away\"; }
        elsif header :is \"subject\" \"fail\" { fileinto \"a/${x}/b\"; discard; }";
    let mut alice = alice_with(&world, "INBOX", script).await;
    let append = async |client: &mut Client, subject: &str| {
        let text = format!(
            "From: <bob@remote.test>\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\r\nx\r\n"
        );
        client.append("INBOX", "", &text).await;
        messages(client, "INBOX").await
    };
    assert_eq!(append(&mut alice, "drop").await, "0");
    assert_eq!(append(&mut alice, "edit").await, "1");
    alice.command("SELECT INBOX").await;
    let lines = alice
        .command("FETCH 1 (FLAGS BODY[HEADER])")
        .await
        .join("\n");
    assert!(
        lines.contains("\\Seen") && lines.contains("X-Seen: yes"),
        "{lines}"
    );
    let queued = async || {
        let filter = QueueFilter::default();
        world.store.queue.list(&filter, None, 10).await.unwrap()
    };
    // Nothing is sent: it would pass by what holds for submission.
    assert_eq!(append(&mut alice, "on").await, "2");
    assert_eq!(append(&mut alice, "tell").await, "3");
    // Nobody is told or answered, and what fails changes nothing.
    assert_eq!(append(&mut alice, "refuse").await, "4");
    assert_eq!(append(&mut alice, "answer").await, "5");
    assert_eq!(append(&mut alice, "fail").await, "6");
    assert!(queued().await.is_empty());
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
        ("Junk", "0", ""),
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
