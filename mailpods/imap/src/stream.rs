//! A connection, and DEFLATE on it (RFC 4978).
//!
//! What is sent is compressed in pieces that know nothing of each other, by compressors that all sessions share: a session that waits
//! holds none, and what one answer repeats of another is not seen in its length. What the client sends may refer to all of the last
//! 32 KiB, so a session that has asked for compression holds that much, and no other one does.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use mailpods_net::tls::{TlsError, TlsInfo};
use mailpods_net::{Connection, TlsServer};
use tokio::time::Instant;

/// Octets that are compressed at once.
const PIECE: usize = 64 * 1024;
/// Octets that one read adds at most, however well they were compressed.
const MAX_READ: usize = 16 * 1024;
/// Compressors that are kept for the next one.
const KEPT: usize = 16;

/// Compressors that wait for work.
#[derive(Default)]
pub(crate) struct Compressors(Mutex<Vec<Compress>>);

impl Compressors {
    fn take(&self) -> Compress {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
            .unwrap_or_else(|| Compress::new(Compression::fast(), false))
    }

    fn put(&self, compress: Compress) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(compress);
        }
    }

    /// Octets as blocks of their own, up to a whole octet (RFC 4978 §4).
    fn compress(&self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let mut compress = self.take();
        compress.reset();
        let mut out = Vec::with_capacity(piece.len() / 2 + 64);
        loop {
            let done = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
            let rest = piece.get(done..).unwrap_or_default();
            compress.compress_vec(rest, &mut out, FlushCompress::Sync)?;
            if compress.total_in() == piece.len() as u64 && out.len() < out.capacity() {
                break;
            }
            out.reserve(out.capacity().max(1024));
        }
        self.put(compress);
        Ok(out)
    }
}

/// What the client sends, and what of it is not decompressed yet.
struct Inflate {
    state: Decompress,
    waiting: BytesMut,
}

impl Inflate {
    /// Adds some of what has come to `buffer`; 0 when more is needed first.
    fn step(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut out = Vec::with_capacity(MAX_READ);
        let before = self.state.total_in();
        let waiting = &self.waiting;
        let status = self
            .state
            .decompress_vec(waiting, &mut out, FlushDecompress::Sync)?;
        if status == Status::StreamEnd {
            let ended = "the client has ended the compressed stream";
            return Err(io::Error::new(io::ErrorKind::InvalidData, ended));
        }
        let taken = self.state.total_in() - before;
        self.waiting
            .advance(usize::try_from(taken).unwrap_or(usize::MAX));
        if self.waiting.is_empty() {
            self.waiting = BytesMut::new();
        }
        buffer.extend_from_slice(&out);
        Ok(out.len())
    }
}

/// A connection, compressed once the client has asked for it.
pub(crate) struct Stream {
    io: Connection,
    deflate: Option<(Box<Inflate>, Arc<Compressors>)>,
}

impl Stream {
    pub(crate) fn new(io: Connection) -> Self {
        Self { io, deflate: None }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Both directions are compressed from here on.
    pub(crate) fn start_compression(&mut self, compressors: Arc<Compressors>) {
        let inflate = Inflate {
            state: Decompress::new(false),
            waiting: BytesMut::new(),
        };
        self.deflate = Some((Box::new(inflate), compressors));
    }

    /// Adds what has come to `buffer`; 0 at the end. Cancel-safe.
    pub(crate) async fn read(
        &mut self,
        buffer: &mut BytesMut,
        deadline: Instant,
    ) -> io::Result<usize> {
        let Some((inflate, _)) = &mut self.deflate else {
            return self.io.read_with_deadline(buffer, deadline).await;
        };
        loop {
            let count = inflate.step(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let read = self.io.read_with_deadline(&mut inflate.waiting, deadline);
            if read.await? == 0 {
                return Ok(0);
            }
        }
    }

    /// Sends all of `octets`.
    pub(crate) async fn write(&mut self, octets: &[u8], deadline: Instant) -> io::Result<()> {
        let Some((_, compressors)) = &self.deflate else {
            return self.io.write_with_deadline(octets, deadline).await;
        };
        for piece in octets.chunks(PIECE) {
            let compressed = compressors.compress(piece)?;
            self.io.write_with_deadline(&compressed, deadline).await?;
        }
        Ok(())
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.io.peer()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.io.is_tls()
    }

    pub(crate) fn tls_info(&self) -> Option<TlsInfo> {
        self.io.tls_info()
    }

    pub(crate) async fn start_tls(
        &mut self,
        tls: &TlsServer,
        limit: Duration,
    ) -> Result<(), TlsError> {
        self.io.start_tls(tls, limit).await
    }

    pub(crate) async fn close(self, limit: Duration) {
        self.io.close(limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate() -> Inflate {
        Inflate {
            state: Decompress::new(false),
            waiting: BytesMut::new(),
        }
    }

    /// All that comes out of `octets`, which come in pieces.
    fn whole(octets: &[u8], pieces: usize) -> Vec<u8> {
        let (mut inflate, mut buffer) = (inflate(), BytesMut::new());
        for piece in octets.chunks(pieces) {
            inflate.waiting.extend_from_slice(piece);
            while inflate.step(&mut buffer).unwrap() > 0 {}
        }
        buffer.to_vec()
    }

    #[test]
    fn pieces_are_one_stream() {
        let compressors = Compressors::default();
        let noise: Vec<u8> = (0..PIECE as u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let texts: [&[u8]; 5] = [b"* OK\r\n", &[b'x'; PIECE], b"", &noise, b"* OK\r\n"];
        let mut stream = Vec::new();
        for text in texts {
            stream.extend(compressors.compress(text).unwrap());
        }
        let expected = texts.concat();
        assert!(whole(&stream, 7) == expected && whole(&stream, stream.len()) == expected);
    }

    #[test]
    fn an_answer_tells_nothing_of_the_one_before() {
        let compressors = Compressors::default();
        let secret = b"a subject that is long enough to be seen in the length\r\n";
        let alone = compressors.compress(secret).unwrap();
        compressors.compress(secret).unwrap();
        assert_eq!(compressors.compress(secret).unwrap(), alone);
    }

    #[test]
    fn one_read_is_bounded_however_well_it_was_compressed() {
        let compressors = Compressors::default();
        let mut inflate = inflate();
        for _ in 0..64 {
            let piece = compressors.compress(&[b'x'; PIECE]).unwrap();
            inflate.waiting.extend_from_slice(&piece);
        }
        assert!(inflate.waiting.len() < 64 * 1024);
        let (mut reads, mut octets) = (0, 0);
        loop {
            let mut buffer = BytesMut::new();
            let count = inflate.step(&mut buffer).unwrap();
            assert!(count <= MAX_READ && buffer.len() == count);
            if count == 0 {
                break;
            }
            (reads, octets) = (reads + 1, octets + count);
        }
        assert_eq!(octets, 64 * PIECE);
        assert!(reads >= 64 * PIECE / MAX_READ);
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let mut inflate = inflate();
        inflate.waiting.extend_from_slice(b"a NOOP\r\n");
        assert!(inflate.step(&mut BytesMut::new()).is_err());
        let mut ended = self::inflate();
        ended.waiting.extend_from_slice(&[3, 0]);
        assert!(ended.step(&mut BytesMut::new()).is_err());
    }
}
