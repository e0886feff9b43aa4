//! APPEND: several messages at once, and its limits.

use crate::world::World;

#[tokio::test]
async fn several_messages_in_one_command() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a APPEND Sent (\\Seen) {12}
             S: + ...
             C: Subject: a
             C:  (\\Flagged $x) \" 7-Feb-1994 21:52:25 -0800\" {12+}
             C: Subject: b
             C:  {12+}
             C: Subject: c
             C:\x20
             S: a OK [APPENDUID ...
             C: b STATUS Sent (MESSAGES UNSEEN)
             S: * STATUS Sent (MESSAGES 3 UNSEEN 2)
             S: b OK ...",
        )
        .await;
    client.command("EXAMINE Sent").await;
    let lines = client
        .command("FETCH 1:* (UID FLAGS INTERNALDATE ENVELOPE)")
        .await;
    assert!(lines[0].starts_with("* 1 FETCH (UID 1 FLAGS (\\Seen) "));
    assert!(lines[1].starts_with(
        "* 2 FETCH (UID 2 FLAGS (\\Flagged $x) INTERNALDATE \"08-Feb-1994 05:52:25 +0000\" ENVELOPE (NIL \"b\" "
    ));
    assert!(lines[2].contains("ENVELOPE (NIL \"c\" "));
}

#[tokio::test]
async fn the_uids_are_told_as_a_set() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let lines = client
        .command("APPEND INBOX {3+}\r\na:b {3+}\r\nc:d {3+}\r\ne:f")
        .await;
    assert!(
        lines[0].starts_with("t OK [APPENDUID ") && lines[0].contains(" 1:3] "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn all_or_none() {
    let world = World::new().await;
    // bob has 2048 octets
    let mut bob = world.login("bob").await;
    let large = "x".repeat(1500);
    let lines = bob
        .command(&format!(
            "APPEND INBOX {{5+}}\r\na: b\n {{1500+}}\r\n{large} {{1500+}}\r\n{large}"
        ))
        .await;
    assert!(lines[0].starts_with("t NO [OVERQUOTA] "), "{lines:?}");
    // RFC 3502 §6.3.11: an empty message ends it all
    let lines = bob.command("APPEND INBOX {5+}\r\na: b\n {0+}\r\n").await;
    assert!(lines[0].starts_with("t NO [CANNOT] "), "{lines:?}");
    bob.talk(
        "C: a STATUS INBOX (MESSAGES SIZE)\nS: * STATUS INBOX (MESSAGES 0 SIZE 0)\nS: a OK ...",
    )
    .await;
}

#[tokio::test]
async fn messages_of_one_command_are_bounded_together() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let part = "x".repeat(600_000);
    let lines = client
        .command(&format!(
            "APPEND INBOX {{600000+}}\r\n{part} {{600000+}}\r\n{part}"
        ))
        .await;
    assert!(lines[0].starts_with("t NO [LIMIT] "), "{lines:?}");
    let many = " {1+}\r\nx".repeat(300);
    let lines = client.command(&format!("APPEND INBOX{many}")).await;
    assert!(lines[0].starts_with("t BAD [LIMIT] "), "{lines:?}");
    client.append("INBOX", "", &part).await;
    client
        .talk("C: a STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 1)\nS: a OK ...")
        .await;
}

/// RFC 7889
#[tokio::test]
async fn the_limit_is_told() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let lines = client.command("CAPABILITY").await;
    assert!(lines[0].contains(" APPENDLIMIT=1048576"), "{lines:?}");
    client
        .talk(
            "C: a STATUS INBOX (APPENDLIMIT MESSAGES)
             S: * STATUS INBOX (APPENDLIMIT 1048576 MESSAGES 0)
             S: a OK ...
             C: b LIST \"\" Sent RETURN (STATUS (APPENDLIMIT))
             S: * LIST ...
             S: * STATUS Sent (APPENDLIMIT 1048576)
             S: b OK ...
             C: c APPEND INBOX {1048577}
             S: c NO [TOOBIG] ...",
        )
        .await;
    let lines = world.secure().await.command("CAPABILITY").await;
    assert!(!lines[0].contains("APPENDLIMIT"), "{lines:?}");
}

