//! Four roles as four processes on one PostgreSQL.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use anyhow::{Context as _, Error, Result, anyhow};
use mailpods_plan::Role;
use mailpods_rpc::control::Observations;
use mailpods_tests::cluster::{Cluster, ROLES};
use mailpods_tests::dns::Dns;
use mailpods_tests::eventually;
use mailpods_tests::server::{Config, succeeded};
use mailpods_tests::sink::{Manners, Sink};

#[test]
fn mail_goes_through_four_processes() -> Result<()> {
    let dns = Dns::start()?;
    let sink = Sink::start()?;
    let outbound = format!("  outbound: {{port: {}}}\n", sink.address().port());
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", sink.address().ip())?;
    let forward = "  forward: {to: [carol@remote.test], keepCopy: true}";
    let config = Config::standard(&(dns.yaml() + &outbound)).mailbox("dave", forward);
    let cluster = Cluster::start(&config)?;
    assert_eq!(cluster.send("alice@example.test")?.code, 250);
    cluster.wait_for_mail("alice", 1)?;
    assert_eq!(cluster.send("dave@example.test")?.code, 250);
    cluster.wait_for_mail("dave", 1)?;
    let taken = sink.wait_for(1)?;
    let recipient = taken[0].recipients.concat();
    assert!(
        recipient.starts_with("RCPT TO:<carol@remote.test>"),
        "{recipient}"
    );
    let wanted = [
        (Role::Smtp, "https lmtp smtp submission submissions"),
        (Role::Imap, "imap imaps managesieve pop3 pop3s"),
        (Role::Delivery, ""),
    ];
    for (role, wanted) in wanted {
        let pod = cluster.pod(role)?;
        assert_eq!(pod.listeners().join(" "), wanted, "{role}");
        let seen = cluster.operator.wait_for(pod.name(), |seen| seen.ready)?;
        assert_eq!(seen.queue.is_some(), role == Role::Delivery, "{role}");
    }
    Ok(())
}

/// An OutboundIP on loopback.
fn address(name: &str, address: IpAddr, role: &str) -> String {
    format!(
        "---\napiVersion: mailpods.dev/v1alpha1\nkind: OutboundIP\nmetadata: {{name: {name}}}\n\
         spec: {{address: {address}, hostname: {name}.example.test, role: {role}}}\n"
    )
}

#[test]
fn two_delivery_processes_make_one_life_of_an_address_and_keep_to_one_limit() -> Result<()> {
    const MESSAGES: usize = 60;
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", sink.address().ip())?;
    let outbound = format!(
        "  outbound: {{port: {}, retryInitial: 1s, retryMax: 2s, concurrencyPerDestination: 3}}\n",
        sink.address().port()
    );
    let [first, second] = [7, 8].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let ips = address("first", first, "Sending") + &address("second", second, "Standby");
    let config = Config::standard(&(dns.yaml() + &outbound))
        .with("ips.yaml", &ips)
        .mailbox("dave", "  forward: {to: [carol@remote.test]}");
    let mut cluster = Cluster::start(&config)?;
    cluster.add(Role::Delivery, "delivery-1")?;
    let listed =
        "554 5.7.1 Service unavailable; Client host [127.0.0.7] blocked using zen.spamhaus.org";
    sink.behave(Manners {
        refused: vec![(first, "remote.test", listed)],
        ..Manners::default()
    });
    for _ in 0..MESSAGES {
        assert_eq!(cluster.send("dave@example.test")?.code, 250);
    }
    let taken = sink.wait_for(MESSAGES)?;
    assert_eq!(taken.len(), MESSAGES, "none twice");
    assert!(taken.iter().all(|taken| taken.client == second));
    assert!(sink.most() <= 3, "{} at once", sink.most());
    let seen = ["delivery-0", "delivery-1"].map(|pod| {
        let is_hot = |seen: &Observations| {
            let mut addresses = seen.addresses.iter();
            addresses.any(|seen| seen.name == "first" && seen.phase == "Hot")
        };
        let told = cluster.operator.wait_for(pod, is_hot)?.addresses;
        let mut told = told.into_iter().filter(|seen| seen.name == "first");
        told.next().context("the address")
    });
    let [one, other] = [seen[0].as_ref(), seen[1].as_ref()].map(|seen| {
        let seen = seen.map_err(|error| anyhow!("{error:#}"))?;
        Ok::<_, Error>((seen.since, seen.until, seen.providers.clone()))
    });
    let one = one?;
    assert_eq!(one, other?, "both see the same rest");
    assert_eq!((one.2.len(), one.2[0].relapses), (1, 0));
    // One ends; the other one has all of the limit.
    cluster.pods.retain(|pod| pod.name() != "delivery-0");
    assert_eq!(cluster.send("dave@example.test")?.code, 250);
    sink.wait_for(MESSAGES + 1)?;
    Ok(())
}

#[test]
fn a_change_reaches_all_pods() -> Result<()> {
    let dns = Dns::start()?;
    let config = Config::standard(&dns.yaml());
    let cluster = Cluster::start(&config)?;
    cluster.operator.change(&config.mailbox("carol", ""))?;
    let changed = Instant::now();
    eventually("the new mailbox", || {
        Ok((cluster.send("carol@example.test")?.code == 250).then_some(()))
    })?;
    cluster.wait_for_mail("carol", 1)?;
    eprintln!(
        "smtp, filter, delivery and imap act on the change after {:?}",
        changed.elapsed()
    );
    for role in ROLES {
        let etag = cluster.operator.etag(role)?;
        let name = format!("{role}-0");
        cluster
            .operator
            .wait_for(&name, |seen| seen.plan.as_ref() == Some(&etag))?;
    }
    eprintln!("all pods have said so after {:?}", changed.elapsed());
    Ok(())
}

