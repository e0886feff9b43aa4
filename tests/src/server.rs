//! The `mailpods` binary as a process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::client;
use crate::dns::Dns;

/// The binary that was built last, or the one that `MAILPODS_BIN` names.
///
/// # Errors
/// When it was not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MAILPODS_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let path = test
        .ancestors()
        .nth(2)
        .context("no target folder")?
        .join("mailpods");
    if !path.exists() {
        bail!(
            "{} is not there; `cargo build -p mailpods-cli` makes it",
            path.display()
        );
    }
    Ok(path)
}

/// Runs a tool of the binary.
///
/// # Errors
/// When it cannot be started.
pub fn tool(arguments: &[&str]) -> Result<Output> {
    tool_through(&[], arguments)
}

/// Runs a tool of the binary by another program, for example in the namespaces of a server.
///
/// # Errors
/// When it cannot be started.
pub fn tool_through(wrapper: &[&str], arguments: &[&str]) -> Result<Output> {
    let binary = binary()?;
    let mut line: Vec<&OsStr> = wrapper.iter().map(OsStr::new).collect();
    line.push(binary.as_os_str());
    let (program, first) = line.split_first().context("no program")?;
    client::output(Command::new(program).args(first).args(arguments))
}

/// Standard output of a tool that must succeed.
///
/// # Errors
/// When it does not.
pub fn tool_ok(arguments: &[&str]) -> Result<String> {
    succeeded(tool(arguments)?, arguments)
}

