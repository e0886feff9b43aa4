//! Senders that receivers speak against.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mailpods_tests::client::output;
use mailpods_tests::dns::Dns;
use mailpods_tests::eventually;
use mailpods_tests::server::{Config, Server, tool, tool_ok};
use mailpods_tests::sink::{Manners, Sink};
use serde_json::Value;

/// Submits as alice by swaks; its transcript, and whether it succeeded.
fn submit(server: &Server, to: &str, more: &[&str]) -> Result<(bool, String)> {
    let address = server.address("submission");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut swaks = Command::new("swaks");
    swaks
        .args([
            "--server", &host, "--port", &port, "--tls", "--auth", "PLAIN",
        ])
        .args([
            "--auth-user",
            "alice@example.test",
            "--auth-password",
            "quickstart",
        ])
        .args(["--from", "alice@example.test", "--to", to])
        .args(more);
    let output = output(&mut swaks)?;
    let transcript = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), transcript))
}

/// A server whose remote.test leads to the sink.
fn with_sink(outbound: &str, change: impl FnOnce(Config) -> Config) -> Result<(Dns, Sink, Server)> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let port = sink.address().port();
    let outbound =
        format!("  outbound: {{port: {port}, retryInitial: 1s, retryMax: 2s, {outbound}}}\n");
    let server = Server::start(&change(Config::standard(&(dns.yaml() + &outbound))))?;
    Ok((dns, sink, server))
}

struct Tools<'a>(&'a Server);

impl Tools<'_> {
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let data = self.0.data().to_string_lossy().into_owned();
        tool_ok(&[&["--data", data.as_str()], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let text = self.run(&[arguments, &["--output", "json"]].concat())?;
        let rows: Value = serde_json::from_str(&text)?;
        rows.as_array().cloned().context("no list")
    }

    /// Waits until the trace of an address has a text: it is written within a second.
    fn until_traced(&self, address: &str, text: &str) -> Result<()> {
        let data = self.0.data().to_string_lossy().into_owned();
        eventually(text, || {
            let trace = tool(&["--data", &data, "trace", address])?;
            let found = String::from_utf8_lossy(&trace.stdout).contains(text);
            Ok(found.then_some(()))
        })
    }

    /// The mail of alice as mbox; empty before the first message.
    fn inbox(&self) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("alice.mbox");
        let data = self.0.data().to_string_lossy().into_owned();
        let name = file.to_string_lossy().into_owned();
        let arguments = ["--data", &data, "mailbox", "export", "alice@example.test"];
        let exported = tool(&[&arguments[..], &["--format", "mbox", &name]].concat())?;
        match exported.status.success() {
            true => Ok(std::fs::read_to_string(file)?),
            false => Ok(String::new()),
        }
    }
}

#[test]
fn a_burst_is_held_told_and_released() -> Result<()> {
    let (_dns, sink, server) = with_sink(
        "suspension: {burst: {recipients: 2, within: 10m}}",
        |config| config,
    )?;
    let tools = Tools(&server);
    sink.behave(Manners {
        recipient: "451 4.3.0 later",
        ..Manners::default()
    });
    for to in ["one@remote.test", "two@remote.test"] {
        let (sent, transcript) = submit(&server, to, &[])?;
        ensure!(sent, "{transcript}");
    }
    let (sent, transcript) = submit(&server, "three@remote.test", &[])?;
    ensure!(
        !sent && transcript.contains("450 4.7.1 the account alice@example.test is suspended (burst): 3 recipients within 10m"),
        "{transcript}"
    );
    eventually("both messages to be held", || {
        let queue = tools.json(&["queue", "list", "--account", "alice@example.test"])?;
        let held = queue.iter().filter(|item| item["suspended"] == true);
        Ok((held.count() == 2).then_some(()))
    })?;
    let queue = tools.json(&["queue", "list", "--state", "suspended"])?;
    ensure!(
        queue.iter().all(|item| item["class"] == "other"),
        "{queue:?}"
    );
    sink.behave(Manners::default());
    let notice = eventually("the notice", || {
        let inbox = tools.inbox()?;
        Ok(inbox.contains("may not send mail").then_some(inbox))
    })?;
    ensure!(
        notice.contains("Auto-Submitted: auto-generated"),
        "{notice}"
    );
    ensure!(sink.taken().is_empty(), "{:?}", sink.taken());
    let listed = tools.json(&["suspension", "list"])?;
    ensure!(listed[0]["cause"] == "burst", "{listed:?}");
    ensure!(server.metric("mailpods_outbound_suspensions_total{cause=\"burst\"}")? == 1.0);
    tools.run(&["suspension", "release", "alice@example.test"])?;
    sink.wait_for(2)?;
    eventually("the account to send again", || {
        let (sent, _) = submit(&server, "four@remote.test", &[])?;
        Ok(sent.then_some(()))
    })?;
    sink.wait_for(3)?;
    ensure!(
        tools
            .inbox()?
            .matches("Subject: alice@example.test may not")
            .count()
            == 1
    );
    ensure!(tools.run(&["suspension", "list"])?.contains("Nobody"));
    Ok(())
}

