//! Octets in any split to events.
//!
//! The driver reads into [`Decoder::buffer`], then takes events with [`Decoder::next_event`] until there are none. Command
//! lines are framed here: line, announced literal, line. A refused literal never desynchronises the stream: octets that
//! the client sends regardless are thrown away without being kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};

use crate::command::{Command, SaslResponse, Tag};
use crate::limits::Limits;
use crate::parse::{Dialect, Literal, ParseError, Part, parse_command, tag_of};
use crate::response::{Code, Status};

/// RFC 7888 §5: the most that LITERAL- lets a client send unasked.
const LITERAL_MINUS: u64 = 4096;
/// Octets of a thrown-away line that are kept, so that a literal announced at its end is seen.
const KEPT_TAIL: usize = 32;
/// The largest read that is asked for at once while a literal arrives.
const READ_AHEAD: usize = 256 * 1024;

/// What the client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole command.
    Command(Command),
    /// The client waits for `+` before it sends a literal.
    NeedContinuation,
    /// A line that is no command, or that is refused.
    BadLine(BadLine),
    /// DONE: the end of IDLE.
    IdleDone,
    /// The answer to a SASL challenge.
    AuthResponse(SaslResponse),
    /// The client cancelled authentication with `*`.
    AuthCancelled,
}

/// A line to be answered with a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The tag, when there was one; otherwise the answer is untagged.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub error: LineError,
}

/// What is wrong with a line. The text is for the client and quotes nothing of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The command is not understood.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The line is longer than [`Limits::line`].
    #[error("the line is too long")]
    LineTooLong,
    /// A literal or the whole command is larger than the limits.
    #[error("the command is too large")]
    CommandTooLarge,
    /// The message of APPEND is larger than [`Limits::message`].
    #[error("the message is too large")]
    MessageTooLarge,
    /// Each may be as large, but not all in one command.
    #[error("the messages of one command are too large together")]
    MessagesTooLarge,
    /// A non-synchronizing literal above 4096 octets under LITERAL-.
    #[error("non-synchronizing literals may have 4096 octets")]
    LiteralMinus,
    /// NUL or a bare CR in a line.
    #[error("the line has characters that no command may have")]
    Characters,
    /// Something other than DONE during IDLE.
    #[error("expected DONE")]
    NotDone,
    /// A SASL response that is not base64.
    #[error("invalid base64")]
    Base64,
}

impl LineError {
    /// BAD, or NO for a message that is too large (RFC 7889 §4).
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::MessageTooLarge | Self::MessagesTooLarge => Status::No,
            _ => Status::Bad,
        }
    }

    /// The response code.
    #[must_use]
    pub fn code(&self) -> Option<Code<'static>> {
        match self {
            Self::MessageTooLarge => Some(Code::TooBig),
            Self::LineTooLong
            | Self::CommandTooLarge
            | Self::LiteralMinus
            | Self::MessagesTooLarge => Some(Code::Limit),
            Self::Parse(ParseError::Nesting | ParseError::TooMany(_)) => Some(Code::Limit),
            _ => None,
        }
    }
}

/// What the next line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Command,
    Done,
    AuthResponse,
}

/// Where in the octets of a command the decoder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Line,
    Literal { size: u64, binary: bool },
    SkipLine,
    SkipLiteral(u64),
}

/// A literal that a line announces at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    size: u64,
    /// `{n+}`: the client does not wait.
    unasked: bool,
    binary: bool,
    /// Octets of the announcement.
    marker: usize,
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
    utf8: bool,
    expect: Expect,
    framing: Framing,
    input: BytesMut,
    /// Octets at the start of `input` that hold no line end.
    scanned: usize,
    parts: Vec<Part>,
    tag: Option<Tag>,
    /// Size of the command so far, the messages of APPEND apart.
    size: u64,
    /// Octets of the messages of APPEND so far, that which is announced among them.
    messages: u64,
}

