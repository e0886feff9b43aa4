//! ManageSieve by sieve-connect: what it keeps is what mail goes through.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use mailpods_plan::Role;
use mailpods_tests::cluster::Cluster;
use mailpods_tests::eventually;
use mailpods_tests::server::{Config, Server};
use mailpods_tests::smtp::Client;
use mailpods_tests::tls::Session;

/// Runs sieve-connect as alice; it speaks STARTTLS.
fn sieve_connect(port: u16, arguments: &[&str]) -> Result<Output> {
    let port = port.to_string();
    let mut child = Command::new("sieve-connect")
        .args(["--server", "127.0.0.1", "--port", &port, "--notlsverify"])
        .args([
            "--user",
            "alice@example.test",
            "--authmech",
            "PLAIN",
            "--passwordfd",
            "0",
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start sieve-connect")?;
    child
        .stdin
        .take()
        .context("no input")?
        .write_all(b"quickstart\n")?;
    Ok(child.wait_with_output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn succeeds(port: u16, arguments: &[&str]) -> Result<String> {
    let output = sieve_connect(port, arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", text(&output));
    Ok(text(&output))
}

fn upload(port: u16, folder: &Path, name: &str, script: &str) -> Result<Output> {
    let file = folder.join("script");
    std::fs::write(&file, script)?;
    let file = file.to_str().context("a path")?;
    let arguments = ["--localsieve", file, "--remotesieve", name, "--upload"];
    sieve_connect(port, &arguments)
}

fn deliver(server: &Server, subject: &str) -> Result<()> {
    let mut client = Client::hello(server.address("lmtp"), "LHLO")?;
    client.say("MAIL FROM:<x@sender.test>", 250)?;
    client.say("RCPT TO:<alice@example.test>", 250)?;
    client.say("DATA", 354)?;
    let message = format!("From: x@sender.test\r\nSubject: {subject}\r\n\r\nx\r\n.");
    client.say(&message, 250)?;
    Ok(())
}

fn wait_for(session: &mut Session, mailbox: &str, count: usize) -> Result<()> {
    let wanted = format!("MESSAGES {count}");
    eventually(&format!("{mailbox}: {wanted}"), || {
        let lines = session.imap(&format!("STATUS {mailbox} (MESSAGES)"))?;
        Ok(lines
            .iter()
            .any(|line| line.contains(&wanted))
            .then_some(()))
    })
}

fn login(server: &Server) -> Result<Session> {
    let mut session = Session::connect(server.address("imaps"))?;
    session.imap("LOGIN alice@example.test quickstart")?;
    Ok(session)
}

#[test]
fn a_script_that_is_put_and_activated_sorts_mail() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(&Config::standard(""))?;
    let port = server.address("managesieve").port();
    let mut session = login(&server)?;

    let broken = upload(port, folder.path(), "broken", "keep;\nfileinto \"x\";\n")?;
    assert!(!broken.status.success(), "{}", text(&broken));
    assert!(
        text(&broken).contains("line 2, column 1"),
        "{}",
        text(&broken)
    );

    let script = "require [\"fileinto\", \"include\"];\nif header :contains \"subject\" \"list\" { include \"sort\"; }\n";
    let sort = "require \"fileinto\"; fileinto \"Archive\";\n";
    for (name, script) in [("sort", sort), ("main", script)] {
        let output = upload(port, folder.path(), name, script)?;
        ensure!(output.status.success(), "{}", text(&output));
    }
    deliver(&server, "list before")?;
    wait_for(&mut session, "INBOX", 1)?;
    succeeds(port, &["--remotesieve", "main", "--activate"])?;
    let list = succeeds(port, &["--list"])?;
    assert!(
        list.contains("\"main\" ACTIVE") && list.contains("\"sort\""),
        "{list}"
    );
    deliver(&server, "list after")?;
    wait_for(&mut session, "Archive", 1)?;

    let file = folder.path().join("downloaded");
    let path = file.to_str().context("a path")?;
    succeeds(
        port,
        &["--remotesieve", "main", "--localsieve", path, "--download"],
    )?;
    assert_eq!(
        std::fs::read_to_string(&file)?.replace("\r\n", "\n"),
        script
    );
    succeeds(port, &["--deactivate"])?;
    succeeds(port, &["--remotesieve", "main", "--delete"])?;
    deliver(&server, "list again")?;
    wait_for(&mut session, "INBOX", 2)
}

#[test]
fn a_script_that_one_pod_keeps_another_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(&Config::standard(""))?;
    let port = cluster.pod(Role::Imap)?.address("managesieve").port();
    let mut session = cluster.login("alice")?;
    for (name, mailbox) in [("one", "Archive"), ("two", "Junk")] {
        let script = format!("require \"fileinto\"; fileinto \"{mailbox}\";\n");
        let output = upload(port, folder.path(), name, &script)?;
        ensure!(output.status.success(), "{}", text(&output));
        succeeds(port, &["--remotesieve", name, "--activate"])?;
        assert_eq!(cluster.send("alice@example.test")?.code, 250);
        wait_for(&mut session, mailbox, 1)?;
    }
    Ok(())
}
