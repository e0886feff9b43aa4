//! The IMAP side of the generator, over TLS: Mailpods lets nobody log in without, so both sides speak it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Password of every account on both sides.
pub const PASSWORD: &str = "quickstart";

/// TLS that takes any certificate: both are made for the run.
#[derive(Clone)]
pub struct Tls(TlsConnector);

/// A logged-in connection.
pub struct Client {
    stream: BufReader<TlsStream<TcpStream>>,
    line: Vec<u8>,
    tags: u32,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Untagged lines; literals are counted, not kept.
    pub lines: Vec<String>,
    /// How many there were, also where they are not kept.
    pub untagged: usize,
    /// Octets of all of it, literals included.
    pub octets: usize,
}

impl Tls {
    /// The settings.
    ///
    /// # Errors
    /// When the provider has no usable version.
    pub fn new() -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Connects with TLS from the first octet.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(&self, server: SocketAddr) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("mail.example.test")?;
        Ok(self.0.connect(name, stream).await?)
    }
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When there is no greeting or the log-in is refused.
    pub async fn login(tls: &Tls, server: SocketAddr, user: &str) -> Result<Self> {
        let stream = tls.connect(server).await;
        let stream = stream.context("failed to connect by IMAP")?;
        let mut client = Self {
            stream: BufReader::with_capacity(2048, stream),
            line: Vec::new(),
            tags: 0,
        };
        client.read_line().await?;
        client.command(&format!("LOGIN {user} {PASSWORD}")).await?;
        Ok(client)
    }

    /// A larger buffer, for a client that reads much.
    #[must_use]
    pub fn greedy(self) -> Self {
        Self {
            stream: BufReader::with_capacity(64 * 1024, self.stream.into_inner()),
            ..self
        }
    }

    /// Sends a command and reads its answer, which must be OK.
    ///
    /// # Errors
    /// When it is NO or BAD.
    pub async fn command(&mut self, command: &str) -> Result<Answer> {
        self.read(command, true).await
    }

    /// As [`Self::command`], but only counts what comes.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub async fn count(&mut self, command: &str) -> Result<Answer> {
        self.read(command, false).await
    }

    /// Appends messages in one command (RFC 3502; non-synchronizing literals, RFC 7888).
    ///
    /// # Errors
    /// When it is refused.
    pub async fn append(
        &mut self,
        mailbox: &str,
        messages: impl Iterator<Item = String>,
    ) -> Result<()> {
        let literals = messages.map(|text| format!(" {{{}+}}\r\n{text}", text.len()));
        let command = format!("APPEND {mailbox}{}", literals.collect::<String>());
        self.command(&command).await?;
        Ok(())
    }

    /// Messages of a mailbox by STATUS.
    ///
    /// # Errors
    /// When it is refused or has no number.
    pub async fn messages(&mut self, mailbox: &str) -> Result<usize> {
        let answer = self
            .command(&format!("STATUS {mailbox} (MESSAGES)"))
            .await?;
        let count = |line: &String| {
            line.rsplit_once("MESSAGES ")?
                .1
                .trim_end_matches(')')
                .parse()
                .ok()
        };
        answer.lines.iter().find_map(count).context("no STATUS")
    }

    /// Starts IDLE (RFC 2177).
    ///
    /// # Errors
    /// When it is refused.
    pub async fn idle(&mut self) -> Result<()> {
        self.write(b"i IDLE\r\n").await?;
        loop {
            self.read_line().await?;
            if self.line.starts_with(b"+") {
                return Ok(());
            }
            if self.line.starts_with(b"i ") {
                bail!("no IDLE: {}", String::from_utf8_lossy(&self.line).trim());
            }
        }
    }

    async fn read(&mut self, command: &str, keep: bool) -> Result<Answer> {
        self.tags += 1;
        let tag = format!("t{} ", self.tags);
        self.write(format!("{tag}{command}\r\n").as_bytes()).await?;
        let mut answer = Answer::default();
        loop {
            self.read_line().await?;
            answer.octets += self.line.len();
            if self.line.starts_with(tag.as_bytes()) {
                break;
            }
            answer.untagged += 1;
            if keep {
                answer
                    .lines
                    .push(String::from_utf8_lossy(&self.line).trim_end().to_owned());
            }
            while let Some(octets) = literal(&self.line) {
                answer.octets += octets;
                self.skip(octets).await?;
                self.read_line().await?;
            }
        }
        if !self
            .line
            .get(tag.len()..)
            .unwrap_or_default()
            .starts_with(b"OK")
        {
            let verb = command.get(..command.len().min(60)).unwrap_or_default();
            bail!("{verb}: {}", String::from_utf8_lossy(&self.line).trim());
        }
        Ok(answer)
    }

    async fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(octets).await?;
        Ok(self.stream.get_mut().flush().await?)
    }

    async fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        if self.stream.read_until(b'\n', &mut self.line).await? == 0 {
            bail!("the IMAP server ended the connection");
        }
        Ok(())
    }

    async fn skip(&mut self, octets: usize) -> Result<()> {
        let mut literal = (&mut self.stream).take(octets as u64);
        tokio::io::copy_buf(&mut literal, &mut tokio::io::sink()).await?;
        Ok(())
    }
}

/// Octets of the literal that a line announces.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let digits = line.rsplit(|octet| *octet == b'{').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
