//! What a client is set to, what it tells its driver, and how things can end.

use super::capabilities::Capabilities;
use super::transaction::TransactionResult;
use crate::reply::{Reply, Severity};
use std::time::Duration;

/// SMTP or LMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: one status per recipient after the body.
    Lmtp,
}

/// When TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Never.
    Off,
    /// STARTTLS when it is offered (RFC 7435).
    Opportunistic,
    /// No mail without it.
    Required,
    /// The connection began with TLS.
    Implicit,
}

/// How 8-bit mail goes to a server that does not offer 8BITMIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As it is; nearly every server copes.
    JustSend,
    /// Not at all (RFC 6152 §3).
    Strict,
}

/// The settings of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Our name for EHLO.
    pub helo: String,
    /// When TLS is used.
    pub tls: TlsMode,
    /// PIPELINING is used where it is offered.
    pub pipelining: bool,
    /// 8-bit mail without 8BITMIME.
    pub eight_bit: Mode,
    /// How long to wait for the server.
    pub timeouts: Timeouts,
}

/// How long a client waits for the server; the default is what RFC 5321 asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the greeting and the reply to any command but DATA.
    pub command: Duration,
    /// For the 354.
    pub data_init: Duration,
    /// For the server to take a part of the body.
    pub data_block: Duration,
    /// For the reply to the end of the body.
    pub data_end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            // RFC 5321 §4.5.3.2.1, .2, .3.
            command: minutes(5),
            // §4.5.3.2.4.
            data_init: minutes(2),
            // §4.5.3.2.5.
            data_block: minutes(3),
            // §4.5.3.2.6.
            data_end: minutes(10),
        }
    }
}

/// Where a session is; the time-outs of RFC 5321 §4.5.3.2 hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO, HELO, LHLO.
    Hello,
    /// STARTTLS and the handshake.
    Tls,
    /// AUTH.
    Auth,
    /// Nothing under way.
    Ready,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA sent, 354 awaited.
    DataInit,
    /// The body is on its way.
    DataBlock,
    /// The end mark or the last chunk is sent; the reply decides.
    DataEnd,
    /// RSET or QUIT.
    Quit,
}

impl Phase {
    /// How long to wait for the peer in this phase.
    pub fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Phase::Greeting
            | Phase::Hello
            | Phase::Tls
            | Phase::Auth
            | Phase::Ready
            | Phase::Mail
            | Phase::Rcpt => timeouts.command,
            Phase::DataInit => timeouts.data_init,
            Phase::DataBlock => timeouts.data_block,
            Phase::DataEnd => timeouts.data_end,
            // The message is settled: nothing is lost when the server says no good-bye.
            Phase::Quit => QUIT,
        }
    }
}

const QUIT: Duration = Duration::from_secs(10);

/// One step of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing to do without input; see [`Client::timeout`](super::Client::timeout).
    NeedInput,
    /// Octets to write now.
    Output(Vec<u8>),
    /// Do the handshake, then call `tls_established`, or close the connection.
    StartTls,
    /// The session stands: authenticate, send, reset or quit.
    Ready(Capabilities),
    /// Answer with `auth_response` or `auth_cancel`; decoded.
    AuthChallenge(Vec<u8>),
    /// AUTH is over; 2yz means success. `Ready` does not come again.
    AuthDone(Reply),
    /// Pass the body with `body` and `body_end`.
    SendBody,
    /// The transaction is over; see `is_reusable` for what comes next.
    Done(TransactionResult),
    /// The session cannot go on. Where QUIT was said, `Closed` follows; else the connection is to be closed.
    Failed(Failure),
    /// QUIT is answered, or the connection ended after it.
    Closed,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused the session.
    #[error("the server refused the session: {0}")]
    Refused(Reply),
    /// The peer does not keep to the protocol.
    #[error("protocol violation in {phase:?}: {detail}")]
    Violation {
        /// Where.
        phase: Phase,
        /// What.
        detail: String,
    },
    /// TLS is required and not offered, or refused.
    #[error("TLS is required and not available")]
    TlsUnavailable,
    /// The peer closed or the time is over.
    #[error("connection lost in {0:?}")]
    Lost(Phase),
}

/// An extension that a message needs and the server does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// UTF-8 in addresses or headers.
    SmtpUtf8,
    /// 8-bit body under [`Mode::Strict`].
    EightBitMime,
    /// Binary body.
    BinaryMime,
    /// The promise of RFC 8689.
    RequireTls,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken responsibility.
    Accepted(Reply),
    /// 4yz: try later.
    Temporary(Reply),
    /// 5yz: give up.
    Permanent(Reply),
    /// The message needs what the server does not offer: permanent for this server.
    Unsupported(Missing),
    /// Larger than the server's fixed limit in octets: permanent.
    TooLarge(u64),
    /// Beyond the server's RCPTMAX: send again at once in another transaction.
    NotTried,
    /// The session ended in this phase; temporary. In `DataEnd` the server may have the message.
    Lost(Phase),
    /// A reply that makes no sense there; temporary.
    Violation(String),
}

impl Outcome {
    pub(crate) fn from_reply(reply: Reply) -> Outcome {
        match reply.severity() {
            Severity::Positive => Outcome::Accepted(reply),
            Severity::Intermediate => Outcome::Violation(format!("unexpected reply {reply}")),
            Severity::Transient => Outcome::Temporary(reply),
            Severity::Permanent => Outcome::Permanent(reply),
        }
    }

    /// True when there is nothing left to do for the recipient.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Outcome::Accepted(_))
    }

    /// True when trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Outcome::Permanent(_) | Outcome::Unsupported(_) | Outcome::TooLarge(_)
        )
    }
}
