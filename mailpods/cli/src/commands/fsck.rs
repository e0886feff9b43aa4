//! `mailpods fsck`
use mailpods_store::StoreError;
use mailpods_store::sqlite::{self, FsckOptions, Problem, Report};

use crate::args::{Format, Globals};
use crate::failure::{Exit, Outcome};
use crate::output;
use crate::session::{Steps, failed, unusable};

const EXAMPLES: &str = "\
The server may run on, but waits while a repair is made.

Examples:
  mailpods fsck --data /var/lib/mailpods                look, change nothing
  mailpods fsck --data /var/lib/mailpods --bodies       read every message, too
  mailpods fsck --data /var/lib/mailpods --repair

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
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let mut steps = Steps::new();
        let options = FsckOptions {
            repair: self.repair,
            bodies: self.bodies,
        };
        let report = sqlite::fsck(&globals.data, options, &mut |progress| steps.show(progress));
        steps.clear();
        let report = report.map_err(|error| match error {
            StoreError::NotFound(_) | StoreError::Corrupt(_) => unusable(&globals.data, &error),
            _ => failed("failed to look at the store", &error),
        })?;
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

fn print(report: &Report) -> std::io::Result<()> {
    if report.problems.is_empty() {
        return output::line("The store has no damage.");
    }
    report.problems.iter().try_for_each(print_problem)?;
    if !report.is_clean() {
        output::remark(
            "  try: `mailpods backup` first, then `mailpods fsck --repair`; or `mailpods restore` from an archive",
        );
    }
    Ok(())
}

fn print_problem(problem: &Problem) -> std::io::Result<()> {
    let mended = if problem.repaired { " (mended)" } else { "" };
    output::line(&format!(
        "{} times: {}{mended}",
        problem.count, problem.what
    ))?;
    problem
        .examples
        .iter()
        .try_for_each(|example| output::line(&format!("  {}", output::clean(example))))
}
