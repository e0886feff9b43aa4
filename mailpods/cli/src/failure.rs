//! Exit codes, and how an error is told.
use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use mailpods_telemetry::error_chain;

/// Exit codes. They are part of the interface and listed in `mailpods --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; what was checked is right.
    Done = 0,
    /// Failed, or what was checked is wrong.
    Failed = 1,
    /// Wrong usage (clap exits with the same).
    Usage = 2,
    /// The data folder cannot be used.
    Store = 3,
    /// Nothing matched.
    NothingMatched = 4,
    /// Not known now (`EX_TEMPFAIL` of sysexits): DNS or the disk did not answer; the same command may work later.
    Temporary = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its exit code and what to do next.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    text: String,
    hint: Option<String>,
    quiet: bool,
}

/// What a command gives back.
pub type Outcome = Result<Exit, Failure>;

impl Failure {
    /// An error in words.
    pub fn new(exit: Exit, text: impl Display) -> Self {
        Self {
            exit,
            text: text.to_string(),
            hint: None,
            quiet: false,
        }
    }

    /// What failed and why, all causes on one line.
    pub fn because(exit: Exit, what: impl Display, error: &dyn Error) -> Self {
        Self::new(exit, format!("{what}: {}", error_chain(error)))
    }

    /// What to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Its exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes it to standard error.
    pub fn report(self) -> ExitCode {
        if !self.quiet {
            let mut stderr = std::io::stderr().lock();
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(stderr, "error: {}", self.text);
            if let Some(hint) = self.hint {
                let _ = writeln!(stderr, "  try: {hint}");
            }
        }
        self.exit.into()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<std::io::Error> for Failure {
    /// Standard output failed. A reader that went away (`| head`) is no error.
    fn from(error: std::io::Error) -> Self {
        let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        let exit = if quiet { Exit::Done } else { Exit::Failed };
        Self {
            quiet,
            ..Self::because(exit, "failed to write the output", &error)
        }
    }
}
