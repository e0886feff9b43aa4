//! `mailpods fsck`
use std::path::Path;

use mailpods_store::StoreError;
use mailpods_store::sqlite::{self, FsckOptions, Problem, Report};

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{Steps, unusable};

const EXAMPLES: &str = "\
The server may run on, but waits while a repair is made.

Examples:
  mailpods fsck --data /var/lib/mailpods                look, change nothing
  mailpods fsck --data /var/lib/mailpods --bodies       read every message, too
  mailpods fsck --data /var/lib/mailpods --repair
  mailpods fsck --data /var/lib/mailpods --forget-secrets   when seal.key is lost, in every backup too

Exit codes: 0 no damage, or all of it mended; 1 damage.";

/// Look for damage in the store, and mend it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Mend what can be mended.
    #[arg(long)]
    repair: bool,
    /// Read every body, too; takes as long as reading the whole disk.
    #[arg(long)]
    bodies: bool,
    /// Take away secrets that seal.key does not open: DKIM keys and the self-signed certificate are made anew then.
    #[arg(long)]
    forget_secrets: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let folder = globals.folder()?;
        let mut steps = Steps::new();
        let options = FsckOptions {
            repair: self.repair,
            bodies: self.bodies,
            forget_secrets: self.forget_secrets,
        };
        let report = sqlite::fsck(folder, options, &mut |progress| steps.show(progress));
        steps.clear();
        let report = report.map_err(|error| failure(folder, &error))?;
        match globals.output {
            Format::Json => output::json(&report)?,
            Format::Table => print(&report)?,
        }
        Ok(if report.is_clean() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

fn failure(data: &Path, error: &StoreError) -> Failure {
    let failure = unusable(data, error);
    match error {
        // Not what `unusable` says: that would lead back here.
        StoreError::Corrupt(_) => failure.hint(
            "`mailpods restore ARCHIVE --data OTHER` makes a store of the last good backup; keep this one until that runs",
        ),
        _ => failure,
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    if report.problems.is_empty() {
        return output::line("The store has no damage.");
    }
    report.problems.iter().try_for_each(print_problem)?;
    let mendable = |problem: &Problem| !problem.repaired && problem.advice.is_none();
    if report.problems.iter().any(mendable) {
        output::remark("  try: `mailpods backup` first, then `mailpods fsck --repair`");
    }
    Ok(())
}

fn print_problem(problem: &Problem) -> std::io::Result<()> {
    let state = match (problem.repaired, problem.advice) {
        (true, _) => "mended",
        (false, None) => "--repair mends it",
        (false, Some(_)) => "not mended by --repair",
    };
    output::line(&format!(
        "{} times: {} ({state})",
        problem.count, problem.what
    ))?;
    for example in &problem.examples {
        output::line(&format!("  {}", output::clean(example)))?;
    }
    let more = problem.count - problem.examples.len() as u64;
    if more > 0 {
        output::line(&format!("  and {more} more"))?;
    }
    match problem.advice {
        Some(advice) => output::line(&format!("  what to do: {advice}")),
        None => Ok(()),
    }
}
