//! FETCH and what it does to flags.

use crate::world::{Client, World};

const MESSAGE: &str = "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: parts\r\n\
Date: Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <1@example.test>\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n\
Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\naGkA\r\n--b\r\n\
Content-Type: x/y\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n--b--\r\n";

async fn client(world: &World) -> Client {
    let mut client = world.alice().await;
    client.append("INBOX", "", MESSAGE).await;
    client.command("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn what_clients_ask_for_a_list() {
    let world = World::new().await;
    let mut client = client(&world).await;
    let size = MESSAGE.len();
    client
        .talk(&format!(
            "C: a UID FETCH 1:* (FLAGS RFC822.SIZE)
             S: * 1 FETCH (FLAGS () RFC822.SIZE {size} UID 1)
             S: a OK ...
             C: b FETCH 1 (UID ENVELOPE)
             S: * 1 FETCH (UID 1 ENVELOPE (\"Mon, 1 Jun 2026 10:00:00 +0000\" \"parts\" ((\"Alice\" NIL \"alice\" \"example.test\")) ...
             S: b OK ...
             C: c FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject From)]
             S: * 1 FETCH (BODY[HEADER.FIELDS (Subject From)] {{52}}
             S: From: Alice <alice@example.test>
             S: Subject: parts
             S:
             S: )
             S: c OK ...
             C: d FETCH 1 BODYSTRUCTURE
             S: * 1 FETCH (BODYSTRUCTURE ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1 NIL NIL NIL NIL)(\"application\" ...
             S: d OK ...
             C: e FETCH 2 FLAGS
             S: e BAD ...
             C: f UID FETCH 99 FLAGS
             S: f OK ..."
        ))
        .await;
}

#[tokio::test]
async fn reading_a_body_sets_seen_and_peeking_does_not() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client
        .talk(
            "C: a FETCH 1 BODY.PEEK[1]
             S: * 1 FETCH (BODY[1] {5}
             S: hello)
             S: a OK ...
             C: b FETCH 1 (FLAGS)
             S: * 1 FETCH (FLAGS ())
             S: b OK ...
             C: c FETCH 1 BODY[1]<1.3>
             S: * 1 FETCH (FLAGS (\\Seen) BODY[1]<1> {3}
             S: ell)
             S: c OK ...
             C: d FETCH 1 BODY[1]<9.9>
             S: * 1 FETCH (BODY[1]<9> \"\")
             S: d OK ...
             C: e FETCH 1 BODY[9]
             S: * 1 FETCH (BODY[9] NIL)
             S: e OK ...",
        )
        .await;
}

#[tokio::test]
async fn examine_leaves_seen_alone() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client.command("EXAMINE INBOX").await;
    client.talk("C: a FETCH 1 (BODY[1] FLAGS)\nS: * 1 FETCH (FLAGS () BODY[1] {5}\nS: hello)\nS: a OK ...").await;
}

#[tokio::test]
async fn binary_decodes() {
    let world = World::new().await;
    let mut client = client(&world).await;
    client
        .talk(
            "C: a FETCH 1 (BINARY.SIZE[2] BINARY.PEEK[2])
             S: * 1 FETCH (BINARY.SIZE[2] 3 BINARY[2] ~{3}
             S: hi\0)
             S: a OK ...
             C: b FETCH 1 (UID BINARY.PEEK[3])
             S: b NO [UNKNOWN-CTE] ...
             C: c FETCH 1 BINARY.PEEK[1]<0.2>
             S: * 1 FETCH (BINARY[1]<0> {2}
             S: he)
             S: c OK ...",
        )
        .await;
}

/// RFC 9051 §7.5.2: lines of text end with CRLF, also those that were encoded with LF; what is no text is left alone.
#[tokio::test]
async fn binary_of_text_has_crlf() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let part = |kind: &str, encoded: &str| {
        format!(
            "--b\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n"
        )
    };
    let parts = [
        part("text/plain", "YQpiDQpjCg=="),
        part("application/octet-stream", "YQpiDQpjCg=="),
        part("text/plain; charset=UTF-16BE", "AGEKBQ=="),
    ];
    let message = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
        parts.concat()
    );
    client.append("INBOX", "", &message).await;
    client.command("SELECT INBOX").await;
    client
        .talk(
            "C: a FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1])
             S: * 1 FETCH (BINARY.SIZE[1] 9 BINARY[1] {9}
             S: a
             S: b
             S: c
             S: )
             S: a OK ...
             C: b FETCH 1 (BINARY.SIZE[2] BINARY.SIZE[3])
             S: * 1 FETCH (BINARY.SIZE[2] 7 BINARY.SIZE[3] 4)
             S: b OK ...",
        )
        .await;
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let message = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcde\r\n".repeat(20_000)
    );
    client.append("INBOX", "", &message).await;
    client.command("SELECT INBOX").await;
    let lines = client.command("FETCH 1 (BODY.PEEK[] UID)").await;
    assert_eq!(
        lines[0],
        format!("* 1 FETCH (UID 1 BODY[] {{{}}}", message.len())
    );
    assert_eq!(
        lines
            .iter()
            .filter(|line| *line == "0123456789abcde")
            .count(),
        20_000
    );
    assert_eq!(lines[lines.len() - 2], ")");
    let lines = client
        .command("FETCH 1 (RFC822.SIZE BODY.PEEK[TEXT]<170000.17>)")
        .await;
    assert_eq!(
        lines[..2],
        [
            format!(
                "* 1 FETCH (RFC822.SIZE {} BODY[TEXT]<170000> {{17}}",
                message.len()
            ),
            "0123456789abcde".to_owned()
        ]
    );
}

