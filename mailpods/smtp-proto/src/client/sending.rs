//! A transaction on a client: MAIL, RCPT and DATA in one group where PIPELINING is offered (RFC 2920), or BDAT for a
//! binary message (RFC 3030), and what each reply means for whom.

use super::event::{Event, Outcome, Phase, Protocol};
use super::session::{Client, Envelope, State, Step};
use super::transaction::{Transaction, TransactionResult};
use crate::params::BodyType;
use crate::reply::{Reply, Severity};

impl Client {
    /// Sends a message; `Done` comes with an outcome per recipient. Only when `Ready` and reusable; otherwise every
    /// outcome is `Lost`.
    pub fn send(&mut self, transaction: Transaction) {
        let obstacle = self.obstacle(&transaction);
        self.envelope = Envelope {
            outcomes: vec![None; transaction.recipients.len()],
            phases: vec![Phase::Ready; transaction.recipients.len()],
            transaction,
            ..Envelope::default()
        };
        if let Some(outcome) = obstacle {
            return self.finish(&outcome);
        }
        self.count_message();
        self.state = State::Transaction;
        self.queue_envelope();
        self.pump();
    }

    fn obstacle(&self, transaction: &Transaction) -> Option<Outcome> {
        if !self.is_reusable() {
            return Some(Outcome::Lost(self.phase()));
        }
        if !transaction.is_sound() {
            return Some(Outcome::Violation("address cannot be sent".to_owned()));
        }
        transaction.obstacle(&self.capabilities, &self.config)
    }

    fn queue_envelope(&mut self) {
        let envelope = &mut self.envelope;
        envelope.chunking = envelope.transaction.body == BodyType::BinaryMime;
        if std::mem::take(&mut self.needs_reset) {
            envelope.to_send.push_back(Step::Reset);
        }
        envelope.to_send.push_back(Step::Mail);
        // RFC 9422 §4: no more recipients than the server takes.
        let most = self
            .capabilities
            .rcpt_max
            .map_or(usize::MAX, |max| max as usize);
        for index in 0..envelope.outcomes.len() {
            if index < most {
                envelope.to_send.push_back(Step::Rcpt(index));
            } else if let Some(outcome) = envelope.outcomes.get_mut(index) {
                *outcome = Some(Outcome::NotTried);
            }
        }
        if !envelope.chunking {
            envelope.to_send.push_back(Step::Data);
        }
    }

    /// Writes what may be written now.
    fn pump(&mut self) {
        while self.may_write() {
            let Some(step) = self.envelope.to_send.pop_front() else {
                break;
            };
            let line = match step {
                Step::Reset => "RSET\r\n".to_owned(),
                Step::Mail => self.envelope.transaction.mail_command(&self.capabilities),
                Step::Rcpt(index) => match self.envelope.transaction.recipients.get(index) {
                    Some(recipient) => recipient.rcpt_command(&self.capabilities),
                    None => continue,
                },
                Step::Data if self.envelope_is_hopeless() => continue,
                Step::Data => "DATA\r\n".to_owned(),
                Step::Chunk | Step::End(_) | Step::Discard => continue,
            };
            self.write(&line);
            self.envelope.awaited.push_back(step);
        }
        if self.envelope.to_send.is_empty() && self.envelope.awaited.is_empty() {
            self.envelope_done();
        }
    }

    fn may_write(&self) -> bool {
        self.envelope.awaited.is_empty() || self.pipelines()
    }

    fn pipelines(&self) -> bool {
        self.config.pipelining && self.capabilities.pipelining
    }

    /// Every reply is in and none lets a body follow.
    fn envelope_is_hopeless(&self) -> bool {
        self.envelope.awaited.is_empty() && self.envelope.accepted.is_empty()
    }

    /// Nothing left to send or to await before the body, or after it.
    fn envelope_done(&mut self) {
        let body_next = self.envelope.chunking
            && !self.envelope.body_done
            && !self.envelope.accepted.is_empty();
        if body_next {
            self.state = State::Body;
            return;
        }
        if !self.envelope.body_done && self.envelope.mail_refused.is_none() {
            self.needs_reset = true;
        }
        self.finish(&Outcome::Violation(
            "no reply for this recipient".to_owned(),
        ));
    }

    pub(super) fn on_transaction_reply(&mut self, reply: Reply) {
        let Some(step) = self.envelope.awaited.pop_front() else {
            // RFC 5321 §3.8: a server that goes away in the middle of a body says so first.
            self.decide_accepted(Outcome::from_reply(reply), Phase::DataBlock);
            return self.violation("reply before the end of the body".to_owned());
        };
        match step {
            Step::Reset | Step::Discard => {}
            Step::Mail => self.on_mail_reply(reply),
            Step::Rcpt(index) => self.on_rcpt_reply(index, reply),
            Step::Data => return self.on_data_reply(reply),
            Step::Chunk => self.on_chunk_reply(reply),
            Step::End(Some(index)) => {
                self.decide(index, Outcome::from_reply(reply), Phase::DataEnd);
            }
            Step::End(None) => self.decide_accepted(Outcome::from_reply(reply), Phase::DataEnd),
        }
        if self.state == State::Transaction {
            self.pump();
        }
    }

