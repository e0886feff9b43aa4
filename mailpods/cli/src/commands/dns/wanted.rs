//! The records that a configuration wants.
use std::path::PathBuf;

use mailpods_api::DomainName;
use mailpods_plan::{Plan, dns};
use mailpods_standalone::ensure_keys;

use crate::args::Globals;
use crate::commands::check;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{close, is_missing, open_or_make};

/// Which records.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Folder with the resources.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    config: PathBuf,
    /// Only this domain.
    #[arg(long, value_parser = parse_domain)]
    domain: Option<DomainName>,
}

fn parse_domain(text: &str) -> Result<DomainName, String> {
    DomainName::parse(text).map_err(|error| error.to_string())
}

impl Wanted {
    /// Reads the folder.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let plan = check::plan(&self.config)?;
        if let Some(domain) = self
            .domain
            .as_ref()
            .filter(|domain| !plan.domains.contains_key(*domain))
        {
            let known: Vec<String> = plan.domains.keys().map(ToString::to_string).collect();
            let text = format!(
                "{} has no domain {domain}: there are {}",
                self.config.display(),
                known.join(", ")
            );
            return Err(Failure::new(Exit::NothingMatched, text));
        }
        Ok(plan)
    }

    /// The records, with the keys of the store; keys that are missing are made, as the server would.
    pub async fn records(
        &self,
        plan: &Plan,
        globals: &Globals,
    ) -> Result<Vec<dns::Record>, Failure> {
        let folder = globals.folder()?;
        if is_missing(folder) {
            let data = folder.display();
            output::remark(&format!(
                "Making a store with DKIM keys in {data}: run the server with this --data."
            ));
        }
        let store = open_or_make(folder)?;
        let keys = ensure_keys(plan, store.store().secrets.as_ref()).await;
        close(&store).await?;
        let keys = keys.map_err(|error| Failure::because(Exit::Store, "DKIM keys", &error))?;
        let key = |domain: &DomainName, selector: &_| {
            keys.get(&(domain.clone(), Clone::clone(selector))).cloned()
        };
        Ok(dns::fill(plan, self.domain.as_ref(), key))
    }
}
