//! How servers log.
use clap::ValueEnum;
use mailpods_telemetry::logs;

use crate::failure::{Exit, Failure};

/// Options of every command that runs on.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// What to log: a level, or targets with levels (`info,mailpods_smtp=debug`).
    #[arg(
        long,
        env = "MAILPODS_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,
    /// How the log is written, to standard error.
    #[arg(long, env = "MAILPODS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Readable)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Readable,
    /// One JSON object a line.
    Json,
}

impl LogArgs {
    /// Starts logging.
    pub fn start(&self) -> Result<(), Failure> {
        let format = match self.log_format {
            LogFormat::Readable => logs::Format::Readable,
            LogFormat::Json => logs::Format::Json,
        };
        logs::init(format, &self.log)
            .map_err(|error| Failure::because(Exit::Usage, "failed to start logging", &error))
    }
}
