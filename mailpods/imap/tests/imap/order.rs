//! SORT and THREAD (RFC 5256, RFC 5957, RFC 5267).

use crate::world::{Client, World};

async fn client(world: &World) -> Client {
    let mut client = world.alice().await;
    let mails = [
        (
            "Zoe <b@x.test>",
            "Re: Äpfel",
            "Mon, 1 Jun 2026 12:00:00 +0000",
            "<1@x>",
            "",
            10,
        ),
        (
            "adam <z@x.test>",
            "Birnen",
            "Mon, 1 Jun 2026 12:30:00 +0100",
            "<2@x>",
            "",
            500,
        ),
        (
            "C@x.test",
            "apfel",
            "Sun, 31 May 2026 23:00:00 +0000",
            "<3@x>",
            "<2@x>",
            90,
        ),
        ("", "", "no date", "<4@x>", "<2@x> <3@x>", 1),
    ];
    // Days of July on which they arrived.
    let mut days = ["02", "01", "02", "03"].into_iter();
    for (from, subject, date, id, references, octets) in mails {
        let day = days.next().unwrap();
        let body = "x".repeat(octets);
        client
            .append(
                "INBOX",
                &format!("() \"{day}-Jul-2026 00:00:00 +0000\""),
                &format!(
                    "From: {from}\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: {id}\r\nReferences: {references}\r\n\r\n{body}\r\n"
                ),
            )
            .await;
    }
    client.command("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn criteria() {
    let world = World::new().await;
    let mut client = client(&world).await;
    let table = [
        ("(ARRIVAL)", "2 1 3 4"),
        ("(REVERSE ARRIVAL)", "4 1 3 2"),
        ("(SIZE)", "4 1 3 2"),
        ("(REVERSE SIZE)", "2 3 1 4"),
        // Message 4 has no date: that of its arrival counts.
        ("(DATE)", "3 2 1 4"),
        ("(SUBJECT)", "4 3 1 2"),
        ("(REVERSE SUBJECT)", "2 1 3 4"),
        ("(FROM)", "4 1 3 2"),
        ("(TO CC REVERSE SIZE)", "2 3 1 4"),
        ("(DISPLAYFROM)", "4 2 3 1"),
        ("(DISPLAYTO REVERSE DATE)", "4 1 2 3"),
    ];
    for (criteria, expected) in table {
        let lines = client.command(&format!("SORT {criteria} UTF-8 ALL")).await;
        assert_eq!(lines[0], format!("* SORT {expected}"), "{criteria}");
        assert!(lines[1].starts_with("t OK"), "{criteria}: {lines:?}");
    }
}

#[tokio::test]
async fn sorted_searches() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client.command("STORE 1 +FLAGS (\\Deleted)").await;
    client.command("EXPUNGE").await;
    client
        .talk(
            "C: a UID SORT (SIZE) US-ASCII SUBJECT e
             S: * SORT 3 2
             S: a OK ...
             C: b SORT (SIZE) UTF-8 SUBJECT nothing
             S: * SORT
             S: b OK ...
             C: c UID SORT RETURN (MIN MAX COUNT ALL SAVE) (REVERSE SIZE) UTF-8 NOT DELETED
             S: * ESEARCH (TAG \"c\") UID MIN 2 MAX 4 COUNT 3 ALL 2:4
             S: c OK ...
             C: d SORT RETURN () (SIZE) UTF-8 $
             S: * ESEARCH (TAG \"d\") ALL 3,2,1
             S: d OK ...
             C: e SORT (SIZE) KOI8-R ALL
             S: e NO [BADCHARSET (US-ASCII UTF-8)] ...
             C: f SORT () UTF-8 ALL
             S: f BAD ...
             C: g SORT (COLOUR) UTF-8 ALL
             S: g BAD ...
             C: h SORT (SIZE) ALL
             S: h BAD ...
             C: i SORT (SIZE) UTF-8 MODSEQ 1
             S: * SORT 3 2 1 (MODSEQ ...
             S: i OK ...",
        )
        .await;
}

#[tokio::test]
async fn threads() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client
        .talk(
            "C: a THREAD REFERENCES UTF-8 ALL
             S: * THREAD (2 3 4)(1)
             S: a OK ...
             C: b UID THREAD ORDEREDSUBJECT UTF-8 ALL
             S: * THREAD (3)(2)(1)(4)
             S: b OK ...
             C: c THREAD REFERENCES UTF-8 SUBJECT nothing
             S: * THREAD
             S: c OK ...
             C: d THREAD BYMOOD UTF-8 ALL
             S: d BAD ...
             C: e THREAD REFERENCES KOI8-R ALL
             S: e NO [BADCHARSET (US-ASCII UTF-8)] ...
             C: f THREAD REFERENCES UTF-8
             S: f BAD ...",
        )
        .await;
}

#[tokio::test]
async fn messages_that_are_gone_are_passed_over() {
    let world = World::new().await;
    let mut client = client(&world).await;
    let mut other = world.selected("INBOX").await;
    other.command("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    other.command("EXPUNGE").await;
    // RFC 5256 §3: no EXPUNGE while numbers are told
    client
        .talk(
            "C: a SORT (SIZE) UTF-8 ALL
             S: * SORT 4 1 3
             S: a OK ...
             C: b UID THREAD REFERENCES UTF-8 ALL
             S: * THREAD (3 4)(1)
             S: * 2 EXPUNGE
             S: b OK ...
             C: c UID SORT (SIZE) UTF-8 ALL
             S: * SORT 4 1 3
             S: c OK ...",
        )
        .await;
}

#[tokio::test]
async fn many_messages_are_ordered() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for chunk in 0..25 {
        let mails: String = (0..100)
            .map(|number| {
                let message = format!("Subject: s{:05}\r\n\r\n.", 99_999 - chunk * 100 - number);
                format!(" {{{}+}}\r\n{message}", message.len())
            })
            .collect();
        client.command(&format!("APPEND INBOX{mails}")).await;
    }
    client.command("SELECT INBOX").await;
    let lines = client
        .command("SORT RETURN (MIN MAX COUNT) (SUBJECT) UTF-8 ALL")
        .await;
    assert_eq!(lines[0], "* ESEARCH (TAG \"t\") MIN 2500 MAX 1 COUNT 2500");
    let lines = client.command("THREAD ORDEREDSUBJECT UTF-8 ALL").await;
    assert_eq!(lines[0].matches('(').count(), 2500);
}
