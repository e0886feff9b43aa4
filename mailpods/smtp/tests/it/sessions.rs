//! Sessions: limits on clients, TLS, the end.

use mailpods_plan::Protocol;

use mailpods_net::Connection;
use mailpods_policy::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

#[tokio::test]
async fn a_client_network_has_so_many_sessions() {
    let world = World::with(|plan| plan.smtp.max_sessions_per_client = 1).await;
    let mut first = world.dial(Protocol::Smtp, "2001:db8::1");
    first.expect("220").await;
    let mut second = world.dial(Protocol::Smtp, "2001:db8::2");
    second.expect("421 4.3.2").await;
    second.expect_end().await;
    world
        .dial(Protocol::Smtp, "2001:db8:0:1::1")
        .expect("220")
        .await;
    first.ask("QUIT", "221").await;
    first.expect_end().await;
}

#[tokio::test]
async fn all_clients_together_have_so_many_sessions() {
    let world = World::with(|plan| plan.smtp.max_sessions = 1).await;
    let mut first = world.dial(Protocol::Smtp, "192.0.2.1");
    first.expect("220").await;
    world
        .dial(Protocol::Smtp, "192.0.2.2")
        .expect("421 4.3.2")
        .await;
}

#[tokio::test]
async fn rates_are_kept_for_all_but_exempt_clients() {
    let world = World::with(|plan| {
        plan.smtp.connections_per_minute = 1;
        plan.smtp.messages_per_minute = 1;
        plan.smtp.limit_exempt = vec!["198.51.100.0/24".parse().unwrap()];
    })
    .await;
    let mut peer = world.mx().await;
    world
        .dial(Protocol::Smtp, "192.0.2.1")
        .expect("421 4.7.0")
        .await;
    peer.send("a@elsewhere.test", &["bob@example.test"], "x", "250")
        .await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "450 4.7.1").await;
    for _ in 0..3 {
        let mut exempt = world.dial(Protocol::Smtp, "198.51.100.1");
        exempt.expect("220").await;
        exempt.ask("HELO x", "250").await;
        exempt
            .send("a@elsewhere.test", &["bob@example.test"], "x", "250")
            .await;
    }
}

#[tokio::test]
async fn starttls_starts_anew_and_is_told_in_received() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    peer.ask("STARTTLS", "503").await;
    peer.ask("RSET", "250").await;
    peer.start_tls().await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "503 5.5.1").await;
    let offered = peer.ask("EHLO client.test", "250").await;
    assert!(
        !offered.contains("STARTTLS") && !offered.contains("AUTH"),
        "{offered}"
    );
    peer.send(
        "a@elsewhere.test",
        &["bob@example.test"],
        "Subject: x\r\n\r\nhi",
        "250",
    )
    .await;
    let body = world.body(&world.queue().await[0]).await;
    assert!(
        body.contains("with ESMTPS\r\n\t(using TLSv1.3 with cipher TLS_"),
        "{body}"
    );
}

#[tokio::test]
async fn a_drain_ends_idle_sessions_and_finishes_messages() {
    let world = World::new().await;
    let mut idle = world.mx().await;
    let mut busy = world.mx().await;
    busy.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    busy.ask("RCPT TO:<bob@example.test>", "250").await;
    busy.ask("DATA", "354").await;
    world.drain();
    idle.expect("421 4.3.2").await;
    idle.expect_end().await;
    busy.ask("Subject: x\r\n\r\nhi\r\n.", "250 2.0.0 queued")
        .await;
    busy.expect("421 4.3.2").await;
    busy.expect_end().await;
    assert_eq!(world.queue().await.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let world = World::new().await;
    let mut peer = world.mx().await;
    peer.ask("MAIL FROM:<a@elsewhere.test>", "250").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
    peer.ask("DATA", "354").await;
    peer.say("half a mess").await;
    drop(peer);
    let mut other = world.mx().await;
    other.ask("QUIT", "221").await;
    other.expect_end().await;
    assert!(world.queue().await.is_empty());
}

#[tokio::test]
async fn too_many_errors_end_a_session_with_a_reason() {
    let world = World::with(|plan| plan.smtp.max_errors = 1).await;
    let mut peer = world.mx().await;
    peer.ask("STAFF", "500 5.5.1").await;
    peer.ask("DATA", "503").await;
    peer.expect("421 4.7.0").await;
    peer.expect_end().await;
    assert_eq!(world.reasons(), ["too-many-errors"]);
}

#[tokio::test]
async fn nobody_learns_who_is_behind_an_address() {
    let world = World::new().await;
    let mut peer = world.dial(Protocol::Smtp, "192.0.2.1");
    peer.expect("220").await;
    for question in ["VRFY bob", "VRFY nobody", "EXPN sales", "EXPN nothing"] {
        peer.ask(question, "252 2.5.0").await;
    }
}

#[tokio::test]
async fn submissions_over_the_limit_are_closed_before_the_handshake() {
    let world = World::with(|plan| plan.smtp.max_sessions = 0).await;
    world
        .dial(Protocol::Submissions, "192.0.2.1")
        .expect_end()
        .await;
    assert_eq!(world.reasons(), ["too-many-sessions"]);
}

#[tokio::test]
async fn a_session_is_small() {
    let world = World::new().await;
    assert!(
        world.session_octets() < 16 * 1024,
        "{} octets",
        world.session_octets()
    );
}

/// What a client hears that speaks before the greeting.
async fn early(world: &World, protocol: Protocol) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"EHLO bot.test\r\nQUIT\r\n")
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let serve = world
        .server
        .serve(Connection::from_tcp(server).unwrap(), protocol);
    let mut heard = String::new();
    let (_, read) = tokio::join!(serve, async {
        let read = client.read_to_string(&mut heard).await;
        drop(client);
        read
    });
    read.unwrap();
    heard
}

#[tokio::test]
async fn who_speaks_before_the_greeting_is_refused() {
    let world = World::new().await;
    let heard = early(&world, Protocol::Smtp).await;
    assert!(heard.starts_with("554 5.5.1 "), "{heard}");
    assert_eq!(heard.lines().count(), 1, "{heard}");
    let events = world.trace.0.lock().unwrap().clone();
    assert!(
        events
            .iter()
            .any(|event| event.reason == Reason::EarlyTalker.as_str())
    );
}

#[tokio::test]
async fn only_strangers_on_port_25_must_wait_for_the_greeting() {
    let world = World::with(|plan| {
        plan.smtp.limit_exempt = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    assert!(early(&world, Protocol::Smtp).await.starts_with("220 "));
    let world = World::new().await;
    assert!(early(&world, Protocol::Lmtp).await.starts_with("220 "));
}