    fn on_mail_reply(&mut self, reply: Reply) {
        if reply.severity() == Severity::Positive {
            return;
        }
        let outcome = Outcome::from_reply(reply);
        self.envelope.mail_refused = Some(outcome.clone());
        for index in 0..self.envelope.outcomes.len() {
            self.decide(index, outcome.clone(), Phase::Mail);
        }
        self.envelope.to_send.clear();
    }

    fn on_rcpt_reply(&mut self, index: usize, reply: Reply) {
        if reply.severity() != Severity::Positive {
            self.decide(index, Outcome::from_reply(reply), Phase::Rcpt);
        } else if self.envelope.mail_refused.is_none() {
            self.envelope.accepted.push(index);
        }
    }

    fn on_data_reply(&mut self, reply: Reply) {
        let go_on = reply.code() == 354;
        match (go_on, self.envelope.accepted.is_empty()) {
            (true, false) => self.state = State::Body,
            (true, true) => {
                // RFC 2920 §3.1: a server that goes on without recipients gets an empty body.
                self.write(".\r\n");
                self.envelope.body_done = true;
                self.envelope.awaited.push_back(Step::Discard);
            }
            (false, _) => {
                self.decide_accepted(Outcome::from_reply(reply), Phase::DataInit);
                self.needs_reset = true;
                self.pump();
            }
        }
    }

    fn on_chunk_reply(&mut self, reply: Reply) {
        if reply.severity() == Severity::Positive {
            return;
        }
        // RFC 3030 §2: the transaction has failed; what is under way is still answered.
        self.decide_accepted(Outcome::from_reply(reply), Phase::DataBlock);
        self.needs_reset = true;
        self.envelope.body_done = true;
        self.state = State::Transaction;
    }

    /// True when the driver may pass a piece of the body now.
    pub(super) fn may_send_body(&self) -> bool {
        self.envelope.awaited.is_empty() || (self.pipelines() && self.envelope.awaited.len() < 16)
    }

    /// Passes a piece of the body, as the answer to `SendBody`. Pieces of about 64 KiB are best.
    pub fn body(&mut self, piece: &[u8]) {
        if self.state != State::Body || piece.is_empty() {
            return;
        }
        if self.envelope.chunking {
            self.write(&format!("BDAT {}\r\n", piece.len()));
            self.output.extend_from_slice(piece);
            self.envelope.awaited.push_back(Step::Chunk);
        } else {
            self.envelope.stuffer.write(piece, &mut self.output);
        }
    }

    /// The body is whole.
    pub fn body_end(&mut self) {
        if self.state != State::Body {
            return;
        }
        if self.envelope.chunking {
            self.write("BDAT 0 LAST\r\n");
        } else {
            self.envelope.stuffer.finish(&mut self.output);
        }
        self.envelope.body_done = true;
        self.state = State::Transaction;
        match self.config.protocol {
            Protocol::Smtp => self.envelope.awaited.push_back(Step::End(None)),
            Protocol::Lmtp => self.envelope.awaited.extend(
                self.envelope
                    .accepted
                    .iter()
                    .map(|index| Step::End(Some(*index))),
            ),
        }
    }

    fn decide(&mut self, index: usize, outcome: Outcome, phase: Phase) {
        let slots = self.envelope.outcomes.get_mut(index);
        let slots = slots.zip(self.envelope.phases.get_mut(index));
        if let Some((slot @ None, when)) = slots {
            (*slot, *when) = (Some(outcome), phase);
        }
    }

    fn decide_accepted(&mut self, outcome: Outcome, phase: Phase) {
        for index in self.envelope.accepted.clone() {
            self.decide(index, outcome.clone(), phase);
        }
    }

    /// Ends the transaction; `rest` is the outcome of whoever has none.
    pub(super) fn finish(&mut self, rest: &Outcome) {
        let envelope = std::mem::take(&mut self.envelope);
        let recipients = envelope
            .outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| rest.clone()))
            .collect();
        if matches!(self.state, State::Transaction | State::Body) {
            self.state = State::Ready;
        }
        self.events.push_back(Event::Done(TransactionResult {
            recipients,
            phases: envelope.phases,
        }));
    }

    pub(super) fn transaction_phase(&self) -> Phase {
        match self.envelope.awaited.front() {
            Some(Step::Reset | Step::Mail) => Phase::Mail,
            Some(Step::Rcpt(_)) => Phase::Rcpt,
            Some(Step::Data) => Phase::DataInit,
            Some(Step::End(_) | Step::Discard) => Phase::DataEnd,
            // The last chunk is under way, whatever number of earlier ones is still to be answered.
            Some(Step::Chunk) if self.envelope.awaits_end() => Phase::DataEnd,
            Some(Step::Chunk) | None => Phase::DataBlock,
        }
    }
}
