//! PostgreSQL's errors in the store's words.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error.code() {
            Some(code) => of_code(code, &error),
            // Without a code it came from here or from the network. A value that does not fit its column is damage.
            None if is_conversion(&error) => Self::Corrupt(text(&error)),
            None => Self::Unavailable(text(&error)),
        }
    }
}

fn of_code(code: &SqlState, error: &Error) -> StoreError {
    if *code == SqlState::DISK_FULL {
        return StoreError::Full;
    }
    if *code == SqlState::UNIQUE_VIOLATION {
        return StoreError::AlreadyExists("row");
    }
    match code.code().get(..2) {
        // Data that no column takes: U+0000 in a text, a number out of range.
        Some("22") => StoreError::Invalid(text(error)),
        Some("XX") if *code != SqlState::INTERNAL_ERROR => StoreError::Corrupt(text(error)),
        // Lost connections, shut-downs, limits, conflicts, time-outs, read-only; and what only an operator can mend, like rights:
        // whoever sent mail tries again.
        _ => StoreError::Unavailable(text(error)),
    }
}

fn is_conversion(error: &Error) -> bool {
    let shown = error.to_string();
    shown.starts_with("error deserializing column") || shown.starts_with("error serializing")
}

/// The error with its causes: the driver's own text tells little.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}

/// The transaction lost against another one: it may work at once when it is tried again.
pub(super) fn is_conflict(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
    })
}
