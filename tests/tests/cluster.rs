//! Four roles as four processes on one PostgreSQL.

use std::time::Instant;

use anyhow::Result;
use mailpods_plan::Role;
use mailpods_tests::cluster::{Cluster, ROLES};
use mailpods_tests::dns::Dns;
use mailpods_tests::eventually;
use mailpods_tests::server::Config;
use mailpods_tests::sink::Sink;

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
        (Role::Imap, "imap imaps"),
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
