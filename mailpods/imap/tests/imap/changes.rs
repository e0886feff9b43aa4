//! Several sessions on one mailbox see each other's changes.

use crate::world::World;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";

#[tokio::test]
async fn new_messages_flags_and_expunges_are_seen() {
    let world = World::new().await;
    let mut first = world.selected("INBOX").await;
    let mut second = world.selected("INBOX").await;
    for _ in 0..3 {
        first.append("INBOX", "", MESSAGE).await;
    }
    second.talk("C: a NOOP\nS: * 3 EXISTS\nS: a OK ...").await;
    first
        .talk(
            "C: b STORE 2 +FLAGS (\\Deleted)
             S: * 2 FETCH (FLAGS (\\Deleted))
             S: b OK ...
             C: c STORE 3 +FLAGS.SILENT (\\Flagged)
             S: c OK ...
             C: d EXPUNGE
             S: * 2 EXPUNGE
             S: d OK ...
             C: e FETCH 2 (UID FLAGS)
             S: * 2 FETCH (UID 3 FLAGS (\\Flagged))
             S: e OK ...",
        )
        .await;
    // RFC 9051 §7.5.1: FETCH must not bring an EXPUNGE; the message is gone all the same.
    second
        .talk(
            "C: f FETCH 2 (UID)
             S: * 3 FETCH (FLAGS (\\Flagged))
             S: f OK [EXPUNGEISSUED] ...
             C: g NOOP
             S: * 2 EXPUNGE
             S: g OK ...
             C: h UID FETCH 1:* (UID)
             S: * 1 FETCH (UID 1)
             S: * 2 FETCH (UID 3)
             S: h OK ...",
        )
        .await;
}

#[tokio::test]
async fn idle_tells_at_once() {
    let world = World::new().await;
    let mut idle = world.selected("INBOX").await;
    let mut other = world.selected("INBOX").await;
    idle.talk("C: a IDLE\nS: + idling").await;
    other.append("INBOX", "", MESSAGE).await;
    idle.talk("S: * 1 EXISTS").await;
    other
        .talk(
            "C: b STORE 1 +FLAGS (\\Deleted $x)\nS: * 1 FETCH (FLAGS (\\Deleted $x))\nS: b OK ...",
        )
        .await;
    idle.talk("S: * 1 FETCH (FLAGS (\\Deleted $x))").await;
    other
        .talk("C: c EXPUNGE\nS: * 1 EXPUNGE\nS: c OK ...")
        .await;
    idle.talk(
        "S: * 1 EXPUNGE\nC: DONE\nS: a OK ...\nC: d IDLE\nS: + idling\nC: NOOP\nS: d BAD ...",
    )
    .await;
}

/// RFC 9051 §6.3.13, §7.5.2; RFC 3501 asks for none of it.
#[tokio::test]
async fn rev2_tells_the_uid_with_flags_that_others_changed() {
    let world = World::new().await;
    let mut first = world.alice().await;
    first.append("INBOX", "(\\Deleted)", MESSAGE).await;
    first.append("INBOX", "", MESSAGE).await;
    first.talk("C: a SELECT INBOX\nS: * 2 EXISTS").await;
    while !first.line().await.starts_with("a OK") {}
    let mut second = world.alice().await;
    second
        .talk("C: a ENABLE IMAP4rev2\nS: * ENABLED IMAP4rev2\nS: a OK ...")
        .await;
    first
        .talk("C: b EXPUNGE\nS: * 1 EXPUNGE\nS: b OK ...")
        .await;
    second.command("SELECT INBOX").await;
    second.talk("C: c IDLE\nS: + idling").await;
    first
        .talk("C: d STORE 1 +FLAGS.SILENT (\\Seen)\nS: d OK ...")
        .await;
    second
        .talk("S: * 1 FETCH (UID 2 FLAGS (\\Seen))\nC: DONE\nS: c OK ...")
        .await;
    first
        .talk("C: e STORE 1 -FLAGS.SILENT (\\Seen)\nS: e OK ...")
        .await;
    second
        .talk("C: f NOOP\nS: * 1 FETCH (UID 2 FLAGS ())\nS: f OK ...")
        .await;
}

#[tokio::test]
async fn own_changes_are_not_told_twice() {
    let world = World::new().await;
    let mut client = world.selected("INBOX").await;
    client.append("INBOX", "", MESSAGE).await;
    client
        .talk(
            "C: a NOOP
             S: a OK ...
             C: b STORE 1 FLAGS.SILENT (\\Seen)
             S: b OK ...
             C: c NOOP
             S: c OK ...
             C: d STORE 1 FLAGS (\\Seen a)
             S: * 1 FETCH (FLAGS (\\Seen a))
             S: d OK ...
             C: e NOOP
             S: e OK ...",
        )
        .await;
}

#[tokio::test]
async fn copy_and_move_tell_uids() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for _ in 0..3 {
        client.append("INBOX", "(\\Seen)", MESSAGE).await;
    }
    client.command("SELECT INBOX").await;
    client
        .talk(
            "C: a COPY 1:2 Archive
             S: a OK [COPYUID ...
             C: b UID MOVE 2:3 Archive
             S: * OK [COPYUID ...
             S: * 3 EXPUNGE
             S: * 2 EXPUNGE
             S: b OK ...
             C: c COPY 1 none
             S: c NO [TRYCREATE] ...
             C: c2 MOVE 1 none
             S: c2 NO [TRYCREATE] ...
             C: c3 LIST \"\" none
             S: c3 OK ...
             C: d UID COPY 99 Archive
             S: d OK nothing to copy
             C: e COPY 1 INBOX
             S: * 2 EXISTS
             S: e OK [COPYUID ...
             C: f STATUS Archive (MESSAGES UIDNEXT)
             S: * STATUS Archive (MESSAGES 4 UIDNEXT 5)
             S: f OK ...",
        )
        .await;
}

#[tokio::test]
async fn uid_expunge_and_close() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for _ in 0..3 {
        client.append("INBOX", "(\\Deleted)", MESSAGE).await;
    }
    client.command("SELECT INBOX").await;
    client
        .talk(
            "C: a UID EXPUNGE 2,77
             S: * 2 EXPUNGE
             S: a OK ...
             C: b CLOSE
             S: b OK ...
             C: c STATUS INBOX (MESSAGES)
             S: * STATUS INBOX (MESSAGES 0)
             S: c OK ...",
        )
        .await;
}

#[tokio::test]
async fn a_mailbox_that_is_deleted_elsewhere_ends_the_session() {
    let world = World::new().await;
    let mut first = world.alice().await;
    first.talk("C: a CREATE gone\nS: a OK ...").await;
    let mut second = world.selected("gone").await;
    first.talk("C: b DELETE gone\nS: b OK ...").await;
    second.talk("C: c NOOP\nS: * BYE ...\nS:").await;
    let mut third = world.alice().await;
    third.talk("C: a CREATE own\nS: a OK ...").await;
    third.command("SELECT own").await;
    third
        .talk("C: b DELETE own\nS: * OK [CLOSED] ...\nS: b OK ...\nC: c CHECK\nS: c BAD ...")
        .await;
}
