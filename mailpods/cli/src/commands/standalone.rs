//! `mailpods standalone`
use std::net::SocketAddr;
use std::path::PathBuf;

use mailpods_standalone::{Options, RunError};
use mailpods_telemetry::error_chain;

use super::check;
use super::logging::LogArgs;
use crate::args::{Format, Globals, parse_server};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::block_on_all_cores;

const EXAMPLES: &str = "\
Examples:
  mailpods standalone --config examples/quickstart --data ./data
  mailpods standalone --config /etc/mailpods --data /var/lib/mailpods --log-format json
  mailpods standalone --config . --resolver 127.0.0.1:5353 --log debug

An edit of the folder takes effect within a second; one with a mistake changes nothing and is logged.
SIGTERM and Ctrl-C stop it cleanly, SIGHUP reads the folder again.";

/// Run a whole mail server in this process, from a folder of YAML.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder with the resources.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    config: PathBuf,
    /// DNS servers to ask, in place of those of the MailCluster.
    #[arg(long, value_parser = parse_server, value_name = "ADDR[:PORT]")]
    resolver: Vec<SocketAddr>,
    /// PEM file with certificates that next hops may be signed by, besides the usual roots.
    #[arg(long, value_name = "FILE")]
    extra_roots: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        self.log.start()?;
        let extra_roots = self
            .extra_roots
            .as_deref()
            .map(read_roots)
            .transpose()?
            .unwrap_or_default();
        let options = Options {
            config: self.config.clone(),
            data: globals.data.clone(),
            resolvers: self.resolver,
            extra_roots,
            json: globals.output == Format::Json,
        };
        block_on_all_cores(async move {
            match mailpods_standalone::run(options).await {
                Ok(()) => Ok(Exit::Done),
                Err(error) => Err(failure(&error, &self.config)),
            }
        })
    }
}

fn read_roots(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let failure = |error| {
        Failure::because(
            Exit::Failed,
            format!("failed to read {}", path.display()),
            &error,
        )
    };
    std::fs::read(path).map_err(failure)
}

fn failure(error: &RunError, config: &std::path::Path) -> Failure {
    let failure = Failure::new(exit(error), error_chain(error));
    match error {
        RunError::Problems(problems) => {
            check::print_problems(config, problems);
            failure.hint(format!("mailpods check {}", config.display()))
        }
        RunError::Store { .. } => failure.hint("another --data folder, or `mailpods fsck`"),
        RunError::Bind(errors) => {
            for error in errors {
                output::remark(&error_chain(error));
            }
            let text = format!("listeners that could not be opened: {}", errors.len());
            Failure::new(exit(error), text).hint("other ports or addresses in spec.listeners")
        }
        _ => failure,
    }
}

fn exit(error: &RunError) -> Exit {
    match error {
        RunError::Store { .. } | RunError::Lock(_) => Exit::Store,
        _ => Exit::Failed,
    }
}
