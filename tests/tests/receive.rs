//! Mail from other servers, into mailboxes.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use mailpods_tests::dns::Dns;
use mailpods_tests::server::{Config, Server, tool, tool_ok};
use mailpods_tests::{eventually, imap, smtp};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn message(subject: &str) -> String {
    format!(
        "From: Carol <carol@sender.test>\r\nTo: alice@example.test\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{subject}@sender.test>\r\n\r\nHello.\r\n"
    )
}

fn inbox(server: &Server, person: &str) -> Result<imap::Client> {
    let mut client = imap::Client::connect(server.address("imap"))?;
    // LOGIN needs TLS; SCRAM does not reveal the password but is as forbidden in clear, so the test reads by the tool where it can.
    let (_, status) = client.try_command(&format!("LOGIN {person}@example.test quickstart"))?;
    assert!(
        status.starts_with("NO [PRIVACYREQUIRED]") || status.starts_with("NO"),
        "{status}"
    );
    Ok(client)
}

fn stored(server: &Server, person: &str, folder: &str) -> Result<u64> {
    let list = imap::listed(server.data())?;
    let rows = list.as_array().cloned().unwrap_or_default();
    let of_folder = rows
        .iter()
        .find(|row| row["account"] == format!("{person}@example.test") && row["mailbox"] == folder);
    Ok(of_folder
        .and_then(|row| row["messages"].as_u64())
        .unwrap_or_default())
}

fn wait_for(server: &Server, person: &str, folder: &str, count: u64) -> Result<()> {
    eventually(&format!("{count} messages in {folder} of {person}"), || {
        Ok((stored(server, person, folder)? == count).then_some(()))
    })
}

#[test]
fn a_message_arrives_with_trace_fields_and_no_plain_log_in_is_possible() -> Result<()> {
    let dns = Dns::start()?;
    dns.ptr(LOOPBACK, "client.example.net.")?;
    dns.address_of("client.example.net.", LOOPBACK)?;
    dns.txt("sender.test.", "v=spf1 ip4:127.0.0.1 -all")?;
    let server = Server::start(&Config::standard(&dns.yaml()))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    let reply = client.message(
        "carol@sender.test",
        &["alice@example.test"],
        &message("one"),
    )?;
    assert_eq!(reply.code, 250, "{}", reply.text);
    wait_for(&server, "alice", "INBOX", 1)?;
    inbox(&server, "alice")?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("alice.mbox");
    let data = server.data().to_string_lossy();
    tool_ok(&[
        "--data",
        &data,
        "mailbox",
        "export",
        "alice@example.test",
        "--format",
        "mbox",
        &out.to_string_lossy(),
    ])?;
    let text = std::fs::read_to_string(out)?;
    for wanted in [
        "Return-Path: <carol@sender.test>",
        "Delivered-To: alice@example.test",
        "Received: from client.example.net (",
        "Authentication-Results: mail.example.test",
        "spf=pass",
        "iprev=pass",
        "Received-SPF: pass",
        "Subject: one",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
    Ok(())
}

#[test]
fn what_is_not_ours_is_refused_at_rcpt() -> Result<()> {
    let dns = Dns::start()?;
    let server =
        Server::start(&Config::standard(&dns.yaml()).mailbox("carol", "  enabled: false"))?;
    for (to, code, wanted) in [
        ("nobody@example.test", 550, "5.1.1"),
        ("someone@elsewhere.test", 550, "5.7.1"),
        ("alice%elsewhere.test@example.test", 550, "5.1.1"),
        ("carol@example.test", 550, "5.2.1"),
    ] {
        let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
        let reply = client.message("x@sender.test", &[to], &message("no"))?;
        assert_eq!(reply.code, code, "{to}: {}", reply.text);
        assert!(reply.text.starts_with(wanted), "{to}: {}", reply.text);
    }
    let data = server.data().to_string_lossy().into_owned();
    let trace = eventually("the refusal in the trace", || {
        // Events are written within a second; until then the tool finds nothing and says so by its exit code.
        let output = tool(&["--data", &data, "trace", "nobody@example.test"])?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.contains("unknown-recipient").then_some(text))
    })?;
    assert!(trace.contains("nobody@example.test"), "{trace}");
    Ok(())
}

