//! An encrypted session, line by line.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use mailpods_net::{Connection, Connector, TlsClient};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::{LIMIT, eventually};

/// A connection with implicit TLS. Certificates are not checked, only told apart.
pub struct Session {
    runtime: Runtime,
    connection: Connection,
    tags: u32,
}

impl Session {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// When there is none.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connection = runtime.block_on(async {
            let tls = TlsClient::opportunistic()?;
            let mut connection = Connector::direct().connect(address, None, LIMIT).await?;
            connection
                .start_tls_client("localhost", &tls, LIMIT)
                .await?;
            anyhow::Ok(connection)
        })?;
        let mut session = Self {
            runtime,
            connection,
            tags: 0,
        };
        session.line()?;
        Ok(session)
    }

    /// What tells the server's certificate from others.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn certificate(&self) -> Result<Vec<u8>> {
        let info = self.connection.tls_info().context("no TLS")?;
        info.server_end_point.context("no certificate")
    }

    /// Sends a line.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, line: &str) -> Result<()> {
        let Self {
            runtime,
            connection,
            ..
        } = self;
        runtime.block_on(async {
            connection
                .write_all(format!("{line}\r\n").as_bytes())
                .await?;
            Ok(connection.flush().await?)
        })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes.
    pub fn line(&mut self) -> Result<String> {
        let Self {
            runtime,
            connection,
            ..
        } = self;
        let read = async {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(connection.read_u8().await?);
            }
            anyhow::Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
        };
        runtime.block_on(async { timeout(LIMIT, read).await? })
    }

    /// Waits until INBOX of whoever is logged in has so many messages.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_for_mail(&mut self, count: usize) -> Result<()> {
        let wanted = format!("MESSAGES {count}");
        eventually(&wanted, || {
            let lines = self.imap("STATUS INBOX (MESSAGES)")?;
            Ok(lines
                .iter()
                .any(|line| line.contains(&wanted))
                .then_some(()))
        })
    }

    /// Sends an IMAP command that must be answered OK; its untagged lines.
    ///
    /// # Errors
    /// When it is answered otherwise.
    pub fn imap(&mut self, command: &str) -> Result<Vec<String>> {
        self.tags += 1;
        let tag = format!("t{} ", self.tags);
        self.send(&format!("{tag}{command}"))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            match line.strip_prefix(&tag) {
                Some(status) if status.starts_with("OK") => return Ok(lines),
                Some(status) => bail!("{command}: {status}"),
                None => lines.push(line),
            }
        }
    }
}
