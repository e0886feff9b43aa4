//! COMPRESS=DEFLATE (RFC 4978).

use crate::world::{Client, World};

async fn compressed(world: &World) -> Client {
    let mut client = world.alice().await;
    client
        .talk("C: z COMPRESS DEFLATE\nS: z OK DEFLATE is active")
        .await;
    client.deflate();
    client
}

#[tokio::test]
async fn a_compressed_session_is_as_any_other() {
    let world = World::new().await;
    let mut client = world.alice().await;
    let lines = client.command("CAPABILITY").await;
    assert!(lines[0].contains(" COMPRESS=DEFLATE"), "{lines:?}");
    let mut client = compressed(&world).await;
    let lines = client.command("CAPABILITY").await;
    assert!(!lines[0].contains("COMPRESS="), "{lines:?}");
    let body = "line of text\r\n".repeat(40_000);
    client
        .append("INBOX", "", &format!("a: b\r\n\r\n{body}"))
        .await;
    client.command("SELECT INBOX").await;
    let lines = client.command("FETCH 1 (BODY.PEEK[TEXT])").await;
    assert_eq!(lines.len(), 40_000 + 3);
    let mut other = world.selected("INBOX").await;
    client.talk("C: i IDLE\nS: + idling").await;
    other.command("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    client
        .talk(
            "S: * 1 FETCH (FLAGS (\\Flagged))
             C: DONE
             S: i OK ...
             C: a COMPRESS DEFLATE
             S: a NO [COMPRESSIONACTIVE] ...
             C: b LOGOUT
             S: * BYE ...
             S: b OK ...
             S:",
        )
        .await;
}

#[tokio::test]
async fn not_before_log_in_and_nothing_but_deflate() {
    let world = World::new().await;
    let mut client = world.secure().await;
    client.talk("C: a COMPRESS DEFLATE\nS: a BAD ...").await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a COMPRESS LZ4\nS: a BAD ...\nC: b COMPRESS\nS: b BAD ...\nC: c NOOP\nS: c OK ...",
        )
        .await;
    client.send("a COMPRESS DEFLATE\r\nb NOOP\r\n").await;
    client.talk("S: * BYE ...\nS:").await;
}

#[tokio::test]
async fn what_is_not_compressed_ends_the_session() {
    let world = World::new().await;
    let mut client = compressed(&world).await;
    client.send_octets(b"a NOOP\r\n").await;
    client.talk("S:").await;
}

/// Few octets on the wire, many behind them: the bounds are those of what was compressed.
#[tokio::test]
async fn bombs_meet_the_same_limits() {
    let world = World::new().await;
    let mut client = compressed(&world).await;
    client
        .send(&format!("a {}\r\n", "x".repeat(8 * 1024 * 1024)))
        .await;
    let line = client.line().await;
    assert!(
        line.starts_with("a BAD [LIMIT] ") || line.starts_with("* BAD [LIMIT] "),
        "{line}"
    );
    client.talk("C: b NOOP\nS: b OK ...").await;
}
