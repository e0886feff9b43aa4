//! A connection, and what is gathered for it before it is sent: the same for all protocols here.

use bytes::{Bytes, BytesMut};
use mailpods_net::Connection;
use std::time::Duration;
use tokio::time::Instant;

use crate::failure::End;
use crate::stream::Stream;

/// Output that is gathered before it is sent.
const FLUSH_AT: usize = 32 * 1024;
/// Longest wait for a client that does not take its answer.
const WRITE_LIMIT: Duration = Duration::from_secs(300);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Wire {
    pub(crate) io: Stream,
    pub(crate) out: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(io: Connection) -> Self {
        Self {
            io: Stream::new(io),
            out: Vec::new(),
        }
    }

    /// Sends what is gathered once it is much.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.out.len() >= FLUSH_AT {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Sends what is gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.io
            .write(&self.out, Instant::now() + WRITE_LIMIT)
            .await?;
        self.out.clear();
        Ok(())
    }

    /// Sends octets behind what is gathered, without copying them.
    pub(crate) async fn send(&mut self, octets: &Bytes) -> Result<(), End> {
        self.flush().await?;
        self.io.write(octets, Instant::now() + WRITE_LIMIT).await?;
        Ok(())
    }

    /// Gives memory back before a wait that may be long.
    pub(crate) fn release(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Sends the rest, and closes so that it arrives.
    pub(crate) async fn close(mut self) {
        if self.flush().await.is_ok() {
            self.io.close(CLOSE_LIMIT).await;
        }
    }
}

/// Reads once into `buffer`, unless the session is to end: `drain`. Cancel-safe.
pub(crate) async fn read(
    io: &mut Stream,
    buffer: &mut BytesMut,
    deadline: Instant,
    drain: impl Future<Output = ()>,
) -> Result<(), End> {
    let count = tokio::select! {
        read = io.read(buffer, deadline) => read,
        () = drain => return Err(End::Bye("the server is shutting down, come back soon")),
    };
    match count {
        Ok(0) => Err(End::Closed),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Err(End::Bye("no command for too long"))
        }
        Err(error) => Err(error.into()),
    }
}
