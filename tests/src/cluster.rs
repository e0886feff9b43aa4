//! A cluster: four roles as processes on one PostgreSQL, their plan from an operator.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use mailpods_plan::Role;
use mailpods_test_postgres::Server as Postgres;
use tempfile::TempDir;

use crate::client;
use crate::operator::Operator;
use crate::pod::Pod;
use crate::server::{self, Config};
use crate::smtp;
use crate::tls::Session;

/// The roles beside the filter.
pub const ROLES: [Role; 3] = [Role::Smtp, Role::Delivery, Role::Imap];

/// A cluster's pods, and what they are started with.
pub struct Cluster {
    /// Where the pods have their plan from.
    pub operator: Operator,
    binary: PathBuf,
    files: TempDir,
    /// The pod that smtp asks.
    pub filter: Option<Pod>,
    /// The others.
    pub pods: Vec<Pod>,
    /// The store. Last, so that it ends after the pods.
    pub postgres: Postgres,
}

impl Cluster {
    /// Starts a database, the operator and the pods.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(config: &Config) -> Result<Self> {
        let postgres = Postgres::start()?;
        let uri = postgres.tcp_uri("127.0.0.1", "sslmode=disable");
        Self::on(postgres, &uri, &server::binary()?, config)
    }

    /// Starts pods of `binary` on a database, which they reach by `uri`.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn on(postgres: Postgres, uri: &str, binary: &Path, config: &Config) -> Result<Self> {
        let files = TempDir::new()?;
        std::fs::write(files.path().join("uri"), uri)?;
        std::fs::write(files.path().join("seal"), [7; 32])?;
        std::fs::write(files.path().join("scan"), "scan")?;
        let mut cluster = Self {
            operator: Operator::start(config)?,
            binary: binary.to_owned(),
            files,
            filter: None,
            pods: Vec::new(),
            postgres,
        };
        cluster.start_filter("127.0.0.1:0")?;
        cluster.start_roles()?;
        Ok(cluster)
    }

    fn file(&self, name: &str) -> Result<String> {
        text(&self.files.path().join(name))
    }

    fn authority(&self, name: &str) -> Result<String> {
        text(&self.operator.folder().join(name))
    }

    fn store(&self) -> Result<Vec<String>> {
        Ok([
            "--store-uri-file".to_owned(),
            self.file("uri")?,
            "--seal-key".to_owned(),
            self.file("seal")?,
            "--drain-delay".to_owned(),
            "0".to_owned(),
        ]
        .into())
    }

    fn pod_of(&self, role: Role, name: &str, arguments: &[String]) -> Result<Pod> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut pod = Pod::spawn_of(&self.binary, &self.operator, role, name, &arguments)?;
        pod.wait_ready()?;
        Ok(pod)
    }

    /// Runs a tool as one that is run in a pod: what leads to the store is in the environment, and nothing else is said.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn tool(&self, arguments: &[&str]) -> Result<Output> {
        let mut tool = Command::new(&self.binary);
        tool.args(arguments)
            .env("MAILPODS_STORE_URI_FILE", self.file("uri")?)
            .env("MAILPODS_SEAL_KEY", self.file("seal")?);
        client::output(&mut tool)
    }

    /// Starts the filter anew.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_filter(&mut self, listen: &str) -> Result<()> {
        let mut arguments = self.store()?;
        for (option, value) in [
            ("--filter-listen", listen.to_owned()),
            ("--filter-cert", self.authority("ca.pem")?),
            ("--filter-key", self.authority("tls.pem")?),
            ("--filter-token", self.file("scan")?),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        self.filter = Some(self.pod_of(Role::Filter, "filter-0", &arguments)?);
        Ok(())
    }

    /// Starts the other roles anew.
    ///
    /// # Errors
    /// When one does not get ready.
    pub fn start_roles(&mut self) -> Result<()> {
        self.pods.clear();
        for role in ROLES {
            let pod = self.start_role(role)?;
            self.pods.push(pod);
        }
        Ok(())
    }

    /// Starts another pod of a role.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn add(&mut self, role: Role, name: &str) -> Result<()> {
        let pod = self.start_pod(role, name)?;
        self.pods.push(pod);
        Ok(())
    }

    fn start_role(&self, role: Role) -> Result<Pod> {
        self.start_pod(role, &format!("{role}-0"))
    }

    fn start_pod(&self, role: Role, name: &str) -> Result<Pod> {
        let mut arguments = self.store()?;
        if role == Role::Smtp {
            let url = format!("https://localhost:{}", self.filter_address()?.port());
            for (option, value) in [
                ("--filter", url),
                ("--filter-ca", self.authority("ca.pem")?),
                ("--filter-token", self.file("scan")?),
            ] {
                arguments.extend([option.to_owned(), value]);
            }
        }
        self.pod_of(role, name, &arguments)
    }

    /// Starts one of the other roles anew, with more arguments.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn restart(&mut self, role: Role, more: &[String]) -> Result<()> {
        let name = format!("{role}-0");
        self.pods.retain(|pod| pod.name() != name);
        let pod = self.pod_of(role, &name, &[&self.store()?, more].concat())?;
        self.pods.push(pod);
        Ok(())
    }

    /// Where the filter takes scans.
    ///
    /// # Errors
    /// When there is none.
    pub fn filter_address(&self) -> Result<SocketAddr> {
        let filter = self.filter.as_ref().context("no filter")?;
        Ok(filter.address("filter"))
    }

    /// A pod beside the filter.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pod(&self, role: Role) -> Result<&Pod> {
        let name = format!("{role}-0");
        self.pods
            .iter()
            .find(|pod| pod.name() == name)
            .context("no such pod")
    }

    /// Sends a message from another server.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(&self, to: &str) -> Result<smtp::Reply> {
        let mut client = smtp::Client::hello(self.pod(Role::Smtp)?.address("smtp"), "EHLO")?;
        let message = format!("From: x@sender.test\r\nTo: {to}\r\nSubject: hello\r\n\r\nx\r\n");
        client.message("x@sender.test", &[to], &message)
    }

    /// Logs a person of example.test in.
    ///
    /// # Errors
    /// When that is refused.
    pub fn login(&self, person: &str) -> Result<Session> {
        let mut session = Session::connect(self.pod(Role::Imap)?.address("imaps"))?;
        session.imap(&format!("LOGIN {person}@example.test quickstart"))?;
        Ok(session)
    }

    /// Waits until a person of example.test has so many messages in INBOX.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_for_mail(&self, person: &str, count: usize) -> Result<()> {
        self.login(person)?.wait_for_mail(count)
    }
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}
