//! How a command fails.

use mailpods_pop3_proto::managesieve::Code;
use mailpods_store::StoreError;
use mailpods_store::scripts::ScriptError;

use crate::refused::Refused;

/// Why a command has no OK.
pub(crate) type Failure = Refused<Code<'static>>;

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

/// The answer.
pub(super) fn answer(failure: &Failure) -> (Option<Code<'static>>, &str) {
    match failure {
        Failure::No(code, text) => (*code, text),
        Failure::Guess => (None, "wrong name or password"),
        Failure::Store(StoreError::Corrupt(_)) => (
            None,
            "stored data is damaged; the administrator can see it in the log",
        ),
        Failure::Store(_) => (Some(Code::TryLater), "try again later"),
        Failure::End(_) => (Some(Code::TryLater), "the session has ended"),
    }
}

/// What a command ends with; its answer is gathered.
pub(super) type Done = Result<(), Failure>;
