//! `mailpods dns print`
use clap::ValueEnum;
use mailpods_plan::dns;

use super::wanted::Wanted;
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::block_on;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Form of the records; `--output json` means json.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Namespace of the DNSEndpoint resources.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines of a zone file (RFC 1035).
    Zone,
    /// An array of objects.
    Json,
    /// Resources for ExternalDNS, as YAML.
    Dnsendpoint,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let plan = self.wanted.plan()?;
        block_on(async {
            let records = self.wanted.records(&plan, globals).await?;
            match self.form(globals.output) {
                Form::Zone => output::line(dns::zone(&records).trim_end())?,
                Form::Json => output::json(&dns::json(&records))?,
                Form::Dnsendpoint => {
                    let text = dns::endpoints(&records, self.namespace.as_deref());
                    let text = text.map_err(|error| {
                        Failure::new(Exit::Failed, format!("failed to write YAML: {error}"))
                    })?;
                    output::line(text.trim_end())?;
                }
            }
            Ok(Exit::Done)
        })
    }

    fn form(&self, output: Format) -> Form {
        self.format.unwrap_or(match output {
            Format::Table => Form::Zone,
            Format::Json => Form::Json,
        })
    }
}
