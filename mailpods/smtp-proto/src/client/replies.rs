//! Reads replies (RFC 5321 §4.2) with bounds on lines and their number.

use crate::reply::{MAX_REPLY_LINES, Reply};

/// Longest reply line read. RFC 5321 §4.5.3.1.5 allows 512; some servers write more.
const MAX_LINE: usize = 2048;

/// Why a reply cannot be read; the connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line longer than 2048 octets.
    #[error("failed to read the reply: line too long")]
    LineTooLong,
    /// More than [`MAX_REPLY_LINES`] lines.
    #[error("failed to read the reply: too many lines")]
    TooManyLines,
    /// No three digits and separator, or the code changes between lines.
    #[error("failed to read the reply: not a reply line")]
    Syntax,
}

/// Puts replies together from pieces of input.
#[derive(Debug, Default)]
pub struct ReplyParser {
    pending: Vec<u8>,
    start: usize,
    code: u16,
    lines: Vec<String>,
}

impl ReplyParser {
    /// Takes octets as they come.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.start > 0 {
            self.pending.drain(..self.start);
            self.start = 0;
        }
        self.pending.extend_from_slice(octets);
    }

    /// The next whole reply.
    ///
    /// # Errors
    /// The peer does not speak SMTP.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let rest = self.pending.get(self.start..).unwrap_or(&[]);
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return if rest.len() > MAX_LINE {
                    Err(ReplyError::LineTooLong)
                } else {
                    Ok(None)
                };
            };
            let line = rest.get(..end).unwrap_or(&[]);
            let (code, last, text) = parse_line(line.strip_suffix(b"\r").unwrap_or(line))?;
            self.start += end + 1;
            if let Some(reply) = self.add(code, last, text)? {
                return Ok(Some(reply));
            }
        }
    }

    /// True when octets are left that no reply has taken.
    pub fn has_pending(&self) -> bool {
        self.start < self.pending.len() || !self.lines.is_empty()
    }

    fn add(&mut self, code: u16, last: bool, text: String) -> Result<Option<Reply>, ReplyError> {
        if !self.lines.is_empty() && code != self.code {
            return Err(ReplyError::Syntax);
        }
        if self.lines.len() >= MAX_REPLY_LINES {
            return Err(ReplyError::TooManyLines);
        }
        self.code = code;
        self.lines.push(text);
        Ok(last.then(|| Reply::from_peer(code, std::mem::take(&mut self.lines))))
    }
}

/// `250-text`, `250 text`, `250`.
fn parse_line(line: &[u8]) -> Result<(u16, bool, String), ReplyError> {
    if line.len() > MAX_LINE {
        return Err(ReplyError::LineTooLong);
    }
    let (code, rest) = line.split_at_checked(3).ok_or(ReplyError::Syntax)?;
    // RFC 5321 §4.2: the first digit is 2 to 5.
    if !matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return Err(ReplyError::Syntax);
    }
    let number = code
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let last = match rest.first() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return Err(ReplyError::Syntax),
    };
    let text = String::from_utf8_lossy(rest.get(1..).unwrap_or(&[])).into_owned();
    Ok((number, last, text))
}
