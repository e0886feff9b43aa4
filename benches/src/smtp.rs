//! The SMTP side of the generator.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::message::Messages;

/// What is to be sent.
#[derive(Clone)]
pub struct Load {
    /// Where to.
    pub server: SocketAddr,
    /// Connections at once.
    pub sessions: usize,
    /// Messages in all.
    pub messages: usize,
    /// Number of the first one; the same number makes the same message.
    pub first: usize,
    /// Recipients are user0 to user{N-1}, in turns.
    pub mailboxes: usize,
    /// Domain of the recipients.
    pub domain: &'static str,
    /// Octets of a message.
    pub size: usize,
    /// Where messages come from.
    pub source: Rc<Messages>,
    /// Messages on one connection.
    pub per_connection: usize,
}

/// An open connection after EHLO.
pub struct Session<S = TcpStream> {
    stream: BufReader<S>,
    line: Vec<u8>,
}

impl Load {
    /// Sends everything.
    ///
    /// # Errors
    /// When a message is refused or a connection breaks.
    pub async fn run(&self) -> Result<()> {
        let next = Rc::new(AtomicUsize::new(0));
        let local = tokio::task::LocalSet::new();
        let mut workers = JoinSet::new();
        for _ in 0..self.sessions {
            let (load, next) = (self.clone(), next.clone());
            workers.spawn_local_on(async move { load.worker(&next).await }, &local);
        }
        local
            .run_until(async {
                while let Some(done) = workers.join_next().await {
                    done??;
                }
                Ok(())
            })
            .await
    }

    async fn worker(&self, next: &AtomicUsize) -> Result<()> {
        loop {
            let first = next.fetch_add(self.per_connection, Ordering::Relaxed);
            if first >= self.messages {
                return Ok(());
            }
            let end = (first + self.per_connection).min(self.messages);
            let mut session = Session::open(self.server).await?;
            for index in first..end {
                self.send(&mut session, self.first + index).await?;
            }
            session.quit().await?;
        }
    }

    async fn send(&self, session: &mut Session, index: usize) -> Result<()> {
        let to = format!("user{}@{}", index % self.mailboxes, self.domain);
        let message = self.source.make(index, &to, self.size);
        let from = format!("person{}@example.net", index % 50);
        session.transact(&from, &to, message).await
    }

    /// Opens all sessions first, then sends one message on each at the same time. Returns how many were accepted.
    ///
    /// # Errors
    /// When a connection breaks.
    pub async fn at_once(&self) -> Result<usize> {
        let mut sessions = Vec::new();
        for _ in 0..self.sessions {
            sessions.push(Session::open(self.server).await?);
        }
        let local = tokio::task::LocalSet::new();
        let mut workers = JoinSet::new();
        for (worker, mut session) in sessions.into_iter().enumerate() {
            let load = self.clone();
            let each = self.messages / self.sessions.max(1);
            let work = async move {
                let mut accepted = 0;
                for turn in 0..each {
                    let index = load.first + turn * load.sessions + worker;
                    accepted += usize::from(load.send(&mut session, index).await.is_ok());
                }
                accepted
            };
            workers.spawn_local_on(work, &local);
        }
        local
            .run_until(async {
                let mut accepted = 0;
                while let Some(done) = workers.join_next().await {
                    accepted += done?;
                }
                Ok(accepted)
            })
            .await
    }
}

impl Session {
    async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)
            .await
            .context("failed to connect by SMTP")?;
        stream.set_nodelay(true)?;
        Self::begin(stream).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// The greeting, and EHLO.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn begin(stream: S) -> Result<Self> {
        let mut session = Self {
            stream: BufReader::with_capacity(1024, stream),
            line: Vec::new(),
        };
        session.expect(b'2').await?;
        session.write(b"EHLO client.example.net\r\n").await?;
        session.expect(b'2').await?;
        Ok(session)
    }

    /// Logs in (RFC 4616).
    ///
    /// # Errors
    /// When that is refused.
    pub async fn login(&mut self, user: &str, password: &str) -> Result<()> {
        let response = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let command = format!("AUTH PLAIN {response}\r\n");
        self.write(command.as_bytes()).await?;
        self.expect(b'2').await
    }

    /// One message; commands are pipelined (RFC 2920), as other servers do.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn transact(&mut self, from: &str, to: &str, mut message: String) -> Result<()> {
        let envelope = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        self.write(envelope.as_bytes()).await?;
        self.expect(b'2').await?;
        self.expect(b'2').await?;
        self.expect(b'3').await?;
        message.push_str(".\r\n");
        self.write(message.as_bytes()).await?;
        self.expect(b'2').await
    }

    /// The end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn quit(mut self) -> Result<()> {
        self.write(b"QUIT\r\n").await?;
        self.expect(b'2').await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(octets).await?;
        Ok(self.stream.get_mut().flush().await?)
    }

    /// Reads a reply, all its lines, and wants its class.
    async fn expect(&mut self, class: u8) -> Result<()> {
        loop {
            self.line.clear();
            if self.stream.read_until(b'\n', &mut self.line).await? == 0 {
                bail!("the SMTP server ended the connection");
            }
            if self.line.first() != Some(&class) {
                bail!("refused: {}", String::from_utf8_lossy(&self.line).trim());
            }
            if self.line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
