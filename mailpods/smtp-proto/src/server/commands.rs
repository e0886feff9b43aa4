//! One handler per command, and what an answer does.

use super::config::Role;
use super::event::{BodyKind, Event};
use super::session::{Mode, Question, Session, Step};
use super::table::{self, Phase};
use crate::address::{ForwardPath, ReversePath};
use crate::command::{Command, HelloKind, Verb};
use crate::error::ProtocolError;
use crate::params::{BodyType, MailParams, RcptParams};
use crate::reply::{Reply, Severity};

const HELP: &str = concat!("Mailpods ", env!("CARGO_PKG_VERSION"), ", see RFC 5321");

impl Session {
    pub(super) fn dispatch(&mut self, command: Command) -> Option<Step> {
        let verb = command.verb();
        let fault = self
            .tls_fault(verb)
            .or_else(|| table::fault(self.phase, verb));
        if let Command::Bdat { size, last } = command {
            return self.on_bdat(size, last, fault);
        }
        if let Some(fault) = fault.or_else(|| self.count_junk(verb)) {
            return self.fault(fault);
        }
        match command {
            Command::Hello { kind, name } => self.on_hello(kind, name),
            Command::Mail { path, params } => self.on_mail(path, params),
            Command::Rcpt { path, params } => self.on_rcpt(path, params),
            Command::Data => self.on_data(),
            Command::Rset => self.on_rset(),
            Command::Quit => self.on_quit(),
            Command::StartTls => self.on_starttls(),
            Command::Auth { mechanism, initial } => self.on_auth(mechanism, initial),
            Command::Vrfy(text) => self.ask(Question::Verify, Event::Vrfy(text)),
            Command::Expn(text) => self.ask(Question::Verify, Event::Expn(text)),
            // RFC 5321 §7.5: which software and version this is can be asked for; the greeting does not shout it.
            Command::Help(_) => self.reply(&Reply::new(214, (0, 0), HELP)),
            Command::Noop | Command::Bdat { .. } => self.reply(&Reply::ok()),
        }
    }

    /// RFC 3207 §4: what may be said without TLS where TLS is required.
    fn tls_fault(&self, verb: Verb) -> Option<ProtocolError> {
        let free = matches!(verb, Verb::Hello | Verb::Noop | Verb::StartTls | Verb::Quit);
        (self.config.require_tls && !self.tls && !free).then_some(ProtocolError::TlsRequired)
    }

    /// Commands that move nothing forward; the first greeting does.
    fn count_junk(&mut self, verb: Verb) -> Option<ProtocolError> {
        let junk = match verb {
            Verb::Rset | Verb::Noop | Verb::Vrfy | Verb::Expn | Verb::Help => true,
            Verb::Hello => self.phase != Phase::Fresh,
            _ => false,
        };
        self.counters.junk += u32::from(junk);
        (self.counters.junk > self.config.limits.junk).then_some(ProtocolError::TooMuchJunk)
    }

    pub(super) fn ask(&mut self, question: Question, event: Event<'static>) -> Option<Step> {
        self.mode = Mode::Ask(question);
        Some(Step::Event(event))
    }

    fn reply(&mut self, reply: &Reply) -> Option<Step> {
        self.push_counted(reply);
        None
    }

    fn on_hello(&mut self, kind: HelloKind, name: String) -> Option<Step> {
        // RFC 2033 §4.1: LHLO in LMTP and nowhere else.
        if self.is_lmtp() != (kind == HelloKind::Lhlo) {
            return self.fault(ProtocolError::NotAvailable("this greeting"));
        }
        // RFC 5321 §4.1.4: a new EHLO ends the transaction, as RSET does.
        self.end_transaction();
        self.ask(Question::Hello(kind), Event::Hello { kind, name })
    }

    fn on_mail(&mut self, path: ReversePath, params: MailParams) -> Option<Step> {
        if self.config.require_auth && !self.authenticated {
            return self.fault(ProtocolError::AuthRequired);
        }
        if self.counters.messages >= self.config.limits.messages {
            return self.fault(ProtocolError::TooManyMessages);
        }
        let limit = self.config.limits.message_size;
        // RFC 1870 §6.1.
        if params.size.is_some_and(|size| size > limit) {
            return self.fault(ProtocolError::TooLarge { limit });
        }
        // RFC 5321 §4.1.1.11: parameters belong to EHLO.
        if !self.extended && params != MailParams::default() {
            return self.fault(ProtocolError::UnknownParameter("EHLO extensions".into()));
        }
        // RFC 8689 §3: it is a promise about TLS, this hop's first.
        if params.require_tls && !self.tls {
            return self.fault(ProtocolError::UnknownParameter("REQUIRETLS".into()));
        }
        let question = Question::Mail {
            smtputf8: params.smtputf8,
            binary: params.body == BodyType::BinaryMime,
        };
        self.ask(question, Event::Mail { path, params })
    }

    fn on_rcpt(&mut self, path: ForwardPath, params: RcptParams) -> Option<Step> {
        if !self.smtputf8 && path.mailbox().is_some_and(|mailbox| !mailbox.is_ascii()) {
            return self.fault(ProtocolError::NeedsSmtpUtf8);
        }
        if self.recipients >= self.config.limits.recipients {
            return self.fault(ProtocolError::TooManyRecipients);
        }
        self.ask(Question::Rcpt, Event::Rcpt { path, params })
    }

