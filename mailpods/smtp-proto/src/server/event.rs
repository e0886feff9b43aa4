//! What a session tells its driver.

use crate::address::{ForwardPath, ReversePath};
use crate::command::HelloKind;
use crate::error::ProtocolError;
use crate::params::{MailParams, RcptParams};

/// How a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat,
}

/// One step. Those marked *asks* wait for [`accept`](super::Session::accept) or [`answer`](super::Session::answer).
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing left to do without more input.
    NeedInput,
    /// The last question is not answered yet.
    NeedAnswer,
    /// Octets to write now; pipelined replies come together.
    Output(Vec<u8>),
    /// *Asks*: the client's name. Any transaction is over.
    Hello {
        /// Which command.
        kind: HelloKind,
        /// As written; nothing is checked but its length.
        name: String,
    },
    /// The reply to STARTTLS is out: do the handshake, drop octets already read, then call
    /// [`tls_established`](super::Session::tls_established).
    StartTls,
    /// *Asks* with `auth_challenge`, `accept` (235) or `answer`: AUTH began with an offered mechanism.
    AuthStart {
        /// In upper case.
        mechanism: String,
        /// Decoded initial response, if there was one.
        initial: Option<Vec<u8>>,
    },
    /// *Asks* as `AuthStart`: the client's decoded response to a challenge.
    AuthResponse(Vec<u8>),
    /// The exchange is over without a result; already answered.
    AuthAborted,
    /// *Asks*: a sender.
    Mail {
        /// The sender.
        path: ReversePath,
        /// Checked against the size limit.
        params: MailParams,
    },
    /// *Asks*: a recipient. Accepted ones are counted.
    Rcpt {
        /// The recipient.
        path: ForwardPath,
        /// DSN parameters.
        params: RcptParams,
    },
    /// *Asks*: a body comes. Refuse it (452, say) and it is consumed where it must be, unseen.
    BodyStart(BodyKind),
    /// A piece of the body, dots unstuffed.
    BodyChunk(&'a [u8]),
    /// *Asks*: the body is whole. One answer; under LMTP one per accepted recipient, in their order.
    BodyEnd,
    /// The body is refused and answered; drop it with the transaction.
    BodyRefused(ProtocolError),
    /// *Asks*: VRFY. `accept` says 252.
    Vrfy(String),
    /// *Asks*: EXPN. `accept` says 252.
    Expn(String),
    /// The transaction is over without a message (RSET).
    Reset,
    /// A fault, answered already; for log and metric.
    Fault(ProtocolError),
    /// QUIT, answered already; `Output` and `Closed` follow.
    Quit,
    /// All is written: close the connection.
    Closed,
}