/// RFC 8508
#[tokio::test]
async fn a_draft_is_replaced() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for _ in 0..3 {
        client
            .append("Drafts", "(\\Draft)", "a: b\r\n\r\nfirst")
            .await;
    }
    client.command("SELECT Drafts").await;
    let mut other = world.selected("Drafts").await;
    client
        .talk(
            "C: a REPLACE 2 Drafts (\\Draft \\Seen) {4+}
             C: c: d
             S: * OK [APPENDUID ...
             S: * 2 EXPUNGE
             S: * 3 EXISTS
             S: a OK replaced
             C: b UID FETCH 4 (FLAGS BODY.PEEK[])
             S: * 3 FETCH (FLAGS (\\Seen \\Draft) UID 4 BODY[] {4}
             S: c: d)
             S: b OK ...
             C: c UID REPLACE 4 Sent {4}
             S: + ...
             C: e: f
             S: * OK [APPENDUID ...
             S: * 3 EXPUNGE
             S: c OK ...
             C: d STATUS Sent (MESSAGES)
             S: * STATUS Sent (MESSAGES 1)
             S: d OK ...
             C: e UID REPLACE 4 Sent {1+}
             C: x
             S: e NO [NONEXISTENT] ...
             C: f REPLACE 9 Sent {1+}
             C: x
             S: f BAD ...
             C: g REPLACE 1 Nowhere {1+}
             C: x
             S: g NO [TRYCREATE] ...
             C: h REPLACE 1:2 Sent {1+}
             C: x
             S: h BAD ...
             C: i REPLACE 1 Sent {0+}
             C:\x20
             S: i NO [CANNOT] ...
             C: j REPLACE 1 Sent {1048577}
             S: j NO [TOOBIG] ...
             C: k STATUS Sent (MESSAGES)
             S: * STATUS Sent (MESSAGES 1)
             S: k OK ...",
        )
        .await;
    other
        .talk(
            "C: a REPLACE 2 Drafts {1+}
             C: x
             S: a NO [EXPUNGEISSUED] ...",
        )
        .await;
    let mut reader = world.alice().await;
    reader.command("EXAMINE Drafts").await;
    reader
        .talk("C: a REPLACE 1 Drafts {1+}\nC: x\nS: a NO ...")
        .await;
}

/// RFC 4469
#[tokio::test]
async fn a_message_is_put_together() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let message = "Subject: old\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nA: b\r\n\r\nfirst\r\n--x\r\n\r\nsecond\r\n--x--\r\n";
    client.append("Sent", "", message).await;
    client
        .talk(
            "C: a APPEND Drafts (\\Draft) CATENATE (TEXT {14+}
             C: Subject: new
             C:  URL \"/Sent/;UID=1/;SECTION=HEADER.FIELDS%20(X)\" URL \"/Sent/;UID=1/;SECTION=2\" TEXT {1+}
             C: - URL /Sent/;UID=1/;SECTION=1/;PARTIAL=1.3)
             S: a OK [APPENDUID ...",
        )
        .await;
    client.command("EXAMINE Drafts").await;
    client
        .talk(
            "C: b FETCH 1 (FLAGS BODY[])
             S: * 1 FETCH (FLAGS (\\Draft) BODY[] {26}
             S: Subject: new
             S:
             S: second-irs)
             S: b OK ...
             C: c APPEND Drafts CATENATE (URL \"/Sent/;UID=2\")
             S: c NO [BADURL \"/Sent/;UID=2\"] ...
             C: d APPEND Drafts CATENATE (TEXT {1+}
             C: x URL \"/Sent;UIDVALIDITY=1/;UID=1\")
             S: d NO [BADURL \"/Sent;UIDVALIDITY=1/;UID=1\"] ...
             C: e APPEND Drafts CATENATE (URL \"imap://other/Sent/;UID=1\")
             S: e NO [BADURL \"imap://other/Sent/;UID=1\"] ...
             C: f APPEND Drafts CATENATE (URL \"/Sent/;UID=1/;SECTION=7\")
             S: f NO [BADURL ...
             C: g STATUS Drafts (MESSAGES)
             S: * STATUS Drafts (MESSAGES 1)
             S: g OK ...",
        )
        .await;
    // What is bob's is nothing to alice, and the limit is that of a message.
    let mut bob = world.login("bob").await;
    bob.talk("C: a APPEND INBOX CATENATE (URL \"/Sent/;UID=1\")\nS: a NO [BADURL ...")
        .await;
    client.append("Sent", "", &"x".repeat(700_000)).await;
    client
        .talk(
            "C: h APPEND Drafts CATENATE (URL /Sent/;UID=2 URL /Sent/;UID=2)
             S: h NO [TOOBIG] ...",
        )
        .await;
}
