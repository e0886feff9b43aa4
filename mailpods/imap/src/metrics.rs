//! What the role counts.

use mailpods_telemetry::metrics::{Counter, Gauge, Label, MetricsError, Registry};

/// The name of a command, from the fixed set of the protocol core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandLabel(pub(crate) &'static str);

impl Label for CommandLabel {
    fn as_str(&self) -> &'static str {
        self.0
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Ok,
    No,
    Bad,
}

impl Label for Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::No => "no",
            Self::Bad => "bad",
        }
    }
}

/// The metrics of the role; one for each process.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) sessions: Gauge,
    pub(crate) commands: Counter<(CommandLabel, Outcome)>,
    pub(crate) fetched: Counter,
    pub(crate) pop3_sessions: Gauge,
    pub(crate) pop3_commands: Counter<(CommandLabel, Outcome)>,
    pub(crate) retrieved: Counter,
    pub(crate) managesieve_sessions: Gauge,
    pub(crate) managesieve_commands: Counter<(CommandLabel, Outcome)>,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// The registry has them already.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let commands = "IMAP commands by name and outcome.";
        Ok(Self {
            sessions: registry.gauge("mailpods_imap_sessions", "Open IMAP sessions.", &[])?,
            commands: registry.counter(
                "mailpods_imap_commands_total",
                commands,
                &["command", "outcome"],
            )?,
            fetched: registry.counter(
                "mailpods_imap_fetched_total",
                "Messages told by FETCH.",
                &[],
            )?,
            pop3_sessions: registry.gauge("mailpods_pop3_sessions", "Open POP3 sessions.", &[])?,
            pop3_commands: registry.counter(
                "mailpods_pop3_commands_total",
                "POP3 commands by name and outcome.",
                &["command", "outcome"],
            )?,
            retrieved: registry.counter(
                "mailpods_pop3_retrieved_total",
                "Messages told whole by RETR.",
                &[],
            )?,
            managesieve_sessions: registry.gauge(
                "mailpods_managesieve_sessions",
                "Open ManageSieve sessions.",
                &[],
            )?,
            managesieve_commands: registry.counter(
                "mailpods_managesieve_commands_total",
                "ManageSieve commands by name and outcome.",
                &["command", "outcome"],
            )?,
        })
    }
}
