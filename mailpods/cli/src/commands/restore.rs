//! `mailpods restore`
use std::path::PathBuf;

use mailpods_store::{StoreError, sqlite};
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{Steps, failed};

const EXAMPLES: &str = "\
Mail clients fetch all mailboxes anew, because what came after the backup is not in it. Mail that was in the queue is put on
hold, because it may have been delivered since: look at it, then release or delete it.

Examples:
  mailpods restore --data /var/lib/mailpods-new /backup/mailpods-2026-01-31
  mailpods queue list --data /var/lib/mailpods-new --state held
  mailpods queue release --data /var/lib/mailpods-new --all";

/// Make a store from an archive that `mailpods backup` wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The archive. The store is made in the folder of --data, which must have none.
    archive: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    data: String,
    mailboxes: u64,
    held: u64,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let folder = globals.folder()?;
        let mut steps = Steps::new();
        let restored = sqlite::restore(&self.archive, folder, &mut |progress| steps.show(progress));
        steps.clear();
        let restored = restored.map_err(|error| self.failure(&error, globals))?;
        let data = globals.data.display().to_string();
        let report = Report {
            data,
            mailboxes: restored.mailboxes,
            held: restored.held,
        };
        match globals.output {
            Format::Json => output::json(&report)?,
            Format::Table => {
                output::line(&format!(
                    "The store is in {}: {} mailboxes.",
                    report.data, report.mailboxes
                ))?;
                if report.held > 0 {
                    let text = "parts of the queue are on hold: `mailpods queue list --state held`, then release or delete.";
                    output::line(&format!("{} {text}", report.held))?;
                }
            }
        }
        Ok(Exit::Done)
    }

    fn failure(&self, error: &StoreError, globals: &Globals) -> Failure {
        let (archive, data) = (self.archive.display(), globals.data.display());
        let what = format!("failed to restore {archive} to {data}");
        match error {
            StoreError::AlreadyExists(_) => {
                failed(&what, error).hint("--data with a folder that has no store")
            }
            StoreError::NotFound(_) => Failure::because(Exit::Failed, what, error)
                .hint("the folder that `mailpods backup` wrote, with mailpods.db in it"),
            _ => failed(&what, error),
        }
    }
}
