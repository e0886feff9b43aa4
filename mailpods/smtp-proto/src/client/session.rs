//! The client machine: greeting, EHLO, STARTTLS, AUTH, then transactions.

use super::capabilities::Capabilities;
use super::event::{ClientConfig, Event, Failure, Phase, Protocol, TlsMode};
use super::replies::ReplyParser;
use super::stuffer::DotStuffer;
use super::transaction::Transaction;
use crate::client::Outcome;
use crate::reply::{Reply, Severity};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Octets of a body that are gathered before they leave.
const GATHERED: usize = 32 * 1024;

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    pub(super) config: Arc<ClientConfig>,
    pub(super) capabilities: Capabilities,
    pub(super) state: State,
    pub(super) output: Vec<u8>,
    pub(super) events: VecDeque<Event>,
    pub(super) envelope: Envelope,
    pub(super) needs_reset: bool,
    replies: ReplyParser,
    tls: bool,
    closing: bool,
    sent: u32,
    /// Whole replies that came.
    heard: u64,
}

/// Where the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Greeting,
    Hello {
        fallback: bool,
    },
    StartTls,
    Handshake,
    Ready,
    Auth,
    AuthResponse,
    /// Commands and replies of a transaction, by its queues.
    Transaction,
    /// The driver owes a piece of the body.
    Body,
    Quit,
    Ended,
}

/// A transaction under way.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) transaction: Transaction,
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// What was under way when each outcome came.
    pub(super) phases: Vec<Phase>,
    /// Replies to RCPT that said yes.
    pub(super) accepted: Vec<usize>,
    pub(super) to_send: VecDeque<Step>,
    pub(super) awaited: VecDeque<Step>,
    pub(super) stuffer: DotStuffer,
    pub(super) chunking: bool,
    pub(super) body_done: bool,
    pub(super) mail_refused: Option<Outcome>,
}

impl Envelope {
    /// Whether the reply is awaited that decides about the message.
    pub(super) fn awaits_end(&self) -> bool {
        matches!(self.awaited.back(), Some(Step::End(_)))
    }
}

/// A command of a transaction, and then the reply that is awaited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    Chunk,
    /// The reply after the body, for one recipient (LMTP) or for all.
    End(Option<usize>),
    /// The reply to an empty body that no recipient wants.
    Discard,
}

impl Client {
    /// A client on a connection just made.
    pub fn new(config: Arc<ClientConfig>) -> Client {
        Client {
            tls: config.tls == TlsMode::Implicit,
            config,
            capabilities: Capabilities::default(),
            state: State::Greeting,
            output: Vec::new(),
            events: VecDeque::new(),
            envelope: Envelope::default(),
            needs_reset: false,
            replies: ReplyParser::default(),
            closing: false,
            sent: 0,
            heard: 0,
        }
    }

    /// Whole replies so far: who waits for the next one waits no longer because part of it has come.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Takes octets from the server.
    pub fn feed(&mut self, octets: &[u8]) {
        self.replies.feed(octets);
    }

    /// The next step. Call it until it says `NeedInput` or asks something.
    pub fn next_event(&mut self) -> Event {
        loop {
            if !self.output.is_empty() && !self.gathers() {
                return Event::Output(std::mem::take(&mut self.output));
            }
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.state {
                State::Handshake => return Event::StartTls,
                State::Ended => return Event::Closed,
                State::Body if self.may_send_body() => return Event::SendBody,
                _ => {}
            }
            match self.replies.next_reply() {
                Ok(Some(reply)) => self.on_reply(reply),
                Ok(None) => return Event::NeedInput,
                Err(error) => self.violation(error.to_string()),
            }
        }
    }

    /// A small body and its end leave in one write.
    fn gathers(&self) -> bool {
        self.state == State::Body && !self.envelope.chunking && self.output.len() < GATHERED
    }

