//! QRESYNC (RFC 7162 §3.2).

use crate::world::{Client, World};

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";

/// Five messages, and the UIDVALIDITY and highest modification sequence that a client leaves with.
async fn left(world: &World) -> (u32, u64) {
    let mut client = world.alice().await;
    for _ in 0..5 {
        client.append("INBOX", "", MESSAGE).await;
    }
    state(&mut client).await
}

async fn state(client: &mut Client) -> (u32, u64) {
    let status = client
        .command("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)")
        .await;
    let numbers: Vec<u64> = status[0]
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    (numbers[0] as u32, numbers[1])
}

/// Somebody expunges 2 and 4, and flags 3.
async fn meanwhile(world: &World) {
    let mut other = world.selected("INBOX").await;
    other.command("STORE 2,4 +FLAGS.SILENT (\\Deleted)").await;
    other.command("EXPUNGE").await;
    other.command("UID STORE 3 +FLAGS.SILENT (\\Flagged)").await;
}

async fn enabled(world: &World) -> Client {
    let mut client = world.alice().await;
    client
        .talk(
            "C: q ENABLE QRESYNC CONDSTORE\nS: * ENABLED CONDSTORE QRESYNC\nS: q OK ...\nC: r ENABLE QRESYNC\nS: * ENABLED\nS: r OK ...",
        )
        .await;
    client
}

/// What SELECT tells beside what it always tells.
async fn missed(client: &mut Client, parameters: &str) -> Vec<String> {
    let lines = client.command(&format!("SELECT INBOX {parameters}")).await;
    let told = lines
        .iter()
        .filter(|line| line.starts_with("* VANISHED") || line.contains(" FETCH "))
        .cloned();
    let told = told.collect();
    assert!(
        lines.last().unwrap().starts_with("t OK [READ-WRITE]"),
        "{lines:?}"
    );
    told
}

#[tokio::test]
async fn what_was_missed_comes_with_select() {
    let world = World::new().await;
    let (validity, modseq) = left(&world).await;
    meanwhile(&world).await;
    let mut client = enabled(&world).await;
    let told = missed(&mut client, &format!("(QRESYNC ({validity} {modseq}))")).await;
    assert_eq!(told[0], "* VANISHED (EARLIER) 2,4");
    assert!(
        told[1].starts_with("* 2 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ ("),
        "{told:?}"
    );
    assert_eq!(told.len(), 2);
    let now = state(&mut client).await.1;
    for (parameters, expected) in [
        // only what is asked about
        (
            format!("({validity} {modseq} 4:9)"),
            vec!["* VANISHED (EARLIER) 4"],
        ),
        (format!("({validity} {modseq} 5)"), vec![]),
        // another mailbox of that name
        (format!("({} {modseq})", validity + 1), vec![]),
        (format!("({validity} {now})"), vec![]),
        // Message 1 still has UID 1; that 3 is 5 says that 2 and 4 are known to be gone.
        (
            format!("({validity} {modseq} 1:4 (1 1))"),
            vec!["* VANISHED (EARLIER) 2,4", "* 2 FETCH"],
        ),
        (
            format!("({validity} {modseq} (1,3 1,5))"),
            vec!["* 2 FETCH"],
        ),
        (
            format!("({validity} {modseq} 1:5 (1:4294967295 1:4294967295))"),
            vec!["* VANISHED (EARLIER) 2,4", "* 2 FETCH"],
        ),
    ] {
        let told = missed(&mut client, &format!("(QRESYNC {parameters})")).await;
        assert_eq!(told.len(), expected.len(), "{parameters}: {told:?}");
        for (line, start) in told.iter().zip(expected) {
            assert!(line.starts_with(start), "{parameters}: {told:?}");
        }
    }
}

#[tokio::test]
async fn nothing_of_it_without_enable() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a SELECT INBOX (QRESYNC (1 1))
             S: a BAD ...
             C: b FETCH 1 (FLAGS)
             S: b BAD ...
             C: c CREATE Old (USE (\\Unheard))
             S: c NO [USEATTR] ...",
        )
        .await;
    client.command("SELECT INBOX").await;
    client
        .talk(
            "C: d UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)
             S: d BAD ...",
        )
        .await;
}

