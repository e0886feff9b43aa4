//! What is told of messages and mailboxes beside what RFC 9051 knows: PREVIEW, OBJECTID, PARTIAL, SAVEDATE; UTF8=ACCEPT.

use crate::world::{Client, World};

async fn one_line(client: &mut Client, command: &str) -> String {
    let lines = client.command(command).await;
    assert!(
        lines.last().unwrap().starts_with("t OK"),
        "{command}: {lines:?}"
    );
    lines[0].clone()
}

/// RFC 8970
#[tokio::test]
async fn previews() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let long = "word ".repeat(100);
    let table = [
        (
            "Subject: a\r\n\r\n> quoted\r\nHello,\r\n\r\n  this is   it.\r\n-- \r\nme\r\n",
            "\"Hello, this is it.\"",
        ),
        (
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><head><title>no</title></head><body><p>a &lt; b</p><p>two=20three</p>\r\n",
            "\"a < b two three\"",
        ),
        (
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nnotes\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>shown</b>\r\n--x--\r\n",
            "\"shown\"",
        ),
        ("Content-Type: image/png\r\n\r\nxxx\r\n", "\"\""),
        ("Subject: only\r\n", "\"\""),
        (
            "Content-Transfer-Encoding: x-unheard\r\n\r\nabc\r\n",
            "\"\"",
        ),
    ];
    for (message, _) in table {
        client.append("INBOX", "", message).await;
    }
    client
        .append("INBOX", "", &format!("a: b\r\n\r\n{long}"))
        .await;
    client
        .append("INBOX", "", "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n/Gxl\r\n")
        .await;
    client.command("SELECT INBOX").await;
    for (number, (message, expected)) in table.iter().enumerate() {
        let told = one_line(&mut client, &format!("FETCH {} (PREVIEW)", number + 1)).await;
        assert_eq!(
            told,
            format!("* {} FETCH (PREVIEW {expected})", number + 1),
            "{message}"
        );
    }
    let told = one_line(&mut client, "FETCH 7 (PREVIEW (LAZY))").await;
    assert_eq!(told.len(), "* 7 FETCH (PREVIEW \"\")".len() + 199, "{told}");
    client
        .talk(
            "C: a UID FETCH 8 (PREVIEW FLAGS BODY[HEADER.FIELDS (X)])
             S: * 8 FETCH (FLAGS (\\Seen) UID 8 PREVIEW {4}
             S: üle BODY[HEADER.FIELDS (X)] {2}
             S:
             S: )
             S: a OK ...
             C: b FETCH 7 FLAGS
             S: * 7 FETCH (FLAGS ())
             S: b OK ...
             C: c FETCH 1 (PREVIEW (EAGER))
             S: c BAD ...",
        )
        .await;
}

/// RFC 8474
#[tokio::test]
async fn mailboxes_keep_their_id() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let created = client.command("CREATE one").await.remove(0);
    let id = created
        .strip_prefix("t OK [MAILBOXID (")
        .and_then(|rest| rest.split_once(")]"))
        .map(|(id, _)| id.to_owned())
        .expect(&created);
    assert!(id.starts_with('M'), "{id}");
    client.command("RENAME one two").await;
    client.command("CREATE one").await;
    client
        .talk(&format!(
            "C: a STATUS two (MAILBOXID MESSAGES)
             S: * STATUS two (MAILBOXID ({id}) MESSAGES 0)
             S: a OK ..."
        ))
        .await;
    assert!(
        !one_line(&mut client, "STATUS one (MAILBOXID)")
            .await
            .contains(&format!("({id})"))
    );
    let selected = client.command("SELECT two").await;
    assert!(
        selected
            .iter()
            .any(|line| line.starts_with(&format!("* OK [MAILBOXID ({id})]"))),
        "{selected:?}"
    );
}

/// RFC 8474
#[tokio::test]
async fn copies_have_the_id_of_the_email() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client.append("INBOX", "", "a: b\r\n\r\none").await;
    client.append("INBOX", "", "a: b\r\n\r\ntwo").await;
    client.command("SELECT INBOX").await;
    let id = |line: String| {
        let (_, rest) = line.split_once("EMAILID (").expect("an id");
        rest.split_once(')').expect("its end").0.to_owned()
    };
    let first = id(one_line(&mut client, "FETCH 1 (EMAILID)").await);
    let second = id(one_line(&mut client, "FETCH 2 (EMAILID)").await);
    assert_ne!(first, second);
    client.command("COPY 1 Archive").await;
    client.command("MOVE 1 Trash").await;
    for mailbox in ["Archive", "Trash"] {
        client.command(&format!("SELECT {mailbox}")).await;
        assert_eq!(id(one_line(&mut client, "FETCH 1 (EMAILID)").await), first);
    }
    client
        .talk(&format!(
            "C: a UID SEARCH EMAILID {first}
             S: * SEARCH 1
             S: a OK ...
             C: b SEARCH OR EMAILID {second} EMAILID E-none
             S: * SEARCH
             S: b OK ...
             C: c SEARCH THREADID T1
             S: * SEARCH
             S: c OK ...
             C: d FETCH 1 (THREADID)
             S: * 1 FETCH (THREADID NIL)
             S: d OK ...
             C: e SEARCH EMAILID a.b
             S: e BAD ..."
        ))
        .await;
}

