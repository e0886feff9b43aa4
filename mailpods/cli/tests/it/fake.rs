//! An IMAP server that says what a test wants it to say.
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it does with a command.
pub enum Reply {
    /// Sends this; `TAG` stands for the command's tag.
    Text(String),
    /// Sends this, and closes the connection.
    Last(String),
    /// Sends this over and over, a tenth of a second apart, until the client goes.
    Drip(String),
    /// Sends this over and over, as fast as it can, until the client goes.
    Flood(String),
    /// Sends this and no more, and leaves the connection open until the client goes.
    Stall(String),
}

/// Answers a command, of which connection (from 0).
type Answer = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// The server, and what it was told.
pub struct Fake {
    pub address: SocketAddr,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Starts it, with a first line and what it answers.
    pub fn start(
        greeting: &'static str,
        answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&commands);
        let answer: Arc<Answer> = Arc::new(answer);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (told, answer) = (Arc::clone(&told), Arc::clone(&answer));
                let stream = stream.unwrap();
                // A client that goes away early ends its connection, not the test.
                std::thread::spawn(move || serve(stream, greeting, number, &told, &*answer));
            }
        });
        Self { address, commands }
    }

    /// The commands without their tags, in order.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("imap://alice@{}", self.address)
    }
}

fn serve(
    stream: TcpStream,
    greeting: &str,
    number: usize,
    told: &Mutex<Vec<String>>,
    answer: &Answer,
) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let pace = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(greeting.as_bytes()).ok()?;
    while let Some(Ok(line)) = lines.next() {
        // What answers a continuation has no tag.
        let (tag, command) = line.split_once(' ').unwrap_or(("", &line));
        told.lock().unwrap().push(command.to_owned());
        let (text, goes_on) = match answer(number, command) {
            Reply::Text(text) => (text, true),
            Reply::Last(text) => (text, false),
            Reply::Stall(text) => {
                out.write_all(text.replace("TAG", tag).as_bytes()).ok()?;
                lines.next();
                return None;
            }
            Reply::Drip(text) => {
                let apart = std::time::Duration::from_millis(100);
                pace.set_read_timeout(Some(apart)).ok()?;
                return send_on(&mut out, &text, || lines.next());
            }
            Reply::Flood(text) => return send_on(&mut out, &text.repeat(100), || ()),
        };
        out.write_all(text.replace("TAG", tag).as_bytes()).ok()?;
        if !goes_on {
            return None;
        }
    }
    None
}

/// Until the client goes.
fn send_on<T>(out: &mut TcpStream, text: &str, mut between: impl FnMut() -> T) -> Option<()> {
    loop {
        out.write_all(text.as_bytes()).ok()?;
        between();
    }
}

pub const GREETING: &str = "* OK ready\r\n";

/// What every server says to what is not the subject of a test: one INBOX with the messages of these UIDs, each `size` octets.
pub fn usual(command: &str, uids: &[u32]) -> String {
    let word = command.split(' ').next().unwrap_or_default();
    let count = uids.len();
    let next = uids.last().map_or(1, |last| last + 1);
    match word {
        "CAPABILITY" => "* CAPABILITY IMAP4rev1 CONDSTORE\r\nTAG OK\r\n".to_owned(),
        "LOGIN" => "TAG OK [CAPABILITY IMAP4rev1 CONDSTORE] in\r\n".to_owned(),
        "LIST" | "LSUB" => format!("* {word} () \"/\" INBOX\r\nTAG OK\r\n"),
        "EXAMINE" => format!(
            "* {count} EXISTS\r\n* OK [UIDVALIDITY 1600000000] x\r\n* OK [UIDNEXT {next}] x\r\n* OK [HIGHESTMODSEQ {next}] x\r\n\
             TAG OK [READ-ONLY] x\r\n"
        ),
        "LOGOUT" => "* BYE bye\r\nTAG OK\r\n".to_owned(),
        "UID" if command.contains("BODY.PEEK[]") => {
            let wanted = set(command.split(' ').nth(2).unwrap_or_default());
            let there = uids.iter().filter(|uid| wanted.contains(uid));
            there.map(|uid| body(*uid)).collect::<String>() + "TAG OK\r\n"
        }
        "UID" if command.contains("HEADER.FIELDS") => {
            uids.iter()
                .map(|uid| identified(*uid, *uid))
                .collect::<String>()
                + "TAG OK\r\n"
        }
        "UID" => {
            uids.iter()
                .map(|uid| listed(*uid, mail(*uid).len(), "\\Seen"))
                .collect::<String>()
                + "TAG OK\r\n"
        }
        _ => "TAG BAD what\r\n".to_owned(),
    }
}

/// The numbers of a set without `*`.
pub fn set(text: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    let range = |part: &str| match part.split_once(':') {
        Some((from, to)) => (number(from)..=number(to)).collect::<Vec<_>>(),
        None => vec![number(part)],
    };
    text.split(',').flat_map(range).collect()
}

pub fn listed(uid: u32, size: usize, flags: &str) -> String {
    format!("* {uid} FETCH (UID {uid} FLAGS ({flags}) RFC822.SIZE {size})\r\n")
}

/// A message by its size and the Message-ID of number `id`.
pub fn identified(uid: u32, id: u32) -> String {
    let header = format!("Message-ID: <{id}@old.test>\r\n\r\n");
    format!(
        "* {uid} FETCH (UID {uid} RFC822.SIZE 50 INTERNALDATE \"01-Feb-2020 10:00:00 +0000\" BODY[HEADER.FIELDS (MESSAGE-ID)] {{{}}}\r\n{header})\r\n",
        header.len()
    )
}

pub fn mail(uid: u32) -> String {
    format!("Message-ID: <{uid}@old.test>\r\nSubject: number {uid}\r\n\r\nbody of {uid}\r\n")
}

pub fn body(uid: u32) -> String {
    let text = mail(uid);
    format!(
        "* {uid} FETCH (UID {uid} FLAGS (\\Seen) INTERNALDATE \"01-Feb-2020 10:00:00 +0000\" BODY[] {{{}}}\r\n{text})\r\n",
        text.len()
    )
}
