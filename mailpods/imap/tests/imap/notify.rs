//! NOTIFY (RFC 5465).

use crate::world::World;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";

#[tokio::test]
async fn other_mailboxes_are_told_without_being_asked() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let mut other = world.alice().await;
    client
        .talk(
            "C: a NOTIFY SET STATUS (mailboxes (INBOX Sent) (MessageNew MessageExpunge FlagChange)) (personal (MailboxName SubscriptionChange))
             S: * STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ...
             S: * STATUS Sent (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ...
             S: a OK ...",
        )
        .await;
    other.append("Sent", "", MESSAGE).await;
    client
        .talk("S: * STATUS Sent (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ...")
        .await;
    other.append("Drafts", "", MESSAGE).await;
    other.command("SELECT Sent").await;
    other
        .command("STORE 1 +FLAGS.SILENT (\\Seen \\Deleted)")
        .await;
    let line = client.line().await;
    assert!(
        line.starts_with("* STATUS Sent (MESSAGES 1 ") && line.ends_with(" UNSEEN 0)"),
        "{line}"
    );
    other.command("EXPUNGE").await;
    client
        .talk("S: * STATUS Sent (MESSAGES 0 UIDNEXT 2 ...")
        .await;
    other.talk("C: b CREATE new/one\nS: b OK ...").await;
    client
        .talk(
            "S: * LIST (\\HasChildren) \"/\" new
             S: * LIST (\\HasNoChildren) \"/\" new/one",
        )
        .await;
    other.talk("C: c RENAME new/one old\nS: c OK ...").await;
    client
        .talk("S: * LIST (\\HasNoChildren) \"/\" old (\"OLDNAME\" (new/one))")
        .await;
    other.talk("C: d SUBSCRIBE old\nS: d OK ...").await;
    client
        .talk("S: * LIST (\\HasNoChildren \\Subscribed) \"/\" old")
        .await;
    other.talk("C: e UNSUBSCRIBE old\nS: e OK ...").await;
    client.talk("S: * LIST (\\HasNoChildren) \"/\" old").await;
    other.talk("C: f DELETE old\nS: f OK ...").await;
    client.talk("S: * LIST (\\NonExistent) \"/\" old").await;
    // Commands go on, and IDLE tells the same.
    client
        .talk("C: g NOOP\nS: g OK ...\nC: h IDLE\nS: + idling")
        .await;
    other.append("INBOX", "", MESSAGE).await;
    client
        .talk(
            "S: * STATUS INBOX (MESSAGES 1 ...
             C: DONE
             S: h OK ...
             C: i NOTIFY NONE
             S: i OK ...",
        )
        .await;
    other.append("INBOX", "", MESSAGE).await;
    client.talk("C: j NOOP\nS: j OK ...").await;
}

#[tokio::test]
async fn the_selected_mailbox_is_told_at_once() {
    let world = World::new().await;
    let mut client = world.selected("INBOX").await;
    let mut other = world.alice().await;
    client
        .talk("C: a NOTIFY SET (selected (MessageNew (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))\nS: a OK ...")
        .await;
    other.append("INBOX", "(\\Seen)", MESSAGE).await;
    client
        .talk(
            "S: * 1 EXISTS
             S: * 1 FETCH (UID 1 FLAGS (\\Seen) BODY[HEADER.FIELDS (SUBJECT)] {14}
             S: Subject: x
             S:
             S: )",
        )
        .await;
    other.command("SELECT INBOX").await;
    other.command("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.talk("S: * 1 FETCH (FLAGS (\\Deleted \\Seen))").await;
    other.command("EXPUNGE").await;
    client.talk("S: * 1 EXPUNGE").await;
}

#[tokio::test]
async fn expunges_are_delayed_and_flags_hidden_if_that_is_asked_for() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for _ in 0..2 {
        client.append("INBOX", "", MESSAGE).await;
    }
    client.command("SELECT INBOX").await;
    let mut other = world.selected("INBOX").await;
    client
        .talk("C: a NOTIFY SET (selected-delayed (MessageNew MessageExpunge))\nS: a OK ...")
        .await;
    other.command("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.command("EXPUNGE").await;
    other.append("INBOX", "", MESSAGE).await;
    // The number is that of before the expunge.
    client
        .talk(
            "S: * 3 EXISTS
             C: b FETCH 3 (UID)
             S: * 3 FETCH (UID 3)
             S: b OK ...
             C: c NOOP
             S: * 1 EXPUNGE
             S: c OK ...",
        )
        .await;
}

#[tokio::test]
async fn filters() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client.command("CREATE work/a").await;
    client.command("CREATE other").await;
    client
        .talk(
            "C: a NOTIFY SET STATUS (mailboxes work/a NONE) (subtree (work) (MessageNew MessageExpunge)) (inboxes (MessageNew MessageExpunge))
             S: * STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ...
             S: * STATUS work (MESSAGES 0 ...
             S: a OK ...
             C: b NOTIFY SET STATUS (subscribed (MessageNew MessageExpunge))
             S: * STATUS INBOX ...
             S: * STATUS ...
             S: * STATUS ...
             S: * STATUS ...
             S: * STATUS ...
             S: * STATUS ...
             S: b OK ...
             C: c NOTIFY SET (personal (MessageNew MessageExpunge AnnotationChange))
             S: c NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)] ...
             C: d NOTIFY SET (personal (MessageNew))
             S: d BAD ...
             C: e NOTIFY SET (personal (FlagChange))
             S: e BAD ...
             C: f NOTIFY SET (personal ())
             S: f BAD ...
             C: g NOTIFY SET (everything (MailboxName))
             S: g BAD ...
             C: h NOTIFY SET (selected (MailboxName))
             S: h NO [BADEVENT ...
             C: i NOTIFY SET
             S: i BAD ...
             C: j NOTIFY SET (selected NONE) (selected-delayed NONE)
             S: j BAD ...
             C: k NOTIFY MAYBE
             S: k BAD ...",
        )
        .await;
    let groups = " (personal NONE)".repeat(17);
    assert!(client.command(&format!("NOTIFY SET{groups}")).await[0].starts_with("t BAD [LIMIT] "));
    let names: Vec<String> = (0..129).map(|number| number.to_string()).collect();
    let line = format!("NOTIFY SET (mailboxes ({}) NONE)", names.join(" "));
    assert!(client.command(&line).await[0].starts_with("t BAD [LIMIT] "));
}

#[tokio::test]
async fn annotations_are_told_by_name() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let mut other = world.alice().await;
    client
        .talk(
            "C: a NOTIFY SET (mailboxes Sent (MailboxMetadataChange)) (personal (ServerMetadataChange))
             S: a OK ...",
        )
        .await;
    other
        .command("SETMETADATA Sent (/private/comment \"x\" /shared/comment \"y\")")
        .await;
    client
        .talk("S: * METADATA Sent /private/comment /shared/comment")
        .await;
    other
        .command("SETMETADATA Drafts (/private/comment \"x\")")
        .await;
    other
        .command("SETMETADATA \"\" (/private/comment \"x\")")
        .await;
    client.talk("S: * METADATA \"\" /private/comment").await;
    other
        .command("SETMETADATA Sent (/private/comment NIL)")
        .await;
    client
        .talk("S: * METADATA Sent /private/comment\nC: b NOOP\nS: b OK ...")
        .await;
}