/// RFC 9394
#[tokio::test]
async fn parts_of_results() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .command(&format!("APPEND INBOX{}", " {3+}\r\na:b".repeat(10)))
        .await;
    client.command("SELECT INBOX").await;
    client.command("STORE 2,5,6 +FLAGS.SILENT (\\Seen)").await;
    client
        .talk(
            "C: a UID SEARCH RETURN (PARTIAL 1:3) UNSEEN
             S: * ESEARCH (TAG \"a\") UID PARTIAL (1:3 1,3:4)
             S: a OK ...
             C: b SEARCH RETURN (PARTIAL -1:-2 COUNT) UNSEEN
             S: * ESEARCH (TAG \"b\") COUNT 7 PARTIAL (-1:-2 9:10)
             S: b OK ...
             C: c SEARCH RETURN (PARTIAL 8:99) UNSEEN
             S: * ESEARCH (TAG \"c\") PARTIAL (8:99 NIL)
             S: c OK ...
             C: d SEARCH RETURN (PARTIAL 3:2 SAVE) UNSEEN
             S: * ESEARCH (TAG \"d\") PARTIAL (2:3 3:4)
             S: d OK ...
             C: e UID SEARCH $
             S: * SEARCH 3 4
             S: e OK ...
             C: f SEARCH RETURN (ALL PARTIAL 1:2) UNSEEN
             S: f BAD ...
             C: g SEARCH RETURN (PARTIAL 1:-2) UNSEEN
             S: g BAD ...
             C: h SEARCH RETURN (PARTIAL 0:2) UNSEEN
             S: h BAD ...
             C: i SORT RETURN (PARTIAL 1:2) (REVERSE SIZE) UTF-8 SEEN
             S: * ESEARCH (TAG \"i\") PARTIAL (1:2 2,5)
             S: i OK ...
             C: j UID FETCH 2:3,7:* (UID) (PARTIAL -1:-5)
             S: * 3 FETCH (UID 3)
             S: * 7 FETCH (UID 7)
             S: * 8 FETCH (UID 8)
             S: * 9 FETCH (UID 9)
             S: * 10 FETCH (UID 10)
             S: j OK ...
             C: k UID FETCH 1:* (UID) (PARTIAL 11:20)
             S: k OK ...
             C: l FETCH 1:* (UID) (PARTIAL 1:2)
             S: l BAD ...",
        )
        .await;
}

/// RFC 9755, RFC 6855
#[tokio::test]
async fn utf8_is_accepted() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a CREATE \"Entw&APw-rfe\"
             S: a OK ...
             C: b APPEND INBOX UTF8 (~{13+}
             C: Subject: ü
             C: )
             S: b BAD ...
             C: c ENABLE UTF8=ACCEPT
             S: * ENABLED UTF8=ACCEPT
             S: c OK ...
             C: d LIST \"\" Entw%
             S: * LIST (\\HasNoChildren) \"/\" \"Entwürfe\"
             S: d OK ...
             C: e APPEND \"Entwürfe\" (\\Seen) UTF8 (~{15+}
             C: Subject: ü
             C:\x20
             C: )
             S: e OK [APPENDUID ...
             C: f SELECT \"Entwürfe\"
             S: * 1 EXISTS
             S: * 0 RECENT",
        )
        .await;
    while !client.line().await.starts_with("f OK") {}
    client
        .talk(
            "C: g FETCH 1 (ENVELOPE)
             S: * 1 FETCH (ENVELOPE (NIL \"ü\" NIL NIL NIL NIL NIL NIL NIL NIL))
             S: g OK ...
             C: h SEARCH SUBJECT \"Ü\"
             S: * SEARCH 1
             S: h OK ...
             C: i SEARCH CHARSET UTF-8 ALL
             S: i BAD ...
             C: j SORT (SUBJECT) UTF-8 ALL
             S: * SORT 1
             S: j OK ...",
        )
        .await;
}

/// RFC 8514
#[tokio::test]
async fn save_dates() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .command("APPEND INBOX \"01-Feb-2003 04:05:06 +0000\" {3+}\r\na:b")
        .await;
    client.command("SELECT INBOX").await;
    let told = one_line(&mut client, "FETCH 1 (SAVEDATE INTERNALDATE)").await;
    assert!(
        told.starts_with("* 1 FETCH (SAVEDATE \"")
            && !told.starts_with("* 1 FETCH (SAVEDATE \"01-Feb-2003"),
        "{told}"
    );
    for (key, found) in [
        ("SAVEDSINCE 1-Jan-2020", " 1"),
        ("SAVEDBEFORE 1-Jan-2020", ""),
        ("SAVEDON 1-Feb-2003", ""),
        ("SAVEDATESUPPORTED", " 1"),
        ("NOT SAVEDATESUPPORTED", ""),
    ] {
        assert_eq!(
            one_line(&mut client, &format!("SEARCH {key}")).await,
            format!("* SEARCH{found}"),
            "{key}"
        );
    }
}
