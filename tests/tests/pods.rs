//! Roles as pods: the plan from an operator, the filter in a process of its own.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use mailpods_net::tls::self_signed;
use mailpods_plan::Role;
use mailpods_tests::dns::Dns;
use mailpods_tests::operator::Operator;
use mailpods_tests::pod::Pod;
use mailpods_tests::server::Config;
use mailpods_tests::tls::Session;
use mailpods_tests::{eventually, smtp};
use tempfile::TempDir;

const MESSAGE: &str =
    "From: x@sender.test\r\nTo: alice@example.test\r\nSubject: hello\r\n\r\nx\r\n";

fn send(pod: &Pod) -> Result<smtp::Reply> {
    let mut client = smtp::Client::hello(pod.address("smtp"), "EHLO")?;
    client.message("x@sender.test", &["alice@example.test"], MESSAGE)
}

fn takes(pod: &Pod, person: &str) -> Result<bool> {
    let mut client = smtp::Client::hello(pod.address("smtp"), "EHLO")?;
    client.say("MAIL FROM:<x@sender.test>", 250)?;
    Ok(client
        .command(&format!("RCPT TO:<{person}@example.test>"))?
        .code
        == 250)
}

fn login(pod: &Pod) -> Result<Session> {
    let mut session = Session::connect(pod.address("imaps"))?;
    session.imap("LOGIN alice@example.test quickstart")?;
    Ok(session)
}

fn wait_for_mail(pod: &Pod, count: usize) -> Result<()> {
    login(pod)?.wait_for_mail(count)
}

/// An operator with a plan, and the folder of a pod that has all roles.
struct Setup {
    _dns: Dns,
    config: Config,
    operator: Operator,
    data: TempDir,
}

impl Setup {
    /// `more` is YAML for the MailCluster's spec.
    fn new(more: &str) -> Result<Self> {
        let dns = Dns::start()?;
        let config = Config::standard(&(dns.yaml() + more));
        Self::with(dns, config)
    }

    fn with(dns: Dns, config: Config) -> Result<Self> {
        Ok(Self {
            _dns: dns,
            operator: Operator::start(&config)?,
            config,
            data: TempDir::new()?,
        })
    }

    /// Starts the pod and waits for its probes alone.
    fn spawn(&self, more: &[&str]) -> Result<Pod> {
        let mut arguments = vec!["--data", path(self.data.path())?];
        arguments.extend(more);
        Pod::spawn(&self.operator, Role::All, "all-0", &arguments)
    }

    /// Starts the pod and waits until it serves.
    fn start(&self, more: &[&str]) -> Result<Pod> {
        let mut pod = self.spawn(more)?;
        pod.wait_ready()?;
        Ok(pod)
    }
}

/// A stop is not to wait.
const AT_ONCE: [&str; 2] = ["--drain-delay", "0"];

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// A configuration with a certificate from a Secret.
fn with_certificate(config: Config) -> Result<Config> {
    let pem = self_signed(&["localhost".to_owned()], std::time::SystemTime::now(), 60)?;
    let indented = |text: &str| text.replace('\n', "\n    ");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: web}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(&pem.chain),
        indented(&pem.key)
    );
    Ok(config.with("web.yaml", &secret))
}

#[test]
fn one_pod_with_all_roles_takes_and_serves_mail_and_reports() -> Result<()> {
    let setup = Setup::new("")?;
    let operator = &setup.operator;
    let pod = setup.start(&[])?;
    assert_eq!(pod.http("/livez")?.0, 200);
    eventually("readiness", || {
        Ok((pod.http("/readyz")?.0 == 200).then_some(()))
    })?;
    assert!(
        !pod.listeners().contains(&"http"),
        "probes are where the command line says"
    );
    assert_eq!(send(&pod)?.code, 250);
    wait_for_mail(&pod, 1)?;
    let etag = operator.etag(Role::All)?;
    let seen = operator.wait_for("all-0", |seen| {
        seen.ready && seen.certificate_not_after.is_some()
    })?;
    assert_eq!(
        (seen.role.as_str(), seen.plan, seen.refused),
        ("all", Some(etag), None)
    );
    assert_eq!(
        (seen.store_reachable, seen.queue.is_some()),
        (Some(true), true)
    );
    Ok(())
}