impl Decoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            utf8: false,
            expect: Expect::Command,
            framing: Framing::Line,
            input: BytesMut::new(),
            scanned: 0,
            parts: Vec::new(),
            tag: None,
            size: 0,
            messages: 0,
        }
    }

    /// Sets other bounds, for example after log-in. They hold from the next line on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Mailbox names come in UTF-8 from now on: the client has enabled IMAP4rev2 or UTF8=ACCEPT.
    pub fn set_utf8(&mut self, utf8: bool) {
        self.utf8 = utf8;
    }

    /// The next line ends IDLE.
    pub fn expect_done(&mut self) {
        self.expect = Expect::Done;
    }

    /// The next line answers a SASL challenge.
    pub fn expect_auth_response(&mut self) {
        self.expect = Expect::AuthResponse;
    }

    /// Where the driver appends what it reads.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Octets of the command under way: what waits, and the literals that are there.
    #[must_use]
    pub fn held(&self) -> u64 {
        let literals = self.parts.iter().filter_map(|part| part.literal.as_ref());
        let held: usize = literals.map(|literal| literal.data.len()).sum();
        (held + self.input.len()) as u64
    }

    /// How many octets to make room for before the next read: more while a large literal arrives.
    #[must_use]
    pub fn read_hint(&self) -> usize {
        let missing = match self.framing {
            Framing::Literal { size, .. } => usize::try_from(size)
                .unwrap_or(usize::MAX)
                .saturating_sub(self.input.len()),
            _ => 0,
        };
        missing.clamp(2048, READ_AHEAD)
    }

    /// Adds octets by copying them; for drivers that cannot read into [`Decoder::buffer`].
    pub fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// Whether octets wait that [`Decoder::next_event`] has not used. At STARTTLS they are plaintext that someone slipped in
    /// (RFC 9051 §6.2.1) and the connection must end.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Gives the buffers back when nothing is pending: an idle connection should cost nothing.
    pub fn release(&mut self) {
        if self.input.is_empty() && self.parts.is_empty() {
            self.input = BytesMut::new();
            self.parts = Vec::new();
        }
    }

    /// The next event, or `None` when more octets are needed.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let step = match self.framing {
                Framing::Line => self.line(),
                Framing::Literal { size, binary } => self.literal(size, binary),
                Framing::SkipLine => self.skip_line(),
                Framing::SkipLiteral(left) => self.skip_literal(left),
            };
            match step {
                Step::Again => {}
                Step::Wait => return None,
                Step::Event(event) => return Some(event),
            }
        }
    }

    /// The next line without its end, and whether it ended properly.
    fn take_line(&mut self) -> Option<BytesMut> {
        let found = memchr::memchr(b'\n', self.input.get(self.scanned..)?);
        let Some(offset) = found else {
            self.scanned = self.input.len();
            return None;
        };
        let end = self.scanned + offset;
        self.scanned = 0;
        let mut line = self.input.split_to(end + 1);
        line.truncate(end);
        // RFC 9051 §2.2: lines end with CRLF; a bare LF is forgiven, people type commands
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Some(line)
    }

    fn line(&mut self) -> Step {
        let Some(line) = self.take_line() else {
            // One more for a CR whose LF has not come yet.
            return if self.input.len() > self.limits.line + 1 {
                self.over_long()
            } else {
                Step::Wait
            };
        };
        match self.expect {
            Expect::Command => self.command_line(line),
            _ if line.len() > self.limits.line => self.refuse(LineError::LineTooLong),
            Expect::Done => self.done(&line),
            Expect::AuthResponse => self.auth_response(&line),
        }
    }

    /// A line without an end in sight.
    fn over_long(&mut self) -> Step {
        self.note_tag_of_input();
        self.framing = Framing::SkipLine;
        self.refuse(LineError::LineTooLong)
    }

    fn note_tag_of_input(&mut self) {
        if self.parts.is_empty() && self.expect == Expect::Command {
            self.tag = tag_of(&self.input);
        }
    }

    fn done(&mut self, line: &[u8]) -> Step {
        self.expect = Expect::Command;
        if line.eq_ignore_ascii_case(b"DONE") {
            return Step::Event(Event::IdleDone);
        }
        self.refuse(LineError::NotDone)
    }

    fn auth_response(&mut self, line: &[u8]) -> Step {
        self.expect = Expect::Command;
        // RFC 9051 §6.2.2: a line with a single "*" cancels
        if line == b"*" {
            return Step::Event(Event::AuthCancelled);
        }
        match STANDARD.decode(line) {
            Ok(response) => Step::Event(Event::AuthResponse(SaslResponse(response))),
            Err(_) => self.refuse(LineError::Base64),
        }
    }

    fn command_line(&mut self, line: BytesMut) -> Step {
        let announced = announced(&line);
        self.size += line.len() as u64;
        if self.parts.is_empty() {
            if line.is_empty() {
                // Some clients send an empty line behind the literal of APPEND.
                self.reset();
                return Step::Again;
            }
            self.tag = tag_of(&line);
        }
        match self.check_line(&line, announced) {
            Ok(counted) => self.size += counted,
            Err(error) => {
                self.skip_after(announced);
                return self.refuse(error);
            }
        }
        let marker = announced.map_or(0, |announced| announced.marker);
        self.parts.push(Part {
            line: line.freeze(),
            marker,
            literal: None,
        });
        match announced {
            None => self.finish(),
            Some(Announced {
                size,
                unasked,
                binary,
                ..
            }) => {
                self.framing = Framing::Literal { size, binary };
                if unasked {
                    Step::Again
                } else {
                    Step::Event(Event::NeedContinuation)
                }
            }
        }
    }

    /// What the announced literal adds to the size of the command.
    fn check_line(&mut self, line: &[u8], announced: Option<Announced>) -> Result<u64, LineError> {
        if line.len() > self.limits.line {
            return Err(LineError::LineTooLong);
        }
        if self.tag.is_none() {
            return Err(ParseError::Tag.into());
        }
        if line.iter().any(|octet| matches!(octet, 0 | b'\r')) {
            return Err(LineError::Characters);
        }
        let Some(announced) = announced else {
            return self.check_size(0);
        };
        if self.limits.literal_minus && announced.unasked && announced.size > LITERAL_MINUS {
            return Err(LineError::LiteralMinus);
        }
        if self.parts.len() >= self.limits.literals {
            return Err(LineError::CommandTooLarge);
        }
        if self.is_message(line) {
            return self.check_message(announced.size);
        }
        if announced.size > self.limits.literal {
            Err(LineError::CommandTooLarge)
        } else {
            self.check_size(announced.size)
        }
    }

    /// RFC 3502 lets a command bring many messages; they are held until the last has come.
    fn check_message(&mut self, size: u64) -> Result<u64, LineError> {
        if size > self.limits.message {
            return Err(LineError::MessageTooLarge);
        }
        self.messages += size;
        if self.messages > self.limits.message {
            return Err(LineError::MessagesTooLarge);
        }
        self.check_size(0)
    }

    fn check_size(&self, literal: u64) -> Result<u64, LineError> {
        let size = self.size.saturating_add(literal);
        if size > self.limits.command {
            Err(LineError::CommandTooLarge)
        } else {
            Ok(literal)
        }
    }

    /// Whether the literal at the end of `line` is a message of APPEND or REPLACE and not the mailbox name.
    fn is_message(&self, line: &[u8]) -> bool {
        let first = self.parts.first().map_or(line, |part| &part.line);
        let mut words = first.split(|octet| *octet == b' ').skip(1);
        let Some(mailbox) = words_before_mailbox(&mut words) else {
            return false;
        };
        let names_mailbox = self.parts.is_empty()
            && words
                .nth(mailbox)
                .is_none_or(|word| matches!(word.first(), Some(b'{') | None));
        !names_mailbox
    }

    /// What the client will send although the line was refused.
    fn skip_after(&mut self, announced: Option<Announced>) {
        self.framing = match announced {
            Some(Announced {
                size,
                unasked: true,
                ..
            }) => Framing::SkipLiteral(size),
            // RFC 9051 §4.3: a client whose synchronizing literal is refused sends neither it nor the rest
            Some(_) | None => Framing::Line,
        };
    }

    fn literal(&mut self, size: u64, binary: bool) -> Step {
        let Ok(size) = usize::try_from(size) else {
            return self.refuse(LineError::CommandTooLarge);
        };
        if self.input.len() < size {
            return Step::Wait;
        }
        let data = self.input.split_to(size).freeze();
        if let Some(part) = self.parts.last_mut() {
            part.literal = Some(Literal { data, binary });
        }
        self.framing = Framing::Line;
        Step::Again
    }

    fn skip_line(&mut self) -> Step {
        let Some(line) = self.take_line() else {
            let spare = self.input.len().saturating_sub(KEPT_TAIL);
            self.input.advance(spare);
            self.scanned = self.input.len();
            return Step::Wait;
        };
        self.skip_after(announced(&line));
        Step::Again
    }

    fn skip_literal(&mut self, left: u64) -> Step {
        let now = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.input.len());
        self.input.advance(now);
        let left = left - now as u64;
        if left > 0 {
            self.framing = Framing::SkipLiteral(left);
            return Step::Wait;
        }
        self.framing = Framing::SkipLine;
        Step::Again
    }

    fn finish(&mut self) -> Step {
        let parts = std::mem::take(&mut self.parts);
        let dialect = Dialect {
            utf8: self.utf8,
            nesting: self.limits.nesting,
            ranges: self.limits.ranges,
        };
        let Some(tag) = self.tag.clone() else {
            return self.refuse(ParseError::Tag.into());
        };
        match parse_command(tag, &parts, dialect) {
            Ok(command) => {
                self.reset();
                Step::Event(Event::Command(command))
            }
            Err(error) => self.refuse(error.into()),
        }
    }

    fn refuse(&mut self, error: LineError) -> Step {
        let tag = self.tag.take();
        self.reset();
        self.expect = Expect::Command;
        Step::Event(Event::BadLine(BadLine { tag, error }))
    }

    /// The next line starts a command.
    fn reset(&mut self) {
        self.parts.clear();
        self.tag = None;
        self.size = 0;
        self.messages = 0;
    }
}

/// How many words stand between the command, which is taken, and its mailbox; `None` for one that brings no message.
fn words_before_mailbox<'a>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let is = |word: &[u8], name: &[u8]| word.eq_ignore_ascii_case(name);
    match words.next()? {
        name if is(name, b"APPEND") => Some(0),
        name if is(name, b"REPLACE") => Some(1),
        name if is(name, b"UID") => words.next().filter(|name| is(name, b"REPLACE")).map(|_| 1),
        _ => None,
    }
}

/// RFC 9051 §9, `literal` and `literal8` at the end of a line; RFC 7888 §8 for `+`.
fn announced(line: &[u8]) -> Option<Announced> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    let number = inner.get(open + 1..)?;
    let (number, unasked) = match number.strip_suffix(b"+") {
        Some(number) => (number, true),
        None => (number, false),
    };
    let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(number).ok().filter(|_| digits)?;
    // A number beyond 64 bits is refused by every limit, and what follows it is thrown away.
    let size = text.parse().unwrap_or(u64::MAX);
    let binary = open.checked_sub(1).and_then(|before| inner.get(before)) == Some(&b'~');
    let marker = line.len() - open + usize::from(binary);
    Some(Announced {
        size,
        unasked,
        binary,
        marker,
    })
}
