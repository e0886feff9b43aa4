//! DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030): octets through the decoder, counted, refused at the end if they must be.

use super::body::{Decoder, Rules, Step as BodyStep};
use super::event::{BodyKind, Event};
use super::session::{Mode, Question, Session, Step};
use super::table::Phase;
use crate::error::ProtocolError;
use crate::reply::Reply;

/// A refused body is read to its end, for the reply to be understood, but not for ever: so many times the size limit.
const DISCARD_FACTOR: u64 = 2;
const DISCARD_EXTRA: u64 = 1024 * 1024;

/// The body under way.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    decoder: Option<Decoder>,
    /// Content octets so far.
    size: u64,
    /// Octets off the wire so far.
    wire: u64,
    refusal: Option<Refusal>,
    /// Octets of the present chunk still to come.
    chunk_left: u64,
    chunk_size: u64,
    chunk_last: bool,
}

/// Why a body is read without being passed on.
#[derive(Debug)]
enum Refusal {
    /// The body itself, found here; the driver must be told.
    Fault(ProtocolError),
    /// The command was out of place, or the driver said no; it knows.
    Answered(Reply),
}

impl Session {
    fn rules(&self) -> Rules {
        Rules {
            newlines: self.config.newlines,
            nul: self.config.nul,
            line: self.config.limits.line,
        }
    }

    pub(super) fn start_data(&mut self) {
        if self.mode == Mode::Closing {
            return;
        }
        self.transfer = Transfer {
            decoder: Some(Decoder::data(self.rules())),
            ..Transfer::default()
        };
        self.mode = Mode::Data;
    }

    pub(super) fn step_data(&mut self) -> Option<Step> {
        let decoder = self.transfer.decoder.as_mut()?;
        match decoder.step(self.input.as_slice()) {
            BodyStep::End(count) => {
                self.input.consume(count);
                self.end_body()
            }
            step => self.body_step(step),
        }
    }

    /// BDAT. Whatever is wrong with the command, its octets are consumed before the reply (RFC 3030 §2).
    pub(super) fn on_bdat(
        &mut self,
        size: u64,
        last: bool,
        fault: Option<ProtocolError>,
    ) -> Option<Step> {
        self.transfer.chunk_left = size;
        self.transfer.chunk_size = size;
        self.transfer.chunk_last = last;
        let limit = self.config.limits.message_size;
        if size > self.discard_limit() {
            return self.fault(ProtocolError::EndlessBody {
                limit: self.config.limits.message_size,
            });
        }
        if let Some(fault) = fault {
            self.transfer.refusal = Some(Refusal::Answered(fault.reply()));
            self.mode = Mode::Chunk;
            return Some(Step::Event(Event::Fault(fault)));
        }
        if self.transfer.size.saturating_add(size) > limit {
            self.refuse_body(ProtocolError::TooLarge { limit });
        }
        if self.phase == Phase::Recipients {
            return self.ask(Question::Chunk, Event::BodyStart(BodyKind::Bdat));
        }
        self.mode = Mode::Chunk;
        None
    }

    pub(super) fn start_chunk(&mut self) {
        self.phase = Phase::Chunks;
        self.transfer.decoder = Some(Decoder::chunks(self.rules(), self.binary));
        self.mode = Mode::Chunk;
    }

    pub(super) fn refuse_chunks(&mut self, reply: Reply) {
        self.transfer.refusal = Some(Refusal::Answered(reply));
        self.mode = Mode::Chunk;
    }

    pub(super) fn step_chunk(&mut self) -> Option<Step> {
        if self.transfer.chunk_left == 0 {
            return self.end_chunk();
        }
        let input = self.input.as_slice();
        if input.is_empty() {
            return self.rest(Event::NeedInput);
        }
        let left = usize::try_from(self.transfer.chunk_left).unwrap_or(usize::MAX);
        let window = input.get(..left).unwrap_or(input);
        if self.transfer.refusal.is_some() {
            let count = window.len();
            return self.discard(count);
        }
        let step = self.transfer.decoder.as_mut()?.step(window);
        self.body_step(step)
    }

