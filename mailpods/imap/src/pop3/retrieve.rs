//! RETR and TOP: a message in pieces, so that memory does not grow with it.

use mailpods_pop3_proto::pop3::Stuffer;
use mailpods_store::StoreError;
use mailpods_store::mail::Entry;

use super::Session;
use super::failure::{Done, Failure};
use crate::failure::End;

/// Octets of a body read at once.
const PIECE: u64 = 256 * 1024;
/// The same for TOP, which seldom needs more than the header.
const TOP_PIECE: u64 = 32 * 1024;

/// A message that is being told.
struct Told {
    entry: Entry,
    body_size: u64,
    /// Octets of the body that are told.
    at: u64,
    piece: u64,
    stuffer: Stuffer,
}

impl Session {
    /// RFC 1939 §5 and §7. `lines`: TOP wants so many of the body.
    pub(super) async fn retrieve(&mut self, number: u32, lines: Option<u32>) -> Done {
        let mail = self.mail();
        let maildrop = self.maildrop()?;
        let (index, message) = maildrop.message(number)?;
        let uid = message.uid;
        let entry = maildrop.entry(mail.as_ref(), index, uid).await?;
        let mut told = Told::new(entry, lines);
        // What fails does so here, before anything is told, but for a store that goes away in the middle of a large message.
        let first = self.read_piece(&told).await?;
        match lines {
            None => self.ok(&format!("{} octets", told.entry.size))?,
            Some(_) => self.ok("the top follows")?,
        }
        let prefix = told.entry.prefix.clone().unwrap_or_default();
        if told.stuffer.push(&prefix, &mut self.wire.out) && told.push(&first, &mut self.wire.out) {
            drop(first);
            self.tell_rest(&mut told).await?;
        }
        told.stuffer.finish(&mut self.wire.out);
        if lines.is_none() {
            self.maildrop()?.mark_seen(index);
            self.shared.deps.metrics.retrieved.inc(());
        }
        Ok(self.wire.flush_if_full().await?)
    }

    async fn read_piece(&self, told: &Told) -> Result<bytes::Bytes, StoreError> {
        let store = &self.shared.deps.store;
        if told.body_size <= told.piece {
            return store.body(told.entry.body).await;
        }
        let end = (told.at + told.piece).min(told.body_size);
        store.body_range(told.entry.body, told.at..end).await
    }

    async fn tell_rest(&mut self, told: &mut Told) -> Result<(), Failure> {
        while told.at < told.body_size {
            self.wire.flush_if_full().await?;
            let piece = match self.read_piece(told).await {
                Ok(piece) if !piece.is_empty() => piece,
                ended => {
                    let error = ended
                        .err()
                        .map(|error| mailpods_telemetry::error_chain(&error));
                    tracing::warn!(error, "a message could not be told to its end");
                    // The client must not take what it has for the whole message.
                    return Err(End::Closed.into());
                }
            };
            if !told.push(&piece, &mut self.wire.out) {
                break;
            }
        }
        Ok(())
    }
}

impl Told {
    fn new(entry: Entry, lines: Option<u32>) -> Self {
        let body_size = entry.size.saturating_sub(u64::from(entry.prefix_len));
        let (piece, stuffer) = match lines {
            None => (PIECE, Stuffer::whole()),
            Some(lines) => (TOP_PIECE, Stuffer::top(lines)),
        };
        Self {
            entry,
            body_size,
            at: 0,
            piece,
            stuffer,
        }
    }

    /// Tells a piece of the body; false when nothing behind it is wanted.
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        self.at += piece.len() as u64;
        self.stuffer.push(piece, out)
    }
}