#[test]
fn pods_restart_while_the_operator_is_away_and_the_filter_may_follow_later() -> Result<()> {
    let dns = Dns::start()?;
    let mut cluster = Cluster::start(&Config::standard(&dns.yaml()))?;
    assert_eq!(cluster.send("alice@example.test")?.code, 250);
    cluster.wait_for_mail("alice", 1)?;
    cluster.operator.pause();
    let listen = cluster.filter_address()?;
    for pod in cluster.pods.iter_mut().chain(&mut cluster.filter) {
        pod.kill()?;
    }
    cluster.start_roles()?;
    let deferred = cluster.send("alice@example.test")?;
    assert_eq!(deferred.code, 451, "{}", deferred.text);
    cluster.start_filter(&listen.to_string())?;
    eventually("the filter to be asked", || {
        Ok((cluster.send("alice@example.test")?.code == 250).then_some(()))
    })?;
    cluster.wait_for_mail("alice", 2)
}

#[test]
fn a_store_that_is_away_takes_readiness_with_it_and_comes_back() -> Result<()> {
    let dns = Dns::start()?;
    let mut cluster = Cluster::start(&Config::standard(&dns.yaml()))?;
    cluster.postgres.crash()?;
    let smtp = cluster.pod(Role::Smtp)?;
    eventually("readiness to go", || {
        let (code, body) = smtp.http("/readyz")?;
        Ok((code == 503 && body.contains("store: ")).then_some(()))
    })?;
    let deferred = cluster.send("alice@example.test")?;
    assert_eq!(deferred.code / 100, 4, "{}", deferred.text);
    cluster.postgres.run()?;
    let smtp = cluster.pod(Role::Smtp)?;
    eventually("readiness", || {
        Ok((smtp.http("/readyz")?.0 == 200).then_some(()))
    })?;
    assert_eq!(cluster.send("alice@example.test")?.code, 250);
    cluster.wait_for_mail("alice", 1)
}

#[test]
fn a_read_only_store_defers_and_loses_nothing() -> Result<()> {
    let dns = Dns::start()?;
    let cluster = Cluster::start(&Config::standard(&dns.yaml()))?;
    let set = |value: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        cluster.postgres.execute(&sql)?;
        cluster.postgres.execute("SELECT pg_reload_conf()")
    };
    set("on")?;
    let mut taken = 0;
    eventually("a refusal", || {
        let reply = cluster.send("alice@example.test")?;
        taken += usize::from(reply.code == 250);
        Ok((reply.code / 100 == 4).then_some(()))
    })?;
    set("off")?;
    eventually("the message to be taken", || {
        let reply = cluster.send("alice@example.test")?;
        Ok((reply.code == 250).then_some(()))
    })?;
    cluster.wait_for_mail("alice", taken + 1)
}

#[test]
fn tools_in_a_pod_find_the_store_and_the_plan() -> Result<()> {
    let (dns, sink) = (Dns::start()?, Sink::start()?);
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", sink.address().ip())?;
    let outbound = format!("  outbound: {{port: {}}}\n", sink.address().port());
    let one = address("one", IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), "Sending");
    let config = Config::standard(&(dns.yaml() + &outbound)).with("ips.yaml", &one);
    let cluster = Cluster::start(&config)?;
    assert_eq!(cluster.send("alice@example.test")?.code, 250);
    cluster.wait_for_mail("alice", 1)?;
    let says = |line: &str| -> Result<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let output = cluster.tool(&words)?;
        succeeded(output, &words)
    };
    // The plan is kept within seconds.
    let ips = eventually("the plan to be kept", || {
        Ok(says("ip list --output json").ok())
    })?;
    assert!(ips.contains("127.0.0.9"), "{ips}");
    assert!(says("ip explain one")?.contains("one.example.test"));
    says("ip rest one --for 1h")?;
    eventually("the address to rest", || {
        Ok(says("ip explain one")?
            .contains("rests until")
            .then_some(()))
    })?;
    for line in [
        "route remote.test",
        "explain remote.test --from alice@example.test",
    ] {
        let told = says(line)?;
        assert!(
            told.contains("mx.remote.test") && told.contains("127.0.0.9"),
            "{told}"
        );
    }
    assert!(says("trace alice@example.test")?.contains("delivered"));
    let mailboxes = says("mailbox list")?;
    assert!(
        mailboxes.contains("alice@example.test") && mailboxes.contains("no mail yet"),
        "{mailboxes}"
    );
    says("queue top")?;
    let refused = cluster.tool(&["mailbox", "delete", "alice@example.test"])?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("is a Mailbox of the cluster"), "{told}");
    assert_eq!(
        cluster
            .tool(&["trace", "nobody@elsewhere.test"])?
            .status
            .code(),
        Some(4)
    );
    assert_eq!(
        cluster.tool(&["backup", "/nowhere"])?.status.code(),
        Some(2)
    );
    Ok(())
}
