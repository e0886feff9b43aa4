//! `mailpods backup`
use std::path::PathBuf;

use mailpods_store::{StoreError, sqlite};
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{Steps, failed, unusable};

const EXAMPLES: &str = "\
The server may run on. The archive is a folder of the same form as the store; it holds the key that opens the secrets, so
keep it as safe as the store itself.

Examples:
  mailpods backup --data /var/lib/mailpods /backup/mailpods-2026-01-31
  mailpods restore --data /var/lib/mailpods-new /backup/mailpods-2026-01-31";

/// Copy the store to a new folder, as it is at one moment.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to make; it must not be there, or be empty.
    archive: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    archive: String,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let folder = globals.folder()?;
        let mut steps = Steps::new();
        let done = sqlite::backup(folder, &self.archive, &mut |progress| steps.show(progress));
        steps.clear();
        done.map_err(|error| self.failure(&error, globals))?;
        let archive = self.archive.display().to_string();
        match globals.output {
            Format::Json => output::json(&Report { archive })?,
            Format::Table => output::line(&format!(
                "The store is in {archive}; `mailpods restore` makes a store of it."
            ))?,
        }
        Ok(Exit::Done)
    }

    fn failure(&self, error: &StoreError, globals: &Globals) -> Failure {
        let what = format!("failed to back up to {}", self.archive.display());
        match error {
            StoreError::NotFound(_) | StoreError::Corrupt(_) => unusable(&globals.data, error),
            StoreError::AlreadyExists(_) => {
                failed(&what, error).hint("a folder that is not there yet")
            }
            _ => failed(&what, error),
        }
    }
}