    /// Applies one decoder step of either kind.
    fn body_step(&mut self, step: BodyStep) -> Option<Step> {
        let step = match step {
            BodyStep::More | BodyStep::End(_) => return self.rest(Event::NeedInput),
            BodyStep::Fault(count, error) => {
                self.refuse_body(error);
                return self.discard(count);
            }
            step if self.transfer.refusal.is_some() => return self.discard(taken(&step)),
            step => step,
        };
        let content = match &step {
            BodyStep::Replace(_, text) => text.len(),
            step => taken(step),
        };
        let size = self.transfer.size.saturating_add(content as u64);
        let limit = self.config.limits.message_size;
        if size > limit {
            // RFC 5321 §4.5.3.1.7: refused after its end, and nothing more of it is kept.
            self.refuse_body(ProtocolError::TooLarge { limit });
            return self.discard(taken(&step));
        }
        self.transfer.size = size;
        self.take(taken(&step));
        match step {
            BodyStep::Replace(_, b"") => None,
            BodyStep::Replace(_, text) => Some(Step::Text(text)),
            step => Some(Step::Piece(taken(&step))),
        }
    }

    fn refuse_body(&mut self, error: ProtocolError) {
        if let Some(decoder) = &mut self.transfer.decoder {
            decoder.refuse();
        }
        self.transfer.refusal.get_or_insert(Refusal::Fault(error));
    }

    fn take(&mut self, count: usize) {
        self.input.consume(count);
        self.transfer.wire = self.transfer.wire.saturating_add(count as u64);
        self.transfer.chunk_left = self.transfer.chunk_left.saturating_sub(count as u64);
    }

    fn discard(&mut self, count: usize) -> Option<Step> {
        self.take(count);
        if self.transfer.wire > self.discard_limit() {
            return self.fault(ProtocolError::EndlessBody {
                limit: self.config.limits.message_size,
            });
        }
        None
    }

    fn discard_limit(&self) -> u64 {
        self.config
            .limits
            .message_size
            .saturating_mul(DISCARD_FACTOR)
            .saturating_add(DISCARD_EXTRA)
    }

    fn end_chunk(&mut self) -> Option<Step> {
        self.mode = Mode::Command;
        if self.transfer.refusal.is_some() {
            return self.end_body();
        }
        if !self.transfer.chunk_last {
            let text = format!("{} octets received", self.transfer.chunk_size);
            self.push_counted(&Reply::new(250, (0, 0), text));
            return None;
        }
        match self.transfer.decoder.as_mut().map(Decoder::finish) {
            Some(BodyStep::Fault(_, error)) => self.refuse_body(error),
            Some(BodyStep::Replace(_, text)) => {
                // The next turn finds nothing held and ends the body.
                self.mode = Mode::Chunk;
                return Some(Step::Text(text));
            }
            _ => {}
        }
        self.end_body()
    }

    /// The body is over: ask what to do with it, or say why it is refused.
    fn end_body(&mut self) -> Option<Step> {
        self.mode = Mode::Command;
        let answers = if self.is_lmtp() {
            self.recipients.max(1)
        } else {
            1
        };
        match self.transfer.refusal.take() {
            None => {
                self.counters.messages += 1;
                self.ask(Question::BodyEnd(answers), Event::BodyEnd)
            }
            Some(Refusal::Answered(reply)) => {
                self.end_transaction();
                self.push_counted(&reply);
                None
            }
            Some(Refusal::Fault(error)) => {
                self.counters.messages += 1;
                self.refuse_all(&error, answers);
                Some(Step::Event(Event::BodyRefused(error)))
            }
        }
    }

    fn refuse_all(&mut self, error: &ProtocolError, answers: u32) {
        // A chunk before the last has one answer; the transaction is over with it.
        let answers = if self.phase == Phase::Chunks && !self.transfer.chunk_last {
            1
        } else {
            answers
        };
        self.end_transaction();
        for _ in 0..answers {
            self.answer_fault(error);
        }
    }
}

/// Octets of input that a step takes.
fn taken(step: &BodyStep) -> usize {
    match step {
        BodyStep::Content(count)
        | BodyStep::Replace(count, _)
        | BodyStep::End(count)
        | BodyStep::Fault(count, _) => *count,
        BodyStep::More => 0,
    }
}
