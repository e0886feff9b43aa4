//! Mail that leaves: submission, signing, next hops, notifications.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Result, ensure};
use mailpods_tests::client::output;
use mailpods_tests::dns::Dns;
use mailpods_tests::eventually;
use mailpods_tests::server::{Config, Server, tool, tool_ok};
use mailpods_tests::sink::{Manners, Sink};
use mailpods_tests::smtp;

/// Submits by swaks, with TLS and a log-in; extra arguments as given. Returns its transcript and whether it succeeded.
fn swaks(server: &Server, arguments: &[&str]) -> Result<(bool, String)> {
    let address = server.address("submission");
    let mut swaks = Command::new("swaks");
    swaks
        .args([
            "--server",
            &address.ip().to_string(),
            "--port",
            &address.port().to_string(),
            "--tls",
        ])
        .args([
            "--auth",
            "PLAIN",
            "--auth-user",
            "alice@example.test",
            "--auth-password",
            "quickstart",
        ])
        .args(arguments);
    let output = output(&mut swaks)?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    ))
}

fn submit(server: &Server, to: &str) -> Result<()> {
    let (sent, transcript) = swaks(
        server,
        &[
            "--from",
            "alice@example.test",
            "--to",
            to,
            "--header",
            "Subject: out",
        ],
    )?;
    ensure!(sent, "{transcript}");
    Ok(())
}

/// A server whose remote.test leads to the sink by MX.
fn with_sink(cluster: &str) -> Result<(Dns, Sink, Server)> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let port = sink.address().port();
    let outbound =
        format!("  outbound: {{port: {port}, retryInitial: 1s, retryMax: 2s{cluster}}}\n");
    let server = Server::start(&Config::standard(&(dns.yaml() + &outbound)))?;
    Ok((dns, sink, server))
}

#[test]
fn submitted_mail_leaves_signed_and_without_the_clients_address() -> Result<()> {
    let (dns, sink, server) = with_sink("")?;
    submit(&server, "dave@remote.test")?;
    let taken = sink.wait_for(1)?;
    let message = &taken[0].message;
    assert!(
        taken[0].mail.starts_with("MAIL FROM:<alice@example.test>"),
        "{}",
        taken[0].mail
    );
    for wanted in [
        "a=rsa-sha256",
        "a=ed25519-sha256",
        "d=example.test",
        "h=from:from:",
        "Message-Id:",
        "Date:",
        "Subject: out",
    ] {
        assert!(
            message.contains(wanted),
            "{wanted} is missing in\n{message}"
        );
    }
    let received: String = message.split("Received:").skip(1).collect();
    assert!(
        !received.contains("127.0.0.1"),
        "the client's address stands in {received}"
    );
    // What the sink got verifies with the key that `dns print` publishes.
    assert_eq!(server.publish_keys(&dns)?, 2);
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), message)?;
    let resolver = dns.address().to_string();
    let verdict = tool_ok(&[
        "verify",
        "--resolver",
        &resolver,
        "--output",
        "json",
        &file.path().to_string_lossy(),
    ])?;
    let verdict: serde_json::Value = serde_json::from_str(&verdict)?;
    let passes = verdict["results"].as_array().into_iter().flatten();
    let passes = passes
        .filter(|result| result["mechanism"] == "dkim" && result["result"] == "pass")
        .count();
    assert_eq!(passes, 2, "{verdict}");
    Ok(())
}

#[test]
fn a_sender_that_is_not_the_log_ins_is_refused() -> Result<()> {
    let (_dns, sink, server) = with_sink("")?;
    let (sent, transcript) = swaks(
        &server,
        &["--from", "bob@example.test", "--to", "dave@remote.test"],
    )?;
    assert!(!sent && transcript.contains("5.7.1"), "{transcript}");
    let (sent, transcript) = swaks(
        &server,
        &[
            "--from",
            "alice@example.test",
            "--h-From",
            "bob@example.test",
            "--to",
            "dave@remote.test",
        ],
    )?;
    assert!(!sent && transcript.contains("5.7.1"), "{transcript}");
    let address = server.address("submission");
    let mut swaks = Command::new("swaks");
    swaks
        .args([
            "--server",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
        ])
        .args([
            "--auth",
            "PLAIN",
            "--auth-user",
            "alice@example.test",
            "--auth-password",
            "quickstart",
            "--to",
            "dave@remote.test",
        ]);
    let output = output(&mut swaks)?;
    assert!(!output.status.success(), "AUTH without TLS");
    assert!(sink.taken().is_empty());
    Ok(())
}

