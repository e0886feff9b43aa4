//! Octets in any split to events.
//!
//! The driver reads into [`Decoder::buffer`], then takes events with [`Decoder::next_event`] until there are none.

use bytes::BytesMut;

use super::command::{Command, ParseError};
use crate::lines::{Line, Lines};
use crate::secret::SaslResponse;

/// Longest line, in octets without its end. RFC 2449 §4 asks for 255 with it; what SASL sends may have 12,288 (RFC 4954 §4).
pub const MAX_LINE: usize = 12_288;

/// What the client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole command.
    Command(Command),
    /// A line that is no command, or that is refused.
    BadLine(LineError),
    /// The answer to a SASL challenge.
    AuthResponse(SaslResponse),
    /// The client cancelled authentication with `*`.
    AuthCancelled,
}

/// What is wrong with a line. The text is for the client and quotes nothing of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The command is not understood.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The line is longer than [`MAX_LINE`].
    #[error("the line is too long")]
    TooLong,
    /// NUL or a bare CR in a line.
    #[error("the line has characters that no command may have")]
    Characters,
    /// A SASL response that is not base64.
    #[error("invalid base64")]
    Base64,
}

/// The framing of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    lines: Lines,
    expects_response: bool,
}

impl Decoder {
    /// The next line answers a SASL challenge.
    pub fn expect_auth_response(&mut self) {
        self.expects_response = true;
    }

    /// Where the driver appends what it reads.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.lines.input
    }

    /// Whether octets wait that [`Decoder::next_event`] has not used. At STLS they are plaintext that someone slipped in
    /// and the connection must end; with them there is no need to send an answer at once (RFC 2449 §6.6).
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.lines.input.is_empty()
    }

    /// Gives the buffer back when nothing is pending.
    pub fn release(&mut self) {
        self.lines.release();
    }

    /// The next event, or `None` when more octets are needed.
    pub fn next_event(&mut self) -> Option<Event> {
        let line = match self.lines.next(MAX_LINE) {
            Line::Unfinished => return None,
            Line::TooLong => {
                self.expects_response = false;
                return Some(Event::BadLine(LineError::TooLong));
            }
            Line::Whole(line) => line,
        };
        if std::mem::take(&mut self.expects_response) {
            return Some(response(&line));
        }
        Some(match command(&line) {
            Ok(command) => Event::Command(command),
            Err(error) => Event::BadLine(error),
        })
    }
}

fn command(line: &[u8]) -> Result<Command, LineError> {
    if line.iter().any(|octet| matches!(octet, 0 | b'\r')) {
        return Err(LineError::Characters);
    }
    Ok(Command::parse(line)?)
}

fn response(line: &[u8]) -> Event {
    // RFC 5034 §4: a line with a single "*" cancels
    if line == b"*" {
        return Event::AuthCancelled;
    }
    SaslResponse::decode(line).map_or(Event::BadLine(LineError::Base64), Event::AuthResponse)
}
