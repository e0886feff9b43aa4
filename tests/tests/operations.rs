//! Start, stop, edits, tools.

use std::time::Instant;

use anyhow::Result;
use mailpods_tests::dns::Dns;
use mailpods_tests::server::{Config, Server, tool, tool_ok};
use mailpods_tests::{eventually, smtp};

fn accepted(client: &mut smtp::Client, to: &str) -> Result<bool> {
    client.say("MAIL FROM:<x@sender.test>", 250)?;
    let reply = client.command(&format!("RCPT TO:<{to}>"))?;
    client.say("RSET", 250)?;
    Ok(reply.code == 250)
}

const RELOADS: &str = "mailpods_plan_reloads_total{outcome=\"applied\"}";

#[test]
fn an_edit_takes_effect_in_a_running_session_and_a_broken_one_changes_nothing() -> Result<()> {
    let dns = Dns::start()?;
    let config = Config::standard(&dns.yaml());
    let server = Server::start(&config)?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    assert!(!accepted(&mut client, "carol@example.test")?);
    config.clone().mailbox("carol", "").write(server.config())?;
    let edited = Instant::now();
    // The session itself takes few unknown recipients before it is cut.
    eventually("the edit in the metrics", || {
        Ok((server.metric(RELOADS)? == 1.0).then_some(()))
    })?;
    eprintln!("the edit took effect after {:?}", edited.elapsed());
    assert!(
        accepted(&mut client, "carol@example.test")?,
        "the new mailbox in the open session"
    );

    std::fs::write(
        server.config().join("broken.yaml"),
        "kind: Mailbox\napiVersion: mailpods.dev/v1alpha1\nspec: {adress: x}\n",
    )?;
    eventually("the refusal in the metrics", || {
        Ok((server.metric("mailpods_plan_refused")? == 1.0).then_some(()))
    })?;
    assert!(
        accepted(&mut client, "carol@example.test")?,
        "the last good plan runs on"
    );
    std::fs::remove_file(server.config().join("broken.yaml"))?;
    eventually("the refusal to be over", || {
        Ok((server.metric("mailpods_plan_refused")? == 0.0).then_some(()))
    })
}

#[test]
fn a_listener_that_cannot_be_opened_is_told_and_opened_as_soon_as_it_can() -> Result<()> {
    let dns = Dns::start()?;
    let config = Config::standard(&dns.yaml());
    let server = Server::start(&config)?;
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = other.local_addr()?;
    let closed = || server.metric("mailpods_listeners_closed{protocol=\"lmtp\"}");
    assert_eq!((closed()?, server.http("/readyz")?.trim()), (0.0, "ok"));
    let file = server.config().join("cluster.yaml");
    let yaml = std::fs::read_to_string(&file)?;
    let moved = yaml.replace(
        "{name: lmtp, protocol: lmtp, address: 127.0.0.1, port: 0}",
        &format!(
            "{{name: lmtp, protocol: lmtp, address: 127.0.0.1, port: {}}}",
            taken.port()
        ),
    );
    assert_ne!(moved, yaml);
    std::fs::write(&file, moved)?;
    eventually("the closed listener in the metrics", || {
        Ok((closed()? == 1.0).then_some(()))
    })?;
    let ready = server.http("/readyz")?;
    assert!(ready.contains(&taken.to_string()), "{ready}");
    drop(other);
    eventually("the listener to be opened", || {
        Ok((closed()? == 0.0).then_some(()))
    })?;
    assert_eq!(server.http("/readyz")?.trim(), "ok");
    smtp::Client::hello(taken, "LHLO")?;
    Ok(())
}

#[test]
fn check_tells_all_errors_at_once_with_their_places() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = Config::standard("  hostnam: x\n")
        .mailbox("dave", "  quota: {size: many}")
        .mailbox("erin", "  sieve: 'kep;'");
    config.write(folder.path())?;
    let output = tool(&["check", &folder.path().to_string_lossy()])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for wanted in [
        "cluster.yaml:",
        "hostnam",
        "mailbox-dave.yaml:",
        "quota.size",
        "many",
        "mailbox-erin.yaml:",
        "line 1, column 1 of the script: unknown command",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
    Ok(())
}

#[test]
fn a_clean_stop_tells_sessions_and_keeps_the_queue() -> Result<()> {
    let dns = Dns::start()?;
    let mut server = Server::start(&Config::standard(&(dns.yaml() + "  shutdownGrace: 5s\n")))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    server.stop()?;
    // An idle session is told 421, or the connection is closed.
    if let Ok(reply) = client.reply() {
        assert_eq!(reply.code, 421, "{}", reply.text);
    }
    Ok(())
}

#[test]
fn health_and_metrics_are_served() -> Result<()> {
    let dns = Dns::start()?;
    let server = Server::start(&Config::standard(&dns.yaml()))?;
    assert_eq!(server.http("/livez")?.trim(), "ok");
    eventually("readiness", || {
        Ok((server.http("/readyz")?.trim() == "ok").then_some(()))
    })?;
    let setup = server.http("/mail/config-v1.1.xml?emailaddress=nobody%40example.test")?;
    assert!(
        setup.contains("<hostname>mail.example.test</hostname>"),
        "{setup}"
    );
    let setup = server.http("/mail/config-v1.1.xml?emailaddress=nobody%40other.test")?;
    assert!(setup.contains("no mailboxes"), "{setup}");
    smtp::Client::hello(server.address("smtp"), "EHLO")?.say("QUIT", 221)?;
    mailpods_tests::imap::Client::connect(server.address("imap"))?.command("CAPABILITY")?;
    let metrics = server.http("/metrics")?;
    for wanted in [
        "mailpods_smtp_",
        "mailpods_imap_",
        "mailpods_store_",
        "mailpods_plan_refused",
    ] {
        assert!(
            metrics.contains(wanted),
            "{wanted} is missing in\n{metrics}"
        );
    }
    Ok(())
}

#[test]
fn a_backup_of_a_running_server_is_restored_whole() -> Result<()> {
    let dns = Dns::start()?;
    let server = Server::start(&Config::standard(&dns.yaml()))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    let reply = client.message(
        "x@sender.test",
        &["alice@example.test"],
        "From: x@sender.test\r\nSubject: kept\r\n\r\nx\r\n",
    )?;
    assert_eq!(reply.code, 250, "{}", reply.text);
    let data = server.data().to_string_lossy().into_owned();
    let count = |data: &str| -> Result<bool> {
        let list: serde_json::Value = serde_json::from_str(&tool_ok(&[
            "--data", data, "mailbox", "list", "--output", "json",
        ])?)?;
        let mut rows = list.as_array().into_iter().flatten();
        Ok(rows.any(|row| {
            row["account"] == "alice@example.test"
                && row["mailbox"] == "INBOX"
                && row["messages"] == 1
        }))
    };
    eventually("the delivery", || Ok(count(&data)?.then_some(())))?;
    let folder = tempfile::tempdir()?;
    let (archive, restored) = (
        folder.path().join("archive"),
        folder.path().join("restored"),
    );
    let (archive, restored) = (archive.to_string_lossy(), restored.to_string_lossy());
    tool_ok(&["--data", &data, "backup", &archive])?;
    tool_ok(&["--data", &restored, "restore", &archive])?;
    tool_ok(&["--data", &restored, "fsck"])?;
    assert!(count(&restored)?, "the message is in the restored store");
    Ok(())
}
