//! Logs by `tracing`, written to standard error: readable for a person, JSON for a collector.

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One line a person reads; coloured when standard error is a terminal.
    #[default]
    Readable,
    /// One JSON object a line, span fields included.
    Json,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter is not of the form `level` or `target=level,...`.
    #[error(
        "failed to read the log filter `{filter}` (allowed: a level such as `info`, or `mailpods_smtp=debug,info`)"
    )]
    Filter {
        /// The text that was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber is installed already.
    #[error("failed to install the log subscriber")]
    Install(#[from] tracing_subscriber::util::TryInitError),
}

/// Installs the process-wide log subscriber; `filter` has the syntax of [`EnvFilter`] (`info,mailpods_smtp=debug`).
///
/// # Errors
/// [`LogsError::Filter`] for a filter that does not parse, [`LogsError::Install`] when called twice.
pub fn init(format: Format, filter: &str) -> Result<(), LogsError> {
    let filter = parse_filter(filter)?;
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Readable => base
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .finish()
            .try_init()?,
        Format::Json => base
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()?,
    }
    Ok(())
}

/// Any client can make rustls warn, for example by an IP address as SNI; and hickory writes out each answer that comes without signatures, of which
/// there is a line of our own: their warnings are logged only when asked for.
const QUIET: &str = "rustls=error,hickory_net::dnssec=error";

/// Checks a filter without installing anything.
///
/// # Errors
/// [`LogsError::Filter`] for a filter that does not parse.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, LogsError> {
    EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|source| LogsError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

/// The error and everything that caused it, `: ` between, for logs and command-line output.
///
/// Errors of this project never repeat their source in `Display`; foreign ones do, so a cause whose text already ends
/// the line is left out.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // An error that is its own ancestor cannot be built safely, yet a bound costs nothing.
    for _ in 0..32 {
        let Some(error) = cause else { break };
        let part = error.to_string();
        if !text.ends_with(&part) {
            let _ = write!(text, ": {part}");
        }
        cause = error.source();
    }
    text
}
