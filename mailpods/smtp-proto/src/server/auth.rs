//! The framing of AUTH (RFC 4954 §4); mechanisms live elsewhere.

use super::event::Event;
use super::session::{Line, Mode, Question, Session, Step};
use crate::error::ProtocolError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

impl Session {
    pub(super) fn on_auth(&mut self, mechanism: String, initial: Option<String>) -> Option<Step> {
        if self.authenticated {
            return self.fault(ProtocolError::AlreadyAuthenticated);
        }
        if self.config.mechanisms.is_empty() || !self.extended {
            return self.fault(ProtocolError::NotAvailable("AUTH"));
        }
        if !self.tls {
            return self.fault(ProtocolError::TlsRequired);
        }
        if !self.config.mechanisms.contains(&mechanism) {
            return self.fault(ProtocolError::UnknownMechanism);
        }
        match initial.as_deref().map(decode_initial).transpose() {
            Ok(initial) => self.ask(Question::Auth, Event::AuthStart { mechanism, initial }),
            Err(error) => self.fault(error),
        }
    }

    /// Sends a challenge; the client's response comes as [`Event::AuthResponse`].
    pub fn auth_challenge(&mut self, challenge: &[u8]) {
        if self.mode != Mode::Ask(Question::Auth) {
            return;
        }
        self.output
            .extend_from_slice(format!("334 {}\r\n", STANDARD.encode(challenge)).as_bytes());
        self.mode = Mode::AuthLine;
    }

    /// Sets the mechanisms that this session offers, in order; what a connection can do may be known only after TLS.
    pub fn set_mechanisms(&mut self, mechanisms: Vec<String>) {
        Arc::make_mut(&mut self.config).mechanisms = mechanisms;
    }

    /// True after a successful AUTH.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    pub(super) fn step_auth_line(&mut self) -> Option<Step> {
        let line = match self.take_auth_line() {
            Line::None => return self.rest(Event::NeedInput),
            Line::Bad(error) => return self.abort_auth(&error),
            Line::Whole(line) => line,
        };
        if line == b"*" {
            return self.abort_auth(&ProtocolError::AuthCancelled);
        }
        match STANDARD.decode(&line) {
            Ok(response) => self.ask(Question::Auth, Event::AuthResponse(response)),
            Err(_) => self.abort_auth(&ProtocolError::BadBase64),
        }
    }

    fn abort_auth(&mut self, error: &ProtocolError) -> Option<Step> {
        if self.mode == Mode::AuthLine {
            self.mode = Mode::Command;
        }
        self.answer_fault(error);
        Some(Step::Event(Event::AuthAborted))
    }
}

/// RFC 4954 §4: `=` is an initial response of no octets.
fn decode_initial(text: &str) -> Result<Vec<u8>, ProtocolError> {
    if text == "=" {
        return Ok(Vec::new());
    }
    STANDARD.decode(text).map_err(|_| ProtocolError::BadBase64)
}
