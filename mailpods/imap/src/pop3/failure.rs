//! How a command fails.

use mailpods_pop3_proto::pop3::Code;
use mailpods_store::StoreError;

use crate::failure::End;

/// Why a command has no `+OK`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// `-ERR`
    #[error("{1}")]
    Err(Option<Code>, &'static str),
    /// `-ERR`, and counted: each guess costs a hash.
    #[error("wrong name or password")]
    Guess,
    /// The store did not do it.
    #[error("failed to use the store")]
    Store(#[from] StoreError),
    /// The session is over.
    #[error(transparent)]
    End(#[from] End),
}

impl Failure {
    pub(super) const fn err(text: &'static str) -> Self {
        Self::Err(None, text)
    }

    /// The answer.
    pub(super) fn answer(&self) -> (Option<Code>, &'static str) {
        match self {
            Self::Err(code, text) => (*code, text),
            // RFC 3206 §4
            Self::Guess => (Some(Code::Auth), "wrong name or password"),
            Self::Store(StoreError::Corrupt(_)) => (
                Some(Code::SysPerm),
                "stored data is damaged; the administrator can see it in the log",
            ),
            Self::Store(StoreError::NotFound(_)) => (None, "the message is gone"),
            Self::Store(_) => (Some(Code::SysTemp), "try again later"),
            Self::End(_) => (Some(Code::SysTemp), "the session has ended"),
        }
    }
}

/// What a command ends with; its answer is gathered.
pub(super) type Done = Result<(), Failure>;