#[test]
fn what_a_suspended_account_has_queued_can_be_deleted() -> Result<()> {
    let (_dns, sink, server) = with_sink("minStandby: 1", |config| config)?;
    let tools = Tools(&server);
    sink.behave(Manners {
        recipient: "451 4.3.0 later",
        ..Manners::default()
    });
    let (sent, transcript) = submit(&server, "one@remote.test", &[])?;
    ensure!(sent, "{transcript}");
    let config = server.config().to_string_lossy();
    let add = ["suspension", "add", "alice@example.test"];
    tools.run(&[&add[..], &["--why", "a test", "--config", &config]].concat())?;
    eventually("the message to be held", || {
        let queue = tools.json(&["queue", "list", "--state", "suspended"])?;
        Ok((queue.len() == 1).then_some(()))
    })?;
    let said = tools.run(&[
        "suspension",
        "release",
        "alice@example.test",
        "--delete-queue",
    ])?;
    ensure!(
        said.contains("1 deleted") && said.contains("released"),
        "{said}"
    );
    let queue = tools.json(&["queue", "list", "--account", "alice@example.test"])?;
    ensure!(queue.is_empty(), "{queue:?}");
    Ok(())
}

#[test]
fn who_complains_is_not_written_to_any_more() -> Result<()> {
    let (_dns, sink, server) = with_sink(
        "suppression: {}, complaints: {address: fbl@example.test}",
        |config| config.mailbox("fbl", ""),
    )?;
    let tools = Tools(&server);
    let (sent, transcript) = submit(
        &server,
        "dave@remote.test",
        &["--header", "List-Id: <news.example.test>"],
    )?;
    ensure!(sent, "{transcript}");
    let original = sink.wait_for(1)?[0].message.replace("\r\n", "\n");
    ensure!(
        original.contains("CFBL-Address: fbl@example.test; report=arf\nCFBL-Feedback-ID: "),
        "{original}"
    );
    tools.until_traced("dave@remote.test", "relayed")?;
    let report = format!(
        "From: Feedback <fbl@provider.test>\nTo: <fbl@example.test>\nSubject: complaint\nDate: Thu, 26 Nov 2026 09:00:00 +0000\n\
         Message-ID: <1@provider.test>\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\n\n\
         --b\nContent-Type: text/plain\n\nThis is a complaint.\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
         User-Agent: Provider/1.0\nVersion: 1\n\n--b\nContent-Type: message/rfc822\n\n{original}\n--b--\n"
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report");
    std::fs::write(&file, report)?;
    let address = server.address("smtp");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut swaks = Command::new("swaks");
    swaks
        .args(["--server", &host, "--port", &port])
        .args(["--from", "fbl@provider.test", "--to", "fbl@example.test"])
        .arg("--data")
        .arg(format!("@{}", file.to_string_lossy()));
    let told = output(&mut swaks)?;
    ensure!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stdout)
    );
    let rows = eventually("the suppressed recipient", || {
        let rows = tools.json(&["suppression", "list", "--from", "example.test"])?;
        Ok((!rows.is_empty()).then_some(rows))
    })?;
    ensure!(
        rows[0]["recipient"] == "dave@remote.test" && rows[0]["why"] == "complaint",
        "{rows:?}"
    );
    let (sent, transcript) = submit(&server, "dave@remote.test", &[])?;
    ensure!(
        !sent && transcript.contains("550 5.7.1") && transcript.contains("has complained"),
        "{transcript}"
    );
    tools.until_traced("dave@remote.test", "abuse reported by Provider/1.0")?;
    let counted = "mailpods_outbound_complaints_total{outcome=\"counted\",provider=\"other\"}";
    ensure!(
        server.metric(counted)? == 1.0,
        "{}",
        server.http("/metrics")?
    );
    Ok(())
}
