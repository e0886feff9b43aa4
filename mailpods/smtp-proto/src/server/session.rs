//! The machine: input, phase, output, limits.

use super::config::Config;
use super::event::Event;
use super::table::Phase;
use super::transfer::Transfer;
use crate::command::{AUTH_LINE, Command, HelloKind, Verb};
use crate::error::ProtocolError;
use crate::input::Input;
use crate::reply::Reply;
use std::sync::Arc;
use std::time::Instant;

/// Octets of input held at most.
const INPUT: usize = 64 * 1024;
/// Output is handed over when it grows beyond this, even while commands wait.
const OUTPUT: usize = 16 * 1024;

/// One connection, from the greeting to the end.
///
/// ```text
/// greet() or refuse(), then: loop { match next_event() { NeedInput => feed(read()), Output(o) => write(o), ask => answer } }
/// ```
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<Config>,
    pub(super) input: Input,
    pub(super) output: Vec<u8>,
    pub(super) mode: Mode,
    pub(super) phase: Phase,
    pub(super) counters: Counters,
    pub(super) tls: bool,
    pub(super) authenticated: bool,
    pub(super) extended: bool,
    pub(super) smtputf8: bool,
    pub(super) binary: bool,
    pub(super) recipients: u32,
    pub(super) transfer: Transfer,
    close_reason: Option<ProtocolError>,
    early: bool,
    stopping: bool,
    started: Instant,
    active: Instant,
}

/// What the next step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// The greeting is not out.
    Connect,
    /// A command line comes.
    Command,
    /// The rest of an over-long line is thrown away.
    SkipLine,
    /// The driver owes an answer.
    Ask(Question),
    /// A line of an AUTH exchange comes.
    AuthLine,
    /// The driver does the TLS handshake.
    Handshake,
    /// A DATA body comes.
    Data,
    /// Octets of a chunk come.
    Chunk,
    /// The output is written and then it is over.
    Closing,
}

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    Hello(HelloKind),
    Auth,
    Mail {
        smtputf8: bool,
        binary: bool,
    },
    Rcpt,
    Data,
    Chunk,
    /// So many answers are still due.
    BodyEnd(u32),
    Verify,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commands: u32,
    pub(super) errors: u32,
    pub(super) unrecognized: u32,
    pub(super) junk: u32,
    pub(super) messages: u32,
}

