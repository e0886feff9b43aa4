//! The next server of `relay`: takes everything and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

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
}

impl Sink {
    /// Starts a sink.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
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

/// One connection; a client that breaks off has sent what it has sent.
async fn session(stream: TcpStream, counts: Arc<Counts>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::with_capacity(16 * 1024, stream);
    stream
        .write_all(b"220 sink.example.net ESMTP\r\n")
        .await
        .ok()?;
    let mut line = Vec::new();
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
                counts.messages.fetch_add(1, Ordering::Relaxed);
                counts.changed.notify_one();
                b"250 2.0.0 taken\r\n"
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