    fn on_data(&mut self) -> Option<Step> {
        if self.binary {
            return self.fault(ProtocolError::BinaryNeedsBdat);
        }
        self.ask(Question::Data, Event::BodyStart(BodyKind::Data))
    }

    fn on_rset(&mut self) -> Option<Step> {
        let open = self.in_transaction();
        self.end_transaction();
        self.push_counted(&Reply::ok());
        open.then_some(Step::Event(Event::Reset))
    }

    fn on_quit(&mut self) -> Option<Step> {
        self.end_transaction();
        self.push_counted(&Reply::new(221, (0, 0), "closing connection"));
        self.mode = Mode::Closing;
        Some(Step::Event(Event::Quit))
    }

    fn on_starttls(&mut self) -> Option<Step> {
        if self.tls || !self.config.starttls || !self.extended {
            return self.fault(ProtocolError::TlsNotAvailable);
        }
        self.push_counted(&Reply::new(220, (0, 0), "ready to start TLS"));
        // What came in plain text after STARTTLS must not be read as if it had come under TLS.
        self.input.clear();
        self.mode = Mode::Handshake;
        None
    }

    /// Says yes to the last question with the usual reply. For `BodyEnd`, `250 2.0.0 OK`.
    pub fn accept(&mut self) {
        let Mode::Ask(question) = &self.mode else {
            return;
        };
        let reply = match question {
            Question::Hello(_) | Question::BodyEnd(_) => Reply::ok(),
            Question::Auth => Reply::new(235, (7, 0), "authentication succeeded"),
            Question::Mail { .. } => Reply::new(250, (1, 0), "sender OK"),
            Question::Rcpt => Reply::new(250, (1, 5), "recipient OK"),
            Question::Data | Question::Chunk => Reply::start_mail_input(),
            Question::Verify => Reply::new(
                252,
                (5, 0),
                "cannot verify, but will take mail for what RCPT accepts",
            ),
        };
        self.answer(reply);
    }

    /// Answers the last question. A positive reply means yes; 421 ends the session. Without a question it does nothing.
    pub fn answer(&mut self, reply: Reply) {
        let Mode::Ask(question) = self.mode.clone() else {
            return;
        };
        self.mode = Mode::Command;
        let yes = matches!(
            reply.severity(),
            Severity::Positive | Severity::Intermediate
        );
        match question {
            Question::Hello(kind) if yes => self.greeted(kind),
            Question::Chunk if yes => self.start_chunk(),
            Question::Chunk => self.refuse_chunks(reply),
            Question::Data if yes => {
                self.push_counted(&Reply::start_mail_input());
                self.start_data();
            }
            Question::BodyEnd(due) => self.answer_body(due, &reply),
            question => {
                if yes {
                    self.on_yes(question);
                }
                self.push_counted(&reply);
            }
        }
    }

    fn on_yes(&mut self, question: Question) {
        match question {
            Question::Mail { smtputf8, binary } => {
                self.smtputf8 = smtputf8;
                self.binary = binary;
                self.phase = Phase::Sender;
            }
            Question::Rcpt => {
                self.recipients += 1;
                self.phase = Phase::Recipients;
            }
            Question::Auth => self.authenticated = true,
            _ => {}
        }
    }

    /// RFC 2033 §4.2: LMTP answers once for each accepted recipient.
    fn answer_body(&mut self, due: u32, reply: &Reply) {
        let closing_before = reply.code() == 421;
        self.push_counted(reply);
        if due > 1 && !closing_before && self.mode != Mode::Closing {
            self.mode = Mode::Ask(Question::BodyEnd(due - 1));
            return;
        }
        self.end_transaction();
    }

    fn greeted(&mut self, kind: HelloKind) {
        self.extended = kind != HelloKind::Helo;
        self.phase = Phase::Ready;
        let reply = if self.extended {
            Reply::multiline(250, self.capabilities())
        } else {
            Reply::plain(250, &self.config.hostname)
        };
        self.push_counted(&reply);
    }

    fn capabilities(&self) -> Vec<String> {
        let config = &self.config;
        let limits = &config.limits;
        let mut lines = vec![config.hostname.clone()];
        lines.extend(
            [
                "PIPELINING",
                "8BITMIME",
                "SMTPUTF8",
                "CHUNKING",
                "BINARYMIME",
                "ENHANCEDSTATUSCODES",
                "DSN",
                // RFC 5321 §4.1.1.1: whatever is served beyond the minimum is told.
                "HELP",
            ]
            .map(str::to_owned),
        );
        lines.push(format!("SIZE {}", limits.message_size));
        // RFC 9422 §3.
        lines.push(format!(
            "LIMITS MAILMAX={} RCPTMAX={}",
            limits.messages, limits.recipients
        ));
        if config.starttls && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        // RFC 8689 §3: offered under TLS only.
        if self.tls {
            lines.push("REQUIRETLS".to_owned());
        }
        // RFC 4954 §4, RFC 8314 §3.3: no password without TLS.
        if self.tls
            && !self.authenticated
            && !config.mechanisms.is_empty()
            && config.role != Role::Lmtp
        {
            lines.push(format!("AUTH {}", config.mechanisms.join(" ")));
        }
        lines
    }
}