/// What a step gives: an event, or a piece of the input that was just consumed.
pub(super) enum Step {
    Event(Event<'static>),
    Piece(usize),
    Text(&'static [u8]),
}

impl Session {
    /// A session for a connection just accepted. `tls`: it began with TLS (RFC 8314).
    pub fn new(config: Arc<Config>, tls: bool, now: Instant) -> Session {
        Session {
            config,
            input: Input::new(INPUT),
            output: Vec::new(),
            mode: Mode::Connect,
            phase: Phase::Fresh,
            counters: Counters::default(),
            tls,
            authenticated: false,
            extended: false,
            smtputf8: false,
            binary: false,
            recipients: 0,
            transfer: Transfer::default(),
            close_reason: None,
            early: false,
            stopping: false,
            started: now,
            active: now,
        }
    }

    /// Sends the greeting 220.
    pub fn greet(&mut self) {
        let name = &self.config.hostname;
        let protocol = if self.is_lmtp() { "LMTP" } else { "ESMTP" };
        let reply = Reply::plain(220, format!("{name} {protocol} ready"));
        self.early = !self.input.is_empty();
        self.push(&reply);
        self.mode = Mode::Command;
    }

    /// Greets with a refusal (421 or 554) and closes.
    pub fn refuse(&mut self, reply: Reply) {
        self.push(&reply);
        self.mode = Mode::Closing;
    }

    /// True when octets came before the greeting (RFC 5321 §4.3.1 forbids it): a sign of a bot.
    pub fn early_talker(&self) -> bool {
        self.early || (self.mode == Mode::Connect && !self.input.is_empty())
    }

    /// Takes octets that were received at `now`; gives how many. Fewer than offered means: take events first. During the
    /// TLS handshake none are taken.
    pub fn feed(&mut self, octets: &[u8], now: Instant) -> usize {
        if !octets.is_empty() {
            self.active = now;
        }
        match self.mode {
            Mode::Handshake => 0,
            Mode::Closing => octets.len(),
            _ => self.input.feed(octets),
        }
    }

    /// Octets that `feed` takes now.
    pub fn room(&self) -> usize {
        self.input.room()
    }

    /// When [`Session::timed_out`] is to be called if nothing comes.
    pub fn deadline(&self) -> Instant {
        let limits = &self.config.limits;
        (self.active + limits.idle).min(self.started + limits.total)
    }

    /// Ends the session with 421 4.4.2 (RFC 5321 §4.5.3.2.7).
    pub fn timed_out(&mut self) {
        self.close_with(&ProtocolError::TimedOut);
    }

    /// Ends the session with 421 4.3.2 at the next command; a message under way is finished first.
    pub fn shutdown(&mut self) {
        self.stopping = true;
    }

    /// Opens the session anew after a STARTTLS handshake (RFC 3207 §4.2).
    pub fn tls_established(&mut self, now: Instant) {
        self.tls = true;
        self.active = now;
        self.input.clear();
        self.end_transaction();
        self.phase = Phase::Fresh;
        self.mode = Mode::Command;
    }

    /// Why the session was ended from this side, if it was.
    pub fn close_reason(&self) -> Option<&ProtocolError> {
        self.close_reason.as_ref()
    }

    /// True when TLS is on.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// True between MAIL and the end of its transaction.
    pub fn in_transaction(&self) -> bool {
        matches!(
            self.phase,
            Phase::Sender | Phase::Recipients | Phase::Chunks
        )
    }

    /// True when the session waits for a command and nothing is half done: a clean point to go.
    pub fn is_idle(&self) -> bool {
        self.mode == Mode::Command && self.input.is_empty() && !self.in_transaction()
    }

    /// The next step. Call it until it says `NeedInput`, `NeedAnswer` or `Closed`.
    pub fn next_event(&mut self) -> Event<'_> {
        loop {
            if self.output.len() > OUTPUT {
                return Event::Output(std::mem::take(&mut self.output));
            }
            match self.step() {
                Some(Step::Event(event)) => return event,
                Some(Step::Text(text)) => return Event::BodyChunk(text),
                Some(Step::Piece(count)) => {
                    return Event::BodyChunk(self.input.consumed(count, count));
                }
                None => {}
            }
        }
    }

    /// One step; None when there is another to do at once.
    fn step(&mut self) -> Option<Step> {
        match self.mode {
            Mode::Connect => self.rest(Event::NeedAnswer),
            Mode::Command if self.stopping => self.stop(),
            Mode::Command => self.step_command(),
            Mode::SkipLine => self.step_skip_line(),
            Mode::Ask(_) => Some(Step::Event(Event::NeedAnswer)),
            Mode::AuthLine => self.step_auth_line(),
            Mode::Handshake => self.rest(Event::StartTls),
            Mode::Data => self.step_data(),
            Mode::Chunk => self.step_chunk(),
            Mode::Closing => self.rest(Event::Closed),
        }
    }

    /// Output first, then `event`.
    pub(super) fn rest(&mut self, event: Event<'static>) -> Option<Step> {
        Some(Step::Event(match self.output.is_empty() {
            true => event,
            false => Event::Output(std::mem::take(&mut self.output)),
        }))
    }

    fn stop(&mut self) -> Option<Step> {
        self.close_with(&ProtocolError::ShuttingDown);
        None
    }

    fn step_command(&mut self) -> Option<Step> {
        let line = match self.take_line() {
            Line::None => return self.rest(Event::NeedInput),
            Line::Bad(error) => return self.fault(error),
            Line::Whole(line) => line,
        };
        self.counters.commands += 1;
        if self.counters.commands > self.config.limits.commands {
            return self.fault(ProtocolError::TooManyCommands);
        }
        match Command::parse(&line) {
            Ok(command) => self.dispatch(command),
            Err(error) => self.refuse_line(&line, error),
        }
    }

    /// A line that is no command. What a BDAT that cannot be read is followed by cannot be told from commands, so the
    /// session ends there.
    fn refuse_line(&mut self, line: &[u8], error: ProtocolError) -> Option<Step> {
        if error == ProtocolError::UnknownCommand {
            self.counters.unrecognized += 1;
            if self.counters.unrecognized > self.config.limits.unrecognized {
                return self.fault(ProtocolError::TooManyUnrecognized);
            }
        }
        let is_bdat = line
            .get(..4)
            .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"));
        let step = self.fault(error);
        if is_bdat {
            self.mode = Mode::Closing;
        }
        step
    }

    /// A line up to LF. RFC 5321 §2.3.8: one that ends otherwise than in CRLF is not executed.
    fn take_line(&mut self) -> Line {
        let input = self.input.as_slice();
        let limit = Verb::line_limit(input);
        let limit = if self.mode == Mode::AuthLine {
            AUTH_LINE
        } else {
            limit
        };
        let window = input.get(..limit).unwrap_or(input);
        let Some(end) = memchr::memchr(b'\n', window) else {
            if window.len() == limit {
                self.mode = Mode::SkipLine;
                return Line::Bad(ProtocolError::LineTooLong(limit));
            }
            return Line::None;
        };
        let line = input.get(..end).unwrap_or(&[]);
        let result = match line.strip_suffix(b"\r") {
            Some(line) if memchr::memchr2(b'\r', 0, line).is_none() => Line::Whole(line.to_vec()),
            _ => Line::Bad(ProtocolError::BadLineEnd),
        };
        self.input.consume(end + 1);
        result
    }

    fn step_skip_line(&mut self) -> Option<Step> {
        let input = self.input.as_slice();
        match memchr::memchr(b'\n', input) {
            Some(end) => {
                self.input.consume(end + 1);
                self.mode = Mode::Command;
                None
            }
            None => {
                self.input.consume(input.len());
                self.rest(Event::NeedInput)
            }
        }
    }

    /// Answers with the error's reply, counts it, and reports it.
    pub(super) fn fault(&mut self, error: ProtocolError) -> Option<Step> {
        self.answer_fault(&error);
        Some(Step::Event(Event::Fault(error)))
    }

    pub(super) fn answer_fault(&mut self, error: &ProtocolError) {
        if error.closes() {
            self.close_with(error);
        } else {
            self.push_counted(&error.reply());
        }
    }

    /// Appends a reply; 5yz are counted, 421 closes.
    pub(super) fn push_counted(&mut self, reply: &Reply) {
        self.push(reply);
        if reply.code() == 421 {
            self.mode = Mode::Closing;
        }
        if reply.code() >= 500 {
            self.counters.errors += 1;
            if self.counters.errors > self.config.limits.errors {
                self.close_with(&ProtocolError::TooManyErrors);
            }
        }
    }

    fn push(&mut self, reply: &Reply) {
        reply.encode(&mut self.output);
    }

    pub(super) fn close_with(&mut self, error: &ProtocolError) {
        if self.mode != Mode::Closing {
            self.push(&error.reply());
            self.mode = Mode::Closing;
            self.close_reason = Some(error.clone());
        }
    }

    pub(super) fn end_transaction(&mut self) {
        if self.phase != Phase::Fresh {
            self.phase = Phase::Ready;
        }
        self.smtputf8 = false;
        self.binary = false;
        self.recipients = 0;
        self.transfer = Transfer::default();
    }

    pub(super) fn is_lmtp(&self) -> bool {
        self.config.role == super::config::Role::Lmtp
    }
}

pub(super) enum Line {
    None,
    Bad(ProtocolError),
    Whole(Vec<u8>),
}

impl Session {
    pub(super) fn take_auth_line(&mut self) -> Line {
        self.take_line()
    }
}
