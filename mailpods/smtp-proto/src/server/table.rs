//! Which command may stand in which phase (RFC 5321 §4.1.4).

use crate::command::Verb;
use crate::error::ProtocolError;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// No EHLO yet, or none since STARTTLS.
    Fresh,
    /// Between transactions.
    Ready,
    /// MAIL accepted.
    Sender,
    /// At least one RCPT accepted.
    Recipients,
    /// Between BDAT chunks.
    Chunks,
}

/// Says why `verb` may not stand in `phase`, if so.
pub(super) fn fault(phase: Phase, verb: Verb) -> Option<ProtocolError> {
    use ProtocolError as E;
    match (verb, phase) {
        (
            Verb::Hello
            | Verb::Rset
            | Verb::Noop
            | Verb::Quit
            | Verb::Vrfy
            | Verb::Expn
            | Verb::Help,
            _,
        ) => None,

        (Verb::StartTls | Verb::Auth, Phase::Ready) => None,
        (Verb::StartTls | Verb::Auth, Phase::Fresh) => Some(E::HelloFirst),
        // RFC 4954 §4, RFC 3207 §4.
        (Verb::StartTls | Verb::Auth, _) => Some(E::InTransaction),

        (_, Phase::Fresh) => Some(E::HelloFirst),

        (Verb::Mail, Phase::Ready) => None,
        (Verb::Mail, Phase::Sender | Phase::Recipients) => Some(E::NestedMail),

        (Verb::Rcpt, Phase::Sender | Phase::Recipients) => None,
        (Verb::Rcpt | Verb::Data, Phase::Ready) => Some(E::MailFirst),

        (Verb::Data | Verb::Bdat, Phase::Recipients) => None,
        (Verb::Data | Verb::Bdat, Phase::Sender) => Some(E::NoRecipients),

        (Verb::Bdat, Phase::Ready) => Some(E::ChunkWithoutTransaction),
        (Verb::Bdat, Phase::Chunks) => None,
        // RFC 3030 §2: DATA and BDAT are not mixed.
        (Verb::Mail | Verb::Rcpt | Verb::Data, Phase::Chunks) => Some(E::BetweenChunks),
    }
}