    /// Where the session is.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Greeting => Phase::Greeting,
            State::Hello { .. } => Phase::Hello,
            State::StartTls | State::Handshake => Phase::Tls,
            State::Auth | State::AuthResponse => Phase::Auth,
            State::Ready => Phase::Ready,
            State::Transaction | State::Body => self.transaction_phase(),
            State::Quit | State::Ended => Phase::Quit,
        }
    }

    /// How long to wait for input now (RFC 5321 §4.5.3.2).
    pub fn timeout(&self) -> Duration {
        self.phase().timeout(&self.config.timeouts)
    }

    /// What the server offers.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// True when TLS is on.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// True when another transaction may be sent on this connection.
    pub fn is_reusable(&self) -> bool {
        let more = self.capabilities.mail_max.is_none_or(|max| self.sent < max);
        self.state == State::Ready && !self.closing && more
    }

    /// The handshake after `StartTls` is done.
    pub fn tls_established(&mut self) {
        if self.state == State::Handshake {
            self.tls = true;
            self.hello();
        }
    }

    /// The connection ended, or a time-out passed. What is undecided comes out as `Lost`.
    pub fn lost(&mut self) {
        let phase = self.phase();
        match self.state {
            State::Ended => {}
            State::Quit => self.state = State::Ended,
            _ => self.fail(Outcome::Lost(phase), Failure::Lost(phase)),
        }
    }

    /// Begins AUTH with a mechanism that is offered; the answer is `AuthChallenge` or `AuthDone`. Only when `Ready`.
    pub fn auth(&mut self, mechanism: &str, initial: Option<&[u8]>) {
        if self.state != State::Ready {
            return;
        }
        let initial = match initial {
            None => String::new(),
            // RFC 4954 §4.
            Some([]) => " =".to_owned(),
            Some(octets) => format!(" {}", STANDARD.encode(octets)),
        };
        let name: String = mechanism
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .collect();
        self.write(&format!("AUTH {name}{initial}\r\n"));
        self.state = State::Auth;
    }

    /// Answers a challenge.
    pub fn auth_response(&mut self, response: &[u8]) {
        if self.state == State::AuthResponse {
            self.write(&format!("{}\r\n", STANDARD.encode(response)));
            self.state = State::Auth;
        }
    }

    /// Gives up the exchange; `AuthDone` follows with the server's refusal.
    pub fn auth_cancel(&mut self) {
        if self.state == State::AuthResponse {
            self.write("*\r\n");
            self.state = State::Auth;
        }
    }

    /// Says QUIT; `Closed` follows.
    pub fn quit(&mut self) {
        if matches!(self.state, State::Ready) {
            self.say_quit();
        }
    }

    fn say_quit(&mut self) {
        self.write("QUIT\r\n");
        self.state = State::Quit;
    }

    pub(super) fn write(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
    }

    fn on_reply(&mut self, reply: Reply) {
        self.heard += 1;
        // RFC 5321 §3.8: 421 may answer anything and ends the connection.
        self.closing |= reply.code() == 421;
        match self.state {
            State::Greeting => self.on_greeting(reply),
            State::Hello { fallback } => self.on_hello(reply, fallback),
            State::StartTls => self.on_starttls(&reply),
            State::Auth => self.on_auth(reply),
            State::Transaction | State::Body => self.on_transaction_reply(reply),
            State::Quit => self.state = State::Ended,
            State::Ready if self.closing => self.refused(reply),
            _ => self.violation(format!("unexpected reply {reply}")),
        }
    }

    fn on_greeting(&mut self, reply: Reply) {
        // RFC 5321 §4.2: the first digit decides.
        match reply.severity() {
            Severity::Positive => self.hello(),
            Severity::Intermediate => self.violation(format!("unexpected greeting {reply}")),
            Severity::Transient | Severity::Permanent => self.refused(reply),
        }
    }

    fn hello(&mut self) {
        let verb = match self.config.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        self.say_hello(verb, false);
    }

    fn say_hello(&mut self, verb: &str, fallback: bool) {
        let name: String = self
            .config
            .helo
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .collect();
        self.write(&format!("{verb} {name}\r\n"));
        self.state = State::Hello { fallback };
    }

    fn on_hello(&mut self, reply: Reply, fallback: bool) {
        match reply.severity() {
            Severity::Positive => self.greeted(&reply, fallback),
            // RFC 5321 §3.2: a server without extensions.
            Severity::Permanent
                if !fallback && !self.tls && self.config.protocol == Protocol::Smtp =>
            {
                self.say_hello("HELO", true);
            }
            Severity::Intermediate => self.violation(format!("unexpected reply {reply}")),
            _ => self.refused(reply),
        }
    }

    fn greeted(&mut self, reply: &Reply, fallback: bool) {
        self.capabilities = if fallback {
            Capabilities::default()
        } else {
            Capabilities::parse(reply)
        };
        let wanted = matches!(self.config.tls, TlsMode::Opportunistic | TlsMode::Required);
        if wanted && !self.tls && self.capabilities.starttls {
            self.write("STARTTLS\r\n");
            self.state = State::StartTls;
        } else {
            self.ready();
        }
    }

    fn on_starttls(&mut self, reply: &Reply) {
        if reply.code() != 220 {
            return self.ready();
        }
        if self.replies.has_pending() {
            // Octets sent in plain text that would be read as if they had come under TLS.
            return self.violation("octets after the reply to STARTTLS".to_owned());
        }
        self.state = State::Handshake;
    }

    fn ready(&mut self) {
        if self.config.tls == TlsMode::Required && !self.tls {
            self.end(Failure::TlsUnavailable);
            return self.say_quit();
        }
        self.state = State::Ready;
        self.events
            .push_back(Event::Ready(self.capabilities.clone()));
    }

    fn on_auth(&mut self, reply: Reply) {
        if reply.severity() != Severity::Intermediate {
            self.state = State::Ready;
            return self.events.push_back(Event::AuthDone(reply));
        }
        let text = reply.lines().first().map_or("", |line| line.trim());
        match STANDARD.decode(text) {
            Ok(challenge) => {
                self.state = State::AuthResponse;
                self.events.push_back(Event::AuthChallenge(challenge));
            }
            Err(_) => {
                self.state = State::AuthResponse;
                self.auth_cancel();
            }
        }
    }

    pub(super) fn violation(&mut self, detail: String) {
        let phase = self.phase();
        self.fail(
            Outcome::Violation(detail.clone()),
            Failure::Violation { phase, detail },
        );
    }

    fn refused(&mut self, reply: Reply) {
        self.end(Failure::Refused(reply));
        if !self.closing {
            // RFC 5321 §3.1, §4.1.1.10: QUIT also where nothing was accepted; after 421 the server closes
            self.say_quit();
        }
    }

    /// Ends the session; a transaction under way ends first, with `outcome` for what is undecided.
    fn fail(&mut self, outcome: Outcome, failure: Failure) {
        if matches!(self.state, State::Transaction | State::Body) {
            self.finish(&outcome);
        }
        self.end(failure);
    }

    fn end(&mut self, failure: Failure) {
        self.state = State::Ended;
        self.output.clear();
        self.events.push_back(Event::Failed(failure));
    }

    pub(super) fn count_message(&mut self) {
        self.sent = self.sent.saturating_add(1);
    }
}
