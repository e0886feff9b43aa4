//! Mailpods in one process.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::{Bench, Setup, Stack};
use crate::imap::PASSWORD;
use crate::report::Side;

const HEAD: &str = "apiVersion: mailpods.dev/v1alpha1\nkind: ";

/// Accounts in each domain beside example.test.
const MAILBOXES_OF_A_DOMAIN: usize = 5;

/// So that a file stays small.
const DOMAINS_IN_A_FILE: usize = 1_000;

/// A process that said that it is ready.
pub struct Running {
    /// The process.
    pub child: Child,
    /// Where it listens, by listener.
    pub listeners: HashMap<String, SocketAddr>,
    /// From exec to ready.
    pub started: Duration,
}

/// Starts a server on a new store.
///
/// # Errors
/// When it does not get ready; its log is in the error.
pub async fn start(bench: &Bench, setup: Setup) -> Result<Stack> {
    start_in(bench, setup, bench.folder()?).await
}

/// Where the store is in a server's folder.
pub fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Starts a server in a folder, where a store may be already.
///
/// # Errors
/// As [`start`].
pub async fn start_in(bench: &Bench, setup: Setup, folder: TempDir) -> Result<Stack> {
    let config = folder.path().join("config");
    std::fs::create_dir(&config)?;
    for (name, text) in files(bench, setup)? {
        std::fs::write(config.join(name), text)?;
    }
    let running = exec(bench, &config, &data(folder.path())).await?;
    let listener = |name: &str| running.listeners.get(name).copied().context("no listener");
    Ok(Stack {
        side: Side::Ours,
        roots: vec![running.child.id()],
        smtp: listener("smtp")?,
        submissions: Some(listener("submissions")?),
        imap: listener("imaps")?,
        pop3: listener("pop3s")?,
        started: running.started,
        children: vec![running.child],
        pods: None,
        folder,
    })
}

/// Starts the binary and waits until it says that it is ready.
///
/// # Errors
/// When it does not; its log is in the error.
pub async fn exec(bench: &Bench, config: &Path, data: &Path) -> Result<Running> {
    let log = config.with_extension("log");
    let begin = Instant::now();
    let mut child = Command::new(bench.binary()?)
        .args(["standalone", "--output", "json", "--config"])
        .arg(config)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log)?)
        .spawn()
        .context("failed to start mailpods")?;
    let output = child.stdout.take().context("no standard output")?;
    let line = tokio::task::spawn_blocking(move || first_line(output)).await?;
    let started = begin.elapsed();
    let listeners = line.and_then(|line| parse(&line));
    let listeners = listeners.with_context(|| std::fs::read_to_string(&log).unwrap_or_default());
    if listeners.is_err() {
        // It may still run; the error of the start is what counts.
        child.kill().ok();
        child.wait().ok();
    }
    Ok(Running {
        child,
        listeners: listeners?,
        started,
    })
}

/// The line that says that all listeners are open; the rest is read and dropped, so that the server never waits for it.
fn first_line(output: std::process::ChildStdout) -> Result<String> {
    let mut reader = BufReader::new(output);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    Ok(line)
}

fn parse(line: &str) -> Result<HashMap<String, SocketAddr>> {
    let summary: Value = serde_json::from_str(line).context("mailpods is not ready")?;
    let entry = |listener: &Value| {
        let name = listener.get("name")?.as_str()?.to_owned();
        Some((name, listener.get("address")?.as_str()?.parse().ok()?))
    };
    let listeners = summary.get("listeners").and_then(Value::as_array);
    Ok(listeners.into_iter().flatten().filter_map(entry).collect())
}

/// The configuration as files: defaults, but for free ports and the DNS responder.
pub(super) fn files(bench: &Bench, setup: Setup) -> Result<Vec<(String, String)>> {
    let mut files = vec![("all.yaml".to_owned(), yaml(bench, setup)?)];
    for first in (0..setup.domains).step_by(DOMAINS_IN_A_FILE) {
        let mut text = String::new();
        for domain in first..(first + DOMAINS_IN_A_FILE).min(setup.domains) {
            team(&mut text, domain)?;
        }
        files.push((format!("teams-{first}.yaml"), text));
    }
    Ok(files)
}

fn yaml(bench: &Bench, setup: Setup) -> Result<String> {
    let mut text = format!(
        "{HEAD}MailCluster\nmetadata: {{name: bench}}\nspec:\n  hostname: mail.example.test\n  dns: {{servers: ['{}']}}\n  imap: \
         {{maxSessions: 12000, maxSessionsPerAccount: 100, textIndex: {}}}\n  listeners:\n",
        bench.dns, !bench.args.without_text_index
    );
    for name in [
        "smtp",
        "submission",
        "submissions",
        "lmtp",
        "imap",
        "imaps",
        "pop3s",
        "http",
    ] {
        writeln!(
            text,
            "    - {{name: {name}, protocol: {name}, address: 127.0.0.1, port: 0}}"
        )?;
    }
    if let Some(port) = setup.port {
        writeln!(text, "  outbound: {{port: {port}}}")?;
    }
    writeln!(
        text,
        "---\n{HEAD}MailDomain\nmetadata: {{name: example}}\nspec:\n  domain: example.test\n---\napiVersion: v1\nkind: Secret\nmetadata: \
         {{name: people}}\nstringData: {{password: {PASSWORD}}}"
    )?;
    if let Some(sink) = setup.sink {
        writeln!(
            text,
            "---\n{HEAD}MailDomain\nmetadata: {{name: relay}}\nspec:\n  domain: relay.test\n  transport:\n    relay: {{host: {}, port: {}}}",
            sink.ip(),
            sink.port()
        )?;
    }
    for index in 0..setup.mailboxes.max(1) {
        mailbox(&mut text, &format!("user{index}"), "example.test")?;
    }
    Ok(text)
}

/// A domain with its accounts.
fn team(text: &mut String, number: usize) -> std::fmt::Result {
    let name = format!("team{number}.test");
    writeln!(
        text,
        "---\n{HEAD}MailDomain\nmetadata: {{name: team{number}}}\nspec: {{domain: {name}}}"
    )?;
    for person in 0..MAILBOXES_OF_A_DOMAIN {
        mailbox(text, &format!("person{person}"), &name)?;
    }
    Ok(())
}

fn mailbox(text: &mut String, person: &str, domain: &str) -> std::fmt::Result {
    let name = format!("{person}.{domain}");
    writeln!(
        text,
        "---\n{HEAD}Mailbox\nmetadata: {{name: {name}}}\nspec:\n  address: {person}@{domain}\n  passwordSecretRef: {{name: people}}"
    )
}
