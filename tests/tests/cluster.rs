//! Four roles as four processes on one PostgreSQL.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use mailpods_plan::Role;
use mailpods_test_postgres::Server as Postgres;
use mailpods_tests::dns::Dns;
use mailpods_tests::operator::Operator;
use mailpods_tests::pod::Pod;
use mailpods_tests::server::Config;
use mailpods_tests::sink::Sink;
use mailpods_tests::tls::Session;
use mailpods_tests::{eventually, smtp};
use tempfile::TempDir;

const ROLES: [Role; 3] = [Role::Smtp, Role::Delivery, Role::Imap];

/// A cluster's pods, and what they are started with.
struct Cluster {
    operator: Operator,
    files: TempDir,
    filter: Option<Pod>,
    pods: Vec<Pod>,
    // Last, so that it ends after the pods.
    postgres: Postgres,
}

impl Cluster {
    fn start(config: &Config) -> Result<Self> {
        let (postgres, files) = (Postgres::start()?, TempDir::new()?);
        std::fs::write(
            files.path().join("uri"),
            postgres.tcp_uri("127.0.0.1", "sslmode=disable"),
        )?;
        std::fs::write(files.path().join("seal"), [7; 32])?;
        std::fs::write(files.path().join("scan"), "scan")?;
        let mut cluster = Self {
            operator: Operator::start(config)?,
            files,
            filter: None,
            pods: Vec::new(),
            postgres,
        };
        cluster.filter = Some(cluster.start_filter("127.0.0.1:0")?);
        cluster.pods = ROLES
            .into_iter()
            .map(|role| cluster.start_role(role))
            .collect::<Result<_>>()?;
        Ok(cluster)
    }

    fn file(&self, name: &str) -> Result<String> {
        text(&self.files.path().join(name))
    }

    fn authority(&self, name: &str) -> Result<String> {
        text(&self.operator.folder().join(name))
    }

    fn store(&self) -> Result<[String; 4]> {
        Ok([
            "--store-uri-file".to_owned(),
            self.file("uri")?,
            "--seal-key".to_owned(),
            self.file("seal")?,
        ])
    }

    fn start_filter(&self, listen: &str) -> Result<Pod> {
        let (ca, key, token) = (
            self.authority("ca.pem")?,
            self.authority("tls.pem")?,
            self.file("scan")?,
        );
        let store = self.store()?;
        let mut arguments: Vec<&str> = store.iter().map(String::as_str).collect();
        arguments.extend(["--drain-delay", "0", "--filter-listen", listen]);
        arguments.extend([
            "--filter-cert",
            &ca,
            "--filter-key",
            &key,
            "--filter-token",
            &token,
        ]);
        Pod::start(&self.operator, Role::Filter, "filter-0", &arguments)
    }

    fn start_role(&self, role: Role) -> Result<Pod> {
        let store = self.store()?;
        let mut arguments: Vec<&str> = store.iter().map(String::as_str).collect();
        arguments.extend(["--drain-delay", "0"]);
        let (ca, token) = (self.authority("ca.pem")?, self.file("scan")?);
        let filter = self.filter.as_ref().context("no filter")?.address("filter");
        let url = format!("https://localhost:{}", filter.port());
        if role == Role::Smtp {
            arguments.extend([
                "--filter",
                &url,
                "--filter-ca",
                &ca,
                "--filter-token",
                &token,
            ]);
        }
        Pod::start(&self.operator, role, &format!("{role}-0"), &arguments)
    }

    fn pod(&self, role: Role) -> Result<&Pod> {
        let name = format!("{role}-0");
        self.pods
            .iter()
            .find(|pod| pod.name() == name)
            .context("no such pod")
    }

    fn send(&self, to: &str) -> Result<smtp::Reply> {
        let mut client = smtp::Client::hello(self.pod(Role::Smtp)?.address("smtp"), "EHLO")?;
        let message = format!("From: x@sender.test\r\nTo: {to}\r\nSubject: hello\r\n\r\nx\r\n");
        client.message("x@sender.test", &[to], &message)
    }

    fn login(&self, person: &str) -> Result<Session> {
        let mut session = Session::connect(self.pod(Role::Imap)?.address("imaps"))?;
        session.imap(&format!("LOGIN {person}@example.test quickstart"))?;
        Ok(session)
    }

    fn wait_for_mail(&self, person: &str, count: usize) -> Result<()> {
        let mut session = self.login(person)?;
        let wanted = format!("MESSAGES {count}");
        eventually(&wanted, || {
            let lines = session.imap("STATUS INBOX (MESSAGES)")?;
            Ok(lines
                .iter()
                .any(|line| line.contains(&wanted))
                .then_some(()))
        })
    }
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

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
    let listen = cluster
        .filter
        .as_ref()
        .context("no filter")?
        .address("filter");
    for pod in cluster.pods.iter_mut().chain(&mut cluster.filter) {
        pod.kill()?;
    }
    cluster.pods = ROLES
        .into_iter()
        .map(|role| cluster.start_role(role))
        .collect::<Result<_>>()?;
    let deferred = cluster.send("alice@example.test")?;
    assert_eq!(deferred.code, 451, "{}", deferred.text);
    cluster.filter = Some(cluster.start_filter(&listen.to_string())?);
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
