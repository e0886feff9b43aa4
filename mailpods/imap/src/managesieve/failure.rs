//! How a command fails.

use std::borrow::Cow;

use mailpods_pop3_proto::managesieve::Code;
use mailpods_store::StoreError;
use mailpods_store::scripts::ScriptError;

use crate::failure::End;

/// Why a command has no OK.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// NO
    #[error("{1}")]
    No(Option<Code<'static>>, Cow<'static, str>),
    /// NO, and counted: each guess costs a hash.
    #[error("wrong name or password")]
    Guess,
    /// The store did not do it.
    #[error("failed to use the store")]
    Store(#[from] StoreError),
    /// The session is over.
    #[error(transparent)]
    End(#[from] End),
}

impl From<ScriptError> for Failure {
    fn from(error: ScriptError) -> Self {
        let code = match error {
            ScriptError::NotFound => Code::NonExistent,
            ScriptError::AlreadyExists => Code::AlreadyExists,
            ScriptError::Active => Code::Active,
            ScriptError::TooMany => Code::QuotaMaxScripts,
            ScriptError::TooLarge => Code::QuotaMaxSize,
            ScriptError::NoRoom => Code::Quota,
            ScriptError::Store(error) => return Self::Store(error),
        };
        Self::No(Some(code), error.to_string().into())
    }
}

impl Failure {
    pub(super) const fn no(text: &'static str) -> Self {
        Self::No(None, Cow::Borrowed(text))
    }

    pub(super) const fn coded(code: Code<'static>, text: &'static str) -> Self {
        Self::No(Some(code), Cow::Borrowed(text))
    }

    /// The answer.
    pub(super) fn answer(&self) -> (Option<Code<'static>>, &str) {
        match self {
            Self::No(code, text) => (*code, text),
            Self::Guess => (None, "wrong name or password"),
            Self::Store(StoreError::Corrupt(_)) => (
                None,
                "stored data is damaged; the administrator can see it in the log",
            ),
            Self::Store(_) => (Some(Code::TryLater), "try again later"),
            Self::End(_) => (Some(Code::TryLater), "the session has ended"),
        }
    }
}

/// What a command ends with; its answer is gathered.
pub(super) type Done = Result<(), Failure>;
