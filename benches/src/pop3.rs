//! The POP3 side of the generator, over TLS.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::imap::{PASSWORD, Tls};

/// Commands that are sent before the first is answered (RFC 2449 §6.6).
const AT_ONCE: usize = 100;

/// A connection that has the maildrop.
pub struct Client {
    stream: BufReader<TlsStream<TcpStream>>,
    line: Vec<u8>,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When there is no greeting or the log-in is refused.
    pub async fn login(tls: &Tls, server: SocketAddr, user: &str) -> Result<Self> {
        let stream = tls.connect(server).await;
        let stream = stream.context("failed to connect by POP3")?;
        let mut client = Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            line: Vec::new(),
        };
        client.ok().await?;
        for command in [format!("USER {user}\r\n"), format!("PASS {PASSWORD}\r\n")] {
            client.write(&command).await?;
            client.ok().await?;
        }
        Ok(client)
    }

    /// Lines of the answer to LIST or UIDL of all messages.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn lines(&mut self, command: &str) -> Result<usize> {
        self.write(&format!("{command}\r\n")).await?;
        Ok(self.rest().await?.0)
    }

    /// Octets of the first so many messages.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn retrieve(&mut self, messages: usize) -> Result<usize> {
        let mut octets = 0;
        for first in (1..=messages).step_by(AT_ONCE) {
            let numbers = first..=messages.min(first + AT_ONCE - 1);
            let commands = numbers.clone().map(|number| format!("RETR {number}\r\n"));
            self.write(&commands.collect::<String>()).await?;
            for _ in numbers {
                octets += self.rest().await?.1;
            }
        }
        Ok(octets)
    }

    /// Ends the session: what the server keeps of it is written then.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn quit(mut self) -> Result<()> {
        self.write("QUIT\r\n").await?;
        self.ok().await
    }

    /// Lines and octets of an answer of several lines.
    async fn rest(&mut self) -> Result<(usize, usize)> {
        self.ok().await?;
        let (mut lines, mut octets) = (0, 0);
        loop {
            self.read_line().await?;
            if self.line == b".\r\n" {
                return Ok((lines, octets));
            }
            (lines, octets) = (lines + 1, octets + self.line.len());
        }
    }

    async fn ok(&mut self) -> Result<()> {
        self.read_line().await?;
        if !self.line.starts_with(b"+OK") {
            bail!("POP3: {}", String::from_utf8_lossy(&self.line).trim());
        }
        Ok(())
    }

    async fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        if self.stream.read_until(b'\n', &mut self.line).await? == 0 {
            bail!("the POP3 server ended the connection");
        }
        Ok(())
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).await?;
        Ok(self.stream.get_mut().flush().await?)
    }
}
