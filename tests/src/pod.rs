//! A role of the `mailpods` binary as a process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use anyhow::{Context as _, Result, bail};
use mailpods_plan::Role;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::LIMIT;
use crate::operator::{CLUSTER, Operator};
use crate::server::binary;

/// A running pod.
pub struct Pod {
    child: Child,
    role: Role,
    name: String,
    health: SocketAddr,
    ready: mpsc::Receiver<Value>,
    addresses: BTreeMap<String, SocketAddr>,
    log: NamedTempFile,
}

impl Pod {
    /// Starts a pod of a role and waits until it serves.
    ///
    /// # Errors
    /// When it does not; its log is in the error.
    pub fn start(operator: &Operator, role: Role, name: &str, more: &[&str]) -> Result<Self> {
        let mut pod = Self::spawn(operator, role, name, more)?;
        pod.wait_ready()?;
        Ok(pod)
    }

    /// Starts a pod and waits for its probes alone.
    ///
    /// # Errors
    /// When they are not served.
    pub fn spawn(operator: &Operator, role: Role, name: &str, more: &[&str]) -> Result<Self> {
        Self::spawn_of(&binary()?, operator, role, name, more)
    }

    /// [`Pod::spawn`] of a binary of choice.
    ///
    /// # Errors
    /// As [`Pod::spawn`].
    pub fn spawn_of(
        binary: &Path,
        operator: &Operator,
        role: Role,
        name: &str,
        more: &[&str],
    ) -> Result<Self> {
        let (folder, (namespace, cluster)) = (operator.folder(), CLUSTER);
        let mut command = Command::new(binary);
        command
            .args([role.as_str(), "--output", "json", "--health", "127.0.0.1:0"])
            .args(["--control", &operator.url(), "--pod-name", name])
            .args(["--cluster", &format!("{namespace}/{cluster}")])
            .arg("--control-ca")
            .arg(folder.join("ca.pem"))
            .arg("--control-token")
            .arg(folder.join(format!("token-{role}")))
            .args(more);
        Self::of(command, role, name)
    }

    /// Starts a process that says what is open as a pod does.
    ///
    /// # Errors
    /// As [`Pod::spawn`].
    pub fn of(mut command: Command, role: Role, name: &str) -> Result<Self> {
        let log = NamedTempFile::new()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen()?)
            .spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let first = lines
            .next()
            .context("nothing is said")
            .and_then(|line| Ok(line?));
        let health = first.and_then(|line| {
            let value: Value = serde_json::from_str(&line)?;
            Ok(value["health"].as_str().context("no probes")?.parse()?)
        });
        let text = || std::fs::read_to_string(log.path()).unwrap_or_default();
        if health.is_err() {
            child.kill().ok();
        }
        Ok(Self {
            health: health.with_context(text)?,
            child,
            role,
            name: name.to_owned(),
            ready: follow(lines),
            addresses: BTreeMap::new(),
            log,
        })
    }

    /// Waits until its sockets are open.
    ///
    /// # Errors
    /// When they are not; its log is in the error.
    pub fn wait_ready(&mut self) -> Result<()> {
        let ready = self.ready.recv_timeout(LIMIT).with_context(|| self.log())?;
        let listeners = ready["listeners"].as_array().context("no listeners")?;
        for listener in listeners {
            let field = |name: &str| {
                listener[name]
                    .as_str()
                    .with_context(|| format!("no {name}"))
            };
            let address = field("address")?.parse()?;
            self.addresses.insert(field("name")?.to_owned(), address);
        }
        Ok(())
    }

    /// Where a listener is open.
    #[must_use]
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// Names of what is open.
    #[must_use]
    pub fn listeners(&self) -> Vec<&str> {
        self.addresses.keys().map(String::as_str).collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Status and body of a GET of the probes' port.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn http(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://{}{path}", self.health);
        let output = Command::new("curl")
            .args([
                "--silent",
                "--max-time",
                "20",
                "--write-out",
                "\n%{http_code}",
                &url,
            ])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let (body, code) = text.rsplit_once('\n').context("no answer")?;
        Ok((code.parse()?, body.to_owned()))
    }

    /// Asks it to stop (SIGTERM).
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn terminate(&self) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        Ok(())
    }

    /// Waits for its end, which must be a clean one.
    ///
    /// # Errors
    /// When it is not.
    pub fn wait_end(&mut self) -> Result<()> {
        let status = crate::eventually("the pod to stop", || Ok(self.child.try_wait()?))?;
        if !status.success() {
            bail!("the pod ended with {status}: {}", self.log());
        }
        Ok(())
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads to the end, so that the pod never waits for us, and gives on what it says.
fn follow(lines: Lines<BufReader<ChildStdout>>) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Ok(value) = serde_json::from_str(&line) {
                // Nobody may be interested any more.
                sender.send(value).ok();
            }
        }
    });
    receiver
}
