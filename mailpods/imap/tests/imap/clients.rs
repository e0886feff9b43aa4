//! What stock clients send, word for word.

use crate::world::World;

const MESSAGE: &str = "From: a@example.test\r\nSubject: hello\r\n\r\nbody\r\n";

#[tokio::test]
async fn imaplib_and_curl() {
    let world = World::new().await;
    let mut client = world.secure().await;
    client
        .talk(
            "C: FPDB0 CAPABILITY
             S: * CAPABILITY ...
             S: FPDB0 OK ...
             C: FPDB1 LOGIN alice@example.test \"quickstart\"
             S: FPDB1 OK ...
             C: FPDB2 APPEND INBOX (\\Seen) \"23-Nov-2026 10:00:00 +0000\" {14}
             S: + ...
             C: Subject: a
             C:\x20
             C:\x20
             S: FPDB2 OK [APPENDUID ...
             C: FPDB3 SELECT INBOX
             S: * 1 EXISTS
             S: * 0 RECENT
             S: ...
             S: ...
             S: ...
             S: ...
             S: ...
             S: ...
             S: FPDB3 OK [READ-WRITE] ...
             C: FPDB4 FETCH 1 (RFC822)
             S: * 1 FETCH (RFC822 {14}
             S: Subject: a
             S:\x20
             S: )
             S: FPDB4 OK ...
             C: A005 FETCH 1 BODY[]
             S: * 1 FETCH (BODY[] {14}
             S: Subject: a
             S:\x20
             S: )
             S: A005 OK ...
             C: A006 LOGOUT
             S: * BYE ...
             S: A006 OK ...",
        )
        .await;
}

#[tokio::test]
async fn thunderbird() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client.append("INBOX", "", MESSAGE).await;
    client
        .talk(
            "C: 3 ID (\"name\" \"Thunderbird\" \"version\" \"140.0\")
             S: * ID (\"name\" \"Mailpods\" ...
             S: 3 OK ...
             C: 4 ENABLE CONDSTORE
             S: * ENABLED CONDSTORE
             S: 4 OK ...
             C: 5 list (subscribed) \"\" \"*\" return (special-use)
             S: * LIST (\\HasNoChildren \\Subscribed \\Archive) \"/\" Archive
             S: * LIST ...
             S: * LIST ...
             S: * LIST ...
             S: * LIST ...
             S: * LIST ...
             S: 5 OK ...
             C: 6 getquotaroot \"INBOX\"
             S: * QUOTAROOT INBOX
             S: 6 OK ...
             C: 7 select \"INBOX\" (CONDSTORE)
             S: * 1 EXISTS
             S: ...
             S: ...
             S: ...
             S: ...
             S: ...
             S: ...
             S: ...
             S: ...
             S: 7 OK ...
             C: 8 UID fetch 1:* (FLAGS)
             S: * 1 FETCH (FLAGS () UID 1)
             S: 8 OK ...
             C: 9 UID fetch 1 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority)])
             S: * 1 FETCH (UID 1 RFC822.SIZE 46 FLAGS () BODY[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority)] {40}
             S: From: a@example.test
             S: Subject: hello
             S:
             S: )
             S: 9 OK ...
             C: 10 UID fetch 1 (UID RFC822.SIZE BODY[])
             S: * 1 FETCH (UID 1 RFC822.SIZE 46 FLAGS (\\Seen) MODSEQ ...
             S: From: a@example.test
             S: Subject: hello
             S:
             S: body
             S: )
             S: 10 OK ...
             C: 11 IDLE
             S: + ...
             C: DONE
             S: 11 OK ...",
        )
        .await;
}

#[tokio::test]
async fn mbsync_and_offlineimap() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client.append("INBOX", "", MESSAGE).await;
    client
        .send("1 NAMESPACE\r\n2 LIST \"\" \"*\"\r\n3 SELECT \"INBOX\"\r\n")
        .await;
    let mut lines = Vec::new();
    while !lines
        .last()
        .is_some_and(|line: &String| line.starts_with("3 "))
    {
        lines.push(client.line().await);
    }
    assert!(
        lines.iter().any(|line| line.starts_with("1 OK"))
            && lines.last().unwrap().starts_with("3 OK"),
        "{lines:?}"
    );
    client
        .talk(
            "C: 4 UID SEARCH 1:*
             S: * SEARCH 1
             S: 4 OK ...
             C: 5 UID FETCH 1:1000000000 (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-TUID MESSAGE-ID)])
             S: * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 46 BODY[HEADER.FIELDS (X-TUID MESSAGE-ID)] {2}
             S:
             S: )
             S: 5 OK ...
             C: 6 UID STORE 1 +FLAGS.SILENT (\\Seen \\Deleted)
             S: 6 OK ...
             C: 7 CLOSE
             S: 7 OK ...",
        )
        .await;
}

#[tokio::test]
async fn apple_mail_reads_a_body_in_pieces() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client.append("INBOX", "", MESSAGE).await;
    client.command("SELECT INBOX").await;
    client
        .talk(
            "C: 1.49 UID FETCH 1 (BODYSTRUCTURE BODY.PEEK[HEADER])
             S: * 1 FETCH (BODYSTRUCTURE (\"text\" \"plain\" NIL NIL NIL \"7bit\" 6 1 NIL NIL NIL NIL) UID 1 BODY[HEADER] {40}
             S: From: a@example.test
             S: Subject: hello
             S:
             S: )
             S: 1.49 OK ...
             C: 1.50 UID FETCH 1 BODY.PEEK[1]<0.4>
             S: * 1 FETCH (UID 1 BODY[1]<0> {4}
             S: body)
             S: 1.50 OK ...",
        )
        .await;
}
