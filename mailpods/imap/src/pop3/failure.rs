//! How a command fails.

use mailpods_pop3_proto::pop3::Code;
use mailpods_store::StoreError;

use crate::refused::Refused;

/// Why a command has no `+OK`.
pub(crate) type Failure = Refused<Code>;

/// The answer.
pub(super) fn answer(failure: &Failure) -> (Option<Code>, &str) {
    match failure {
        Failure::No(code, text) => (*code, text),
        // RFC 3206 §5
        Failure::Guess => (Some(Code::Auth), "wrong name or password"),
        Failure::Store(StoreError::Corrupt(_)) => (
            Some(Code::SysPerm),
            "stored data is damaged; the administrator can see it in the log",
        ),
        Failure::Store(StoreError::NotFound(_)) => (None, "the message is gone"),
        Failure::Store(_) => (Some(Code::SysTemp), "try again later"),
        Failure::End(_) => (Some(Code::SysTemp), "the session has ended"),
    }
}

/// What a command ends with; its answer is gathered.
pub(super) type Done = Result<(), Failure>;