#[test]
fn a_change_reaches_a_pod_and_its_open_sessions() -> Result<()> {
    let setup = Setup::new("")?;
    let pod = setup.start(&[])?;
    let mut session = login(&pod)?;
    assert!(!takes(&pod, "carol")?);
    setup
        .operator
        .change(&setup.config.clone().mailbox("carol", ""))?;
    let changed = Instant::now();
    eventually(
        "the new mailbox",
        || Ok(takes(&pod, "carol")?.then_some(())),
    )?;
    eprintln!("the change took effect after {:?}", changed.elapsed());
    session.imap("NOOP")?;
    Ok(())
}

#[test]
fn a_pod_starts_and_serves_while_the_operator_is_away() -> Result<()> {
    let mut setup = Setup::new("")?;
    let mut pod = setup.start(&AT_ONCE)?;
    assert_eq!(send(&pod)?.code, 250);
    pod.terminate()?;
    pod.wait_end()?;
    setup.operator.pause();
    let pod = setup.start(&AT_ONCE)?;
    assert_eq!(send(&pod)?.code, 250);
    wait_for_mail(&pod, 2)?;
    // What changed meanwhile comes with the operator.
    let carol = setup.config.clone().mailbox("carol", "");
    setup.operator.change(&carol)?;
    setup.operator.resume()?;
    eventually(
        "the new mailbox",
        || Ok(takes(&pod, "carol")?.then_some(())),
    )
}

#[test]
fn a_pod_without_any_plan_waits_and_says_so() -> Result<()> {
    let mut setup = Setup::new("")?;
    setup.operator.pause();
    let mut pod = setup.spawn(&[])?;
    let (code, body) = pod.http("/readyz")?;
    assert!(code == 503 && body.contains("no plan yet"), "{code} {body}");
    assert_eq!(pod.http("/livez")?.0, 200);
    eventually("a line in the log", || {
        Ok(pod
            .log()
            .contains("no plan from the operator")
            .then_some(()))
    })?;
    setup.operator.resume()?;
    pod.wait_ready()?;
    assert_eq!(send(&pod)?.code, 250);
    Ok(())
}

#[test]
fn a_wrong_token_gets_no_plan() -> Result<()> {
    let setup = Setup::new("")?;
    let token = setup.operator.folder().join("token-all");
    std::fs::write(&token, "stolen")?;
    let mut pod = setup.spawn(&[])?;
    eventually("the refusal in the log", || {
        Ok(pod
            .log()
            .contains("does not accept this pod's token")
            .then_some(()))
    })?;
    // A kubelet replaces the file; the next request has the new token.
    std::fs::write(&token, "secret-all")?;
    pod.wait_ready()
}

#[test]
fn a_new_certificate_is_served_and_no_session_is_dropped() -> Result<()> {
    let dns = Dns::start()?;
    let tls = dns.yaml() + "  tls: {secretRef: {name: web}}\n";
    let config = with_certificate(Config::standard(&tls))?;
    let setup = Setup::with(dns, config.clone())?;
    let operator = &setup.operator;
    let pod = setup.start(&[])?;
    let mut open = login(&pod)?;
    let old = open.certificate()?;
    operator.change(&with_certificate(config.clone())?)?;
    eventually("another certificate", || {
        Ok((login(&pod)?.certificate()? != old).then_some(()))
    })?;
    open.imap("SELECT INBOX")?;

    // One that cannot be used is refused, said, and changes nothing.
    let broken = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {tls.crt: '-----BEGIN X', tls.key: '-----BEGIN X'}\n";
    let good = operator.etag(Role::All)?;
    operator.change(&config.with("web.yaml", broken))?;
    let seen = operator.wait_for("all-0", |seen| seen.refused.is_some())?;
    assert_eq!(seen.plan, Some(good));
    open.imap("NOOP")?;
    login(&pod)?;
    Ok(())
}