#[tokio::test]
async fn many_messages_come_in_order() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for number in 0..150 {
        client
            .append("INBOX", "", &format!("Subject: {number}\r\n\r\nbody\r\n"))
            .await;
    }
    client.command("SELECT INBOX").await;
    let lines = client.command("UID FETCH 1:100,102,150:* (ENVELOPE)").await;
    let numbers: Vec<u32> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("* ")?.split(' ').next()?.parse().ok())
        .collect();
    let expected: Vec<u32> = (1..=100).chain([102, 150]).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn condstore() {
    let world = World::new().await;
    let mut client = client(&world).await;
    let lines = client.command("FETCH 1 (MODSEQ)").await;
    let modseq: u64 = lines[0]
        .trim_start_matches("* 1 FETCH (MODSEQ (")
        .trim_end_matches("))")
        .parse()
        .unwrap();
    client
        .talk(&format!(
            "C: a STORE 1 (UNCHANGEDSINCE {modseq}) +FLAGS.SILENT (\\Flagged)
             S: * 1 FETCH (MODSEQ (...
             S: a OK ...
             C: b STORE 1 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Answered)
             S: b OK [MODIFIED 1] ...
             C: c FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})
             S: * 1 FETCH (FLAGS (\\Flagged) MODSEQ (...
             S: c OK ...
             C: d FETCH 1:* (FLAGS) (CHANGEDSINCE 99999999)
             S: d OK ...
             C: e UID SEARCH MODSEQ {modseq}
             S: * SEARCH 1 (MODSEQ ...
             S: e OK ..."
        ))
        .await;
}

#[tokio::test]
async fn too_much_mail_at_once_is_refused() {
    let world = World::new().await;
    // Two messages of 1 MiB fit, but one for one account.
    let mut sessions = [world.alice().await, world.alice().await];
    for session in &mut sessions {
        session.send("a APPEND INBOX {900000+}\r\n").await;
    }
    let [first, second] = &mut sessions;
    let part = "x".repeat(800_000);
    // Who is refused takes no more of it.
    let refused = tokio::select! {
        line = async { first.send(&part).await; first.line().await } => line,
        line = async { second.send(&part).await; second.line().await } => line,
    };
    assert_eq!(refused, "* BYE too much mail at once, try again later");
    drop(sessions);
    let mut next = world.alice().await;
    for _ in 0..2 {
        next.append("INBOX", "", &"y".repeat(800_000)).await;
    }
}
