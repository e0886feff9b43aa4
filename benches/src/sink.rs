//! The next server of `relay`, and those of `outbound`: takes everything and counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How the local part of a recipient begins whose arrival is noted.
pub const NOTED: &str = "noted";

/// A running sink; it ends with the runtime.
#[derive(Clone)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    messages: AtomicUsize,
    connections: AtomicUsize,
    changed: Notify,
    /// Milliseconds from the end of a message to the reply.
    pause: AtomicU64,
    /// When a message for a recipient of that local part came.
    noted: Mutex<HashMap<String, Instant>>,
}

impl Sink {
    /// Starts a sink.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a sink at an address of this machine.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let sink = Self {
            address: listener.local_addr()?,
            counts: Arc::default(),
        };
        let counts = sink.counts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(session(stream, counts.clone()));
            }
        });
        Ok(sink)
    }

    /// From now on it takes so long to answer for a message.
    pub fn pause(&self, pause: Duration) {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.counts.pause.store(pause, Ordering::Relaxed);
    }

    /// When a message for a recipient of that local part came; see [`NOTED`].
    pub fn noted(&self, local: &str) -> Option<Instant> {
        self.counts.noted().get(local).copied()
    }

    /// Messages taken so far.
    pub fn messages(&self) -> usize {
        self.counts.messages.load(Ordering::Relaxed)
    }

    /// Connections taken so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many messages have come in all.
    pub async fn wait_for(&self, count: usize) {
        while self.messages() < count {
            self.counts.changed.notified().await;
        }
    }
}

impl Counts {
    fn noted(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message has come.
    async fn count(&self, noted: Option<String>) {
        let pause = self.pause.load(Ordering::Relaxed);
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if let Some(local) = noted {
            self.noted().insert(local, Instant::now());
        }
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// The local part of a RCPT command, if it is to be noted.
fn noted(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let (_, path) = text.split_once('<')?;
    let (local, _) = path.split_once('@')?;
    local.starts_with(NOTED).then(|| local.to_owned())
}

/// One connection; a client that breaks off has sent what it has sent.
async fn session(stream: TcpStream, counts: Arc<Counts>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::with_capacity(16 * 1024, stream);
    stream
        .write_all(b"220 sink.example.net ESMTP\r\n")
        .await
        .ok()?;
    let (mut line, mut recipient) = (Vec::new(), None);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let verb = line.get(..4)?.to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => {
                b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n"
            }
            b"DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                take(&mut stream, &mut line).await?;
                counts.count(recipient.take()).await;
                b"250 2.0.0 taken\r\n"
            }
            b"RCPT" => {
                recipient = noted(&line);
                b"250 2.1.5 fine\r\n"
            }
            b"QUIT" => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 fine\r\n",
        };
        stream.write_all(reply).await.ok()?;
        if verb == b"QUIT" {
            return Some(());
        }
    }
}

async fn take(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> Option<()> {
    loop {
        line.clear();
        if stream.read_until(b'\n', line).await.ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(());
        }
    }
}