#[tokio::test]
async fn expunges_become_vanished() {
    let world = World::new().await;
    left(&world).await;
    let mut client = enabled(&world).await;
    client.command("SELECT INBOX").await;
    let mut old = world.selected("INBOX").await;
    let mut idle = enabled(&world).await;
    idle.command("SELECT INBOX").await;
    idle.talk("C: i IDLE\nS: + idling").await;
    client
        .talk(
            "C: a STORE 1:3 +FLAGS (\\Deleted)
             S: * 1 FETCH (UID 1 FLAGS (\\Deleted) MODSEQ ...
             S: * 2 FETCH (UID 2 FLAGS (\\Deleted) MODSEQ ...
             S: * 3 FETCH (UID 3 FLAGS (\\Deleted) MODSEQ ...
             S: a OK ...",
        )
        .await;
    for number in 1..=3 {
        idle.talk(&format!("S: * {number} FETCH (UID {number} FLAGS ..."))
            .await;
    }
    client
        .talk(
            "C: b UID EXPUNGE 2
             S: * VANISHED 2
             S: b OK [HIGHESTMODSEQ ...
             C: c EXPUNGE
             S: * VANISHED 1,3
             S: c OK [HIGHESTMODSEQ ...
             C: d EXPUNGE
             S: d OK expunged
             C: e MOVE 1 Archive
             S: * OK [COPYUID ...
             S: * VANISHED 4
             S: e OK [HIGHESTMODSEQ ...",
        )
        .await;
    let mut gone = Vec::new();
    while gone.len() < 4 {
        let line = idle.line().await;
        let uids = line.strip_prefix("* VANISHED ").expect(&line).to_owned();
        gone.extend(uids.split(',').map(str::to_owned));
    }
    assert_eq!(gone, ["2", "1", "3", "4"]);
    // Who has not enabled it gets what there always was.
    old.talk(
        "C: a NOOP
         S: * 4 EXPUNGE
         S: * 3 EXPUNGE
         S: * 2 EXPUNGE
         S: * 1 EXPUNGE
         S: a OK ...",
    )
    .await;
}

#[tokio::test]
async fn the_modification_sequence_of_expunge_is_the_mailboxs() {
    let world = World::new().await;
    left(&world).await;
    let mut client = enabled(&world).await;
    client.command("SELECT INBOX").await;
    client.command("STORE 5 +FLAGS (\\Deleted)").await;
    let lines = client.command("EXPUNGE").await;
    let now = state(&mut client).await.1;
    assert!(
        lines[1].starts_with(&format!("t OK [HIGHESTMODSEQ {now}] ")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn uid_fetch_tells_what_vanished() {
    let world = World::new().await;
    let (_, modseq) = left(&world).await;
    let mut client = enabled(&world).await;
    client.command("SELECT INBOX").await;
    meanwhile(&world).await;
    // What the session still counts goes without EARLIER, for that changes message numbers.
    client
        .talk(&format!(
            "C: a UID FETCH 1:* (FLAGS) (VANISHED CHANGEDSINCE {modseq})
             S: * 3 FETCH (FLAGS (\\Flagged) MODSEQ ...
             S: * VANISHED 2,4
             S: * 2 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ ...
             S: a OK ...
             C: b UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)
             S: * VANISHED (EARLIER) 2,4
             S: * 2 FETCH (FLAGS (\\Flagged) MODSEQ ...
             S: b OK ...
             C: c UID FETCH 3:5 (UID) (CHANGEDSINCE {modseq} VANISHED)
             S: * VANISHED (EARLIER) 4
             S: * 2 FETCH (UID 3 MODSEQ ...
             S: c OK ...
             C: d FETCH 1:* (UID) (CHANGEDSINCE {modseq} VANISHED)
             S: d BAD ...
             C: e UID FETCH 1:* (UID) (VANISHED)
             S: e BAD ..."
        ))
        .await;
}