#[test]
fn a_refused_recipient_comes_back_as_a_notification() -> Result<()> {
    let (_dns, sink, server) = with_sink("")?;
    sink.behave(Manners {
        recipient: "550 5.1.1 no such user",
        ..Manners::default()
    });
    submit(&server, "nobody@remote.test")?;
    let data = server.data().to_string_lossy().into_owned();
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("alice.mbox");
    let text = eventually("the notification", || {
        // The account is made by its first message, so that the tool fails until then.
        let arguments = [
            "mailbox",
            "export",
            "alice@example.test",
            "--format",
            "mbox",
            "--force",
            &out.to_string_lossy(),
        ];
        tool(&[&["--data", &data][..], &arguments].concat())?;
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        Ok(text.contains("multipart/report").then_some(text))
    })?;
    for wanted in [
        "Return-Path: <>",
        "report-type=\"delivery-status\"",
        "Final-Recipient: rfc822;nobody@remote.test",
        "Action: failed",
        "Status: 5.1.1",
    ] {
        let wanted_unquoted = wanted.replace('"', "");
        assert!(
            text.contains(wanted) || text.contains(&wanted_unquoted),
            "{wanted} is missing in\n{text}"
        );
    }
    Ok(())
}

#[test]
fn a_deferred_message_is_tried_again_on_its_schedule() -> Result<()> {
    let (_dns, sink, server) = with_sink("")?;
    sink.behave(Manners {
        data: "451 4.3.0 later",
        ..Manners::default()
    });
    submit(&server, "dave@remote.test")?;
    let data = server.data().to_string_lossy().into_owned();
    eventually("the deferral in the queue", || {
        let list = tool_ok(&["--data", &data, "queue", "list", "--output", "json"])?;
        Ok(list.contains("4.3.0 later").then_some(()))
    })?;
    sink.behave(Manners::default());
    sink.wait_for(1)?;
    eventually("an empty queue", || {
        let list = tool_ok(&["--data", &data, "queue", "list", "--output", "json"])?;
        Ok((!list.contains("dave@remote.test")).then_some(()))
    })
}

#[test]
fn an_outage_of_dns_keeps_mail_in_the_queue() -> Result<()> {
    let (dns, sink, server) = with_sink("")?;
    dns.fail("later.test.", hickory_proto::rr::RecordType::MX)?;
    submit(&server, "dave@later.test")?;
    let data = server.data().to_string_lossy().into_owned();
    eventually("the reason in the queue", || {
        let list = tool_ok(&["--data", &data, "queue", "list", "--output", "json"])?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        Ok(list[0]["lastError"].is_string().then_some(()))
    })?;
    dns.forget("later.test.", hickory_proto::rr::RecordType::MX)?;
    dns.mx("later.test.", 10, "mx.remote.test.")?;
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn a_hundred_messages_to_one_host_share_connections() -> Result<()> {
    let (_dns, sink, server) = with_sink("")?;
    let folder = tempfile::tempdir()?;
    for number in 0..10 {
        let file = folder.path().join(number.to_string());
        std::fs::write(
            &file,
            format!(
                "From: alice@example.test\r\nTo: dave@remote.test\r\nSubject: {number}\r\n\r\nx\r\n"
            ),
        )?;
        let at = format!("@{}", file.display());
        let (sent, transcript) = swaks(
            &server,
            &[
                "--from",
                "alice@example.test",
                "--to",
                "dave@remote.test",
                "--data",
                &at,
            ],
        )?;
        ensure!(sent, "{transcript}");
    }
    let taken = sink.wait_for(10)?;
    let mut subjects: Vec<_> = taken
        .iter()
        .filter_map(|taken| taken.message.split("Subject: ").nth(1)?.lines().next())
        .collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects.len(), 10, "each message once");
    Ok(())
}

