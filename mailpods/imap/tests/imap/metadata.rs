//! METADATA (RFC 5464).

use crate::world::World;

#[tokio::test]
async fn entries_are_written_told_and_removed() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a SETMETADATA INBOX (/Private/Comment \"My own\" /shared/comment {5+}
             C: of us)
             S: a OK ...
             C: b GETMETADATA INBOX /private/comment
             S: * METADATA INBOX (/private/comment \"My own\")
             S: b OK ...
             C: c GETMETADATA \"INBOX\" (/shared/comment /private/none)
             S: * METADATA INBOX (/private/none NIL /shared/comment \"of us\")
             S: c OK ...
             C: d SETMETADATA INBOX (/private/comment NIL)
             S: d OK ...
             C: e GETMETADATA INBOX /private/comment
             S: * METADATA INBOX (/private/comment NIL)
             S: e OK ...
             C: f SETMETADATA \"\" (/private/vendor/x ~{3+}",
        )
        .await;
    client.send("a\0b)\r\n").await;
    client
        .talk(
            "S: f OK ...
             C: g GETMETADATA \"\" /private/vendor/x
             S: * METADATA \"\" (/private/vendor/x ~{3}",
        )
        .await;
    assert_eq!(client.line().await, "a\0b)");
    client
        .talk(
            "S: g OK ...
             C: h GETMETADATA Sent /private/comment
             S: * METADATA Sent (/private/comment NIL)
             S: h OK ...
             C: i GETMETADATA none /private/comment
             S: i NO [NONEXISTENT] ...",
        )
        .await;
    // Another session, another account.
    let mut other = world.alice().await;
    other
        .talk("C: a GETMETADATA INBOX /shared/comment\nS: * METADATA INBOX (/shared/comment \"of us\")\nS: a OK ...")
        .await;
    let mut bob = world.login("bob").await;
    bob.talk("C: a GETMETADATA INBOX /shared/comment\nS: * METADATA INBOX (/shared/comment NIL)\nS: a OK ...")
        .await;
}

#[tokio::test]
async fn depth_and_size() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a SETMETADATA Sent (/private/f/a \"1\" /private/f/a/b \"22\" /private/f/a/b/c \"333\" /private/fa \"4\")
             S: a OK ...
             C: b GETMETADATA (DEPTH 1) Sent (/private/f/a)
             S: * METADATA Sent (/private/f/a \"1\" /private/f/a/b \"22\")
             S: b OK ...
             C: c GETMETADATA (DEPTH infinity MAXSIZE 2) Sent /private/f
             S: * METADATA Sent (/private/f/a \"1\" /private/f/a/b \"22\")
             S: c OK [METADATA LONGENTRIES 3] ...
             C: d GETMETADATA (MAXSIZE 2) Sent /private/f/a/b/c
             S: d OK [METADATA LONGENTRIES 3] ...
             C: e GETMETADATA (DEPTH infinity) Sent (/private /private/f)
             S: * METADATA Sent (/private/f/a \"1\" /private/f/a/b \"22\" /private/f/a/b/c \"333\" /private/fa \"4\" /private/specialuse \"\\\\Sent\")
             S: e OK ...
             C: f GETMETADATA (DEPTH infinity) Sent /shared
             S: f OK ...
             C: g GETMETADATA (DEPTH 2) Sent /private
             S: g BAD ...",
        )
        .await;
}

#[tokio::test]
async fn what_is_refused() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let large = "x".repeat(32 * 1024 + 1);
    let lines = client
        .command(&format!(
            "SETMETADATA \"\" (/private/a {{{}+}}\r\n{large})",
            large.len()
        ))
        .await;
    assert!(
        lines[0].starts_with("t NO [METADATA MAXSIZE 32768] "),
        "{lines:?}"
    );
    client
        .talk(
            "C: a SETMETADATA \"\" (/shared/admin \"x\")
             S: a NO [NOPERM] ...
             C: b SETMETADATA INBOX (/other/comment \"x\")
             S: b BAD ...
             C: c SETMETADATA INBOX (/private \"x\")
             S: c BAD ...
             C: d SETMETADATA INBOX (/private/* \"x\")
             S: d BAD ...
             C: e SETMETADATA INBOX (/private//x \"x\")
             S: e BAD ...
             C: f SETMETADATA INBOX ()
             S: f BAD ...
             C: g GETMETADATA INBOX ()
             S: g BAD ...",
        )
        .await;
    for batch in 0..20 {
        let values: Vec<String> = (0..50)
            .map(|n| format!("/private/{batch}/{n} \"x\""))
            .collect();
        let lines = client
            .command(&format!("SETMETADATA INBOX ({})", values.join(" ")))
            .await;
        assert!(lines[0].starts_with("t OK"), "{lines:?}");
    }
    client
        .talk("C: h SETMETADATA Sent (/private/more \"x\")\nS: h NO [METADATA TOOMANY] ...")
        .await;
    let many: Vec<String> = (0..65).map(|n| format!("/private/{n} NIL")).collect();
    let lines = client
        .command(&format!("SETMETADATA INBOX ({})", many.join(" ")))
        .await;
    assert!(lines[0].starts_with("t BAD [LIMIT] "), "{lines:?}");
}

#[tokio::test]
async fn what_a_mailbox_is_for_is_an_entry_of_it() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a CREATE Gesendet
             S: a OK ...
             C: b GETMETADATA Gesendet /private/specialuse
             S: * METADATA Gesendet (/private/specialuse NIL)
             S: b OK ...
             C: c SETMETADATA Gesendet (/private/specialuse \"\\\\sent\" /private/comment \"x\")
             S: c OK ...
             C: d GETMETADATA Gesendet (/private/specialuse /private/comment)
             S: * METADATA Gesendet (/private/comment \"x\" /private/specialuse \"\\\\Sent\")
             S: d OK ...
             C: e LIST (SPECIAL-USE) \"\" Gesendet
             S: * LIST (\\HasNoChildren \\Sent) \"/\" Gesendet
             S: e OK ...
             C: f SETMETADATA Gesendet (/private/specialuse \"\\\\All\")
             S: f NO [USEATTR] ...
             C: g SETMETADATA Gesendet (/private/specialuse \"\\\\Sent \\\\Junk\")
             S: g NO [USEATTR] ...
             C: h SETMETADATA Gesendet (/private/specialuse NIL)
             S: h OK ...
             C: i LIST (SPECIAL-USE) \"\" Gesendet
             S: i OK ...
             C: j SETMETADATA INBOX (/private/specialuse \"\\\\Trash\" /private/comment \"x\")
             S: j NO [USEATTR] ...
             C: k GETMETADATA INBOX /private/comment
             S: * METADATA INBOX (/private/comment NIL)
             S: k OK ...",
        )
        .await;
}
