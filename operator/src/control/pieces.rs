//! A plan on its way to a pod, encoded while it is sent: it is large, and the pod may be slow.

use std::io::{self, Write};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Octets of a piece.
const PIECE: usize = 64 * 1024;
/// Pieces that wait to be sent.
const AHEAD: usize = 2;
/// Time that a pod has to take the next piece.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time that it has to take all: few plans are sent at once, and whoever reads octet by octet must not keep the others from theirs.
const LONGEST: Duration = Duration::from_secs(600);

/// What a [`PieceWriter`] was given. It may hold secrets, and is wiped.
pub type Pieces = mpsc::Receiver<Zeroizing<Vec<u8>>>;

/// Hands on what is written to it. It waits for its reader, so that it belongs on a thread that may block.
pub struct PieceWriter {
    pieces: mpsc::Sender<Zeroizing<Vec<u8>>>,
    piece: Zeroizing<Vec<u8>>,
    until: Instant,
}

impl PieceWriter {
    /// A writer, and what comes of it.
    #[must_use]
    pub fn new() -> (Self, Pieces) {
        let (pieces, receiver) = mpsc::channel(AHEAD);
        let writer = Self {
            pieces,
            piece: empty(),
            until: Instant::now() + LONGEST,
        };
        (writer, receiver)
    }
}

fn empty() -> Zeroizing<Vec<u8>> {
    // A buffer that grows would leave copies of secrets behind.
    Zeroizing::new(Vec::with_capacity(PIECE))
}

impl Write for PieceWriter {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        let room = PIECE.saturating_sub(self.piece.len());
        let taken = octets.get(..room).unwrap_or(octets);
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let full = std::mem::replace(&mut self.piece, empty());
        let left = self.until.saturating_duration_since(Instant::now());
        let sent = self.pieces.send_timeout(full, left.min(PATIENCE));
        let gone = |_| io::Error::new(io::ErrorKind::TimedOut, "the pod does not read on");
        Handle::current().block_on(sent).map_err(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_comes_out_in_bounded_pieces() {
        let (mut writer, mut pieces) = PieceWriter::new();
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(3 * PIECE + 7).collect();
        let written = text.clone();
        let task = tokio::task::spawn_blocking(move || {
            writer.write_all(&written)?;
            writer.flush()
        });
        let mut read = Vec::new();
        while let Some(piece) = pieces.recv().await {
            assert!(piece.len() <= PIECE);
            read.extend_from_slice(&piece);
        }
        task.await.unwrap().unwrap();
        assert!(read == text);
    }

    #[tokio::test]
    async fn a_reader_whose_time_is_over_is_waited_for_no_more() {
        let (mut writer, mut pieces) = PieceWriter::new();
        writer.until = Instant::now();
        let task = tokio::task::spawn_blocking(move || writer.write_all(&[0; 5 * PIECE]));
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        for _ in 0..AHEAD {
            assert!(pieces.recv().await.is_some());
        }
        assert!(pieces.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_ends_it() {
        let (mut writer, pieces) = PieceWriter::new();
        drop(pieces);
        let task = tokio::task::spawn_blocking(move || writer.write_all(&[0; 2 * PIECE]));
        assert!(task.await.unwrap().is_err());
    }
}
