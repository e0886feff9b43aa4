//! `mailpods version`
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Outcome};
use crate::output;

/// Print the version, and that of the resources it reads.
#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    api_version: &'static str,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let version = Version {
            version: env!("CARGO_PKG_VERSION"),
            api_version: mailpods_api::API_VERSION,
        };
        match globals.output {
            Format::Json => output::json(&version)?,
            Format::Table => output::line(&format!(
                "mailpods {} ({})",
                version.version, version.api_version
            ))?,
        }
        Ok(Exit::Done)
    }
}