/// Standard output of what a tool did, if it succeeded.
///
/// # Errors
/// When it did not.
pub fn succeeded(output: Output, arguments: &[&str]) -> Result<String> {
    if !output.status.success() {
        bail!(
            "mailpods {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A configuration: YAML documents by file name.
#[derive(Debug, Clone, Default)]
pub struct Config {
    files: BTreeMap<String, String>,
}

/// Listeners of [`Config::standard`], all on free ports.
const LISTENERS: &[&str] = &[
    "smtp",
    "submission",
    "submissions",
    "lmtp",
    "imap",
    "imaps",
    "pop3",
    "pop3s",
    "managesieve",
    "http",
    "https",
];

impl Config {
    /// `mail.example.test` with alice and bob (password `quickstart`), every listener on a free port of 127.0.0.1. `cluster` is
    /// more YAML for the MailCluster's spec, indented by two.
    #[must_use]
    pub fn standard(cluster: &str) -> Self {
        let listeners: String = LISTENERS
            .iter()
            .map(|name| {
                format!("    - {{name: {name}, protocol: {name}, address: 127.0.0.1, port: 0}}\n")
            })
            .collect();
        let head = "apiVersion: mailpods.dev/v1alpha1\nkind: ";
        let cluster = format!(
            "{head}MailCluster\nmetadata: {{name: test}}\nspec:\n  hostname: mail.example.test\n  listeners:\n{listeners}{cluster}\n"
        );
        let domain = format!(
            "{head}MailDomain\nmetadata: {{name: example}}\nspec:\n  domain: example.test\n"
        );
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: people}\nstringData: {password: quickstart}\n";
        let mut config = Self::default()
            .with("cluster.yaml", &cluster)
            .with("domain.yaml", &domain)
            .with("secret.yaml", secret);
        for name in ["alice", "bob"] {
            config = config.mailbox(name, "");
        }
        config
    }

    /// Adds or replaces a file.
    #[must_use]
    pub fn with(mut self, file: &str, yaml: &str) -> Self {
        self.files.insert(file.to_owned(), yaml.to_owned());
        self
    }

    /// Adds a mailbox in example.test; `more` is YAML for its spec, indented by two.
    #[must_use]
    pub fn mailbox(self, name: &str, more: &str) -> Self {
        let yaml = format!(
            "apiVersion: mailpods.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: {name}}}\nspec:\n  address: {name}@example.test\n  \
             passwordSecretRef: {{name: people}}\n{more}\n"
        );
        self.with(&format!("mailbox-{name}.yaml"), &yaml)
    }

    /// The same with another domain in the place of example.test.
    #[must_use]
    pub fn renamed(mut self, domain: &str) -> Self {
        for text in self.files.values_mut() {
            *text = text.replace("example.test", domain);
        }
        self
    }

    /// Its files as sources of a plan.
    #[must_use]
    pub fn sources(&self) -> Vec<mailpods_plan::Source> {
        let source = |(path, text): (&String, &String)| mailpods_plan::Source {
            path: path.clone(),
            text: text.clone(),
        };
        self.files.iter().map(source).collect()
    }

    /// Appends to a file.
    #[must_use]
    pub fn append(mut self, file: &str, yaml: &str) -> Self {
        self.files
            .entry(file.to_owned())
            .or_default()
            .push_str(yaml);
        self
    }

    /// Writes all files.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        for (name, text) in &self.files {
            std::fs::write(folder.join(name), text)?;
        }
        Ok(())
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    config: PathBuf,
    data: PathBuf,
    // Removed when the server is dropped.
    _folders: Option<(TempDir, TempDir)>,
}

impl Server {
    /// Starts a server on a new store.
    ///
    /// # Errors
    /// When it does not get ready; its log is in the error.
    pub fn start(config: &Config) -> Result<Self> {
        let (folder, data) = (TempDir::new()?, TempDir::new()?);
        config.write(folder.path())?;
        let mut server = Self::start_in(folder.path(), data.path(), &[])?;
        server._folders = Some((folder, data));
        Ok(server)
    }

    /// Starts a server on folders that outlive it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(config: &Path, data: &Path, wrapper: &[&str]) -> Result<Self> {
        let binary = binary()?;
        let mut line: Vec<&OsStr> = wrapper.iter().map(OsStr::new).collect();
        line.push(binary.as_os_str());
        let (program, arguments) = line.split_first().context("no program")?;
        let log = tempfile::NamedTempFile::new()?;
        let mut child = Command::new(program)
            .args(arguments)
            .args(["standalone", "--output", "json", "--config"])
            .arg(config)
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen()?)
            .spawn()?;
        let addresses = ready(&mut child)
            .with_context(|| std::fs::read_to_string(log.path()).unwrap_or_default());
        if addresses.is_err() {
            // It may still run; the error of the start is what counts.
            child.kill().ok();
        }
        Ok(Self {
            child,
            addresses: addresses?,
            config: config.to_owned(),
            data: data.to_owned(),
            _folders: None,
        })
    }

    /// Where a listener is open.
    #[must_use]
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The configuration folder.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Publishes the DKIM keys that `dns print` names; returns how many.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn publish_keys(&self, dns: &Dns) -> Result<usize> {
        let (data, config) = (self.data.to_string_lossy(), self.config.to_string_lossy());
        let records = tool_ok(&[
            "--data", &data, "dns", "print", "--config", &config, "--output", "json",
        ])?;
        let records: Vec<Value> = serde_json::from_str(&records)?;
        let mut keys = 0;
        for record in records.iter().filter(|record| record["type"] == "TXT") {
            let text = |field: &str| record[field].as_str().unwrap_or_default();
            if text("name").contains("._domainkey.") {
                dns.txt(&format!("{}.", text("name")), text("data"))?;
                keys += 1;
            }
        }
        Ok(keys)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
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

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it fails or does not end.
    pub fn stop(&mut self) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let status = crate::eventually("the server to stop", || Ok(self.child.try_wait()?))?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    /// The value of a metric, labels included in the name; 0 when it is not there.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.http("/metrics")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?.unwrap_or_default())
    }

    /// The body of a GET.
    ///
    /// # Errors
    /// When the listener does not answer.
    pub fn http(&self, path: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.address("http"));
        let output = client::output(Command::new("curl").args(["--silent", &url]))?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads the line that says that all listeners are open.
fn ready(child: &mut Child) -> Result<BTreeMap<String, SocketAddr>> {
    let output = child.stdout.take().context("no standard output")?;
    let mut reader = BufReader::new(output);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    // The pipe is read to its end, so that the server never waits for it.
    std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    let summary: Value =
        serde_json::from_str(&line).with_context(|| format!("not ready: {line:?}"))?;
    let listeners = summary["listeners"].as_array().context("no listeners")?;
    let entry = |listener: &Value| -> Result<(String, SocketAddr)> {
        let field = |name: &str| {
            listener[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name}"))
        };
        Ok((field("name")?, field("address")?.parse()?))
    };
    listeners.iter().map(entry).collect()
}
