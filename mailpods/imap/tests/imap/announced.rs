//! What CAPABILITY announces is served, and nothing is announced without a line here.

use crate::world::World;

/// A command that each capability brings, in the order in which they are tried.
const SERVED: &[(&str, &str)] = &[
    ("IMAP4rev1", "LSUB \"\" *"),
    ("ID", "ID NIL"),
    ("LITERAL+", "STATUS {5+}\r\nINBOX (MESSAGES)"),
    ("IDLE", "IDLE\r\nDONE"),
    ("NAMESPACE", "NAMESPACE"),
    ("UIDPLUS", "UID EXPUNGE 99"),
    ("MOVE", "UID MOVE 99 Sent"),
    ("CHILDREN", "LIST \"\" % RETURN (CHILDREN)"),
    ("LIST-EXTENDED", "LIST (SUBSCRIBED) \"\" (% Sent/%)"),
    ("LIST-STATUS", "LIST \"\" % RETURN (STATUS (MESSAGES))"),
    ("LIST-MYRIGHTS", "LIST \"\" % RETURN (MYRIGHTS)"),
    ("SPECIAL-USE", "LIST (SPECIAL-USE) \"\" *"),
    ("CREATE-SPECIAL-USE", "CREATE old (USE (\\Archive))"),
    ("STATUS=SIZE", "STATUS INBOX (SIZE)"),
    ("MULTIAPPEND", "APPEND INBOX {3+}\r\nabc {3+}\r\nabc"),
    ("QUOTA", "GETQUOTAROOT INBOX"),
    ("QUOTA=RES-STORAGE", "STATUS INBOX (DELETED-STORAGE)"),
    ("QUOTA=RES-MESSAGE", "STATUS INBOX (DELETED)"),
    ("ESEARCH", "SEARCH RETURN (COUNT) ALL"),
    ("SEARCHRES", "SEARCH RETURN (SAVE) ALL"),
    ("BINARY", "FETCH 1 (BINARY.SIZE[1])"),
    ("WITHIN", "SEARCH YOUNGER 100"),
    ("NOTIFY", "NOTIFY NONE"),
    ("METADATA", "GETMETADATA \"\" /shared/comment"),
    ("ACL", "GETACL INBOX"),
    ("RIGHTS=texk", "SETACL INBOX bob@example.test texk"),
    ("CATENATE", "APPEND INBOX CATENATE (TEXT {3+}\r\nabc)"),
    ("REPLACE", "REPLACE 1 INBOX {3+}\r\nabc"),
    ("SAVEDATE", "FETCH 1 (SAVEDATE)"),
    ("PARTIAL", "UID SEARCH RETURN (PARTIAL 1:2) ALL"),
    ("PREVIEW", "FETCH 1 (PREVIEW)"),
    ("OBJECTID", "FETCH 1 (EMAILID)"),
    ("SORT", "SORT (SUBJECT) UTF-8 ALL"),
    ("SORT=DISPLAY", "SORT (DISPLAYFROM) UTF-8 ALL"),
    ("ESORT", "SORT RETURN (COUNT) (SUBJECT) UTF-8 ALL"),
    (
        "THREAD=ORDEREDSUBJECT",
        "THREAD ORDEREDSUBJECT UTF-8 SUBJECT x",
    ),
    ("THREAD=REFERENCES", "THREAD REFERENCES UTF-8 ALL"),
    ("APPENDLIMIT", "STATUS INBOX (APPENDLIMIT)"),
    ("CONDSTORE", "FETCH 1 (MODSEQ)"),
    ("ENABLE", "ENABLE CONDSTORE"),
    ("QRESYNC", "ENABLE QRESYNC"),
    ("UTF8=ACCEPT", "ENABLE UTF8=ACCEPT"),
    ("IMAP4rev2", "ENABLE IMAP4rev2"),
    ("UNSELECT", "UNSELECT"),
];
/// What has tests of its own: `login.rs` and `compress.rs`.
const ELSEWHERE: [&str; 2] = ["SASL-IR", "COMPRESS=DEFLATE"];

#[tokio::test]
async fn what_is_announced_is_served() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for _ in 0..2 {
        client
            .append("INBOX", "", "Subject: x\r\n\r\nbody\r\n")
            .await;
    }
    let lines = client.command("CAPABILITY").await;
    let announced = lines[0].strip_prefix("* CAPABILITY ").unwrap();
    let mut announced: Vec<&str> = announced
        .split(' ')
        .map(|name| match name.strip_prefix("APPENDLIMIT=") {
            Some(_) => "APPENDLIMIT",
            None => name,
        })
        .collect();
    let served = SERVED.iter().map(|(name, _)| *name);
    let mut known: Vec<&str> = served.chain(ELSEWHERE).collect();
    announced.sort_unstable();
    known.sort_unstable();
    assert_eq!(announced, known);
    client.command("SELECT INBOX").await;
    for (name, command) in SERVED {
        let lines = client.command(command).await;
        let last = lines.last().unwrap();
        assert!(last.starts_with("t OK "), "{name}: {lines:?}");
    }
}
