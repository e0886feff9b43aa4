//! Octets both ways, with bounded buffers, until both sides have ended or nothing passes for too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use mailpods_net::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::{Instant, sleep_until};

/// For each direction, in octets.
const BUFFER: usize = 16 * 1024;

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// Nothing passed.
    #[error("nothing passed for {} s", .0.as_secs())]
    Idle(Duration),
    /// One side broke.
    #[error("a side broke off")]
    Io(#[from] io::Error),
}

/// Counts what passes, both ways.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// From the client.
    pub(crate) out: AtomicU64,
    /// To the client.
    pub(crate) back: AtomicU64,
}

/// Copies until both sides have ended; a side that ends is told to the other.
pub(crate) async fn relay(
    client: Connection,
    server: Connection,
    idle: Duration,
    passed: &Arc<Passed>,
) -> Result<(), Broken> {
    let read = |of: fn(&Passed) -> &AtomicU64, connection| Counted {
        connection,
        passed: passed.clone(),
        of,
    };
    let mut client = read(|passed| &passed.out, client);
    let mut server = read(|passed| &passed.back, server);
    tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER) => {
            copied?;
            Ok(())
        }
        () = silence(passed, idle) => Err(Broken::Idle(idle)),
    }
}

/// Ends when nothing has passed for `idle`.
async fn silence(passed: &Passed, idle: Duration) {
    let total = || passed.out.load(Ordering::Relaxed) + passed.back.load(Ordering::Relaxed);
    // Looked at four times: what passes just after a look counts until the next.
    let (mut known, mut since) = (total(), Instant::now());
    while since.elapsed() < idle {
        sleep_until(Instant::now() + idle / 4).await;
        let now = total();
        if now != known {
            (known, since) = (now, Instant::now());
        }
    }
}

/// A side whose octets are counted as they are read.
struct Counted {
    connection: Connection,
    passed: Arc<Passed>,
    of: fn(&Passed) -> &AtomicU64,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.connection).poll_read(cx, buf);
        let octets = buf.filled().len() - before;
        (self.of)(&self.passed).fetch_add(octets as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