#[test]
fn releases_may_be_apart() -> Result<()> {
    let mut setup = Setup::new("")?;
    let config = setup.config.clone();
    let operator = &setup.operator;
    operator.change_edited(&config, &|entries| {
        entries.insert(
            "sieve/alice@example.test".to_owned(),
            r#"{"script": "keep;"}"#.to_owned(),
        );
        for json in entries.values_mut().filter(|json| json.starts_with("{\"")) {
            *json = json.replacen('{', r#"{"later": [1], "#, 1);
        }
    })?;
    let mut pod = setup.start(&AT_ONCE)?;
    assert_eq!(send(&pod)?.code, 250);

    // What cannot be read is left, and the plan of before runs on, also after a restart without the operator.
    let etag = operator.etag(Role::All)?;
    operator.change_edited(&config.clone().mailbox("carol", ""), &|entries| {
        entries.insert(
            "mailbox/alice@example.test".to_owned(),
            r#"{"quotaOctets": "all"}"#.to_owned(),
        );
    })?;
    let seen = operator.wait_for("all-0", |seen| seen.refused.is_some())?;
    assert_eq!(seen.plan, Some(etag.clone()));
    let why = seen.refused.unwrap_or_default();
    assert!(
        why.contains("mailbox/alice@example.test at quotaOctets"),
        "{why}"
    );
    assert!(pod.http("/metrics")?.1.contains("mailpods_plan_refused 1"));
    setup.operator.pause();
    pod.kill()?;
    let pod = setup.start(&AT_ONCE)?;
    wait_for_mail(&pod, 1)?;
    setup.operator.change(&config)?;
    setup.operator.resume()?;
    let etag = setup.operator.etag(Role::All)?;
    setup.operator.wait_for("all-0", |seen| {
        seen.plan.as_ref() == Some(&etag) && seen.refused.is_none()
    })?;
    Ok(())
}

#[test]
fn a_filter_in_its_own_process_judges_and_its_absence_defers() -> Result<()> {
    let dns = Dns::start()?;
    dns.txt("sender.test.", "v=spf1 -all")?;
    dns.txt("_dmarc.sender.test.", "v=DMARC1; p=reject")?;
    let operator = Operator::start(&Config::standard(&dns.yaml()))?;
    let folder = operator.folder();
    let (ca, key) = (folder.join("ca.pem"), folder.join("tls.pem"));
    let token = folder.join("token-scan");
    std::fs::write(&token, "scan\n")?;
    let (ca, key, token) = (path(&ca)?, path(&key)?, path(&token)?);
    let serve = |listen: &str| {
        let arguments = [
            "--filter-listen",
            listen,
            "--filter-cert",
            ca,
            "--filter-key",
            key,
            "--filter-token",
            token,
            "--drain-delay",
            "0",
        ];
        Pod::start(&operator, Role::Filter, "filter-0", &arguments)
    };
    let mut filter = serve("127.0.0.1:0")?;
    let address = filter.address("filter");
    let url = format!("https://localhost:{}", address.port());
    let data = TempDir::new()?;
    let arguments = [
        "--data",
        path(data.path())?,
        "--filter",
        &url,
        "--filter-ca",
        ca,
        "--filter-token",
        token,
    ];
    let pod = Pod::start(&operator, Role::All, "all-0", &arguments)?;
    let refused = send(&pod)?;
    assert_eq!(refused.code, 550, "{}", refused.text);
    assert!(filter.http("/metrics")?.1.contains("mailpods_filter_"));

    dns.forget("_dmarc.sender.test.", hickory_proto::rr::RecordType::TXT)?;
    dns.forget("sender.test.", hickory_proto::rr::RecordType::TXT)?;
    filter.terminate()?;
    filter.wait_end()?;
    let deferred = send(&pod)?;
    assert_eq!(deferred.code, 451, "{}", deferred.text);
    let _filter = serve(&address.to_string())?;
    eventually("the message to be taken", || {
        Ok((send(&pod)?.code == 250).then_some(()))
    })?;
    wait_for_mail(&pod, 1)
}

#[test]
fn a_stop_turns_readiness_off_first_and_tells_idle_clients() -> Result<()> {
    let setup = Setup::new("  shutdownGrace: 4s\n")?;
    let mut pod = setup.start(&["--drain-delay", "3"])?;
    eventually("readiness", || {
        Ok((pod.http("/readyz")?.0 == 200).then_some(()))
    })?;
    let mut idle: Vec<Session> = (0..4).map(|_| login(&pod)).collect::<Result<_>>()?;
    for session in &mut idle {
        session.imap("SELECT INBOX")?;
        session.send("i IDLE")?;
        assert!(session.line()?.starts_with('+'));
    }
    pod.terminate()?;
    let (code, body) = eventually("readiness to go", || {
        Ok(Some(pod.http("/readyz")?).filter(|(code, _)| *code != 200))
    })?;
    assert!(
        code == 503 && body.contains("stop: stopping"),
        "{code} {body}"
    );
    assert_eq!(send(&pod)?.code, 250, "connections are still accepted");
    let start = Instant::now();
    for session in &mut idle {
        while !session.line()?.starts_with("* BYE") {}
        eprintln!("told after {:?}", start.elapsed());
    }
    pod.wait_end()
}
