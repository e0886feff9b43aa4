//! How a command fails in POP3 and ManageSieve, where an answer is yes, or no with a code and a text.

use std::borrow::Cow;
use std::fmt::Debug;

use mailpods_store::StoreError;

use crate::failure::End;

/// Why a command is answered by no.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused<C: Debug> {
    /// For the reason given.
    #[error("{1}")]
    No(Option<C>, Cow<'static, str>),
    /// Counted: each guess costs a hash.
    #[error("wrong name or password")]
    Guess,
    /// The store did not do it.
    #[error("failed to use the store")]
    Store(#[from] StoreError),
    /// The session is over.
    #[error(transparent)]
    End(#[from] End),
}

impl<C: Debug> Refused<C> {
    pub(crate) const fn no(text: &'static str) -> Self {
        Self::No(None, Cow::Borrowed(text))
    }

    pub(crate) const fn coded(code: C, text: &'static str) -> Self {
        Self::No(Some(code), Cow::Borrowed(text))
    }
}

/// A session that answers in this way.
pub(crate) trait Refusing {
    /// Codes of its protocol.
    type Code: Debug;

    /// Answers a command.
    fn refuse(&mut self, failure: &Refused<Self::Code>);
    /// Counts a line that should not have come.
    fn count_bad_line(&mut self) -> Result<(), End>;

    /// Answers a command that failed; the log gets what the client is not told.
    fn failed(&mut self, command: &'static str, failure: Refused<Self::Code>) -> Result<(), End> {
        if let Refused::End(end) = failure {
            return Err(end);
        }
        if let Refused::Store(error) = &failure {
            let error = mailpods_telemetry::error_chain(error);
            tracing::warn!(command, error, "a command failed in the store");
        }
        self.refuse(&failure);
        match failure {
            Refused::Guess => self.count_bad_line(),
            _ => Ok(()),
        }
    }
}
