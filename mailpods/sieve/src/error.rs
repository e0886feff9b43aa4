//! Errors of scripts, for the people who write them.

use std::fmt;

/// A place in a script, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a script is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Where.
    pub at: Position,
    /// What is wrong, with what was found.
    pub message: String,
    /// What may stand there; empty when the message says it.
    pub allowed: String,
}

impl ScriptError {
    pub(crate) fn new(at: Position, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            allowed: String::new(),
        }
    }

    pub(crate) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = allowed.into();
        self
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)?;
        if self.allowed.is_empty() {
            return Ok(());
        }
        write!(f, "; allowed: {}", self.allowed)
    }
}

impl std::error::Error for ScriptError {}

/// Why a run ended early; the message is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError {
    /// Name of the script, as the caller gave it.
    pub script: String,
    /// The command or test.
    pub at: Position,
    /// What happened.
    pub message: String,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.script, self.at, self.message)
    }
}

impl std::error::Error for RunError {}
