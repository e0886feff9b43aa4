//! `mailpods check`
use std::path::{Path, PathBuf};

use mailpods_plan::{Plan, Problem};
use mailpods_standalone::{RunError, examine, load, load_valid};
use mailpods_telemetry::error_chain;
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Every mistake of the whole folder is told at once: file:line:column, resource, field, value found, values allowed.
A warning is told of what works and is hardly meant: a certificate for another name, secrets that everybody can read.

Examples:
  mailpods check /etc/mailpods
  mailpods check . --output json | jq -r '.[].file'

Exit codes: 0 no mistake, 1 mistakes.";

/// Find every mistake in a folder of resources, without starting anything.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder with the resources.
    #[arg(env = "MAILPODS_CONFIG", value_name = "DIR")]
    config: PathBuf,
}

/// A finding of either kind, for programs.
#[derive(Serialize)]
struct Finding<'a> {
    severity: &'static str,
    #[serde(flatten)]
    problem: &'a Problem,
}

fn findings<'a>(severity: &'static str, problems: &'a [Problem]) -> Vec<Finding<'a>> {
    let finding = |problem| Finding { severity, problem };
    problems.iter().map(finding).collect()
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let problems = match examine(&self.config) {
            Ok((plan, warnings)) => return right(&plan, &warnings, &self.config, globals.output),
            Err(RunError::Problems(problems)) => problems,
            Err(error) => return Err(unreadable(&self.config, &error)),
        };
        match globals.output {
            Format::Json => output::json(&findings("error", &problems))?,
            Format::Table => {
                for problem in &problems {
                    output::line(&line(&self.config, problem))?;
                }
                output::remark(&format!(
                    "\n{} to put right in {}",
                    mistakes(problems.len()),
                    self.config.display()
                ));
            }
        }
        Ok(Exit::Failed)
    }
}

fn right(plan: &Plan, warnings: &[Problem], config: &Path, format: Format) -> Outcome {
    match format {
        Format::Json => output::json(&findings("warning", warnings))?,
        Format::Table => {
            for warning in warnings {
                output::line(&format!("warning: {}", line(config, warning)))?;
            }
            output::line(&format!(
                "{}: no mistakes ({} as {}: {}, {}, {})",
                config.display(),
                plan.cluster,
                plan.hostname,
                count(plan.domains.len(), "domain", "domains"),
                count(plan.mailboxes.len(), "mailbox", "mailboxes"),
                count(plan.listeners.len(), "listener", "listeners")
            ))?;
        }
    }
    Ok(Exit::Done)
}

/// Reads a folder for another command.
pub fn plan(config: &Path) -> Result<Plan, Failure> {
    load(config).map_err(|error| match &error {
        RunError::Problems(problems) => {
            print_problems(config, problems);
            let text = format!("{} in {}", mistakes(problems.len()), config.display());
            Failure::new(Exit::Failed, text).hint(format!("mailpods check {}", config.display()))
        }
        _ => unreadable(config, &error),
    })
}

/// Reads a folder for a tool that must work while something in it is wrong, as the server does: what has no mistake, and whether
/// there are mistakes, which are told. No plan where nothing can be without what is wrong.
pub fn usable(config: &Path) -> Result<(Option<Plan>, bool), Failure> {
    let problems = match load(config) {
        Ok(plan) => return Ok((Some(plan), false)),
        Err(RunError::Problems(problems)) => problems,
        Err(error) => return Err(unreadable(config, &error)),
    };
    print_problems(config, &problems);
    let (plan, _) = load_valid(config).map_err(|error| unreadable(config, &error))?;
    output::remark(&format!(
        "{} in {}: a running server goes on with the configuration of before, and this with what is right.",
        mistakes(problems.len()),
        config.display()
    ));
    Ok((plan, true))
}

/// Writes problems to standard error.
pub fn print_problems(config: &Path, problems: &[Problem]) {
    problems
        .iter()
        .for_each(|problem| output::remark(&line(config, problem)));
}

fn unreadable(config: &Path, error: &RunError) -> Failure {
    let hint = match config.parent() {
        Some(folder) if config.is_file() => folder.display().to_string(),
        _ => "the folder that holds the YAML, for example examples/quickstart".to_owned(),
    };
    Failure::new(Exit::Failed, error_chain(error)).hint(hint)
}

/// The problem with a path that an editor can open.
fn line(config: &Path, problem: &Problem) -> String {
    let file = match problem.file.as_str() {
        // The folder as a whole.
        "." => config.display().to_string(),
        file => config.join(file).display().to_string(),
    };
    output::clean(
        &Problem {
            file,
            ..problem.clone()
        }
        .to_string(),
    )
}

fn mistakes(number: usize) -> String {
    count(number, "mistake", "mistakes")
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
