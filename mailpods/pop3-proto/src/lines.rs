//! Lines out of octets that come in any split.

use bytes::{Buf as _, BytesMut};

/// What has come of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole one, without its end.
    Whole(BytesMut),
    /// It is longer than allowed; what is left of it is thrown away as it comes.
    TooLong,
    /// It has not ended yet.
    Unfinished,
}

/// The octets that nobody has used yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) input: BytesMut,
    /// Octets at the start of `input` that hold no line end.
    scanned: usize,
    /// The rest of an over-long line is thrown away.
    skipping: bool,
}

impl Lines {
    /// The next line of at most `limit` octets. Lines end with CRLF; a bare LF is forgiven, people type commands.
    pub(crate) fn next(&mut self, limit: usize) -> Line {
        loop {
            let found = memchr::memchr(b'\n', self.input.get(self.scanned..).unwrap_or_default());
            let Some(offset) = found else {
                return self.unfinished(limit);
            };
            let end = self.scanned + offset;
            self.scanned = 0;
            let mut line = self.input.split_to(end + 1);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            line.truncate(end);
            if line.last() == Some(&b'\r') {
                line.truncate(end - 1);
            }
            return match line.len() > limit {
                true => Line::TooLong,
                false => Line::Whole(line),
            };
        }
    }

    fn unfinished(&mut self, limit: usize) -> Line {
        self.scanned = self.input.len();
        // One more for a CR whose LF has not come yet.
        if !self.skipping && self.scanned <= limit + 1 {
            return Line::Unfinished;
        }
        self.input.advance(self.scanned);
        self.scanned = 0;
        match std::mem::replace(&mut self.skipping, true) {
            true => Line::Unfinished,
            false => Line::TooLong,
        }
    }

    /// Gives the buffer back when nothing is pending: an idle connection should cost nothing.
    pub(crate) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }
}