#[test]
fn mail_leaves_from_the_outbound_ip_with_its_name() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let outbound = format!("  outbound: {{port: {}}}\n", sink.address().port());
    let ip = "apiVersion: mailpods.dev/v1alpha1\nkind: OutboundIP\nmetadata: {name: one}\nspec:\n  address: 127.0.0.7\n  hostname: out.example.test\n";
    let server = Server::start(&Config::standard(&(dns.yaml() + &outbound)).with("ip.yaml", ip))?;
    submit(&server, "dave@remote.test")?;
    let taken = sink.wait_for(1)?;
    assert_eq!(taken[0].client, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7)));
    assert_eq!(taken[0].hello, "EHLO out.example.test");
    Ok(())
}

#[test]
fn a_relayed_domain_goes_to_its_host_and_keeps_dsn_parameters() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    let relay = format!(
        "apiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {{name: relayed}}\nspec:\n  domain: relayed.test\n  transport:\n    \
         relay: {{host: 127.0.0.1, port: {}, tls: None}}\n",
        sink.address().port()
    );
    let server = Server::start(&Config::standard(&dns.yaml()).with("relay.yaml", &relay))?;
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    client.say("MAIL FROM:<x@sender.test> RET=HDRS ENVID=q1", 250)?;
    client.say(
        "RCPT TO:<erin@relayed.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;erin@relayed.test",
        250,
    )?;
    client.say("DATA", 354)?;
    client.say("From: x@sender.test\r\nSubject: relayed\r\n\r\nx\r\n.", 250)?;
    let taken = sink.wait_for(1)?;
    assert!(
        taken[0].mail.contains("RET=HDRS") && taken[0].mail.contains("ENVID=q1"),
        "{}",
        taken[0].mail
    );
    assert!(
        taken[0].recipients[0].contains("NOTIFY=SUCCESS,FAILURE"),
        "{:?}",
        taken[0].recipients
    );
    assert!(
        !taken[0].message.contains("DKIM-Signature"),
        "mail from outside is not signed"
    );
    Ok(())
}

