//! POP3: a maildrop in two pods, and stock clients against the quickstart example.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mailpods_plan::Role;
use mailpods_tests::client::succeeded;
use mailpods_tests::cluster::Cluster;
use mailpods_tests::eventually;
use mailpods_tests::server::{Config, Server};
use mailpods_tests::tls::Session;

fn ok(session: &mut Session, command: &str) -> Result<String> {
    session.send(command)?;
    let line = session.line()?;
    ensure!(line.starts_with("+OK"), "{command}: {line}");
    Ok(line)
}

/// Logs alice in, unless somebody has her maildrop.
fn alice(address: SocketAddr) -> Result<Option<Session>> {
    let mut session = Session::connect(address)?;
    ok(&mut session, "USER alice@example.test")?;
    session.send("PASS quickstart")?;
    let line = session.line()?;
    if line.starts_with("-ERR [IN-USE]") {
        return Ok(None);
    }
    ensure!(line.starts_with("+OK"), "{line}");
    Ok(Some(session))
}

#[test]
fn one_pod_has_the_maildrop_until_it_quits_or_dies() -> Result<()> {
    let mut cluster = Cluster::start(&Config::standard(""))?;
    cluster.add(Role::Imap, "imap-1")?;
    assert_eq!(cluster.send("alice@example.test")?.code, 250);
    cluster.wait_for_mail("alice", 1)?;
    let pod = |name: &str| cluster.pods.iter().position(|pod| pod.name() == name);
    let (first, second) = (
        pod("imap-0").context("a pod")?,
        pod("imap-1").context("a pod")?,
    );
    let address = |at: usize| cluster.pods[at].address("pop3s");
    let (here, there) = (address(first), address(second));

    let mut session = alice(here)?.context("nobody has the maildrop")?;
    for address in [here, there] {
        assert!(alice(address)?.is_none(), "the maildrop is locked");
    }
    ok(&mut session, "QUIT")?;
    let mut session = alice(there)?.context("QUIT frees the maildrop")?;
    ok(&mut session, "DELE 1")?;
    cluster.pods[second].kill()?;
    let mut session = eventually("the lock of a dead pod ends", || alice(here))?;
    assert_eq!(ok(&mut session, "STAT")?.split(' ').nth(1), Some("1"));
    ok(&mut session, "DELE 1")?;
    ok(&mut session, "QUIT")?;
    cluster.wait_for_mail("alice", 0)
}

fn curl(server: &Server, path: &str, arguments: &[&str]) -> Result<String> {
    let url = format!("pop3s://{}/{path}", server.address("pop3s"));
    let credentials = [
        "--silent",
        "--show-error",
        "--insecure",
        "--user",
        "alice@example.test:quickstart",
    ];
    succeeded(
        Command::new("curl")
            .args(credentials)
            .arg(&url)
            .args(arguments),
    )
}

#[test]
fn stock_clients_take_mail_away() -> Result<()> {
    let server = Server::start(&Config::standard(""))?;
    for subject in ["one", "two"] {
        let mut client = mailpods_tests::smtp::Client::hello(server.address("lmtp"), "LHLO")?;
        let message = format!("From: x@sender.test\r\nSubject: {subject}\r\n\r\n.{subject}\r\n");
        client.say("MAIL FROM:<x@sender.test>", 250)?;
        client.say("RCPT TO:<alice@example.test>", 250)?;
        client.say("DATA", 354)?;
        client.say(
            &format!("{}\r\n.", message.replace("\r\n.", "\r\n..").trim_end()),
            250,
        )?;
    }
    let list = eventually("two messages", || {
        let list = curl(&server, "", &[])?;
        Ok((list.lines().count() == 2).then_some(list))
    })?;
    assert!(list.starts_with("1 "), "{list}");
    let text = curl(&server, "1", &[])?;
    assert!(text.ends_with("\r\n\r\n.one\r\n"), "{text}");
    let top = curl(&server, "", &["--request", "TOP 2 0"])?;
    assert!(
        top.contains("Subject: two") && !top.contains("\r\n.two"),
        "{top}"
    );

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/poplib_session.py");
    let ports = ["pop3", "pop3s"].map(|name| server.address(name).port().to_string());
    succeeded(Command::new("python3").arg(script).args(ports))?;
    ensure!(
        curl(&server, "", &[])?.lines().count() == 1,
        "one was removed"
    );
    assert_eq!(server.metric("mailpods_pop3_retrieved_total")?, 3.0);
    Ok(())
}
