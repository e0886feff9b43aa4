//! Octets in any split to events. A refused literal never desynchronises the stream: its octets are thrown away without being kept.

use bytes::{Buf as _, BytesMut};

use super::command::{Command, ParseError};
use super::lexer::{Token, announced, lex};
use crate::lines::{Line, Lines};
use crate::secret::SaslResponse;

/// Longest line without its literals, in octets.
const MAX_LINE: usize = 8192;
/// Literals and quoted strings of one command: no command has more arguments.
const MAX_TOKENS: usize = 8;

/// What one client may make the server hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of all literals of a command.
    pub literals: u64,
}

impl Default for Limits {
    /// What holds before log-in: enough for every SASL mechanism.
    fn default() -> Self {
        Self { literals: 12_288 }
    }
}

impl Limits {
    /// The bound for a user who may keep scripts of `octets`.
    #[must_use]
    pub fn after_login(octets: u64) -> Self {
        Self {
            literals: octets.saturating_add(4096),
        }
    }
}

/// What the client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole command.
    Command(Command),
    /// What is no command, or is refused.
    BadLine(LineError),
    /// The answer to a SASL challenge.
    AuthResponse(SaslResponse),
    /// The client cancelled authentication with `"*"`.
    AuthCancelled,
}

/// What is wrong with a command. The text is for the client and quotes nothing of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The command is not understood.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A line is too long.
    #[error("the line is too long")]
    LineTooLong,
    /// The literals are larger than [`Limits::literals`].
    #[error("the script is too large")]
    TooLarge,
    /// NUL or a bare CR in a line.
    #[error("the line has characters that no command may have")]
    Characters,
    /// A SASL response that is not one string of base64.
    #[error("expected a string of base64")]
    Base64,
}

impl LineError {
    /// Whether a script of that size is never taken.
    #[must_use]
    pub fn is_quota(self) -> bool {
        self == Self::TooLarge
    }
}

/// Where in a command the decoder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Line,
    Literal(u64),
    SkipLiteral(u64),
    SkipLine,
}

enum Step {
    Again,
    Wait,
    Event(Event),
}

/// The framing of one connection. Holds no buffer while nothing is pending and [`Decoder::release`] was called.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    lines: Lines,
    framing: Framing,
    expects_response: bool,
    tokens: Vec<Token>,
    /// Octets of literals so far.
    size: u64,
}

impl Decoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lines: Lines::default(),
            framing: Framing::Line,
            expects_response: false,
            tokens: Vec::new(),
            size: 0,
        }
    }

    /// Sets other bounds. They hold from the next line on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// What comes next answers a SASL challenge.
    pub fn expect_auth_response(&mut self) {
        self.expects_response = true;
    }

    /// Where the driver appends what it reads.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.lines.input
    }

    /// Whether octets wait that [`Decoder::next_event`] has not used. At STARTTLS they are plaintext that someone slipped in
    /// (RFC 5804 §2.2) and the connection must end.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.lines.input.is_empty()
    }

    /// Whether a command has begun and not ended.
    #[must_use]
    pub fn is_within_command(&self) -> bool {
        self.has_input() || self.framing != Framing::Line || !self.tokens.is_empty()
    }

    /// Gives the buffers back when nothing is pending.
    pub fn release(&mut self) {
        self.lines.release();
        if self.tokens.is_empty() {
            self.tokens = Vec::new();
        }
    }

    /// The next event, or `None` when more octets are needed.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let step = match self.framing {
                Framing::Line => self.line(),
                Framing::Literal(size) => self.literal(size),
                Framing::SkipLiteral(left) => self.skip_literal(left),
                Framing::SkipLine => self.skip_line(),
            };
            match step {
                Step::Again => {}
                Step::Wait => return None,
                Step::Event(event) => return Some(event),
            }
        }
    }

    fn line(&mut self) -> Step {
        let line = match self.lines.next(MAX_LINE) {
            Line::Unfinished => return Step::Wait,
            Line::TooLong => return self.refuse(LineError::LineTooLong),
            Line::Whole(line) => line,
        };
        if line.is_empty() && self.tokens.is_empty() && !self.expects_response {
            // People press return.
            return Step::Again;
        }
        match self.take(&line) {
            Ok(None) => self.finish(),
            Ok(Some(size)) => {
                self.framing = Framing::Literal(size);
                Step::Again
            }
            Err(error) => {
                if let Some(size) = announced(&line) {
                    self.framing = Framing::SkipLiteral(size);
                }
                self.refuse(error)
            }
        }
    }

    /// Takes the tokens of a line; tells the literal that follows.
    fn take(&mut self, line: &[u8]) -> Result<Option<u64>, LineError> {
        if line.iter().any(|octet| matches!(octet, 0 | b'\r')) {
            return Err(LineError::Characters);
        }
        let literal = lex(line, &mut self.tokens)?;
        if self.tokens.len() > MAX_TOKENS {
            return Err(ParseError::Arguments.into());
        }
        let size = self.size.saturating_add(literal.unwrap_or(0));
        if size > self.limits.literals {
            return Err(LineError::TooLarge);
        }
        self.size = size;
        Ok(literal)
    }

    fn literal(&mut self, size: u64) -> Step {
        let Ok(size) = usize::try_from(size) else {
            return self.refuse(LineError::TooLarge);
        };
        let input = &mut self.lines.input;
        if input.len() < size {
            return Step::Wait;
        }
        let text = input.split_to(size).freeze();
        self.tokens.push(Token::Text(text));
        self.framing = Framing::Line;
        Step::Again
    }

    fn skip_literal(&mut self, left: u64) -> Step {
        let input = &mut self.lines.input;
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        input.advance(now);
        let left = left - now as u64;
        if left > 0 {
            self.framing = Framing::SkipLiteral(left);
            return Step::Wait;
        }
        self.framing = Framing::SkipLine;
        Step::Again
    }

    /// The rest of a line behind a literal that was thrown away; another one may follow.
    fn skip_line(&mut self) -> Step {
        let line = match self.lines.next(MAX_LINE) {
            Line::Unfinished => return Step::Wait,
            Line::TooLong => BytesMut::new(),
            Line::Whole(line) => line,
        };
        self.framing = announced(&line).map_or(Framing::Line, Framing::SkipLiteral);
        Step::Again
    }

    fn finish(&mut self) -> Step {
        let tokens = std::mem::take(&mut self.tokens);
        self.size = 0;
        if std::mem::take(&mut self.expects_response) {
            return Step::Event(response(&tokens));
        }
        Step::Event(match Command::of(tokens) {
            Ok(command) => Event::Command(command),
            Err(error) => Event::BadLine(error.into()),
        })
    }

    fn refuse(&mut self, error: LineError) -> Step {
        self.tokens.clear();
        self.size = 0;
        self.expects_response = false;
        Step::Event(Event::BadLine(error))
    }
}

/// RFC 5804 §2.1: a string of base64, or `"*"`, which cancels
fn response(tokens: &[Token]) -> Event {
    match tokens {
        [Token::Text(text)] if text.as_ref() == b"*" => Event::AuthCancelled,
        [Token::Text(text)] => {
            let response = SaslResponse::decode(text);
            response.map_or(Event::BadLine(LineError::Base64), Event::AuthResponse)
        }
        _ => Event::BadLine(LineError::Base64),
    }
}