/// OutboundIPs at 127.0.0.7 and following, the first one sending, the others on standby.
fn addresses(count: u8) -> String {
    let one = |number: u8| {
        let role = if number == 0 { "Sending" } else { "Standby" };
        format!(
            "---\napiVersion: mailpods.dev/v1alpha1\nkind: OutboundIP\nmetadata: {{name: ip{number}}}\nspec:\n  address: 127.0.0.{}\n  \
             hostname: out{number}.example.test\n  role: {role}\n",
            7 + number
        )
    };
    (0..count).map(one).collect()
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

#[test]
fn an_address_that_a_provider_refuses_rests_there_and_a_standby_takes_over() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    for domain in ["remote.test", "other.test"] {
        dns.mx(&format!("{domain}."), 10, &format!("mx.{domain}."))?;
        dns.address_of(&format!("mx.{domain}."), loopback(1))?;
    }
    let outbound = format!(
        "  outbound: {{port: {}, retryInitial: 1s, retryMax: 2s}}\n",
        sink.address().port()
    );
    let config = Config::standard(&(dns.yaml() + &outbound)).with("ips.yaml", &addresses(3));
    let server = Server::start(&config)?;
    let listed =
        "554 5.7.1 Service unavailable; Client host [127.0.0.7] blocked using zen.spamhaus.org";
    sink.behave(Manners {
        refused: vec![(loopback(7), "remote.test", listed)],
        ..Manners::default()
    });
    for _ in 0..6 {
        submit(&server, "dave@remote.test")?;
    }
    let taken = sink.wait_for(6)?;
    for taken in &taken {
        assert_eq!(taken.client, loopback(8), "the first standby took over");
        assert_eq!(taken.hello, "EHLO out1.example.test");
    }
    submit(&server, "erin@other.test")?;
    let taken = sink.wait_for(7)?;
    assert_eq!(taken[6].client, loopback(7), "others still get its mail");
    let (data, config) = (
        server.data().to_string_lossy(),
        server.config().to_string_lossy(),
    );
    let ip = |what: &[&str]| -> Result<serde_json::Value> {
        let fixed = ["--data", &data, "--output", "json", "ip"];
        let text = tool_ok(&[&fixed[..], what, &["--config", &config]].concat())?;
        Ok(serde_json::from_str(&text)?)
    };
    let list = ip(&["list"])?;
    let phases: Vec<&str> = (0..3).filter_map(|at| list[at]["phase"].as_str()).collect();
    assert_eq!(phases, ["Hot", "Standby", "Standby"], "{list}");
    assert_eq!(list[0]["life"]["heat"]["remote.test"]["cause"], "refusals");
    let resolver = dns.address().to_string();
    let route = tool_ok(&[
        "--data",
        &data,
        "--output",
        "json",
        "route",
        "remote.test",
        "--from",
        "alice@example.test",
        "--config",
        &config,
        "--resolver",
        &resolver,
    ])?;
    let route: serde_json::Value = serde_json::from_str(&route)?;
    assert_eq!(route["provider"], "remote.test");
    assert_eq!(route["tls"][0]["level"], "opportunistic", "{route}");
    let nowhere = tool(&["--data", &data, "route", "not..a", "--config", &config])?;
    assert_eq!(nowhere.status.code(), Some(2));
    let told = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(told.contains("\"not..a\" is not a domain name"), "{told}");
    assert!(nowhere.stdout.is_empty());
    assert_eq!(route["addresses"][1]["phase"], "Active", "{route}");
    assert_eq!(
        route["addresses"][2]["phase"], "Standby",
        "minStandby holds"
    );
    tool_ok(&[
        "--data", &data, "ip", "activate", "ip0", "--config", &config,
    ])?;
    sink.behave(Manners::default());
    eventually("the address that an operator activated", || {
        Ok((ip(&["list"])?[0]["phase"] == "Active").then_some(()))
    })?;
    submit(&server, "dave@remote.test")?;
    assert_eq!(sink.wait_for(8)?[7].client, loopback(7));
    Ok(())
}

#[test]
fn an_address_that_is_taken_out_is_shown_until_its_records_may_go() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    let outbound = format!(
        "  outbound: {{port: {}, minStandby: 0}}\n",
        sink.address().port()
    );
    let config = Config::standard(&(dns.yaml() + &outbound)).with("ips.yaml", &addresses(2));
    let server = Server::start(&config)?;
    let data = server.data().to_string_lossy().into_owned();
    let folder = server.config().to_string_lossy().into_owned();
    let list = || -> Result<serde_json::Value> {
        let arguments = [
            "--data", &data, "--output", "json", "ip", "list", "--config", &folder,
        ];
        Ok(serde_json::from_str(&tool_ok(&arguments)?)?)
    };
    eventually("both addresses", || {
        let list = list()?;
        Ok((list[0]["phase"] == "Active" && list[1]["phase"] == "Standby").then_some(()))
    })?;
    config
        .with("ips.yaml", &addresses(1))
        .write(server.config())?;
    let gone = eventually("the address that is gone", || {
        let list = list()?;
        Ok((list[1]["phase"] == "Drained").then(|| list[1].clone()))
    })?;
    assert_eq!(gone["name"], "ip1");
    assert!(gone["gone"]["until"].is_i64(), "{gone}");
    let address = gone["address"].as_str().unwrap_or_default().to_owned();
    let printed = tool_ok(&["--data", &data, "dns", "print", "--config", &folder])?;
    assert!(printed.contains(&address), "{address} is not in\n{printed}");
    Ok(())
}

