//! SEARCH.

use crate::world::{Client, World};

async fn client(world: &World) -> Client {
    let mut client = world.alice().await;
    let mail = |subject: &str, body: &str| {
        format!(
            "From: Alice <alice@example.test>\r\nSubject: {subject}\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\nX-Kind: test\r\n\r\n{body}\r\n"
        )
    };
    client
        .append(
            "INBOX",
            "(\\Seen)",
            &mail("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "one"),
        )
        .await;
    client
        .append("INBOX", "(\\Flagged work)", &mail("two", "needle in here"))
        .await;
    client
        .append("INBOX", "", &mail("three", &"long ".repeat(100)))
        .await;
    client.command("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn keys() {
    let world = World::new().await;
    let mut client = client(&world).await;
    let table = [
        ("ALL", "1 2 3"),
        ("UNSEEN", "2 3"),
        ("NOT FLAGGED", "1 3"),
        ("KEYWORD WORK", "2"),
        ("OR SEEN FLAGGED", "1 2"),
        ("UNSEEN UNFLAGGED", "3"),
        ("2:3 UNSEEN", "2 3"),
        ("UID 2", "2"),
        ("FROM alice@", "1 2 3"),
        ("SUBJECT TWO", "2"),
        ("SUBJECT {6+}\r\ngr\u{fc}\u{df}", "1"),
        ("BODY needle", "2"),
        ("TEXT x-kind BODY one", "1"),
        ("HEADER X-Kind \"\"", "1 2 3"),
        ("HEADER X-Other \"\"", ""),
        ("LARGER 500", "3"),
        ("SENTON 1-Jun-2026", "1 2 3"),
        ("SENTBEFORE 1-Jun-2026", ""),
        ("SINCE 1-Jan-2020", "1 2 3"),
        ("BEFORE 1-Jan-2020", ""),
        ("YOUNGER 3600", "1 2 3"),
        ("OLDER 3600", ""),
        ("NEW", ""),
        ("(OR (BODY needle) (NOT UNSEEN)) NOT DELETED", "1 2"),
    ];
    for (key, expected) in table {
        let lines = client.command(&format!("SEARCH {key}")).await;
        assert_eq!(lines[0], format!("* SEARCH {expected}").trim_end(), "{key}");
        assert!(lines[1].starts_with("t OK"), "{key}: {lines:?}");
    }
}

#[tokio::test]
async fn returns_and_saved_results() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client
        .talk(
            "C: a UID SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN
             S: * ESEARCH (TAG \"a\") UID MIN 2 MAX 3 COUNT 2 ALL 2:3
             S: a OK ...
             C: b SEARCH RETURN (SAVE) UNSEEN
             S: b OK ...
             C: c FETCH $ (UID)
             S: * 2 FETCH (UID 2)
             S: * 3 FETCH (UID 3)
             S: c OK ...
             C: d SEARCH $ FLAGGED
             S: * SEARCH 2
             S: d OK ...
             C: e SEARCH CHARSET KOI8-R ALL
             S: e NO [BADCHARSET (US-ASCII UTF-8)] ...
             C: f SEARCH RETURN () DELETED
             S: * ESEARCH (TAG \"f\")
             S: f OK ...",
        )
        .await;
}

/// RFC 9051 §6.4.4.1
#[tokio::test]
async fn what_failed_searches_do_to_the_saved_result() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client
        .talk(
            "C: a SEARCH RETURN (SAVE) FLAGGED
             S: a OK ...
             C: b SEARCH RETURN (SAVE) 99
             S: b BAD ...
             C: c SEARCH RETURN (SAVE) NONSENSE
             S: c BAD ...
             C: d SEARCH CHARSET KOI8-R ALL
             S: d NO [BADCHARSET (US-ASCII UTF-8)] ...
             C: e FETCH $ (UID)
             S: * 2 FETCH (UID 2)
             S: e OK ...
             C: f SEARCH RETURN (SAVE) CHARSET KOI8-R ALL
             S: f NO [BADCHARSET (US-ASCII UTF-8)] ...
             C: g FETCH $ (UID)
             S: g OK ...
             C: h SEARCH RETURN (SAVE) ALL
             S: h OK ...
             C: i SEARCH RETURN (SAVE) $ UNSEEN
             S: i OK ...
             C: j UID SEARCH $
             S: * SEARCH 2 3
             S: j OK ...",
        )
        .await;
}

#[tokio::test]
async fn keys_that_look_through_bodies_are_few() {
    let world = World::new().await;
    let mut client = client(&world).await;
    let search = |count: usize| format!("SEARCH{}", " NOT BODY zz".repeat(count));
    assert_eq!(client.command(&search(32)).await[0], "* SEARCH 1 2 3");
    assert!(client.command(&search(33)).await[0].starts_with("t NO [LIMIT] "));
    let headers = " HEADER X-Kind test".repeat(513);
    assert!(client.command(&format!("SEARCH{headers}")).await[0].starts_with("t NO [LIMIT] "));
}

#[tokio::test]
async fn large_messages_are_searched() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let text = "words and more words\r\n".repeat(20_000);
    let message = format!("Subject: long\r\n\r\n{text}NeeDle\r\n");
    client.append("INBOX", "", &message).await;
    client.command("SELECT INBOX").await;
    for (keys, found) in [
        ("TEXT needle SUBJECT long", "* SEARCH 1"),
        ("NOT BODY needle", "* SEARCH"),
        ("HEADER subject short", "* SEARCH"),
    ] {
        assert_eq!(client.command(&format!("SEARCH {keys}")).await[0], found);
    }
}

/// In a mailbox so large that the store is asked first, answers are those of a look at each message.
#[tokio::test]
async fn texts_in_a_large_mailbox() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for number in 1..=80 {
        let word = if number % 20 == 0 {
            "N\u{e4}edle"
        } else {
            "hay"
        };
        let mail = format!(
            "Subject: =?utf-8?q?{}?= {number}\r\nX-Word: {number} {word}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA stack of {word}.\r\n",
            if number == 7 {
                "Gr=C3=BC=C3=9Fe"
            } else {
                "plain"
            }
        );
        client.append("INBOX", "", &mail).await;
    }
    client.command("SELECT INBOX").await;
    let table = [
        ("BODY {8+}\r\nn\u{e4}EDLE.", "20 40 60 80"),
        ("30:70 BODY {7+}\r\nn\u{e4}edle", "40 60"),
        ("NOT BODY hay", "20 40 60 80"),
        (
            "OR SUBJECT {7+}\r\ngr\u{fc}\u{df}e BODY {7+}\r\nn\u{e4}edle",
            "7 20 40 60 80",
        ),
        ("TEXT \"word: 33 hay\"", "33"),
        ("HEADER X-Word \"33 hay\"", "33"),
        ("HEADER X-Other hay", ""),
        ("SUBJECT ai SUBJECT 79", "79"),
        ("BODY stacks", ""),
        (
            "BODY of BODY st NOT BODY {7+}\r\nn\u{e4}edle 18:21",
            "18 19 21",
        ),
    ];
    for (key, expected) in table {
        let lines = client.command(&format!("SEARCH CHARSET UTF-8 {key}")).await;
        assert_eq!(lines[0], format!("* SEARCH {expected}").trim_end(), "{key}");
    }
}
