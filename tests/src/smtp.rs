//! A plain SMTP client that says exactly what it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, bail};

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// A reply: its code and its lines without codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Text of all lines.
    pub text: String,
}

impl Client {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// When there is no 220.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(crate::LIMIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            reader: BufReader::new(stream),
        };
        client.expect(220)?;
        Ok(client)
    }

    /// Connects and says EHLO (LHLO to LMTP).
    ///
    /// # Errors
    /// When it is not welcome.
    pub fn hello(address: SocketAddr, verb: &str) -> Result<Self> {
        let mut client = Self::connect(address)?;
        client.say(&format!("{verb} client.example.net"), 250)?;
        Ok(client)
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, octets: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(octets)?)
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// When the connection ends or what comes is no reply.
    pub fn reply(&mut self) -> Result<Reply> {
        let mut text = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                bail!("the connection ended; so far {text:?}");
            }
            let line = line.trim_end();
            let (Some(code), Some(rest)) = (line.get(..3), line.get(3..)) else {
                bail!("no reply: {line:?}")
            };
            text.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(Reply {
                    code: code.parse()?,
                    text: text.join("\n"),
                });
            }
        }
    }

    /// Sends a command and returns its reply.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn command(&mut self, command: &str) -> Result<Reply> {
        self.send(format!("{command}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends a command whose reply must have a code.
    ///
    /// # Errors
    /// When it has another.
    pub fn say(&mut self, command: &str, code: u16) -> Result<String> {
        let reply = self.command(command)?;
        if reply.code != code {
            bail!(
                "{command}: {code} was expected, {} {} came",
                reply.code,
                reply.text
            );
        }
        Ok(reply.text)
    }

    /// Reads a reply that must have a code.
    ///
    /// # Errors
    /// When it has another.
    pub fn expect(&mut self, code: u16) -> Result<String> {
        let reply = self.reply()?;
        if reply.code != code {
            bail!("{code} was expected, {} {} came", reply.code, reply.text);
        }
        Ok(reply.text)
    }

    /// One transaction; the reply to the end of data, or the first refusal. `message` has CRLF line ends and no leading dots.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn message(&mut self, from: &str, to: &[&str], message: &str) -> Result<Reply> {
        let mut envelope = vec![format!("MAIL FROM:<{from}>")];
        envelope.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        for command in envelope {
            let reply = self.command(&command)?;
            if reply.code >= 400 {
                return Ok(reply);
            }
        }
        let reply = self.command("DATA")?;
        if reply.code != 354 {
            return Ok(reply);
        }
        self.command(&format!("{}\r\n.", message.trim_end_matches("\r\n")))
    }
}
