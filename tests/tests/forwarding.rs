//! Mail that goes on to other domains: what is put in front of it, and what does not go on.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use mailpods_tests::dns::Dns;
use mailpods_tests::server::{Config, Server, tool, tool_ok};
use mailpods_tests::sink::Sink;
use mailpods_tests::smtp;
use mailpods_tests::{arc, eventually};

const MESSAGE: &str = "From: x@sender.test\r\nSubject: on\r\nX-Odd:  two  spaces\t\r\n\tand a fold \r\n\r\nHello \r\n\r\n..\r\nbye\r\n\r\n";

/// DNS with exchangers of some domains, all of them this machine.
fn dns(domains: &[&str]) -> Result<Dns> {
    let dns = Dns::start()?;
    for domain in domains {
        dns.mx(&format!("{domain}."), 10, &format!("mx.{domain}."))?;
        dns.address_of(&format!("mx.{domain}."), IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    }
    Ok(dns)
}

/// A server whose away@example.test leads to `target`, by exchangers that listen at `port`.
fn config(dns: &Dns, target: &str, port: u16) -> Config {
    let domain = format!(
        "apiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {{name: example}}\nspec:\n  domain: example.test\n  aliases:\n  \
         - {{name: away, targets: [{target}]}}\n  - {{name: both, targets: [alice@example.test, {target}]}}\n"
    );
    let outbound = format!("  outbound: {{port: {port}}}\n");
    Config::standard(&(dns.yaml() + &outbound)).with("domain.yaml", &domain)
}

/// Hands a message over; the reply to it has this code.
fn send(server: &Server, to: &[&str], message: &str, code: u16) -> Result<String> {
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    client.say("MAIL FROM:<x@sender.test>", 250)?;
    for to in to {
        client.say(&format!("RCPT TO:<{to}>"), 250)?;
    }
    client.say("DATA", 354)?;
    let stuffed = message.replace("\r\n.", "\r\n..");
    client.say(&format!("{stuffed}."), code)
}

#[test]
fn a_chain_of_two_forwarders_is_valid_and_nothing_else_changes() -> Result<()> {
    let (dns, sink) = (dns(&["second.test", "remote.test"])?, Sink::start()?);
    let second = config(&dns, "carol@remote.test", sink.address().port());
    let second = Server::start(&second.renamed("second.test"))?;
    let port = second.address("smtp").port();
    let first = Server::start(&config(&dns, "away@second.test", port))?;
    assert_eq!(
        (first.publish_keys(&dns)?, second.publish_keys(&dns)?),
        (2, 2)
    );

    send(&first, &["away@example.test"], MESSAGE, 250)?;
    let taken = sink.wait_for(1)?;
    let message = &taken[0].message;
    assert!(message.ends_with(MESSAGE), "{message}");
    assert!(
        message.starts_with("ARC-Seal: i=2; a=rsa-sha256;"),
        "{message}"
    );
    let wanted = [
        "pass success",
        "2 second.test pass valid",
        "1 example.test none valid",
    ];
    assert_eq!(arc::chain(&dns, message)?, wanted, "{message}");
    // What each of them saw: the second one looked at the first one's seal with the filter.
    let results: Vec<&str> = message
        .split("ARC-Authentication-Results:")
        .skip(1)
        .collect();
    assert!(
        results[0].starts_with(" i=2; mail.second.test;"),
        "{message}"
    );
    assert!(
        results[0].contains("arc=pass") && results[0].contains("spf="),
        "{message}"
    );
    assert!(
        results[1].starts_with(" i=1; mail.example.test;"),
        "{message}"
    );

    // A chain that was broken on the way: that is sealed, and no more after it.
    let (said, says) = ("Subject: on", "Subject: off");
    let broken = message.replace(said, says);
    send(&second, &["away@second.test"], &broken, 250)?;
    let ended = &sink.wait_for(2)?[1].message;
    assert!(
        ended.starts_with("ARC-Seal: i=3;") && ended.contains("cv=fail"),
        "{ended}"
    );
    assert!(ended.ends_with(&MESSAGE.replace(said, says)), "{ended}");
    assert!(
        arc::chain(&dns, ended)?[0].starts_with("ended ARC-Seal[3] reported failure"),
        "{ended}"
    );
    send(&second, &["away@second.test"], ended, 250)?;
    let behind = &sink.wait_for(3)?[2].message;
    assert!(
        behind.starts_with("Delivered-To: away@second.test\r\n"),
        "{behind}"
    );
    Ok(())
}

#[test]
fn nothing_is_sealed_where_that_is_switched_off() -> Result<()> {
    let (dns, sink) = (dns(&["remote.test"])?, Sink::start()?);
    let outbound = format!(
        "  outbound: {{port: {}, arc: false}}\n",
        sink.address().port()
    );
    let domain = "apiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {name: example}\nspec:\n  domain: example.test\n  \
                  aliases: [{name: away, targets: [carol@remote.test]}]\n";
    let config = Config::standard(&(dns.yaml() + &outbound)).with("domain.yaml", domain);
    let server = Server::start(&config)?;
    send(&server, &["away@example.test"], MESSAGE, 250)?;
    let message = &sink.wait_for(1)?[0].message;
    assert!(
        !message.contains("ARC-") && message.ends_with(MESSAGE),
        "{message}"
    );
    Ok(())
}

#[test]
fn junk_goes_to_no_other_domain() -> Result<()> {
    let (dns, sink) = (dns(&["remote.test"])?, Sink::start()?);
    dns.txt("_dmarc.sender.test.", "v=DMARC1; p=quarantine")?;
    let server = Server::start(&config(&dns, "carol@remote.test", sink.address().port()))?;
    // Who sends it learns it when nobody here gets it.
    let reply = send(&server, &["away@example.test"], MESSAGE, 550)?;
    assert!(
        reply.contains("5.7.1") && reply.contains("dmarc-quarantine"),
        "{reply}"
    );
    // Else it is for those here alone.
    for to in [
        &["both@example.test"][..],
        &["away@example.test", "bob@example.test"],
    ] {
        send(&server, to, MESSAGE, 250)?;
    }
    let data = server.data().to_string_lossy().into_owned();
    let says = |words: &[&str]| tool_ok(&[&["--data", &data], words].concat());
    eventually("the queue to be empty", || {
        let list = says(&["queue", "list", "--output", "json"])?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        Ok(list.as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    for account in ["alice@example.test", "bob@example.test"] {
        let folders = says(&["mailbox", "list", account])?;
        assert!(folders.contains("Junk"), "{folders}");
    }
    let told = eventually("the trace to tell of it", || {
        let output = tool(&["--data", &data, "trace", "carol@remote.test"])?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((told.matches("spam-not-forwarded").count() >= 2).then_some(told))
    })?;
    assert!(!told.contains("relayed"), "{told}");
    assert!(sink.taken().is_empty());
    Ok(())
}