#[test]
fn plus_addresses_aliases_and_the_catch_all_lead_to_mailboxes() -> Result<()> {
    let dns = Dns::start()?;
    let domain = "  domainAliases: [example.org]\n  catchAll: bob@example.test\n  aliases:\n    - {name: team, targets: [alice@example.test, bob@example.test]}\n";
    let server = Server::start(&Config::standard(&dns.yaml()).append("domain.yaml", domain))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    for to in [
        "alice+tag@example.test",
        "ALICE@example.org",
        "team@example.test",
        "whoever@example.test",
    ] {
        let reply = client.message("x@sender.test", &[to], &message("to"))?;
        assert_eq!(reply.code, 250, "{to}: {}", reply.text);
    }
    wait_for(&server, "alice", "INBOX", 3)?;
    wait_for(&server, "bob", "INBOX", 2)
}

#[test]
fn a_dmarc_policy_is_honoured_and_a_dns_failure_is_temporary() -> Result<()> {
    let dns = Dns::start()?;
    for (domain, policy) in [("strict.test", "reject"), ("careful.test", "quarantine")] {
        dns.txt(&format!("{domain}."), "v=spf1 -all")?;
        dns.txt(
            &format!("_dmarc.{domain}."),
            &format!("v=DMARC1; p={policy}"),
        )?;
    }
    dns.fail("_dmarc.broken.test.", hickory_proto::rr::RecordType::TXT)?;
    let server = Server::start(&Config::standard(&dns.yaml()))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    let mut from = |domain: &str| {
        let text = message("policy").replace("sender.test", domain);
        client.message(&format!("carol@{domain}"), &["alice@example.test"], &text)
    };
    let refused = from("strict.test")?;
    assert_eq!(refused.code, 550, "{}", refused.text);
    assert!(refused.text.starts_with("5.7.1"), "{}", refused.text);
    assert_eq!(from("careful.test")?.code, 250);
    assert_eq!(from("broken.test")?.code / 100, 4);
    wait_for(&server, "alice", "Junk", 1)?;
    assert_eq!(stored(&server, "alice", "INBOX")?, 0);
    Ok(())
}

#[test]
fn a_mailbox_over_its_quota_is_deferred() -> Result<()> {
    let dns = Dns::start()?;
    let server =
        Server::start(&Config::standard(&dns.yaml()).mailbox("alice", "  quota: {messages: 1}"))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    assert_eq!(
        client
            .message("x@sender.test", &["alice@example.test"], &message("one"))?
            .code,
        250
    );
    wait_for(&server, "alice", "INBOX", 1)?;
    let reply = client.message("x@sender.test", &["alice@example.test"], &message("two"))?;
    assert_eq!(reply.code, 452, "{}", reply.text);
    Ok(())
}

#[test]
fn lmtp_answers_for_each_recipient() -> Result<()> {
    let dns = Dns::start()?;
    let server = Server::start(&Config::standard(&dns.yaml()))?;
    let mut client = smtp::Client::hello(server.address("lmtp"), "LHLO")?;
    client.say("MAIL FROM:<x@sender.test>", 250)?;
    client.say("RCPT TO:<alice@example.test>", 250)?;
    client.say("RCPT TO:<nobody@example.test>", 550)?;
    client.say("RCPT TO:<bob@example.test>", 250)?;
    client.say("DATA", 354)?;
    client.say(&format!("{}.", message("lmtp")), 250)?;
    client.expect(250)?;
    wait_for(&server, "alice", "INBOX", 1)?;
    wait_for(&server, "bob", "INBOX", 1)
}

#[test]
fn smuggled_commands_are_data_or_refused() -> Result<()> {
    let dns = Dns::start()?;
    let server = Server::start(&Config::standard(&dns.yaml()))?;
    for end in ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r"] {
        let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
        client.say("MAIL FROM:<x@sender.test>", 250)?;
        client.say("RCPT TO:<alice@example.test>", 250)?;
        client.say("DATA", 354)?;
        let smuggled = format!(
            "Subject: outer\r\n\r\ntext{end}MAIL FROM:<admin@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: inner\r\n\r\ninner\r\n.\r\n"
        );
        client.send(smuggled.as_bytes())?;
        let reply = client.reply()?;
        assert_eq!(reply.code, 550, "{end:?}: {}", reply.text);
        assert!(reply.text.starts_with("5.6.11"), "{end:?}: {}", reply.text);
    }
    assert_eq!(stored(&server, "bob", "INBOX")?, 0);
    Ok(())
}
