//! A plain IMAP client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail};

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    tags: u32,
}

impl Client {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// When there is none.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(crate::LIMIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            reader: BufReader::new(stream),
            tags: 0,
        };
        let greeting = client.line()?;
        if !greeting.starts_with("* OK") {
            bail!("no greeting: {greeting}");
        }
        Ok(client)
    }

    /// Sends a command and returns all lines of its answer when it is OK; literals stand in the lines.
    ///
    /// # Errors
    /// When it is NO or BAD.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        let (lines, status) = self.try_command(command)?;
        if !status.starts_with("OK") {
            bail!("{command}: {status}");
        }
        Ok(lines)
    }

    /// Sends a command and returns its untagged lines and its status.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn try_command(&mut self, command: &str) -> Result<(Vec<String>, String)> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.reader
            .get_mut()
            .write_all(format!("{tag} {command}\r\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(status) = line.strip_prefix(&tag) {
                return Ok((lines, status.trim().to_owned()));
            }
            lines.push(line);
        }
    }

    /// One line, with the literals that it announces.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        loop {
            let mut part = String::new();
            if self.reader.read_line(&mut part)? == 0 {
                bail!("the connection ended");
            }
            let part = part.trim_end_matches("\r\n");
            line.push_str(part);
            let Some(octets) = literal(part) else {
                return Ok(line);
            };
            let mut data = vec![0; octets];
            self.reader.read_exact(&mut data)?;
            line.push_str(&String::from_utf8_lossy(&data));
        }
    }
}

fn literal(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

/// Messages in a mailbox, by STATUS over the tools' own path: the store on disk. For tests that look after a crash, when no server runs.
///
/// # Errors
/// When the tool fails.
pub fn listed(data: &std::path::Path) -> Result<serde_json::Value> {
    let data = data.to_str().context("a path in UTF-8")?;
    let text = crate::server::tool_ok(&["--data", data, "mailbox", "list", "--output", "json"])?;
    Ok(serde_json::from_str(&text)?)
}
