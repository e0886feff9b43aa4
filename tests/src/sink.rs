//! An SMTP server that takes mail for a test to look at, or refuses it as told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// A message that came.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The MAIL command, parameters included.
    pub mail: String,
    /// The RCPT commands.
    pub recipients: Vec<String>,
    /// The message, dots unstuffed.
    pub message: String,
    /// The connection that it came on, counted from 1.
    pub connection: usize,
    /// Address of the client.
    pub client: IpAddr,
    /// Its EHLO or LHLO command.
    pub hello: String,
}

/// What the sink says.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Extensions after EHLO.
    pub extensions: Vec<&'static str>,
    /// The reply to RCPT.
    pub recipient: &'static str,
    /// The reply to the end of data.
    pub data: &'static str,
    /// Replies to RCPT for clients at an address, where the command contains a text.
    pub refused: Vec<(IpAddr, &'static str, &'static str)>,
}

impl Manners {
    /// The reply to a RCPT command.
    fn to_recipient(&self, client: IpAddr, command: &str) -> &'static str {
        let refused = self
            .refused
            .iter()
            .find(|(address, text, _)| *address == client && command.contains(text));
        refused.map_or(self.recipient, |(_, _, reply)| reply)
    }
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            extensions: vec![
                "PIPELINING",
                "8BITMIME",
                "SMTPUTF8",
                "DSN",
                "ENHANCEDSTATUSCODES",
                "SIZE 50000000",
            ],
            recipient: "250 2.1.5 fine",
            data: "250 2.0.0 taken",
            refused: Vec::new(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    manners: Manners,
    taken: Vec<Taken>,
    connections: usize,
    /// Messages on their way now, and the most at once.
    busy: usize,
    most: usize,
}

/// A running sink; its threads end with the process.
#[derive(Debug, Clone)]
pub struct Sink {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Sink {
    /// Starts a sink.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sink = Self {
            state: Arc::default(),
            address: listener.local_addr()?,
        };
        let state = sink.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                // A client that breaks off is its own test's concern.
                std::thread::spawn(move || session(stream, &state).ok());
            }
        });
        Ok(sink)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it says.
    pub fn behave(&self, manners: Manners) {
        lock(&self.state).manners = manners;
    }

    /// All that came.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.state).taken.clone()
    }

    /// Messages that were on their way at once, at most.
    #[must_use]
    pub fn most(&self) -> usize {
        lock(&self.state).most
    }

    /// Waits until `count` messages have come.
    ///
    /// # Errors
    /// When they do not.
    pub fn wait_for(&self, count: usize) -> Result<Vec<Taken>> {
        crate::eventually("mail at the sink", || {
            let taken = self.taken();
            Ok((taken.len() >= count).then_some(taken))
        })
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session(stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    let connection = {
        let mut state = lock(state);
        state.connections += 1;
        state.connections
    };
    let client = stream.peer_addr()?.ip();
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut taken = empty(connection, client, String::new());
    writer.write_all(b"220 sink.example.net ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
        let manners = lock(state).manners.clone();
        let reply = match verb.as_str() {
            "EHLO" | "LHLO" => {
                taken.hello = command;
                greeting(&manners)
            }
            "MAIL" => {
                taken.mail = command;
                "250 2.1.0 fine".to_owned()
            }
            "RCPT" => {
                let reply = manners.to_recipient(client, &command);
                if reply.starts_with('2') {
                    taken.recipients.push(command);
                }
                reply.to_owned()
            }
            "DATA" if taken.recipients.is_empty() => "554 5.5.1 no recipients".to_owned(),
            "DATA" => {
                {
                    let mut state = lock(state);
                    state.busy += 1;
                    state.most = state.most.max(state.busy);
                }
                writer.write_all(b"354 go on\r\n")?;
                let message = data(&mut reader);
                lock(state).busy -= 1;
                taken.message = message?;
                let next = empty(connection, client, taken.hello.clone());
                let done = std::mem::replace(&mut taken, next);
                if manners.data.starts_with('2') {
                    lock(state).taken.push(done);
                }
                manners.data.to_owned()
            }
            "RSET" => {
                taken = empty(connection, client, taken.hello.clone());
                "250 2.0.0 fine".to_owned()
            }
            "QUIT" => "221 2.0.0 bye".to_owned(),
            _ => "250 2.0.0 fine".to_owned(),
        };
        writer.write_all(format!("{reply}\r\n").as_bytes())?;
        if verb == "QUIT" {
            return Ok(());
        }
    }
}

fn empty(connection: usize, client: IpAddr, hello: String) -> Taken {
    Taken {
        mail: String::new(),
        recipients: Vec::new(),
        message: String::new(),
        connection,
        client,
        hello,
    }
}

fn greeting(manners: &Manners) -> String {
    let mut lines = vec!["sink.example.net"];
    lines.extend(&manners.extensions);
    let last = lines.len() - 1;
    let line = |(index, text): (usize, &&str)| {
        format!("250{}{text}", if index == last { ' ' } else { '-' })
    };
    lines
        .iter()
        .enumerate()
        .map(line)
        .collect::<Vec<_>>()
        .join("\r\n")
}

fn data(reader: &mut BufReader<TcpStream>) -> Result<String> {
    let mut message = String::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line == b".\r\n" || line.is_empty() {
            return Ok(message);
        }
        let line = line.strip_prefix(b".").unwrap_or(&line);
        message.push_str(&String::from_utf8_lossy(line));
    }
}