#[test]
fn a_new_address_sends_a_little_and_the_rest_waits_for_it() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", loopback(1))?;
    let outbound = format!(
        "  outbound: {{port: {}, minStandby: 0}}\n",
        sink.address().port()
    );
    let warm = addresses(1).replace("role: Sending", "warmUp: {initialPerDay: 2, duration: 30d}");
    let config = Config::standard(&(dns.yaml() + &outbound));
    let server = Server::start(&config.with("ips.yaml", &warm))?;
    for _ in 0..3 {
        submit(&server, "dave@remote.test")?;
    }
    assert_eq!(sink.wait_for(2)?.len(), 2);
    let data = server.data().to_string_lossy().into_owned();
    eventually("the third to wait", || {
        let list = tool_ok(&["--data", &data, "queue", "list", "--output", "json"])?;
        Ok(list.contains("have sent what they may today").then_some(()))
    })?;
    assert_eq!(sink.taken().len(), 2);
    Ok(())
}

#[test]
fn forwarded_mail_gets_a_sender_here_that_leads_back() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    for domain in ["remote.test", "sender.test"] {
        dns.mx(&format!("{domain}."), 10, &format!("mx.{domain}."))?;
        dns.address_of(&format!("mx.{domain}."), loopback(1))?;
    }
    let outbound = format!(
        "  outbound: {{port: {}, srs: {{}}}}\n",
        sink.address().port()
    );
    let domain = "apiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {name: example}\nspec:\n  domain: example.test\n  \
                  aliases: [{name: away, targets: [carol@remote.test]}]\n";
    let config = Config::standard(&(dns.yaml() + &outbound)).with("domain.yaml", domain);
    let server = Server::start(&config)?;
    let send = |from: &str, to: &str| -> Result<smtp::Client> {
        let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
        client.say(&format!("MAIL FROM:<{from}>"), 250)?;
        client.say(&format!("RCPT TO:<{to}>"), 250)?;
        client.say("DATA", 354)?;
        client.say("From: x@sender.test\r\nSubject: on\r\n\r\nx\r\n.", 250)?;
        Ok(client)
    };
    send("Xavier@sender.test", "away@example.test")?;
    let taken = sink.wait_for(1)?;
    let sender = taken[0]
        .mail
        .split(['<', '>'])
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    assert!(
        sender.starts_with("SRS0=") && sender.ends_with("=sender.test=Xavier@example.test"),
        "{sender}"
    );
    send("", &sender)?;
    let taken = sink.wait_for(2)?;
    assert!(
        taken[1].recipients[0].contains("<Xavier@sender.test>"),
        "{:?}",
        taken[1].recipients
    );
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    client.say("MAIL FROM:<>", 250)?;
    client.say(
        &format!("RCPT TO:<{}>", sender.replace("Xavier", "victim")),
        550,
    )?;
    Ok(())
}

#[test]
fn our_own_policy_is_published_and_served() -> Result<()> {
    let domain = "apiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {name: example}\nspec:\n  domain: example.test\n  dns: {mtaSTS: enforce}\n";
    let config = Config::standard("").with("domain.yaml", domain);
    let server = Server::start(&config)?;
    let fetch = |listener: &str, host: &str, path: &str| -> Result<String> {
        let address = server.address(listener);
        let port = address.port();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--include", "--max-time", "20"]);
        curl.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
        let scheme = if listener == "https" { "https" } else { "http" };
        curl.arg(format!("{scheme}://{host}:{port}{path}"));
        Ok(String::from_utf8(output(&mut curl)?.stdout)?)
    };
    let path = "/.well-known/mta-sts.txt";
    for listener in ["https", "http"] {
        let told = fetch(listener, "mta-sts.example.test", path)?;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(
            told.to_lowercase().contains("content-type: text/plain"),
            "{told}"
        );
        let policy =
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmax_age: 1209600\r\n";
        assert!(told.ends_with(policy), "{told}");
        let other = fetch(listener, "mta-sts.other.test", path)?;
        assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    }
    let metrics = fetch("https", "mta-sts.example.test", "/metrics")?;
    assert!(
        metrics.starts_with("HTTP/1.1 404"),
        "the world sees no metrics: {metrics}"
    );
    let config = server.config().to_string_lossy().into_owned();
    let data = server.data().to_string_lossy().into_owned();
    let records = tool_ok(&["--data", &data, "dns", "print", "--config", &config])?;
    assert!(records.contains("v=STSv1; id="), "{records}");
    Ok(())
}
